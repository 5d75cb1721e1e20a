"""What a tap has seen: raw bytes with time stamps, decoded only when somebody looks, and never too many."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from helpers.wire.decode import Decoder
from helpers.wire.events import Direction, Event, How

_STEP_CHUNKS = 200
_STEP_BYTES = 1 << 15  # so many bytes of tiny frames take some 10 ms to decode


@dataclass(frozen=True, slots=True)
class End:
    """One direction of a connection has ended."""

    how: How
    by: Literal["client", "server", "tap"]


class Recorder:
    """Keeps chunks of bytes until they are decoded, and the events after that.

    One thread records, any thread may look. When too much is waiting, the oldest chunk is decoded to make
    room, so that what comes after it keeps its meaning. When there are too many events, the oldest are
    dropped and counted.

    Args:
        chunks: most chunks that wait undecoded.
        size: most bytes that wait undecoded, and most bytes that the events hold.
        events: most events that are kept.
        keep: bytes that are kept of each payload; see `Decoder`.
    """

    def __init__(self, *, chunks: int, size: int, events: int, keep: int) -> None:
        self._most_chunks = chunks
        self._most_bytes = size
        self._most_events = events
        self._keep = keep
        self._chunks: deque[tuple[int, Direction, float, bytes | End | None]] = deque()
        self._recorded = 0  # written by the thread that records
        self._released = 0  # written under the lock
        self._lock = threading.Lock()
        self._decoders: dict[int, tuple[Decoder, set[Direction]]] = {}
        self._events: deque[Event] = deque()
        self._event_bytes = 0
        self._fresh: deque[Event] | None = None
        self.on_record: Callable[[], None] | None = None
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """Bytes that wait to be decoded."""
        return self._recorded - self._released

    def record(self, connection: int, direction: Direction, at: float, what: bytes | End | None) -> None:
        """Keep bytes, an end, or (None) that the connection was opened."""
        self._chunks.append((connection, direction, at, what))
        if what.__class__ is bytes:
            self._recorded += len(what)
        if len(self._chunks) > self._most_chunks or self.waiting > self._most_bytes:
            self._make_room()
        if self.on_record is not None:
            self.on_record()

    def events(self) -> list[Event]:
        """Decode what is waiting and return all events that are kept, oldest first."""
        with self._lock:
            self._decode(len(self._chunks))
            return list(self._events)

    def collect(self, on: bool) -> None:
        """Begin or end to collect the events for `fresh`; what is waiting now is not among them."""
        with self._lock:
            self._decode(len(self._chunks))
            self._fresh = deque(maxlen=self._most_events) if on else None

    def fresh(self) -> tuple[list[Event], bool]:
        """Decode a little of what waits; return the events since the last call, and whether more waits."""
        with self._lock:
            self._decode(min(_STEP_CHUNKS, len(self._chunks)), _STEP_BYTES)
            events = list(self._fresh or ())
            if self._fresh is not None:
                self._fresh.clear()
            return events, bool(self._chunks)

    def decode(self) -> None:
        """Decode what is waiting now, a little at a time, so that other threads have their turn."""
        until = self._recorded
        while self._chunks and self._released < until:
            with self._lock:
                self._decode(min(_STEP_CHUNKS, len(self._chunks)), _STEP_BYTES)

    def catch_up(self) -> tuple[list[Event], list[Event]]:
        """Decode what is waiting; return the events since the last `fresh`, and all that are kept."""
        with self._lock:
            self._decode(len(self._chunks))
            fresh = list(self._fresh or ())
            if self._fresh is not None:
                self._fresh.clear()
            return fresh, list(self._events)

    def _make_room(self) -> None:
        if self._lock.acquire(blocking=False):  # else somebody is looking, which makes room as well
            try:
                while self._chunks and (
                    len(self._chunks) > self._most_chunks or self.waiting > self._most_bytes
                ):
                    self._decode(1)
            finally:
                self._lock.release()

    def _decode(self, count: int, size: int | None = None) -> None:
        """Decode `count` chunks, or fewer when they have more than `size` bytes."""
        until = None if size is None else self._released + size
        for _ in range(count):
            if until is not None and self._released >= until:
                break
            connection, direction, at, what = self._chunks.popleft()
            if what is None:
                decoder = Decoder(connection, keep=self._keep)
                self._decoders[connection] = decoder, {"to_server", "to_client"}
                self._add(decoder.open(at=at))
                continue
            decoder, unfinished = self._decoders[connection]
            if isinstance(what, bytes):
                self._released += len(what)
                self._add(decoder.feed(direction, what, at=at))
                continue
            self._add(decoder.close(direction, what.how, by=what.by, at=at))
            unfinished.discard(direction)
            if not unfinished:
                del self._decoders[connection]

    def _add(self, events: list[Event]) -> None:
        for event in events:
            self._events.append(event)
            self._event_bytes += event.kept
            while len(self._events) > self._most_events or self._event_bytes > self._most_bytes:
                self._event_bytes -= self._events.popleft().kept
                self.dropped += 1
        if self._fresh is not None:
            self._fresh.extend(events)
