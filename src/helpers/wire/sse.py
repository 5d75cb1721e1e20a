"""Server-Sent Events: the fields of a `text/event-stream` (HTML Standard §9.2.5, §9.2.6)."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

from helpers.wire.deflate import ContentInflater

_PARTS = re.compile(rb"[^\r\n]+|\r|\n")


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
        inflater: for a stream that is compressed.
    """

    def __init__(self, limit: int, inflater: ContentInflater | None = None) -> None:
        self._inflater = inflater
        self._limit = limit
        self._line = bytearray()
        self._is_first = True
        self._after_cr = False  # an LF now would be half of a CRLF
        self._counted = False  # that LF is in the length already
        self._after_crlf = False
        self._length = 0
        self._id: str | None = None
        self._event = ""
        self._data: list[str] = []
        self._data_length = 0

    def feed(self, data: bytes) -> Iterator[StreamEvent]:
        """Take more bytes; yields the events that end in them.

        Raises:
            InflateError: it is not compressed as was said; this comes after the events before that place.
        """
        for piece in self._inflater.feed(data) if self._inflater else (data,):
            yield from self._feed(piece)

    def _feed(self, data: bytes) -> Iterator[StreamEvent]:
        """Take what is inflated.

        CR ends a line at once, and an LF that follows belongs to it. Where the line before has ended with
        both, the LF is counted before it comes, so that an event's length doesn't depend on the pieces.
        """
        for part in _PARTS.findall(data):
            after_cr, self._after_cr = self._after_cr, part == b"\r"
            counted, self._counted = self._counted, False
            if part == b"\n" and after_cr:
                self._length += not counted
                self._after_crlf = True
                continue
            self._length += len(part) - counted
            if part not in (b"\r", b"\n"):
                self._line += part[: max(self._limit - len(self._line), 0)]
                continue
            self._counted = part == b"\r" and self._after_crlf
            self._length += self._counted
            self._after_crlf = False
            line = bytes(self._line)
            self._line.clear()
            if self._is_first:
                line = line.removeprefix(codecs.BOM_UTF8)
                self._is_first = False
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
