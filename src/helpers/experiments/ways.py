"""What the comparisons of ways share: the news server, a tap for each way, a client in a child process."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, get_args

from helpers.arguments import kind, number
from helpers.background.child import Child
from helpers.background.process import BackgroundProcess
from helpers.experiments.children.http_headers import HeaderSet
from helpers.experiments.run import Result, Run
from helpers.experiments.taps_by_way import Taps, Traffic, taps_by_way
from helpers.figures.bars import Bars
from helpers.figures.table import Comparison, Table

Way = TypeVar("Way", bound=Traffic)


def news_server() -> BackgroundProcess:
    """The server of `apps.news` in a child process, not started yet."""
    command = [sys.executable, "-m", "apps.news", "--port", "{port}"]
    return BackgroundProcess(command, ready="News at", name="news server")


class WaysComparison(Comparison[Way]):
    """What was measured of several ways, as a table and as pictures.

    Args:
        ways: what was measured, by the names.
        caption: of the table.
    """

    table: Callable[[], Table]

    def __init__(self, ways: dict[str, Way], caption: str) -> None:
        super().__init__(ways)
        self._caption = caption

    def bytes_picture(self) -> Bars:
        """Bytes of both directions for a message or an event, as bars."""
        amounts = {way.name: way.bytes_per_message for way in self}
        return Bars(amounts, words=lambda count: f"{count:,.0f} bytes")

    def __repr__(self) -> str:
        return repr(self.table())


class WaysRun(Run[Result]):
    """What is measured of several ways, all to one news server.

    Args:
        ways: which.
        known: which there are.
        round_trip: of the link, in seconds.
        headers: what the client sends along.

    Raises:
        ValueError: an argument makes no sense.
    """

    def __init__(
        self, ways: Sequence[str], known: Sequence[str], *, round_trip: float, headers: HeaderSet
    ) -> None:
        super().__init__()
        kind(ways, "ways", list, tuple, words="a list of names")
        for way in ways:
            if way not in known:
                raise ValueError(f"there is no way {way!r}: choose from {', '.join(map(repr, known))}")
        if not ways or len(set(ways)) < len(ways):
            raise ValueError("ways must name at least one way, and each once")
        number(round_trip, "round_trip (seconds)", most=2)
        sets = get_args(HeaderSet)
        if headers not in sets:
            raise ValueError(f"headers must be one of {', '.join(map(repr, sets))}, not {headers!r}")
        self.ways = tuple(ways)
        self.round_trip = round_trip
        self.headers: HeaderSet = headers
        self.taps: Taps | None = None

    async def _over_taps(
        self,
        function: Callable[..., Any],
        *args: object,
        messages: int,
        events: int,
        seconds: float,
        heard: Callable[[Any], object],
    ) -> tuple[Any, dict[str, Traffic]]:
        """Run a client against a news server, each way through its tap.

        Args:
            function: what the client does. Its first order is the addresses: of each way, and of the server.
            *args: for the function.
            messages: the bytes are shared out among so many.
            events: most events that each tap keeps.
            seconds: how long it may take.
            heard: is called with what the client reports, besides `"opened"` and `"done"`.

        Returns:
            The client's result, and what went over the wire in each way.

        Raises:
            BackgroundError: the client gave up; if the server has ended, that is said instead.
        """
        async with self._measuring(function, *args, seconds=seconds) as child, news_server() as server:
            async with taps_by_way(
                server.url, self.ways, round_trip=self.round_trip, events=events
            ) as self.taps:
                child.tell((self.taps.urls, server.url))
                try:
                    await _follow(child, self.taps, heard)
                except Exception:
                    await asyncio.to_thread(_check, server)
                    raise
            result = await asyncio.wrap_future(child.result)
            return result, {way: self.taps.traffic(way, messages) for way in self.ways}


async def _follow(child: Child, taps: Taps, heard: Callable[[Any], object]) -> None:
    async for report in child.reports():
        if report == "opened":
            taps.opened()
            child.tell("go")
        elif report == "done":
            taps.done()
            child.tell("close")
        else:
            heard(report)


def _check(server: BackgroundProcess) -> None:
    """Raise if the server has ended, or ends within a second.

    Raises:
        BackgroundError: the server has ended. Its client may learn of that first.
    """
    deadline = time.monotonic() + 1
    while server.running and time.monotonic() < deadline:
        time.sleep(0.02)
    server.check()
