"""The same events heard in four ways at once: polling, long polling, Server-Sent Events and WebSocket."""

from __future__ import annotations

import dataclasses
import random
import threading
from collections.abc import Sequence

from helpers.arguments import number
from helpers.experiments.children.hear_events import LATE_BY, SMALLEST_EVENT, Heard, hear_events
from helpers.experiments.children.http_headers import HeaderSet
from helpers.experiments.run import Progress, ignore
from helpers.experiments.taps_by_way import Traffic
from helpers.experiments.ways import WaysComparison, WaysRun
from helpers.figures.bars import Bars
from helpers.figures.table import Table, in_bytes, in_ms, nearest_rank, overtaken, times

PUSH_WAYS = ("polling", "long polling", "SSE", "WebSocket")

_BURST_GAP = 0.002


@dataclasses.dataclass(frozen=True, slots=True)
class Arrival:
    """An event that came: its number, and when it was published and came, in seconds since the first one."""

    number: int
    published: float
    arrived: float

    @property
    def delay(self) -> float:
        """From its publication to its arrival, in seconds."""
        return self.arrived - self.published


@dataclasses.dataclass(frozen=True)
class PushWay(Traffic):
    """What was measured of one way, besides its traffic. Times are in seconds.

    Attributes:
        events: how many were published.
        arrivals: those that came, in the order in which they came.
        trouble: why it heard no more, in words; empty if it heard all.
    """

    events: int
    arrivals: tuple[Arrival, ...] = dataclasses.field(repr=False)
    trouble: str

    @property
    def delays(self) -> list[float]:
        """From publication to arrival, of each event that came."""
        return [arrival.delay for arrival in self.arrivals]

    @property
    def median(self) -> float:
        """The median delay; infinite if nothing came."""
        return nearest_rank(self.delays or [float("inf")], 0.5)

    @property
    def p99(self) -> float:
        """99 of 100 events came within this time; of fewer than 100, all."""
        return nearest_rank(self.delays or [float("inf")], 0.99)

    @property
    def lost(self) -> int:
        """Events that did not come."""
        return self.events - len({arrival.number for arrival in self.arrivals})

    @property
    def twice(self) -> int:
        """Events that came more than once."""
        return len(self.arrivals) - len({arrival.number for arrival in self.arrivals})

    @property
    def overtaken(self) -> int:
        """Events that came after a later one."""
        return overtaken([arrival.number for arrival in self.arrivals])


class PushComparison(WaysComparison[PushWay]):
    """What `compare_push` has measured: `print(result)`, `result["SSE"].median`."""

    def ratio(self, way: str, other: str) -> float:
        """How many times as long an event takes in one way as in another, by the medians."""
        return self[way].median / self[other].median

    def table(self) -> Table:
        """All figures, delays included, each against WebSocket."""
        other, against = self._compared_with()
        columns = [
            *(("", head) for head in ("way", "TCP", "requests")),
            *(("bytes per event", head) for head in ("up", "down")),
            *(("ms from event to client", head) for head in ("median", "p99", against)),
            *(("", head) for head in ("lost", "overtaken")),
        ]
        rows = [
            [
                way.name,
                *(f"{count:,}" for count in (way.connections, way.requests)),
                *map(in_bytes, (way.up, way.down)),
                *map(in_ms, (way.median, way.p99)),
                times(self.ratio(way.name, other)),
                *(str(way.lost), str(way.overtaken)),
            ]
            for way in self
        ]
        return Table(self._caption, columns, rows)

    def counts(self) -> Table:
        """Only what is the same on any machine: polling's requests and bytes depend on its luck."""
        columns = [("", head) for head in ("way", "events", "TCP connections", "lost", "twice", "overtaken")]
        rows = [
            [way.name, *map(str, (way.events, way.connections, way.lost, way.twice, way.overtaken))]
            for way in self
        ]
        return Table(self._caption, columns, rows)

    def delay_picture(self) -> Bars:
        """The median delays, as bars."""
        return Bars({way.name: way.median for way in self if way.arrivals})

    def _repr_html_(self) -> str:
        return (
            f"{self.table()._repr_html_()}"
            f"<p>Median time from an event to the client</p>{self.delay_picture()._repr_html_()}"
            f"<p>Bytes for each event</p>{self.bytes_picture()._repr_html_()}"
        )


class PushRun(WaysRun[PushComparison]):
    """Publish events at irregular moments on one server, and hear them in four ways at once.

        result = await compare_push(20)
        print(result["SSE"].median, result["polling"].median)
        result

    Server and client are child processes and use the same library, aiohttp, without compression. Each way
    has a tap of its own, in this process, which counts and delays.

    Args:
        events: how many.
        gap: average time between two of them, or between two bursts, in seconds.
        burst: so many come at once, two milliseconds apart.
        size: bytes of each event, 25 to 65,536.
        round_trip: of the link, in seconds.
        poll_every: how often polling asks, in seconds.
        ways: which, of `"polling"`, `"long polling"`, `"SSE"` and `"WebSocket"`.
        headers: what the client sends along; see `compare_requests`.
        seed: makes the moments the same each time.

    Returns:
        The figures, as a table and by name.

    Raises:
        ValueError: an argument makes no sense.
        BackgroundError: the server or the client has failed, and why.
    """

    def __init__(
        self,
        events: int = 20,
        *,
        gap: float = 0.2,
        burst: int = 1,
        size: int = 64,
        round_trip: float = 0.04,
        poll_every: float = 1.0,
        ways: Sequence[str] = PUSH_WAYS,
        headers: HeaderSet = "library",
        seed: int | None = None,
    ) -> None:
        super().__init__(ways, PUSH_WAYS, round_trip=round_trip, headers=headers)
        number(events, "events", least=1, most=10_000, whole=True)
        number(burst, "burst (events)", least=1, most=events, whole=True)
        number(size, "size (bytes)", least=SMALLEST_EVENT, most=65_536, whole=True)
        number(gap, "gap (seconds)", least=0.001)
        number(poll_every, "poll_every (seconds)", least=0.001)
        if events / burst * gap > 120:
            raise ValueError(f"events would take {events / burst * gap:,.0f} s: choose fewer, or less gap")
        self.poll_every = poll_every
        self._size = size
        self.moments = irregular(events, gap, burst, begin=0.2 + 2 * round_trip, seed=seed)
        self.caption = (
            f"{events} events of {size} bytes{f' in bursts of {burst}' if burst > 1 else ''}, round trip "
            f"{1000 * round_trip:g} ms, headers: {headers}"
            f"{f', polling every {poll_every:g} s' if 'polling' in self.ways else ''}"
        )
        self._heard: dict[str, list[Heard]] = {way: [] for way in self.ways}
        self._origin: float | None = None
        self._now = 0.0
        self._lock = threading.Lock()

    @property
    def now(self) -> float:
        """Seconds since the first publication, when the client last told something."""
        with self._lock:
            return 0.0 if self._origin is None else self._now - self._origin

    @property
    def arrivals(self) -> dict[str, list[Arrival]]:
        """What has come so far, in each way."""
        with self._lock:
            origin = self._origin or 0.0
            return {
                way: [
                    Arrival(number, published - origin, arrived - origin)
                    for number, published, arrived in heard
                ]
                for way, heard in self._heard.items()
            }

    async def run(self, progress: Progress = ignore) -> PushComparison:
        count = len(self.moments)

        def heard(report: tuple[float, dict[str, list[Heard]]]) -> None:
            with self._lock:
                self._now, fresh = report
                for way, events in fresh.items():
                    self._heard[way] += events
                    if self._origin is None:
                        self._origin = events[0].published
                arrived = sum(map(len, self._heard.values()))
            progress(min(1.0, arrived / (count * len(self.ways))))

        troubles, traffic = await self._over_taps(
            hear_events,
            *(self.moments, self._size, self.headers, self.poll_every),
            messages=count,
            events=100 * count + 10_000,
            seconds=self.moments[-1] + self.poll_every + LATE_BY + 15,
            heard=heard,
        )
        arrivals = self.arrivals
        return PushComparison(
            {
                way: PushWay(
                    **vars(traffic[way]), events=count, arrivals=tuple(arrivals[way]), trouble=troubles[way]
                )
                for way in self.ways
            },
            self.caption,
        )


def irregular(events: int, gap: float, burst: int, *, begin: float, seed: int | None) -> list[float]:
    """Moments for events, in seconds: gaps between half and one and a half of the average."""
    dice = random.Random(seed)
    moments: list[float] = []
    at = begin
    while len(moments) < events:
        moments += [at + _BURST_GAP * number for number in range(burst)]
        at = moments[-1] + gap * dice.uniform(0.5, 1.5)
    return [round(moment, 4) for moment in moments[:events]]
