"""Server-Sent Events: the fields of a `text/event-stream` (HTML Standard §9.2.6)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event: type, data, last id (or None), and bytes of the stream that it took."""

    event: str
    data: str
    id: str | None
    length: int


class EventStream:
    """Takes the bytes of a stream in any pieces and gives its events.

    Args:
        limit: most bytes that are kept of a line, and of an event's data.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._line = bytearray()
        self._carry = b""
        self._length = 0
        self._id: str | None = None
        self._event = ""
        self._data: list[str] = []
        self._data_length = 0

    def feed(self, data: bytes) -> Iterator[StreamEvent]:
        """Take more bytes; yields the events that end in them."""
        data = self._carry + data
        self._carry = b"\r" if data.endswith(b"\r") else b""  # perhaps half of a CRLF
        for part in data.removesuffix(b"\r").splitlines(keepends=True):
            ended = part.endswith((b"\r", b"\n"))
            self._length += len(part)
            room = max(self._limit - len(self._line), 0)
            self._line += part.rstrip(b"\r\n")[:room]
            if ended:
                line = bytes(self._line)
                self._line.clear()
                if line:
                    self._field(line)
                else:
                    yield from self._dispatch()

    def _field(self, line: bytes) -> None:
        name, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            room = max(self._limit - self._data_length, 0)
            if room or not self._data:
                self._data.append(value[:room])
            self._data_length += len(value) + 1
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value

    def _dispatch(self) -> Iterator[StreamEvent]:
        if self._data:
            yield StreamEvent(self._event or "message", "\n".join(self._data), self._id, self._length)
        self._length = 0
        self._event = ""
        self._data = []
        self._data_length = 0
