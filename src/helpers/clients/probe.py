"""A client in a child process that asks without pause, and knows how long it ever waited."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from helpers.arguments import address
from helpers.background.child import Child
from helpers.background.lifetime import BackgroundError
from helpers.readers_code import in_words

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

    from helpers.background.parent import Parent

PAUSE = 0.005
"""Between an answer and the next question, in seconds."""

LONGEST_WAIT = 20
"""For the first answer, and for the last one when the block is left, in seconds."""


class Probe:
    """Measures round trips to an echo server while the cell does something else.

        async with Probe(server.url) as probe:
            time.sleep(1)
        print(probe.longest)

    The client is a child process, so that nothing in the kernel slows it down.

    Args:
        url: the address of a server that answers every message.
    """

    def __init__(self, url: str) -> None:
        self.url = address(url)
        self.round_trips: list[float] = []

    @property
    def longest(self) -> float:
        """The longest round-trip time, in seconds."""
        return max(self.round_trips)

    @property
    def median(self) -> float:
        """The median round-trip time, in seconds."""
        return statistics.median(self.round_trips)

    def __repr__(self) -> str:
        if not self.round_trips:
            return "no round trips yet"
        count, longest = len(self.round_trips), f"longest {1000 * self.longest:,.1f} ms"
        if count < 3:
            return f"{count} round trip{'s' if count > 1 else ''}, {longest}"
        return f"{count:,} round trips, median {1000 * self.median:,.1f} ms, {longest}"

    async def __aenter__(self) -> Self:
        """Start the client, and return after its first round trip.

        Raises:
            BackgroundError: it could not connect, and why.
        """
        async with contextlib.AsyncExitStack() as stack:
            self._child = await stack.enter_async_context(Child(_ask_until_told, self.url))
            await self._answer(self._child.report(), "no round trip to")
            self._ends = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        async with self._ends:
            if error is None:
                self._child.tell("enough")
                self.round_trips = await self._answer(self._child.result, "the connection broke to")

    async def _answer(self, future: Future[Any], what_else: str) -> Any:
        try:
            async with asyncio.timeout(LONGEST_WAIT):
                return await asyncio.wrap_future(future)
        except Exception as error:
            raise BackgroundError(f"{what_else} {self.url}: {in_words(error)}") from error


def _ask_until_told(parent: Parent, url: str) -> list[float]:
    from websockets.sync.client import connect

    enough = parent.order()
    with connect(url, proxy=None, compression=None) as connection:
        _ask(connection)
        parent.report("ready")
        round_trips = [_ask(connection)]
        while not enough.done():
            time.sleep(PAUSE)
            round_trips.append(_ask(connection))
    return round_trips


def _ask(connection: ClientConnection) -> float:
    begin = time.perf_counter()
    connection.send("?")
    connection.recv()
    return time.perf_counter() - begin
