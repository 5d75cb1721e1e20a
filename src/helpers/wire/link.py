"""One direction of a relayed connection: a line with a delay, a rate and a window."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from helpers.arguments import number
from helpers.wire.events import How

_SLICE = 0.01  # seconds: a line with a rate hands on the bytes of one slice at a time


@dataclass(frozen=True, slots=True)
class Shape:
    """How a link behaves. The default is as good as the machine is.

    Attributes:
        delay: one-way delay of both directions, in seconds; a round trip takes twice that.
        jitter: at most this many seconds more for each chunk, at random; order is kept.
        rate: bytes per second in each direction, or None for no limit.
        cut_after_bytes: bytes after which a connection is cut, both directions together; or None.
        cut_after_seconds: seconds after its opening at which a connection is cut, or None.
        cut_how: `"rst"` (reset: both ends get an error) or `"fin"` (both ends see an orderly end).
        refuse: whether new connections are refused.
    """

    delay: float = 0.0
    jitter: float = 0.0
    rate: float | None = None
    cut_after_bytes: int | None = None
    cut_after_seconds: float | None = None
    cut_how: Literal["rst", "fin"] = "rst"
    refuse: bool = False

    def __post_init__(self) -> None:
        number(self.delay, "delay (seconds)")
        number(self.jitter, "jitter (seconds)")
        if self.rate is not None:
            number(self.rate, "rate (bytes per second)", least=1)
        if self.cut_how not in ("rst", "fin"):
            raise ValueError('cut_how is "rst" or "fin"')

    @property
    def plain(self) -> bool:
        """Whether bytes may go straight through."""
        return not self.delay and not self.jitter and self.rate is None and self.cut_after_bytes is None


@dataclass(slots=True)
class Count:
    """What went in one direction.

    Attributes:
        bytes: bytes that were read from the senders.
        segments: reads in which they came.
        relayed: bytes that were handed on to the receivers.
    """

    bytes: int = 0
    segments: int = 0
    relayed: int = 0


class Line:
    """Carries bytes from a source to a sink, in order, and holds no more than a window of them.

    Args:
        window: bytes that wait in the line before the line stops reading its source. One read of the source
            (at most 256 KiB with asyncio's transports) may exceed it.
        shape: how the link behaves.
        allowance: how many bytes may still be relayed before the connection is cut, or None for all.
        on_cut: is called when the allowance is used up.
        on_end: is called when an end has come through the line.
        count: where all lines of this direction count what they relay.
        dice: makes the jitter.
    """

    def __init__(
        self,
        *,
        window: int,
        shape: Shape,
        allowance: Callable[[], int | None],
        on_cut: Callable[[], None],
        on_end: Callable[[How], None],
        count: Count,
        dice: random.Random,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._window = window
        self._shape = shape
        self._allowance = allowance
        self._on_cut = on_cut
        self._on_end = on_end
        self._count = count
        self._dice = dice
        self._source: asyncio.ReadTransport | None = None
        self._sink: asyncio.WriteTransport | None = None
        self._queue: deque[tuple[float, bytes | memoryview | How]] = deque()
        self._queued = 0
        self._free_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._stalled = False
        self._blocked = False
        self._full = False
        self._dead = False
        self._direct = False
        self.relayed = 0

    def read_from(self, source: asyncio.ReadTransport | None) -> None:
        """Set the source, to pause and resume it; None when nothing more comes from it."""
        self._source = source
        self._pace()

    def write_to(self, sink: asyncio.WriteTransport) -> None:
        """Set the sink; what waits for it is sent."""
        self._sink = sink
        self._change()

    def reshape(self, shape: Shape) -> None:
        """Behave differently from now on; what is on its way keeps its time of arrival."""
        self._shape = shape
        self._change()

    def stall(self, on: bool) -> None:
        """Carry nothing, and read nothing from the source; or go on."""
        self._stalled = on
        self._resumed()

    def block(self, on: bool) -> None:
        """Note that the sink takes no more, or again."""
        self._blocked = on
        self._resumed()

    def kill(self) -> None:
        """Throw away what is on its way and what still comes."""
        self._dead = True
        self._direct = False
        self._queue.clear()
        self._queued = 0
        self._full = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._pace()

    def send(self, data: bytes) -> None:
        """Carry bytes."""
        if self._direct:
            self.relayed += len(data)
            self._count.relayed += len(data)
            self._sink.write(data)  # type: ignore[union-attr]
        elif not self._dead:
            self._queued += len(data)
            self._put(data)
            if self._queued >= self._window:
                self._full = True
                self._pace()

    def end(self, how: How) -> None:
        """Carry the end of the stream; it arrives after everything before it."""
        if not self._dead:
            self._put(how)

    def _put(self, item: bytes | How) -> None:
        shape = self._shape
        wait = shape.delay + (self._dice.uniform(0, shape.jitter) if shape.jitter else 0.0)
        self._queue.append((self._loop.time() + wait, item))
        self._direct = False
        if self._timer is None:
            self._pump()

    def _resumed(self) -> None:
        self._free_at = max(self._free_at, self._loop.time())  # time that passed is not made up for
        self._change()

    def _change(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._pump()
        self._pace()

    def _pump(self) -> None:
        """Hand on what is due, and come back when more is."""
        self._timer = None
        while self._queue and self._sink is not None and not self._stalled and not self._blocked:
            ready, item = self._queue[0]
            due = ready
            part: bytes | memoryview = b""
            if not isinstance(item, How):
                part = item
                if self._shape.rate is not None:
                    part = item[: max(1, int(self._shape.rate * _SLICE))]
                    due = max(self._free_at, ready) + len(part) / self._shape.rate
            if due > self._loop.time():
                self._timer = self._loop.call_at(due, self._pump)
                break
            if isinstance(item, How):
                self._queue.popleft()
                self._on_end(item)
                continue
            self._free_at = due
            if len(part) == len(item):
                self._queue.popleft()
            else:
                self._queue[0] = ready, memoryview(item)[len(part) :]
            self._queued -= len(part)
            if not self._deliver(self._sink, part):
                return
        if self._full and self._queued <= self._window // 2:
            self._full = False
            self._pace()
        self._direct = (
            self._shape.plain and not self._queue and not self._stalled and not self._dead
        ) and self._sink is not None

    def _deliver(self, sink: asyncio.WriteTransport, part: bytes | memoryview) -> bool:
        """Write to the sink as much as is allowed; returns False when the connection was cut."""
        allowed = self._allowance()
        if allowed is not None and len(part) >= allowed:
            self.relayed += allowed
            self._count.relayed += allowed
            if allowed:
                sink.write(part[:allowed])
            self._on_cut()
            return False
        self.relayed += len(part)
        self._count.relayed += len(part)
        sink.write(part)
        return True

    def _pace(self) -> None:
        """Read from the source, or not."""
        if self._source is None:
            return
        if not self._dead and (self._stalled or self._blocked or self._full):
            self._source.pause_reading()
        else:
            self._source.resume_reading()
