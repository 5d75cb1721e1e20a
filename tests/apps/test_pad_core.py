"""The pad without a network: its messages, and that all replicas and pages end with the same text."""

from __future__ import annotations

import json
import os
import random
import sqlite3
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycrdt import Awareness, Doc, Text, create_sync_message, handle_sync_message

from apps.pad.document import (
    AWARENESS,
    QUERY,
    ROOT,
    STEP_1,
    STEP_2,
    UPDATE,
    Document,
    Message,
    Rubbish,
    Splice,
    block,
    difference,
    number,
    read,
    read_state,
    spliced,
    write,
)
from apps.pad.presence import EXPIRES, Presence
from apps.pad.room import Full, Member, Room
from apps.pad.seat import Caret, Edit, Join, Refused, Undo, from_units, to_units, units
from apps.pad.store import Row, Store


def test_messages_are_those_of_pycrdt() -> None:
    theirs: Doc[Any] = Doc()
    theirs[ROOT] = Text("hello")
    ours = Document()
    asked = read(create_sync_message(theirs))
    assert asked == Message(STEP_1, theirs.get_state())
    assert list(read_state(asked.data).values()) == [5]
    ours.edit([(0, 0, "wörld")])
    answer = write(STEP_2, ours.missing(asked.data))
    assert handle_sync_message(answer[1:], theirs) is None
    reply = handle_sync_message(write(STEP_1, ours.state())[1:], theirs)
    assert reply is not None
    kind, data = read(reply)
    ours.apply(data)
    assert (kind, str(ours)) == (STEP_2, str(theirs[ROOT]))
    assert read(write(QUERY)) == Message(QUERY, b"")


def test_states_are_those_of_pycrdt() -> None:
    theirs = Awareness(Doc(client_id=7))
    theirs.set_local_state({"user": {"name": "Zoë"}})
    ours = Presence()
    assert ours.hear(theirs.encode_awareness_update([7]), now=0) == [7]
    assert ours.states == {7: {"user": {"name": "Zoë"}}}
    assert ours.hear(theirs.encode_awareness_update([7]), now=1) == [], "it is no news"
    theirs.apply_awareness_update(ours.say(9, {"user": {"name": "Ann"}}, now=0), "us")
    assert theirs.states[9] == {"user": {"name": "Ann"}}

    assert ours.silent(EXPIRES) == []
    assert ours.silent(EXPIRES + 0.1) == [7, 9]
    assert ours.gone([7, 99], now=31) == [7]
    assert ours.hear(theirs.encode_awareness_update([7]), now=32) == [], "a late message revives nobody"
    theirs.set_local_state({"user": {"name": "Zoë"}})
    assert ours.hear(theirs.encode_awareness_update([7]), now=33, but={7}) == []
    assert ours.hear(theirs.encode_awareness_update([7]), now=33) == [7]


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\0",
        b"\0\3\0",
        b"\2",
        b"\0\0\5a",
        b"\0\2\0x",
        b"\x80" * 12,
        b"\1\1",
        b"\3x",
        b"\0\2\xff\xff\xff\x7f",
    ],
)
def test_rubbish_is_no_message(message: bytes) -> None:
    with pytest.raises(Rubbish):
        read(message)


def test_rubbish_changes_nothing() -> None:
    chance = random.Random(1)
    document = Document()
    document.edit([(0, 0, "it stays")])
    good = Document().edit([(0, 0, "wörld")])
    for _ in range(500):
        update = bytearray(chance.choice([good, chance.randbytes(chance.randrange(30))]))
        for _ in range(chance.randrange(1, 4) if update else 0):
            update[chance.randrange(len(update))] = chance.randrange(256)
        try:
            Document().apply(bytes(update))
        except Rubbish:
            with pytest.raises(Rubbish):
                document.apply(bytes(update))
    assert str(document) == "it stays"
    for state in (b"\1", b"\xff\xff\xff\xff\x7f", b"\0x"):
        with pytest.raises(Rubbish):
            document.missing(state)
    for states in (b"\1\1\1\1{", b"\1\1\1\2[]", b"\1\1\1\xff", b"\1\1\1\4nul"):
        with pytest.raises(Rubbish):
            Presence().hear(states, now=0)


def test_positions_count_characters_and_stay_with_their_letter() -> None:
    document = Document()
    document.edit([(0, 0, "hé😀x"), (3, 1, "yz")])
    assert str(document) == "hé😀yz"
    marks = [document.mark(at) for at in range(6)]
    assert [document.find(mark) for mark in marks] == [0, 1, 2, 3, 4, 5]
    document.edit([(0, 1, "ÄÖ")])
    assert [document.find(mark) for mark in marks[1:]] == [2, 3, 4, 5, 6]
    for at, removed, inserted in [(7, 0, "x"), (0, 7, ""), (-1, 0, "x"), (3, -1, ""), (0, 0, "\ud83d")]:
        with pytest.raises(ValueError, match=r"there is no|surrogates"):
            document.edit([(at, removed, inserted)])
    elsewhere = [{"item": {"client": 5, "clock": 1}}, {"item": 5}, {"item": {"client": "a"}}, {"tname": "x"}]
    item = marks[1]["item"]
    elsewhere += [7, None, {"item": {**item, "clock": -1}}, {"item": {**item, "clock": 10**6}}]
    assert [document.find(mark) for mark in elsewhere] == [None] * len(elsewhere)


texts = st.text(st.sampled_from("abé😀\n"), max_size=8)


@given(texts, texts)
@settings(max_examples=100, deadline=None)
def test_a_difference_makes_one_text_of_the_other(before: str, after: str) -> None:
    assert spliced(before, difference(before, after)) == after
    counted = to_units(before, difference(before, after))
    assert from_units(before, counted) == difference(before, after)
    assert units(before) == len(before.encode("utf-16-le")) // 2


# --- convergence


class Net:
    """A room with three replicas and two pages; what is said to each waits until it is delivered.

    Args:
        chance: makes the edits.
    """

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.disk: list[bytes] = []
        self.numbers: dict[str, int] = {}
        self.room = Room("r", [])
        self.peers: list[Replica | Page] = [Replica(self, n) for n in range(1, 4)]
        self.peers += [Page(self, name) for name in ("Pat", "Pia")]

    def flush(self) -> None:
        """Store, then put what is to be told on each way."""
        for row in self.room.unsaved:
            self.disk.append(row.update)
            if row.seat:
                self.numbers[row.seat] = row.number
        self.room.unsaved = []
        outgoing, self.room.outgoing = self.room.outgoing, []
        for member, message, maker in outgoing:
            for peer in self.peers:
                if (
                    member is None
                    and isinstance(peer, Replica)
                    and peer.member in self.room.members - {maker}
                ):
                    peer.inbox.append(write(UPDATE, bytes(message)))  # type: ignore[arg-type]
                elif member is not None and peer.member is member:
                    peer.inbox.append(message)

    def settle(self) -> None:
        """All are connected, and nothing is on its way any more."""
        for peer in self.peers:
            if not peer.member:
                peer.join()
        while any(peer.inbox or peer.outbox for peer in self.peers) or self.room.outgoing:
            self.flush()
            for peer in self.peers:
                peer.deliver()
                if peer.inbox:
                    peer.receive()

    def restart(self) -> None:
        """The server ends at any moment: only what was flushed is still known."""
        for peer in self.peers:
            peer.cut()
        if self.chance.random() < 0.5:
            self.disk = [Room("r", self.disk).compact()] if self.disk else []
        self.room = Room("r", self.disk)


class Replica:
    """One that speaks y-websocket."""

    def __init__(self, net: Net, client: int) -> None:
        self.net = net
        self.document = Document(client)
        self.member: Member | None = None
        self.inbox: list[Any] = []
        self.outbox: list[bytes] = []

    def edit(self, chance: random.Random) -> None:
        update = self.document.edit([random_splice(str(self.document), chance)])
        if self.member:
            self.outbox.append(write(UPDATE, update))

    def join(self) -> None:
        self.member = Member()
        self.net.room.join(self.member)
        self.outbox = [write(STEP_1, self.document.state())]

    def cut(self) -> None:
        if self.member:
            self.net.room.leave(self.member, 0)
        self.member, self.inbox, self.outbox = None, [], []

    def deliver(self) -> None:
        if self.outbox:
            assert self.member
            self.net.room.hear(self.member, self.outbox.pop(0), 0)

    def receive(self) -> None:
        kind, data = read(self.inbox.pop(0))
        if kind == STEP_1:
            self.outbox.append(write(STEP_2, self.document.missing(data)))
        elif kind != AWARENESS:
            self.document.apply(data)

    def text(self) -> str:
        return str(self.document)


class Page:
    """What page.js does, but for what it shows while an edit is on its way: it edits only when none is."""

    def __init__(self, net: Net, name: str) -> None:
        self.net = net
        self.name = name
        self.member: Member | None = None
        self.inbox: list[Any] = []
        self.outbox: list[Any] = []
        self.base = self.seat = self.run = ""
        self.revision = self.number = self.id = 0
        self.flight: Edit | Undo | None = None
        self.joined = False

    def edit(self, chance: random.Random) -> None:
        if self.flight or not self.joined:
            return
        self.number += 1
        if chance.random() < 0.2:
            self.flight = Undo(self.number, self.revision, chance.random() < 0.3)
        else:
            splices = to_units(self.base, [random_splice(self.base, chance)])
            self.flight = Edit(self.number, self.revision, splices, (0, 0))
        self.outbox.append(self.flight)

    def join(self) -> None:
        self.member = Member()
        self.outbox = [Join(self.name, self.seat, self.run, self.revision)]

    def cut(self) -> None:
        if self.member:
            self.net.room.leave(self.member, 0)
        self.member, self.inbox, self.outbox, self.joined = None, [], [], False

    def deliver(self) -> None:
        if not self.outbox:
            return
        assert self.member
        request = self.outbox.pop(0)
        if isinstance(request, Join):
            number = self.net.numbers.get(request.seat, 0)
            self.net.room.sit(self.member, request, number, 0)
        else:
            self.net.room.do(self.member, request, 0)

    def receive(self) -> None:
        message = json.loads(self.inbox.pop(0))
        if message["type"] == "joined":
            self.seat, self.run, self.id = message["seat"], message["run"], message["id"]
            self.joined = True
            if "text" in message:
                self.base, self.revision, self.flight = message["text"], message["revision"], None
                self.number = max(self.number, message["number"])
            elif self.flight:
                self.outbox.append(self.flight)
        elif message["type"] == "change":
            assert message["revision"] == self.revision + 1
            self.base = spliced(self.base, from_units(self.base, message["splices"]))
            self.revision += 1
            if message.get("by") == self.id and self.flight and message["number"] == self.flight.number:
                self.flight = None

    def text(self) -> str:
        return self.base


def random_splice(text: str, chance: random.Random) -> Splice:
    at = chance.randrange(len(text) + 1)
    removed = chance.randrange(min(3, len(text) - at) + 1) if chance.random() < 0.3 else 0
    return at, removed, "".join(chance.choices("abcé😀", k=chance.randrange(4)))


steps = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from(["edit", "edit", "cut", "deliver", "receive", "all"])),
    max_size=20,
)


@given(st.integers(0, 2**32), st.lists(st.one_of(steps, st.just("restart")), max_size=3))
@settings(max_examples=1000 if os.environ.get("WORKBOOK_NIGHTLY") else 150, deadline=None)
def test_all_end_with_the_same_text(seed: int, schedule: list[Any]) -> None:
    net = Net(random.Random(seed))
    net.settle()
    for part in schedule:
        if part == "restart":
            net.restart()
            continue
        for who, what in part:
            peer = net.peers[who]
            if what == "edit":
                peer.edit(net.chance)
            elif what == "cut":
                (peer.cut if peer.member else peer.join)()
            elif what == "deliver":
                peer.deliver()
            elif what == "receive" and peer.inbox:
                peer.receive()
            elif what == "all":
                net.flush()
    net.settle()
    assert {peer.text() for peer in net.peers} == {str(net.room.document)}
    assert str(Room("r", net.disk).document) == str(net.room.document), "all of it is on disk"


# --- the room's rules


def sat(room: Room, name: str = "Pat", **more: Any) -> tuple[Member, dict[str, Any]]:
    """A page in a room, and what it was told when it joined."""
    member = Member()
    room.outgoing.clear()
    room.sit(member, Join(name, **more), 0, 0)
    told = [json.loads(each.message) for each in room.outgoing if each.member is member]
    return member, told[0] | {"missed": told[1:]}


def test_an_edit_goes_where_the_page_meant_it() -> None:
    room = Room("r", [Document().edit([(0, 0, "0123456789")])])
    pat, _ = sat(room)
    pia, _ = sat(room)
    room.do(pat, Edit(1, 0, [(2, 3, "")]), 0)
    room.do(pia, Edit(1, 0, [(8, 0, "x")]), 0)  # she hasn't seen it
    assert str(room.document) == "01567x89"
    room.do(pia, Edit(1, 2, [(0, 0, "again")]), 0)
    assert str(room.document) == "01567x89", "number 1 has come before"
    room.do(pia, Caret(2, (0, 0)), 0)
    for refused in (Edit(2, 9, []), Edit(2, 1, []), Edit(2, 2, [(9, 0, "x")]), Caret(9, (0, 0)), Join("Pia")):
        with pytest.raises(Refused):
            room.do(pia, refused, 0)
    with pytest.raises(Refused):
        room.do(Member(), Edit(1, 2, []), 0)


def test_a_page_comes_back_to_its_seat_and_gets_what_it_missed() -> None:
    room = Room("r", [])
    pat, joined = sat(room)
    assert joined["text"] == ""
    room.do(pat, Edit(1, 0, [(0, 0, "one")]), 0)
    room.leave(pat, 0)
    sat(room, "Pia")
    back, again = sat(room, seat=joined["seat"], run=room.run, revision=0)
    assert "text" not in again
    assert [(each["by"], each["number"], each["splices"]) for each in again["missed"] if "by" in each] == [
        (joined["id"], 1, [[0, 0, "one"]])
    ]
    twice, _ = sat(room, seat=joined["seat"], run=room.run, revision=1)
    assert back not in room.members
    assert twice in room.members
    _, new = sat(room, seat=joined["seat"], run="another", revision=1)
    assert (new["text"], new["seat"] != joined["seat"]) == ("one", True)


def test_undo_is_of_one_s_own_edits_only() -> None:
    room = Room("r", [])
    pat, _ = sat(room)
    pia, _ = sat(room)
    room.do(pat, Edit(1, 0, [(0, 0, "mine")]), 0)
    room.do(pia, Edit(1, 1, [(4, 0, " hers")]), 0)
    room.do(pat, Undo(2, 2), 0)
    assert str(room.document) == " hers"
    room.do(pat, Undo(3, 3, again=True), 0)
    assert str(room.document) == "mine hers"


def nested(kind: str, depth: int) -> bytes:
    """An update with that many arrays in each other, or shared types."""
    if kind == "arrays":
        return b"\1\1\5\0\x08\1\4text\1" + b"\x75\1" * depth + b"\x7e\0"
    inner = b"".join(b"\7\0\5" + number(at) + b"\0" for at in range(depth - 1))
    return b"\1" + number(depth) + b"\5\0\7\1\4text\0" + inner + b"\0"


@pytest.mark.parametrize("kind", ["arrays", "types"])
def test_what_is_nested_deep_is_refused_before_pycrdt_runs_out_of_stack(kind: str) -> None:
    with pytest.raises(Rubbish, match="no text"):
        Document().apply(nested(kind, 6000))


def test_a_long_text_with_all_that_text_can_have_is_let_in() -> None:
    theirs: Doc[Any] = Doc()
    theirs[ROOT] = text = Text("world " * 3000 + "wörld 🐦")
    for at in range(0, 2000, 7):
        del text[at : at + 1]
        text.insert(at, "x")
    text.format(5, 900, {"bold": True})
    text.insert_embed(3, b"picture")
    document = Document()
    document.apply(theirs.get_update())
    assert document.state() == theirs.get_state()
    assert str(document) == str(text)


@pytest.mark.parametrize(("client", "clock"), [(5.0, 0), (5, 0.0), (5, True), (5, 0.5)])
def test_a_mark_has_whole_numbers(client: Any, clock: Any) -> None:
    document = Document(5)
    document.edit([(0, 0, "hello")])
    assert document.find({"item": {"client": client, "clock": clock}}) is None


@pytest.mark.parametrize("state", [b'{"x":NaN}', b'{"x":1e999}', b'{"x":' + b"[" * 900 + b"]" * 900 + b"}"])
def test_a_state_that_couldnt_be_told_to_others_is_refused(state: bytes) -> None:
    with pytest.raises(Rubbish):
        Presence().hear(b"\1\1\1" + block(state), now=0)


def test_half_an_emoji_in_a_name_is_told_as_a_question_mark() -> None:
    room, ann, bob = Room("r", []), Member(), Member()
    room.sit(ann, Join("Ann"), 0, 0)
    room.join(bob)
    room.hear(bob, write(AWARENESS, b"\1\1\1" + block(b'{"user":{"name":"Bob\\ud83d"}}')), 0)
    told = room.outgoing[-1].message
    assert isinstance(told, str)
    assert "Bob?" in told
    assert told.encode()


def test_nobody_speaks_for_somebody_else() -> None:
    room = Room("r", [])
    ann, eve = Member(), Member()
    room.join(ann)
    room.join(eve)
    states = Presence()
    room.hear(ann, write(AWARENESS, states.say(1, {"user": {"name": "Ann"}}, 0)), 0)
    room.hear(eve, write(AWARENESS, states.say(1, {"user": {"name": "Eve"}}, 0)), 0)
    assert room.presence.states == {1: {"user": {"name": "Ann"}}}
    room.leave(eve, 0)
    assert room.presence.states, "she is still here"
    room.look(EXPIRES + 1)
    assert room.presence.states == {}


def test_a_text_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.pad.room.LARGEST", 1000)
    room = Room("r", [])
    pat, _ = sat(room)
    with pytest.raises(Full):
        room.do(pat, Edit(1, 0, [(0, 0, "x" * 1001)]), 0)
    with pytest.raises(Full):
        room.hear(Member(), write(STEP_2, Document().edit([(0, 0, "x" * 1001)])), 0)
    assert str(room.document) == ""


def test_an_update_that_came_too_early_is_told_when_what_it_builds_on_has_come() -> None:
    ann = Document()
    first, second = ann.edit([(0, 0, "one")]), ann.edit([(3, 0, " two")])
    room, member = Room("r", []), Member()
    room.hear(member, write(UPDATE, first), 0)
    assert str(room.document) == "", "the answer to the room's question comes first"
    room.hear(member, write(STEP_2, second), 0)
    assert (room.unsaved, room.outgoing) == ([], [])
    room.hear(member, write(UPDATE, first), 0)
    assert str(Room("r", [room.unsaved[0].update]).document) == "one two"
    told = Document()
    told.apply(room.outgoing[0].message)  # type: ignore[arg-type]
    assert str(told) == "one two"
    room.hear(member, write(UPDATE, second), 0)
    assert len(room.unsaved) == 1, "it is known"


def test_an_update_that_leaves_a_gap_is_told_to_all() -> None:
    ann = Document()
    first, second, third = ann.edit([(0, 0, "ac")]), ann.edit([(2, 0, "d")]), ann.edit([(1, 0, "b")])
    room, member = Room("r", [first]), Member()
    pat, _ = sat(room)
    room.outgoing.clear()
    for update in (third, second, third):
        room.hear(member, write(STEP_2, update), 0)
    changes = [json.loads(each.message)["splices"] for each in room.outgoing if each.member is pat]
    assert (str(room.document), changes) == ("abcd", [[[1, 0, "b"]], [[3, 0, "d"]]])
    assert str(Room("r", [first, *(row.update for row in room.unsaved)]).document) == "abcd"
    room.do(pat, Edit(1, 2, [(2, 1, "C")]), 0)
    assert str(room.document) == "abCd"


def test_the_store_keeps_all_or_nothing(tmp_path: Any) -> None:
    store = Store(tmp_path / "pad.sqlite")
    store.add([Row("r", b"1", "pat", 1), Row("r", b"2", "pat", 2), Row("s", b"3")])
    with pytest.raises(sqlite3.Error):
        store.add([Row("r", b"4"), Row("r", object())])  # type: ignore[arg-type]
    store.close()
    store = Store(tmp_path / "pad.sqlite")
    assert store.load("r") == [b"1", b"2"]
    assert (store.number("pat"), store.number("pia"), store.count()) == (2, 0, 2)
    store.replace("r", b"12")
    assert (store.load("r"), store.load("s")) == ([b"12"], [b"3"])
    store.close()


def test_an_update_on_which_pycrdt_gives_up_is_rubbish() -> None:
    document = Document()
    document.apply(Document(1).edit([(0, 0, "ab")]))
    with pytest.raises(Rubbish):
        document.apply(bytes.fromhex("0101010c84010600016100"))
    document.edit([(2, 0, "c")])
    assert str(document) == "abc"


def test_what_waited_and_was_wrong_is_no_fault_of_the_update_that_it_waited_for() -> None:
    ann = Document(1)
    first, second = (ann.edit([(at, 0, "ab")]) for at in range(2))
    room, member = Room("r", [first]), Member()
    room.join(member)
    room.hear(member, write(STEP_2, bytes.fromhex("0101012404030102010300616200")), 0)  # after number 36
    assert not room.unsaved
    room.hear(member, write(UPDATE, second), 0)
    again = Room("r", [first, *(row.update for row in room.unsaved)])
    assert str(again.document) == str(room.document) == str(ann)


@pytest.mark.parametrize(
    ("name", "shown"),
    [(" Ann \u00a0 Lee ", "Ann Lee"), ("A\u0308nn", "Änn"), ("An\u200bn", "somebody"), ("x" * 50, "x" * 32)],
)
def test_names_are_tidied_and_what_is_invisible_is_no_name(name: str, shown: str) -> None:
    room, ann = Room("r", []), Member()
    room.sit(ann, Join(name), 0, 0)
    assert ann.seat
    assert ann.seat.name == shown
