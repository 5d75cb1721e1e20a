"""What one browser tab has in the chat: its client, what it has seen, and what it has said.

The page is drawn again and again, on whichever thread; the tab is reloaded; Streamlit may lose it for a
moment. A `Seat` outlives all that. The tab tells over and over what it wants to be so (`Wish`), and gets back
all there is to see. A wish that comes twice changes nothing, and one that is lost is in the next one, too:
what was typed stays in the tab's outbox, under its number, until the server has answered it.

Nothing in here knows Streamlit.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlencode

from apps.chat.client import CannotSend, ChatClient
from apps.chat.names import as_name
from apps.chat.resume import unseen
from apps.chat.room import Event

LINES_SHOWN = 200
LEAVES_AFTER = 5.0
"""In seconds: how long a seat is kept for a tab that has gone. A reload takes about one."""
ENDED = ("refused", "closed")
DOUBT_AFTER = 5.0
"""In seconds: how long an open connection may owe us the answer to what we said."""


class Line(NamedTuple):
    """One line of the log.

    Args:
        number: counts from 1, without gaps.
        at: when it came, in seconds since 1970; None for what was said before we came.
        mine: whether it is our own.
        event: an event of the server, or one of our own kinds: `note`, `failed`.
    """

    number: int
    at: float | None
    mine: bool
    event: Event


@dataclass(frozen=True)
class Wish:
    """What a tab wants to be so. `key` is a secret that only this tab knows; "" for a tab without a seat."""

    key: str = ""
    name: str = ""
    room: str = ""
    token: str = ""
    outbox: list[tuple[int, str]] = field(default_factory=list)
    typing: int = 0

    @classmethod
    def read(cls, said: dict[str, Any]) -> Wish:
        """Read what the page's JavaScript says, with the names as the server spells them."""
        name, room = (spelled(str(said.get(which, ""))) for which in ("name", "room"))
        outbox = [(int(number), str(text)) for number, text in said.get("outbox", [])]
        key, token = str(said.get("key") or ""), str(said.get("token") or "")
        return cls(key, name, room, token, outbox, int(said.get("typing", 0)))


def spelled(name: str) -> str:
    """Return the name that is meant, or what was typed where that won't do: the server says why."""
    with contextlib.suppress(ValueError):
        return as_name(name)
    return name


class Seat:
    """A client in a room, and what its tab is shown. Any thread may call its methods; none of them waits.

    Args:
        client: the connection, which the seat reads and ends.
    """

    def __init__(self, client: ChatClient) -> None:
        self.client = client
        self.holder: object = None
        """The page that shows this seat: the last one that claimed it."""
        self.log: deque[Line] = deque(maxlen=LINES_SHOWN)
        self._born = time.time()
        self._lines = 0
        self._taken = 0
        self._typing = 0
        self._name = ""
        self._unanswered: dict[int, str] = {}
        self._since = time.monotonic()
        self._lock = threading.Lock()

    def look(self, wish: Wish) -> dict[str, Any]:
        """Do what the tab wants, and return all that it shows."""
        with self._lock:
            for at, event in self.client.drain():
                self._came(at, event)
            why = self._take(wish)
            state = self.client.state
            if state.name != "open" or self.client.waiting or not self._unanswered:
                self._since = time.monotonic()
            elif time.monotonic() - self._since > DOUBT_AFTER:
                self._fail(
                    next(iter(self._unanswered)), "The server has not answered: it may not have arrived."
                )
            return {
                "key": wish.key,
                "born": self._born,
                "taken": self._taken,
                "waits": why,
                "you": self.client.name,
                "state": state.name,
                "text": state.text,
                "forbidden": self.client.refused_with in (401, 403),
                "members": self.client.members,
                "typing": [who for who in self.client.typing if who != self.client.name],
                "dropped": self.client.dropped,
                "unanswered": list(self._unanswered),
                "lines": [
                    {**line.event, "n": line.number, "at": line.at, "mine": line.mine} for line in self.log
                ],
            }

    def _take(self, wish: Wish) -> str:
        """Hand over what was typed, in order. Returns why the rest has to wait, or ""."""
        new = [(number, text) for number, text in sorted(wish.outbox) if number > self._taken]
        for number, text in new:
            try:
                self._say(number, text)
            except CannotSend as problem:
                return str(problem)
        if wish.typing > self._typing:
            self._typing = wish.typing
            if not new and self.client.state.name == "open" and not self.client.waiting:
                self.client.send("/typing")
        return ""

    def _say(self, number: int, text: str) -> None:
        """Send a message; spaces before a command are a slip, and must not tell everybody a secret."""
        text = text.encode(errors="replace").decode()
        text = command if (command := text.lstrip()).startswith("/") else text
        self.client.send(text)
        self._taken = number
        self._unanswered[number] = text

    def _came(self, at: float, event: Event) -> None:
        """Note an event. The server answers each message of ours with `said`, `told` or `error`."""
        match event:
            case {"type": "welcome", "name": name, "history": history, "room": room}:
                before, self._name = self._name, name
                for said in unseen([line.event for line in self.log], history):
                    self._answered(said)
                    self._write(None, said)
                self._write(
                    at, {"type": "note", "text": f"{'Back' if before else 'You are'} in {room}, as {name}."}
                )
                return
            case {"type": "joined", "who": who}:
                event = {"type": "note", "text": f"{who} has joined."}
            case {"type": "left", "who": who}:
                event = {"type": "note", "text": f"{who} has left."}
            case {"type": "error", "text": why}:
                if (command := self._first(lambda text: text.startswith("/"))) is not None:
                    self._fail(command, f"Not sent: {why}.")
                    return
                event = {"type": "note", "text": why}
            case {"type": "bye" | "missed", "text": text}:
                event = {"type": "note", "text": text}
            case _:
                self._answered(event)
        self._write(at, event)

    def _answered(self, event: Event) -> None:
        if event["who"] == self._name:
            said, end = (
                event["type"] == "said",
                f" {event['text']}",
            )  # the server may spell the name in /to its way
            number = self._first(
                lambda text: text == event["text"] if said else text.startswith("/to ") and text.endswith(end)
            )
            if number is not None:
                del self._unanswered[number]

    def _first(self, fits: Callable[[str], bool]) -> int | None:
        """The number of the first unanswered message that fits."""
        return next((number for number, text in self._unanswered.items() if fits(text)), None)

    def _fail(self, number: int, why: str) -> None:
        text = self._unanswered.pop(number)
        self._write(time.time(), {"type": "failed", "who": self._name, "text": text, "why": why})

    def _write(self, at: float | None, event: Event) -> None:
        self._lines += 1
        self.log.append(Line(self._lines, at, event.get("who") == self._name, event))


class Seats:
    """The seats of all tabs, by their keys.

    Args:
        url: the server's address, without a query.
        token: what clients send when their tab has none.
    """

    def __init__(self, url: str, token: str = "") -> None:
        self._url, self._token = url, token
        self._seats: dict[str, Seat] = {}
        self._lock = threading.Lock()

    def claim(self, wish: Wish, holder: object) -> Seat:
        """Return the tab's seat, the one that it had before if there is one; `holder` has it from now on."""
        with self._lock:
            for key in [key for key, seat in self._seats.items() if seat.client.state.name in ENDED]:
                del self._seats[key]
            if wish.key not in self._seats:
                query = {"name": wish.name, "room": wish.room, "token": wish.token or self._token}
                known = urlencode({key: value for key, value in query.items() if value})
                self._seats[wish.key] = Seat(ChatClient(f"{self._url}?{known}"))
            seat = self._seats[wish.key]
            seat.holder = holder
            return seat
