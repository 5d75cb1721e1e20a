"""A tap for each way, so that the bytes and connections of each are counted apart."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from helpers.background.loops import BackgroundLoop
from helpers.wire.tap import Tap, TapStats


class Links:
    """Taps before one server, all with the same round-trip time, on a thread of their own.

    Args:
        url: the server's address.
        ways: a tap for each of these.
        round_trip: from a packet to the answer to it, in seconds.
        events: most events that each tap keeps.
    """

    def __init__(self, url: str, ways: Sequence[str], *, round_trip: float, events: int = 20_000) -> None:
        self.taps = {
            way: Tap.before(url, delay=round_trip / 2, record_events=events, record_chunks=events, keep=64)
            for way in ways
        }
        self._opened: dict[str, TapStats] = {}
        self._done: dict[str, TapStats] = {}

    @property
    def urls(self) -> dict[str, str]:
        return {way: tap.url for way, tap in self.taps.items()}

    def mark_opened(self) -> None:
        """What went through until now belongs to the opening."""
        self._opened = {way: tap.stats for way, tap in self.taps.items()}

    def mark_done(self) -> None:
        """What goes through from now on belongs to the closing."""
        self._done = {way: tap.stats for way, tap in self.taps.items()}

    def opening_bytes(self, way: str) -> int:
        """Bytes of both directions until `mark_opened`."""
        return self._opened[way].to_server.bytes + self._opened[way].to_client.bytes

    def bytes_between(self, way: str) -> tuple[int, int]:
        """Bytes to the server and to the client between `mark_opened` and `mark_done`."""
        opened, done = self._opened[way], self._done[way]
        return done.to_server.bytes - opened.to_server.bytes, done.to_client.bytes - opened.to_client.bytes

    def connections(self, way: str) -> int:
        """TCP connections until `mark_done`."""
        return self._done[way].connections

    def __enter__(self) -> Self:
        self._loop = BackgroundLoop("loop of the taps")
        self._loop.hold(self)
        try:
            for tap in self.taps.values():
                self._loop.call(tap.start(), timeout=10)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for tap in self.taps.values():
                self._loop.call(tap.aclose(), timeout=10)
        finally:
            self._loop.release(self)
