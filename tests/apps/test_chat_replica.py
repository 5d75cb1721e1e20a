"""Copies of the rooms: the same log makes the same rooms, whatever becomes of each process's clients."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from apps.chat import replica as module
from apps.chat.replica import Replica
from apps.chat.room import HISTORY_EVENTS, ROOM_MEMBERS, Event, Member


class Client(Member):
    """A client that takes `space` messages."""

    def __init__(self, name: str = "", space: int = 10**9) -> None:
        super().__init__(name)
        self.space = space
        self.got: list[Event] = []
        self.closed: tuple[int, str] | None = None

    def put(self, text: str) -> bool:
        self.space -= 1
        if self.space >= 0:
            self.got.append(json.loads(text))
        return self.space >= 0

    def lags(self) -> bool:
        return self.space < 5

    def close(self, code: int, why: str) -> None:
        self.closed = code, why


def join(key: str, name: str, room: str = "lobby") -> Event:
    return {"do": "join", "key": key, "name": name, "room": room, "session": ""}


def some_life(chance: random.Random, steps: int) -> list[Event]:
    """What many clients in three processes do; some die with their process."""
    log: list[Event] = []
    here: list[str] = []
    for number in range(steps):
        key = chance.choice(here) if here else ""
        what = chance.choice(["join", "join", "hear", "hear", "hear", "leave", "gone", "say"])
        if what == "join" or not here:
            here.append(f"w{chance.randrange(3)}/{number}")
            log.append(join(here[-1], chance.choice(["Ann", "ann", "Bob", "Eve"]), chance.choice("abc")))
        elif what == "hear":
            texts = [f"text {number}", "/typing", "/to Ann psst", "/nonsense"]
            log.append({"do": "hear", "key": key, "text": chance.choice(texts), "id": ""})
        elif what == "leave":
            log.append({"do": "leave", "key": key})
        elif what == "say":
            log.append({"do": "say", "who": "server", "room": chance.choice("abcd"), "text": f"{number}"})
        elif chance.random() < 0.2:
            log.append({"do": "gone", "worker": key.partition("/")[0]})
    return log


@pytest.mark.parametrize("seed", range(20))
def test_all_copies_agree_also_one_that_began_with_the_state_of_another(seed: int) -> None:
    chance = random.Random(seed)
    log = some_life(chance, 300)
    copies = [Replica(), Replica()]
    for number, copy in enumerate(copies):  # each has clients of its own, and some of them are slow
        keys = [action["key"] for action in log if action["do"] == "join"]
        copy.clients |= {
            key: Client(space=chance.choice([0, 3, 10**9])) for key in keys if key.startswith(f"w{number}/")
        }
    middle = chance.randrange(len(log))
    for action in log[:middle]:
        for copy in copies:
            copy.do(action)
    late = Replica()
    late.do(join("w9/1", "forgotten", "old"))
    late.take(json.loads(json.dumps(copies[0].state())))
    assert late.state() == copies[0].state()
    for action in log[middle:]:
        for copy in (*copies, late):
            copy.do(action)
    assert copies[0].state() == copies[1].state() == late.state()
    names = [[member.name for member in room.members.values()] for room in late.rooms.values()]
    assert sum(map(len, names)) == len(late.seats) > 0
    assert all(len(set(room)) == len(room) for room in names)


def test_a_client_here_gets_what_happens_and_a_name_that_is_free_everywhere() -> None:
    replica, ann = Replica(), Client("Ann")
    replica.clients["w1/1"] = ann
    for action in (
        join("w2/1", "ann"),
        join("w1/1", "Ann"),
        {"do": "hear", "key": "w2/1", "text": "hi", "id": ""},
        {"do": "hear", "key": "w1/1", "text": "/to ann psst", "id": ""},
        {"do": "gone", "worker": "w2"},
    ):
        replica.do(action)
    assert ann.name == "Ann-2"
    assert [event["type"] for event in ann.got] == ["welcome", "said", "told", "left"]
    assert ann.got[0]["members"] == ["ann", "Ann-2"]
    assert replica.workers == {"w1"}


def test_a_client_that_is_too_slow_is_closed_here_and_stays_in_the_room_until_the_log_says_so() -> None:
    replica, slow = Replica(), Client("Slow", space=2)
    replica.clients["w1/1"] = slow
    replica.do(join("w1/1", "Slow"))
    for number in range(3):
        replica.do({"do": "say", "who": "server", "room": "lobby", "text": f"{number}"})
    assert slow.closed == (1013, "you read too slowly: connect again")
    assert list(replica.rooms["lobby"].members) == ["Slow"]
    replica.do({"do": "leave", "key": "w1/1"})
    assert not replica.rooms["lobby"].members


def test_what_a_dead_process_had_sent_is_still_said_but_its_commands_are_not_obeyed() -> None:
    replica, bob = Replica(), Client("Bob")
    replica.clients["w2/1"] = bob
    for action in (
        join("w1/1", "Ann"),
        join("w2/1", "Bob"),
        {"do": "gone", "worker": "w1"},
        {"do": "hear", "key": "w1/1", "text": "my last words", "id": ""},
        {"do": "hear", "key": "w1/1", "text": "/to Bob psst", "id": ""},
        {"do": "hear", "key": "w1/2", "text": "a stranger's", "id": ""},
    ):
        replica.do(action)
    assert bob.got[1:] == [
        {"type": "left", "who": "Ann"},
        {"type": "said", "who": "Ann", "text": "my last words"},
    ]


def test_who_does_not_fit_in_is_told_so_by_their_own_process_alone() -> None:
    replica, late = Replica(), Client("Late")
    replica.clients["w1/0"] = late
    for number in range(ROOM_MEMBERS):
        replica.do(join(f"w2/{number}", "x"))
    replica.do(join("w1/0", "Late"))
    replica.do({"do": "hear", "key": "w1/0", "text": "let me in", "id": ""})
    assert late.closed == (1013, "the room is full: it has 1,000 members")
    assert not late.got
    assert not replica.rooms["lobby"].history


def test_what_is_remembered_of_the_dead_is_bounded() -> None:
    replica = Replica()
    for number in range(module.GONE_KEPT + 10):
        replica.do(join(f"w{number}/1", "x"))
        replica.do({"do": "gone", "worker": f"w{number}"})
    state: list[dict[str, Any]] = replica.state()
    assert len(state[0]["gone"]) == module.GONE_KEPT
    for number in range(HISTORY_EVENTS + 10):
        replica.do({"do": "say", "who": "server", "room": "lobby", "text": f"{number}"})
    assert len(replica.state()[1]["history"]) == HISTORY_EVENTS


def test_who_comes_back_to_another_process_gets_their_place_again_and_what_they_repeat_is_said_once() -> None:
    there, here = Replica(), Replica()
    before, after, bob = Client("Ann"), Client("Ann"), Client("Bob")
    there.clients["w1/1"] = before
    here.clients |= {"w2/1": after, "w2/2": bob}
    hello = {"do": "hear", "text": "hello", "id": "ann-1"}
    for action in (
        join("w2/2", "Bob"),
        join("w1/1", "Ann") | {"session": "ann"},
        hello | {"key": "w1/1"},
        join("w2/1", "Ann") | {"session": "ann"},
        hello | {"key": "w2/1"},
        {"do": "leave", "key": "w1/1"},
        {"do": "gone", "worker": "w1"},
    ):
        for replica in (there, here):
            replica.do(action)
    assert after.name == "Ann"
    assert [event["type"] for event in after.got] == ["welcome"]
    assert [event["type"] for event in bob.got] == ["welcome", "joined", "said"]
    assert there.state() == here.state()


def test_an_entry_that_was_written_twice_counts_once() -> None:
    replica = Replica()
    entries = [{"by": "w1", "number": 1}, {"by": "w2", "number": 1}, {"by": "w1", "number": 2}]
    assert [replica.is_new(entry) for entry in [*entries, *entries]] == [True] * 3 + [False] * 3
    assert replica.is_new({"by": "w1", "number": 3})
