"""The same messages there and back over HTTP and WebSocket: bytes, connections and time of each way."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

from helpers.arguments import number
from helpers.experiments.children.exchange_messages import exchange_messages
from helpers.experiments.children.http_headers import HeaderSet
from helpers.experiments.run import Progress, ignore
from helpers.experiments.taps_by_way import Traffic
from helpers.experiments.ways import WaysComparison, WaysRun
from helpers.figures.bars import Bars
from helpers.figures.table import Table, in_bytes, in_ms, nearest_rank, times

REQUEST_WAYS = ("new connection", "keep-alive", "six connections", "WebSocket", "pipelined")
ALL_WAYS = (*REQUEST_WAYS[:3], "long polling", "SSE", *REQUEST_WAYS[3:])
MANY_AT_A_TIME = ("six connections", "pipelined")
"""Ways in which messages go out without waiting: HTTP over six connections, and one WebSocket."""


@dataclasses.dataclass(frozen=True)
class RequestWay(Traffic):
    """What was measured of one way, besides its traffic. Times are in seconds.

    Attributes:
        messages: exchanges, each a message and its reply.
        first: from nothing to the first reply, opening the connection included.
        times: of each later exchange, from sending to its reply.
        wall: for all these together.
        lost: replies that did not come.
        overtaken: replies that came after the reply to a later message.
    """

    messages: int
    first: float
    times: tuple[float, ...] = dataclasses.field(repr=False)
    wall: float
    lost: int
    overtaken: int

    @property
    def median(self) -> float:
        """The median time from a message to its reply."""
        return nearest_rank(self.times, 0.5)

    @property
    def p99(self) -> float:
        """99 of 100 replies came within this time; of fewer than 100, all."""
        return nearest_rank(self.times, 0.99)

    @property
    def per_message(self) -> float:
        """What a message costs: its median time, or where they don't wait, their share of the whole time."""
        if self.name in MANY_AT_A_TIME:
            return self.wall / len(self.times)
        return self.median

    @property
    def fastest(self) -> float:
        """As `per_message`, but by the fastest exchange, not the median: what the way costs when nothing
        else disturbs it. A busy machine only ever adds (see the documentation of `timeit.Timer.repeat`).
        """
        return self.per_message if self.name in MANY_AT_A_TIME else min(self.times)


class RequestComparison(WaysComparison[RequestWay]):
    """What `compare_requests` has measured: `print(result)`, `result["keep-alive"].connections`."""

    def ratio(self, way: str, other: str, *, of: Literal["time", "fastest", "bytes"] = "time") -> float:
        """How many times as much a message takes in one way as in another.

        Args:
            way: the one.
            other: the other.
            of: `"time"` by what a message costs, or by the `"fastest"` exchange, which comes out the same on
                a busy machine, too; or `"bytes"`.
        """
        attribute = {"time": "per_message", "fastest": "fastest", "bytes": "bytes_per_message"}[of]
        mine: float = getattr(self[way], attribute)
        theirs: float = getattr(self[other], attribute)
        return mine / theirs

    def table(self) -> Table:
        """All figures, times included, each against WebSocket."""
        other, against = self._compared_with()
        columns = [
            *(("", head) for head in ("way", "TCP", "requests")),
            *(("bytes per message", head) for head in ("up", "down", against)),
            *(("ms", head) for head in ("first", "median", "p99", "per message", against)),
            *(("", head) for head in ("lost", "overtaken")),
        ]
        rows = [
            [
                way.name,
                *(f"{count:,}" for count in (way.connections, way.requests)),
                *(in_bytes(way.up), in_bytes(way.down), times(self.ratio(way.name, other, of="bytes"))),
                *map(in_ms, (way.first, way.median, way.p99, way.per_message)),
                times(self.ratio(way.name, other)),
                *(str(way.lost), str(way.overtaken)),
            ]
            for way in self
        ]
        return Table(self._caption, columns, rows)

    def counts(self) -> Table:
        """Only what is the same on any machine: connections, requests and bytes."""
        columns = [
            *(("", head) for head in ("way", "messages", "TCP connections", "requests")),
            *(("bytes", head) for head in ("opening", "up per message", "down per message")),
            ("", "lost"),
        ]
        rows = [
            [
                way.name,
                *(f"{count:,}" for count in (way.messages, way.connections, way.requests)),
                *map(in_bytes, (way.opening_bytes, way.up, way.down)),
                str(way.lost),
            ]
            for way in self
        ]
        return Table(self._caption, columns, rows)

    def time_picture(self) -> Bars:
        """What a message costs in time, as bars."""
        return Bars({way.name: way.per_message for way in self})

    def _repr_html_(self) -> str:
        return (
            f"{self.table()._repr_html_()}"
            f"<p>Bytes for a message and its reply</p>{self.bytes_picture()._repr_html_()}"
            f"<p>Time for a message</p>{self.time_picture()._repr_html_()}"
        )


class RequestRun(WaysRun[RequestComparison]):
    """Send the same messages over HTTP and WebSocket to one echo server, and count and time each way.

        result = await compare_requests(25)
        print(result.ratio("keep-alive", "WebSocket"))
        result

    Server and client are child processes and use the same library, aiohttp, without compression. Before
    the server there is a tap for each way, in this process, which counts and delays. The ways take turns,
    message by message, so that whatever else the machine does disturbs all of them alike.

    - `"new connection"`: an HTTP request on a TCP connection of its own.
    - `"keep-alive"`: HTTP requests one after another on a connection that stays open, as HTTP/1.1 does
      unless told otherwise (RFC 9112, 9.3).
    - `"six connections"`: HTTP requests on six connections at once, as many as a browser opens to a host.
    - `"long polling"`, `"SSE"`: the message by POST, the reply as an event.
    - `"WebSocket"`: each message waits for the reply to the one before.
    - `"pipelined"`: the messages go out on one WebSocket without waiting.

    Args:
        messages: how many in each way, 10 or more.
        size: bytes of each message, 1 to 65,536.
        round_trip: of the link, in seconds.
        ways: which, of these.
        headers: what the client sends along: `"least"` nothing that isn't needed, `"library"` what aiohttp
            sends, `"browser"` what Chromium sends, with a cookie.

    Returns:
        The figures, as a table and by name.

    Raises:
        ValueError: an argument makes no sense.
        BackgroundError: the server or the client has failed, and why.
    """

    def __init__(
        self,
        messages: int = 25,
        *,
        size: int = 64,
        round_trip: float = 0.04,
        ways: Sequence[str] = REQUEST_WAYS,
        headers: HeaderSet = "library",
    ) -> None:
        super().__init__(ways, ALL_WAYS, round_trip=round_trip, headers=headers)
        number(messages, "messages", least=10, whole=True)  # or there is nothing to compare
        number(size, "size (bytes)", least=1, most=65_536, whole=True)
        self._messages = messages
        self._size = size

    async def run(self, progress: Progress = ignore) -> RequestComparison:
        count = self._messages
        measured, traffic = await self._over_taps(
            exchange_messages,
            *(count, self._size, self.headers),
            messages=count,
            events=30 * count + 1000,
            seconds=20 + len(self.ways) * count * (4 * self.round_trip + 0.05),
            heard=progress,
        )
        return RequestComparison(
            {way: RequestWay(**vars(traffic[way]), messages=count, **measured[way]) for way in self.ways},
            f"{count:,} messages of {self._size:,} bytes and their replies, "
            f"round trip {1000 * self.round_trip:g} ms, headers: {self.headers}",
        )
