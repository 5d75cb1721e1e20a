"""What one tab has in the chat, without a page and without a network."""

from __future__ import annotations

import time
from typing import Any

import pytest

from apps.chat import seat as chat_seat
from apps.chat.client import CannotSend, State
from apps.chat.room import Event
from apps.chat.seat import Seat, Seats, Wish


class Line:
    """In place of a `ChatClient`: what the test says has come, and what was sent."""

    def __init__(self, url: str = "") -> None:
        self.url = url
        self.name, self.members, self.typing = "Ann", ["Ann"], list[str]()
        self.state = State("open", "Connected as Ann.")
        self.refused_with: int | None = None
        self.waiting = self.dropped = 0
        self.came: list[Event] = [{"type": "welcome", "name": "Ann", "room": "lobby", "history": []}]
        self.sent: list[str] = []
        self.holds = 100

    def drain(self) -> list[tuple[float, Event]]:
        came, self.came = self.came, []
        return [(1.0, event) for event in came]

    def send(self, text: str) -> None:
        if len(self.sent) == self.holds:
            raise CannotSend("Not sent: full.")
        self.sent.append(text)


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def seat(line: Line) -> Seat:
    return Seat(line)  # type: ignore[arg-type]


def outbox(*texts: str) -> Wish:
    return Wish("key", "Ann", "lobby", outbox=list(enumerate(texts, 1)))


def shown(view: dict[str, Any]) -> list[str]:
    return [line["text"] for line in view["lines"]]


def said(who: str, text: str) -> Event:
    return {"type": "said", "who": who, "text": text}


def test_a_wish_that_comes_again_says_nothing_twice(seat: Seat, line: Line) -> None:
    for wish in (outbox("a"), outbox("a"), outbox("a", "a"), outbox("a", "a", "b"), outbox("a")):
        seat.look(wish)
    assert line.sent == ["a", "a", "b"]


def test_what_cannot_be_sent_yet_is_not_taken(seat: Seat, line: Line) -> None:
    line.holds = 1
    view = seat.look(outbox("a", "b", "c"))
    assert (view["taken"], view["waits"]) == (1, "Not sent: full.")
    line.holds = 9
    assert seat.look(outbox("a", "b", "c"))["taken"] == 3
    assert line.sent == ["a", "b", "c"]


def test_a_message_waits_for_its_own_answer(seat: Seat, line: Line) -> None:
    assert seat.look(outbox("a", "/to bob psst", "/to Nobody x"))["unanswered"] == [1, 2, 3]
    line.came = [said("Bob", "a"), {"type": "told", "who": "Bob", "to": "Ann", "text": "psst"}]
    assert seat.look(outbox())["unanswered"] == [1, 2, 3]
    line.came = [{"type": "told", "who": "Ann", "to": "Bob", "text": "psst"}, said("Ann", "a")]
    assert seat.look(outbox())["unanswered"] == [3]
    line.came = [{"type": "error", "text": "write /to NAME TEXT"}]
    view = seat.look(outbox())
    assert view["unanswered"] == []
    assert view["lines"][-1]["why"] == "Not sent: write /to NAME TEXT."
    assert [line["mine"] for line in view["lines"]] == [False, False, False, True, True, True]


def test_what_the_server_never_answers_is_told(
    seat: Seat, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    seat.look(outbox("a"))
    clock = time.monotonic() + 60
    monkeypatch.setattr("apps.chat.seat.time.monotonic", lambda: clock)
    line.waiting = 1  # it hasn't been sent yet
    assert seat.look(outbox("a"))["unanswered"] == [1]
    line.waiting = 0
    clock += chat_seat.DOUBT_AFTER + 1
    view = seat.look(outbox("a"))
    assert view["unanswered"] == []
    assert view["lines"][-1]["text"] == "a"
    assert view["lines"][-1]["why"] == "The server has not answered: it may not have arrived."


def test_what_was_said_while_the_line_broke_is_found_in_the_history(seat: Seat, line: Line) -> None:
    line.came.append(said("Bob", "before"))
    seat.look(outbox("a"))
    line.came = [
        {
            "type": "welcome",
            "name": "Ann",
            "room": "lobby",
            "history": [said("Bob", "before"), said("Ann", "a")],
        }
    ]
    view = seat.look(outbox("a"))
    assert view["unanswered"] == []
    assert shown(view) == ["You are in lobby, as Ann.", "before", "a", "Back in lobby, as Ann."]


@pytest.mark.parametrize(
    ("typed", "sent"),
    [(" \n/to Bob psst", "/to Bob psst"), ("  a poem", "  a poem"), ("half \ud83d", "half ?")],
)
def test_spaces_before_a_command_do_not_publish_it(seat: Seat, line: Line, typed: str, sent: str) -> None:
    seat.look(outbox(typed))
    assert line.sent == [sent]


def test_typing_is_told_once_and_only_to_an_open_room(seat: Seat, line: Line) -> None:
    seat.look(Wish("key", typing=1))
    seat.look(Wish("key", typing=1))
    line.state = State("reconnecting", "")
    seat.look(Wish("key", typing=2))
    assert line.sent == ["/typing"]


def test_the_log_is_bounded_and_numbered(seat: Seat, line: Line) -> None:
    line.came += [said("Bob", str(number)) for number in range(500)]
    lines = seat.look(outbox())["lines"]
    assert [line["n"] for line in lines] == list(range(302, 502))
    assert lines[-1]["text"] == "499"


def test_names_are_tidied() -> None:
    wish = Wish.read({"key": None, "name": "  Ann  Lee ", "room": "x" * 40, "outbox": [[1, "a"]]})
    assert (wish.key, wish.name, wish.room, wish.outbox) == ("", "Ann Lee", "x" * 40, [(1, "a")])


def test_a_key_keeps_its_seat_until_the_client_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_seat, "ChatClient", Line)
    seats = Seats("ws://chat/ws", token="sesame")
    first = seats.claim(Wish("key", "Ann", "lobby"), "one")
    assert first.client.url == "ws://chat/ws?name=Ann&room=lobby&token=sesame"  # type: ignore[attr-defined]
    assert seats.claim(Wish("key", "Ann", "lobby", "other"), "two") is first
    assert first.holder == "two"
    assert seats.claim(Wish("another", "Ann", "lobby", "own"), "three") is not first
    first.client.state = State("closed", "")  # type: ignore[misc]
    assert seats.claim(Wish("key", "Ann", "lobby"), "four") is not first
