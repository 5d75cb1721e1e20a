"""Members who stay while their connections come and go.

A client that wants to come back sends two headers when it connects: `Chat-Session`, a secret of its own, and
`Chat-Seen`, how far it has come: an epoch and a number (`resume.py`). It then gets the event `session`, and
after it what it has missed; or, where that isn't kept any more, the reason and a `welcome` with all there is.

- Each event for it has a number, `n`. (`session`, `ack` and `bye` are about the connection, and have none.)
- It numbers its own messages: `17 hello`. Each is acknowledged, and heard once.
- When its connection is lost, its place in the room is kept for AWAY_SECONDS.

Whoever lies about its number gets messages twice, or a snapshot, or loses its own words: nobody else's.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple, Protocol

from apps.chat.names import same_name
from apps.chat.resume import Replay, Seen, SnapshotNeeded
from apps.chat.room import POLICY, TRY_LATER, UNSUPPORTED, Member, Refused, Room, as_text
from apps.chat.shared import SharedRoom

AWAY_SECONDS = 20.0
"""How long a place is kept for somebody whose connection is lost."""
AWAY_SESSIONS = 200
"""How many places are kept; beyond that, whoever has been away longest loses theirs."""


class Line(Protocol):
    """A connection, to those who write to it."""

    def put(self, text: str) -> bool: ...
    def lags(self) -> bool: ...
    def close(self, code: int, why: str) -> None: ...
    def cut(self) -> None: ...


class Return(NamedTuple):
    """What a client says that wants to come back: its secret, and how far it has come."""

    key: str
    epoch: str
    number: int

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> Return | None:
        """Read the headers; None for a client that won't come back.

        Raises:
            Refused: they have another form.
        """
        if "chat-session" not in headers:
            return None
        said = f"{headers['chat-session']} {headers.get('chat-seen', '- 0')}"
        match = re.fullmatch(r"([\w-]{16,64}) ([\w-]{1,64}) (\d{1,15})", said, re.ASCII)
        if match is None:
            raise Refused(POLICY, "Chat-Session is 16 to 64 letters and digits, Chat-Seen `EPOCH NUMBER`")
        return cls(match[1], "" if match[2] == "-" else match[2], int(match[3]))


class Session(Member):
    """A member of a room, with a connection now and then.

    Args:
        key_and_room: the client's secret, and which room it is for.
        name: the name it asked for.
        room: where it is.
        sessions: all of them, itself included.
    """

    def __init__(
        self, key_and_room: tuple[str, str], name: str, room: Room | SharedRoom, sessions: Sessions
    ) -> None:
        super().__init__(name)
        self.key_and_room, self.room = key_and_room, room
        self.line: Line | None = None
        self.replay = Replay()
        self.heard: Seen | None = None
        self.id = hashlib.sha256(key_and_room[0].encode()).hexdigest()[:12]
        self._sessions = sessions
        self._end_of_waiting: asyncio.TimerHandle | None = None

    def attach(self, line: Line, seen: Return) -> None:
        """Go on with this connection. The one before is cut: its end may not have been noticed yet."""
        if self.line:
            self.line.cut()
        if self._end_of_waiting:
            self._end_of_waiting.cancel()
        self.line = line
        try:
            again = self.replay.after(seen.epoch, seen.number)
        except SnapshotNeeded as why:
            self._tell(after=self.replay.last, missed=str(why) if seen.epoch else "")
            self._send_snapshot()
        else:
            self._tell(after=seen.number, missed="")
            for number, text in again:
                line.put(numbered(number, text))

    def detach(self, line: Line, *, for_good: bool) -> None:
        """The connection is lost, or its client has left for good."""
        if self.line is line:
            self.line = None
            if for_good:
                self._sessions.end(self)
            else:
                self._wait()

    def hear(self, text: str | None) -> None:
        """Hear a numbered message, once, and acknowledge it."""
        number, _, said = (text or "").partition(" ")
        if text is None:
            self.room.drop(self, UNSUPPORTED, "send text, not bytes")
        elif not re.fullmatch(r"\d{1,15}", number, re.ASCII):
            self.room.drop(self, POLICY, "a message begins with its number: `17 hello`")
        else:
            self._hear(int(number), said)

    def put(self, text: str) -> bool:
        """Number an event, keep it, and send it where there is a connection."""
        number = self.replay.add(text)
        if self.line and not self.line.put(numbered(number, text)):
            line, self.line = self.line, None
            line.close(TRY_LATER, "you read too slowly: connect again")
            self._wait()
        return True

    def lags(self) -> bool:
        """Whether its connection has little space left."""
        return self.line is not None and self.line.lags()

    def close(self, code: int, why: str) -> None:
        """Hang up: it loses its place, too."""
        line, self.line = self.line, None
        self._sessions.pop(self.key_and_room, None)
        if line:
            line.close(code, why)

    def _tell(self, *, after: int, missed: str) -> None:
        """Say after which number it goes on, and how far its client was heard."""
        heard = self.heard.number if self.heard else 0
        event = {"type": "session", "epoch": self.replay.epoch, "after": after, "heard": heard}
        assert self.line
        self.line.put(as_text({**event, "missed": missed}))

    def _send_snapshot(self) -> None:
        if self.room.members.get(self.name) is self:
            self.room.send(self, self.room.welcome(self.name))
        else:
            self.room.join(self)

    def _hear(self, number: int, said: str) -> None:
        self.heard = self.heard or Seen(number=number - 1)  # a client goes on counting when the server is new
        try:
            new = self.heard.is_new(number)
        except SnapshotNeeded as why:
            self.room.drop(self, POLICY, str(why))
            return
        if new:
            self.room.hear(self, said, f"{self.id}-{number}")
        self.room.when_heard(partial(self._acknowledge, number))

    def _acknowledge(self, number: int) -> None:
        if self.line and not self.line.put(as_text({"type": "ack", "n": number})):
            self.line.cut()

    def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        self._end_of_waiting = loop.call_later(AWAY_SECONDS, self._sessions.end, self)
        self._sessions.wait(self)


class Sessions(dict[tuple[str, str], Session]):
    """All sessions, by their secret and their room."""

    def enter(self, line: Line, name: str, room: Room | SharedRoom, seen: Return) -> Session:
        """Give a connection its session: the one it had, or a new one."""
        key = seen.key, same_name(room.name)
        if key not in self:
            self[key] = Session(key, name, room, self)
        session = self[key]
        session.attach(line, seen)
        return session

    def wait(self, session: Session) -> None:
        """Put a session that has lost its connection behind the others; too many can't wait."""
        if session.key_and_room in self:
            self[session.key_and_room] = self.pop(session.key_and_room)
        away = [one for one in self.values() if not one.line]
        if len(away) > AWAY_SESSIONS:  # later: somebody may be telling the whole room something just now
            asyncio.get_running_loop().call_soon(self.end, away[0])

    def end(self, session: Session) -> None:
        """Give up the place of somebody who has left."""
        if not session.line and self.get(session.key_and_room) is session:
            del self[session.key_and_room]
            session.room.leave(session)


def numbered(number: int, text: str) -> str:
    """Return an event's text with its number."""
    return f'{{"n": {number}, {text[1:]}'
