"""A tap for each way, so that the bytes, connections and requests of each are counted apart."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from helpers.background.tap import BackgroundTap, tapped
from helpers.wire.events import HttpRequest
from helpers.wire.tap import TapStats


@dataclasses.dataclass(frozen=True)
class Traffic:
    """What went over the wire in one way.

    Attributes:
        name: the way.
        connections: TCP connections that were opened.
        requests: HTTP requests on the wire; a WebSocket's handshake is one.
        opening_bytes: bytes of both directions before the first message: the handshake.
        up: bytes from the client for each message, headers and frames included.
        down: bytes from the server for each message.
    """

    name: str
    connections: int
    requests: int
    opening_bytes: int
    up: float
    down: float

    @property
    def bytes_per_message(self) -> float:
        """Bytes of both directions for each message, the opening left out."""
        return self.up + self.down


class Taps:
    """Running taps before one server; what went through before `opened` and after `done` isn't counted."""

    def __init__(self, taps: dict[str, BackgroundTap]) -> None:
        self._taps = taps
        self._opened: dict[str, TapStats] = {}
        self._done: dict[str, TapStats] = {}

    def __getitem__(self, way: str) -> BackgroundTap:
        return self._taps[way]

    @property
    def urls(self) -> dict[str, str]:
        return {way: tap.url for way, tap in self._taps.items()}

    def opened(self) -> None:
        """What went through until now belongs to the opening."""
        self._opened = {way: tap.stats for way, tap in self._taps.items()}

    def done(self) -> None:
        """What goes through from now on belongs to the closing."""
        self._done = {way: tap.stats for way, tap in self._taps.items()}

    def traffic(self, way: str, messages: int) -> Traffic:
        """What went through the tap of one way.

        Args:
            way: which.
            messages: the bytes are shared out among so many.
        """
        opened, done = self._opened[way], self._done[way]
        return Traffic(
            name=way,
            connections=done.connections,
            requests=sum(isinstance(event, HttpRequest) for event in self._taps[way].events()),
            opening_bytes=opened.to_server.bytes + opened.to_client.bytes,
            up=(done.to_server.bytes - opened.to_server.bytes) / messages,
            down=(done.to_client.bytes - opened.to_client.bytes) / messages,
        )


@asynccontextmanager
async def taps_by_way(
    url: str, ways: Sequence[str], *, round_trip: float, events: int
) -> AsyncIterator[Taps]:
    """Put taps before one server, all with the same round-trip time.

    Args:
        url: the server's address.
        ways: a tap for each of these.
        round_trip: from a packet to the answer to it, in seconds.
        events: most events that each tap keeps.
    """
    async with AsyncExitStack() as stack:
        yield Taps(
            {
                way: await stack.enter_async_context(
                    tapped(
                        url,
                        name=f"tap of {way}",
                        delay=round_trip / 2,
                        record_events=events,
                        record_chunks=events,
                        keep=64,
                    )
                )
                for way in ways
            }
        )
