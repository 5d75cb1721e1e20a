"""What the comparisons of ways share: the news server, a tap for each way, a client in a child process."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, get_args

from helpers.background.lifetime import BackgroundError
from helpers.background.process import BackgroundProcess
from helpers.experiments.client_process import ClientProcess, ClientRun
from helpers.experiments.http_headers import HeaderSet
from helpers.experiments.run import Result
from helpers.experiments.taps_by_way import Taps, Traffic, taps_by_way


def news_server() -> BackgroundProcess:
    """The server of `apps.news` in a child process, not started yet."""
    command = [sys.executable, "-m", "apps.news", "--port", "{port}"]
    return BackgroundProcess(command, ready="News at", name="news server")


class WaysRun(ClientRun[Result]):
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
        for way in ways:
            if way not in known:
                raise ValueError(f"there is no way {way!r}: choose from {', '.join(map(repr, known))}")
        if not ways or len(set(ways)) < len(ways):
            raise ValueError("ways must name at least one way, and each once")
        if not 0 <= round_trip <= 2:
            raise ValueError("round_trip is seconds, 0 to 2")
        sets = get_args(HeaderSet)
        if headers not in sets:
            raise ValueError(f"headers must be one of {', '.join(map(repr, sets))}, not {headers!r}")
        self.ways = tuple(ways)
        self.round_trip = round_trip
        self.headers: HeaderSet = headers
        self.taps: Taps | None = None

    def _over_taps(
        self, plan: dict[str, Any], *, messages: int, events: int, told: Callable[[str, Any], None]
    ) -> tuple[Any, dict[str, Traffic]]:
        """Have a client carry out a plan against a news server, each way through its tap.

        Args:
            plan: for the client.
            messages: the bytes are shared out among so many.
            events: most events that each tap keeps.
            told: is called with what the client tells meanwhile.

        Returns:
            The client's result, and what went over the wire in each way.

        Raises:
            BackgroundError: the client gave up; if the server has ended, that is said instead.
        """
        with self._client() as client, news_server() as server:
            with taps_by_way(server.url, self.ways, round_trip=self.round_trip, events=events) as self.taps:
                client.tell({**plan, "ways": self.taps.urls, "server": server.url})
                try:
                    result = _follow(client, self.taps, told)
                except BackgroundError:
                    _check(server)
                    raise
            return result, {way: self.taps.traffic(way, messages) for way in self.ways}


def _follow(client: ClientProcess, taps: Taps, told: Callable[[str, Any], None]) -> Any:
    for kind, content in client.reports():
        if kind == "opened":
            taps.opened()
            client.tell("go")
        elif kind == "done":
            taps.done()
            client.tell("close")
        elif kind == "result":
            return content
        else:
            told(kind, content)
    raise AssertionError("reports end with a result")


def _check(server: BackgroundProcess) -> None:
    """
    Raises:
        BackgroundError: the server has ended. Its client may learn of that first.
    """
    deadline = time.monotonic() + 1
    while server.running and time.monotonic() < deadline:
        time.sleep(0.02)
    server.check()
