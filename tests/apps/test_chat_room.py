"""The chat's core, without sockets and without a loop: names, history, limits, and who is told what."""

from __future__ import annotations

import json

import pytest

from apps.chat import room as chat_room
from apps.chat.room import HISTORY_EVENTS, Event, Member, Refused, Room, Rooms
from apps.chat.server import OUTBOX_BYTES


class Listener(Member):
    """A member who keeps what comes, as far as there is space.

    Args:
        name: the name it asks for.
        space: how many events fit.
    """

    def __init__(self, name: str, space: int = 10_000) -> None:
        super().__init__(name)
        self.space = space
        self.got: list[Event] = []
        self.closed: tuple[int, str] | None = None

    def put(self, text: str) -> bool:
        if len(self.got) == self.space:
            return False
        self.got.append(json.loads(text))
        return True

    def lags(self) -> bool:
        return len(self.got) * 2 > self.space

    def close(self, code: int, why: str) -> None:
        self.closed = code, why

    def news(self) -> list[Event]:
        """What has come since the last call."""
        events, self.got = self.got, []
        return events


def said(who: str, text: str) -> Event:
    return {"type": "said", "who": who, "text": text}


def left(who: str) -> Event:
    return {"type": "left", "who": who}


def join(room: Room, *members: str | Listener) -> list[Listener]:
    """Let them join, and forget what they have been told so far."""
    listeners = [Listener(member) if isinstance(member, str) else member for member in members]
    for listener in listeners:
        room.join(listener)
    for listener in listeners:
        listener.news()
    return listeners


@pytest.fixture
def room() -> Room:
    return Room("lobby")


def test_a_newcomer_is_welcomed_and_the_others_hear_of_it(room: Room) -> None:
    ann = Listener("Ann")
    room.join(ann)
    welcome = {"type": "welcome", "name": "Ann", "room": "lobby", "members": ["Ann"], "history": []}
    assert ann.news() == [welcome]
    room.hear(ann, "hi")
    bob = Listener("Bob")
    room.join(bob)
    assert ann.news() == [said("Ann", "hi"), {"type": "joined", "who": "Bob"}]
    assert bob.news() == [
        {**welcome, "name": "Bob", "members": ["Ann", "Bob"], "history": [said("Ann", "hi")]}
    ]


def test_what_is_said_to_whom(room: Room) -> None:
    ann, bob, cat = join(room, "Ann", "Bob", "Cat")
    room.hear(bob, "/typing")
    room.hear(bob, "hello")
    room.hear(ann, "/to Bob psst, you")
    told = {"type": "told", "who": "Ann", "to": "Bob", "text": "psst, you"}
    typing = {"type": "typing", "who": "Bob"}
    assert ann.news() == [typing, said("Bob", "hello"), told]
    assert bob.news() == [said("Bob", "hello"), told]
    assert cat.news() == [typing, said("Bob", "hello")]
    room.hear(cat, "/to Cat remember the milk")
    assert cat.news() == [{"type": "told", "who": "Cat", "to": "Cat", "text": "remember the milk"}]
    assert list(room.history) == [said("Bob", "hello")]


def test_everybody_gets_everything_in_the_same_order(room: Room) -> None:
    members = join(room, *(f"P{number}" for number in range(10)))
    for number in range(50):
        for member in members:
            room.hear(member, str(number))
    first = members[0].news()
    assert first == [said(f"P{member}", str(number)) for number in range(50) for member in range(10)]
    assert all(member.news() == first for member in members[1:])


def test_who_leaves_is_missed_once(room: Room) -> None:
    ann, bob = join(room, "Ann", "Bob")
    room.leave(bob)
    room.leave(bob)
    (second,) = join(room, "Bob")
    room.leave(bob)  # another one has his name now
    assert ann.news() == [left("Bob"), {"type": "joined", "who": "Bob"}]
    assert room.members == {"Ann": ann, "Bob": second}


def test_a_taken_name_gets_a_number(room: Room) -> None:
    members = join(room, "Ann", "ANN", " ann ", "server", "Server", "Ann-2")
    assert [member.name for member in members] == [
        *["Ann", "ANN-2", "ann-3", "server-2", "Server-3", "Ann-2-2"],
    ]
    room.leave(members[1])
    assert join(room, "Ann")[0].name == "Ann-2"


def test_the_longest_name_that_fits_is_meant(room: Room) -> None:
    ann, other = join(room, "Ann Lee", "Ann")
    for words in ("/to Ann Lee psst", "/to ann  lee psst"):
        room.hear(other, words)
        assert ann.news() == [{"type": "told", "who": "Ann", "to": "Ann Lee", "text": "psst"}]
    room.hear(ann, "/to Ann  two  blanks")
    assert other.news()[-1] == {"type": "told", "who": "Ann Lee", "to": "Ann", "text": "two  blanks"}


@pytest.mark.parametrize("text", ["/dance", "/", "/to Nobody hi", "/to Ann", "/to", "/to server hi"])
def test_a_command_that_does_not_work_is_answered(room: Room, text: str) -> None:
    ann, bob = join(room, "Ann", "Bob")
    room.hear(ann, text)
    (answer,) = ann.news()
    assert answer["type"] == "error"
    assert "/to NAME TEXT" in answer["text"]
    assert bob.news() == []


@pytest.mark.parametrize(
    ("text", "closed"),
    [
        ("x" * 4097, (1009, "a message has at most 4,096 characters")),
        (None, (1003, "send text, not bytes")),
    ],
)
def test_who_sends_what_is_no_message_is_out(room: Room, text: str | None, closed: tuple[int, str]) -> None:
    ann, bob = join(room, "Ann", "Bob")
    room.hear(bob, "ü" * 4096)
    room.hear(bob, text)
    assert bob.closed == closed
    assert ann.news() == [said("Bob", "ü" * 4096), left("Bob")]


def test_who_has_no_space_is_out_and_nobody_else_misses_anything(room: Room) -> None:
    slow = [Listener(f"S{number}", space=3) for number in range(2)]
    ann, *_, bob = join(room, "Ann", *slow, "Bob")
    for number in range(6):
        room.hear(ann, str(number))
    told = [said("Ann", str(number)) for number in range(6)]
    expected = [*told[:4], left("S0"), left("S1"), *told[4:]]
    assert ann.news() == expected
    assert bob.news() == expected
    for listener in slow:
        assert listener.closed == (1013, "you read too slowly: connect again")
        assert listener.news() == told[:3]


def test_who_has_no_space_for_what_is_told_to_it_alone_is_out(room: Room) -> None:
    ann, bob = join(room, "Ann", Listener("Bob", space=1))
    room.hear(ann, "/to Bob one")
    room.hear(ann, "/to Bob two")
    assert bob.closed == (1013, "you read too slowly")
    assert {event["type"] for event in ann.news()} == {"told", "left"}
    assert room.members == {"Ann": ann}


def test_the_room_lags_while_one_of_its_members_does(room: Room) -> None:
    ann, bob = join(room, "Ann", Listener("Bob", space=4))
    room.hear(ann, "1")
    room.hear(ann, "2")
    assert not room.lags()
    room.hear(ann, "3")
    assert room.lags()
    bob.news()
    assert not room.lags()


def test_history_is_bounded_in_number_and_in_length(room: Room) -> None:
    for number in range(60):
        room.say("server", str(number))
    assert [event["text"] for event in room.history] == [str(number) for number in range(10, 60)]
    for _ in range(5):
        room.say("server", "x" * 4096)
    assert [event["text"] for event in room.history] == ["x" * 4096] * 4


def test_the_largest_welcome_fits_into_an_outbox() -> None:
    name = "\U0001f40d" * 32
    room = Room(name)
    room.members = {f"{name}-{number}": Listener(name) for number in range(1, 1001)}
    for _ in range(HISTORY_EVENTS):
        room.remember(said(f"{name}-1000", "\x01" * (16_384 // HISTORY_EVENTS)))
    assert 200_000 < len(chat_room.as_text(room.welcome(name)).encode()) < OUTBOX_BYTES


@pytest.mark.parametrize(
    ("name", "room_name"), [("x" * 33, "r"), ("a\nb", "r"), ("\u202ea", "r"), ("", "r"), ("Ann", "")]
)
def test_names_are_short_and_printable(name: str, room_name: str) -> None:
    rooms = Rooms()
    with pytest.raises(Refused, match="names have 1 to 32 printable characters") as refused:
        rooms.find(name, room_name)
    assert refused.value.code == 1008
    assert rooms == {}


def test_rooms_that_look_alike_are_one() -> None:
    rooms = Rooms()
    lobby = rooms.find("Ann", "Lobby ")
    assert rooms.find("Bob", "lobby") is rooms.named(" LOBBY") is lobby
    assert lobby.name == "Lobby"


def test_a_full_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_room, "ROOM_MEMBERS", 1)
    rooms = Rooms()
    join(rooms.find("Ann", "lobby"), "Ann")
    with pytest.raises(Refused, match="the room is full: it has 1 members") as refused:
        rooms.find("Bob", "lobby")
    assert refused.value.code == 1013
    assert rooms.find("Bob", "attic").members == {}


def test_an_empty_room_makes_space_for_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_room, "ROOMS", 2)
    rooms = Rooms()
    (ann,) = join(rooms.find("Ann", "a"), "Ann")
    join(rooms.find("Bob", "b"), "Bob")
    rooms["a"].hear(ann, "remember this")
    with pytest.raises(Refused, match="all 2 rooms are in use") as refused:
        rooms.find("Cat", "c")
    assert refused.value.code == 1013
    rooms["a"].leave(ann)
    assert list(rooms.find("Ann", "a").history) == [said("Ann", "remember this")]
    assert rooms.find("Cat", "c").history.maxlen == HISTORY_EVENTS
    assert list(rooms) == ["b", "c"]
