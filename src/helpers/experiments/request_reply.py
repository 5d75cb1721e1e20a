"""The same messages there and back over HTTP and WebSocket: bytes, connections and time of each way."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

from helpers.background.lifetime import BackgroundError
from helpers.experiments.client_process import ClientProcess, Progress
from helpers.experiments.http_headers import HEADER_SETS, HeaderSet
from helpers.experiments.links import Links
from helpers.experiments.news_server import NewsServer
from helpers.experiments.plan import ALL_WAYS, MANY_AT_A_TIME, REQUEST_WAYS
from helpers.figures.bars import Bars
from helpers.figures.table import Comparison, Table, in_bytes, in_ms, look_up, nearest_rank, times
from helpers.wire.events import HttpRequest
from helpers.wire.tap import Tap

__all__ = ["ALL_WAYS", "REQUEST_WAYS", "RequestComparison", "RequestWay", "compare_requests"]


@dataclasses.dataclass(frozen=True)
class RequestWay:
    """What was measured of one way. Times are in seconds.

    Attributes:
        name: the way.
        messages: exchanges, each a message and its reply.
        connections: TCP connections that were opened.
        requests: HTTP requests on the wire; a WebSocket's handshake is one.
        opening_bytes: bytes of both directions before the first message: the handshake.
        up: bytes from the client for each message, headers and frames included.
        down: bytes from the server for each message.
        first: from nothing to the first reply, opening the connection included.
        times: of each later exchange, from sending to its reply.
        wall: for all these together.
        lost: replies that did not come.
        overtaken: replies that came after the reply to a later message.
    """

    name: str
    messages: int
    connections: int
    requests: int
    opening_bytes: int
    up: float
    down: float
    first: float
    times: tuple[float, ...] = dataclasses.field(repr=False)
    wall: float
    lost: int
    overtaken: int
    _ways: dict[str, RequestWay] = dataclasses.field(repr=False, compare=False)

    @property
    def bytes_per_message(self) -> float:
        """Bytes of both directions for a message and its reply, the opening left out."""
        return self.up + self.down

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

    def against(self, other: str, *, by: Literal["median", "fastest"] = "median") -> float:
        """How many times as long a message takes as in another way.

        Args:
            other: the other way.
            by: `"median"` or `"fastest"`; the second comes out the same on a busy machine, too.
        """
        ways = (self, look_up(self._ways, other))
        mine, theirs = (way.fastest if by == "fastest" else way.per_message for way in ways)
        return mine / theirs

    def bytes_against(self, other: str) -> float:
        """How many times as many bytes a message takes as in another way."""
        return self.bytes_per_message / look_up(self._ways, other).bytes_per_message


class RequestComparison(Comparison[RequestWay]):
    """What `compare_requests` has measured: `print(result)`, `result["keep-alive"].connections`."""

    def __init__(self, ways: dict[str, RequestWay], *, size: int, round_trip: float, headers: str) -> None:
        super().__init__(ways)
        self.size = size
        self.round_trip = round_trip
        self.headers = headers

    def table(self) -> Table:
        """All figures, times included, each against WebSocket."""
        other, against = self._compared_with()
        columns = [
            *(("", head) for head in ("way", "TCP", "requests")),
            *(("bytes a message", head) for head in ("up", "down", against)),
            *(("ms", head) for head in ("first", "median", "p99", "a message", against)),
            *(("", head) for head in ("lost", "overtaken")),
        ]
        rows = [
            [
                way.name,
                *(f"{count:,}" for count in (way.connections, way.requests)),
                *(in_bytes(way.up), in_bytes(way.down), times(way.bytes_against(other))),
                *map(in_ms, (way.first, way.median, way.p99, way.per_message)),
                times(way.against(other)),
                *(str(way.lost), str(way.overtaken)),
            ]
            for way in self
        ]
        return Table(self._caption(), columns, rows)

    def counts(self) -> Table:
        """Only what is the same on any machine: connections, requests and bytes."""
        columns = [
            *(("", head) for head in ("way", "messages", "TCP connections", "requests")),
            *(("bytes", head) for head in ("opening", "up a message", "down a message")),
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
        return Table(self._caption(), columns, rows)

    def bytes_picture(self) -> Bars:
        """Bytes for a message and its reply, as bars."""
        return Bars(
            {way.name: way.bytes_per_message for way in self}, words=lambda count: f"{count:,.0f} bytes"
        )

    def time_picture(self) -> Bars:
        """What a message costs in time, as bars."""
        return Bars({way.name: way.per_message for way in self})

    def _caption(self) -> str:
        count = next(iter(self._ways.values())).messages
        return (
            f"{count:,} messages of {self.size:,} bytes and their replies, "
            f"round trip {1000 * self.round_trip:g} ms, headers: {self.headers}"
        )

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return (
            f"{self.table()._repr_html_()}"
            f"<p>Bytes for a message and its reply</p>{self.bytes_picture()._repr_html_()}"
            f"<p>Time for a message</p>{self.time_picture()._repr_html_()}"
        )


def compare_requests(
    messages: int = 25,
    *,
    size: int = 64,
    round_trip: float = 0.04,
    ways: Sequence[str] = REQUEST_WAYS,
    headers: HeaderSet = "library",
    progress: Progress | None = None,
) -> RequestComparison:
    """Send the same messages over HTTP and WebSocket to one echo server, and count and time each way.

        result = compare_requests(25)
        print(result["keep-alive"].against("WebSocket"))
        result

    Server and client are child processes and use the same library, aiohttp, without compression. Before
    the server stands a tap for each way, in this process, which counts and delays. The ways take turns,
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
        ways: which, of `ALL_WAYS`.
        headers: what the client sends along: `"least"` nothing that isn't needed, `"library"` what aiohttp
            sends, `"browser"` what Chromium sends, with a cookie.
        progress: is called with the share that is done.

    Returns:
        The figures, as a table and by name.

    Raises:
        ValueError: an argument makes no sense.
        BackgroundError: the server or the client has failed, and why.
    """
    check_ways(ways, ALL_WAYS)
    check_link(round_trip, headers)
    if messages < 10:
        raise ValueError("messages must be 10 or more, or there is nothing to compare")
    if not 1 <= size <= 65_536:
        raise ValueError("size is bytes, 1 to 65,536")
    plan = {"kind": "requests", "messages": messages, "size": size, "headers": headers}
    plan["seconds"] = 20 + len(ways) * messages * (4 * round_trip + 0.05)
    with ClientProcess() as client, NewsServer() as server:
        with Links(server.url, ways, round_trip=round_trip, events=30 * messages + 1000) as links:
            client.tell({**plan, "ways": links.urls})
            measured = carry_out(client, server, links, progress)
        requests = {way: requests_seen(tap) for way, tap in links.taps.items()}
    found: dict[str, RequestWay] = {}
    for way in ways:
        figures = measured[way]
        up, down = links.bytes_between(way)
        found[way] = RequestWay(
            name=way,
            messages=messages,
            connections=links.connections(way),
            requests=requests[way],
            opening_bytes=links.opening_bytes(way),
            up=up / messages,
            down=down / messages,
            first=figures["first"],
            times=tuple(figures["times"]),
            wall=figures["wall"],
            lost=figures["lost"],
            overtaken=figures["overtaken"],
            _ways=found,
        )
    return RequestComparison(found, size=size, round_trip=round_trip, headers=headers)


def carry_out(
    client: ClientProcess,
    server: NewsServer,
    links: Links,
    progress: Progress | None = None,
    arrivals: Callable[[Any], None] | None = None,
) -> Any:
    """Answer what the client reports until it has its result.

    Raises:
        BackgroundError: the client gave up; if the server has ended, that is said instead.
    """
    try:
        for kind, content in client.reports():
            if kind == "opened":
                links.mark_opened()
                client.tell("go")
            elif kind == "done":
                links.mark_done()
                client.tell("close")
            elif kind == "progress" and progress is not None:
                progress(content)
            elif kind == "arrivals" and arrivals is not None:
                arrivals(content)
            elif kind == "result":
                return content
    except BackgroundError:
        deadline = time.monotonic() + 1
        while server.running and time.monotonic() < deadline:  # the client may learn of its end first
            time.sleep(0.02)
        server.check()
        raise
    raise AssertionError("reports end with a result")


def requests_seen(tap: Tap) -> int:
    """How many HTTP requests went through a tap."""
    return sum(isinstance(event, HttpRequest) for event in tap.events())


def check_ways(ways: Sequence[str], known: Sequence[str]) -> None:
    """
    Raises:
        ValueError: one of the ways isn't known, or there is none.
    """
    for way in ways:
        if way not in known:
            raise ValueError(f"there is no way {way!r}: choose from {', '.join(map(repr, known))}")
    if not ways or len(set(ways)) < len(ways):
        raise ValueError("ways must name at least one way, and each once")


def check_link(round_trip: float, headers: str) -> None:
    """
    Raises:
        ValueError: the link or the headers make no sense.
    """
    if not 0 <= round_trip <= 2:
        raise ValueError("round_trip is seconds, 0 to 2")
    if headers not in HEADER_SETS:
        raise ValueError(f"headers must be one of {', '.join(map(repr, HEADER_SETS))}, not {headers!r}")
