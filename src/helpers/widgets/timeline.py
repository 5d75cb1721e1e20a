"""The wire timeline: what goes between clients and server, as a live sequence diagram and as a table."""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import contextlib
import itertools
import json
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import anywidget
import traitlets

from helpers.arguments import number
from helpers.widgets.pages import UPDATES_PER_SECOND
from helpers.widgets.scripts import script, style
from helpers.widgets.timeline_rows import Row, RowMaker, as_table
from helpers.wire.events import TO_SERVER, Event, Frame

DRAWN = 300
"""How many rows the page draws at a time; the others can be leafed through."""

KEPT = 10_000
KEPT_BYTES = 2**24
PRINTED = 50
BYTES_PER_SECOND = 400_000
"""Jupyter drops what a kernel sends beyond 1,000,000 bytes per second."""


class Tapped(Protocol):
    """A tap that says what it sees."""

    def listen(self, callback: Callable[[list[Event]], None], *, past: bool = False) -> Callable[[], None]:
        """Have events told; returns what ends it."""

    def tell(self) -> None:
        """Have those told now that have been recorded."""


class WireTimeline(anywidget.AnyWidget):
    """What goes over the wire, as a sequence diagram that you can open arrow by arrow, and as a table.

        tap = tapped(server).start()
        timeline = WireTimeline(tap)
        timeline                             # connect to tap.url and watch
        await timeline.seen(3)               # three frames have gone by
        print(timeline)

    It shows what the tap has recorded and what comes; what a client has received through the tap is in the
    table. It keeps the last 10,000 events (16 MiB), draws 300
    of them at a time, and is updated at most 20 times a second. A new timeline of the same tap (you run
    the cell again) takes the place of the one before.

    Args:
        tap: a tap that was started, of `tapped(...)` or a `helpers.wire.tap.Tap`.
    """

    _esm = script("timeline.js")
    _css = style("timeline.css")
    _view = traitlets.Unicode().tag(sync=True)
    _of: ClassVar[weakref.WeakKeyDictionary[Tapped, WireTimeline]] = weakref.WeakKeyDictionary()

    def __init__(self, tap: Tapped) -> None:
        self._lock = threading.RLock()
        self._rows: collections.deque[Row] = collections.deque()
        self._ready: collections.deque[tuple[int, str]] = collections.deque(maxlen=DRAWN)
        self._kept = 0
        self._cleared = 0
        self._zero: float | None = None
        self._frames = [0, 0]
        self._bytes = [0, 0]
        self._connections = 0
        self._row_maker = RowMaker()
        self._waiting: set[concurrent.futures.Future[None]] = set()
        self._armed = False
        self._next_update = 0.0
        self._stop_listening: Callable[[], None] = lambda: None
        super().__init__(_view=self._as_shown())
        self.on_msg(self._from_the_page)
        if not hasattr(tap, "listen"):
            raise TypeError(f"a timeline shows a tap: give it tapped(server).start(), not {tap!r}")
        before = self._of.get(tap)
        if before is not None:
            before._stop_listening()
        self._of[tap] = self
        self._tap = tap
        self._stop_listening = tap.listen(self._take, past=True)

    @property
    def events(self) -> list[Event]:
        """What the timeline shows, oldest first: see `helpers.wire.events`."""
        self._catch_up()
        with self._lock:
            return [row.event for row in self._rows]

    @property
    def frames(self) -> list[Frame]:
        """The WebSocket frames that the timeline shows, oldest first."""
        return [event for event in self.events if isinstance(event, Frame)]

    async def seen(
        self, wanted: int | Callable[[Event], object] = 1, *, timeout: float = 2
    ) -> list[Frame] | Event:
        """Wait until the wire has shown something.

            await timeline.seen(4)                                   # four frames
            await timeline.seen(lambda event: isinstance(event, events.TcpClosed))

        Args:
            wanted: how many frames there shall be, counted from the start or from the last `clear()`; or a
                function that says of an event whether it is the one.
            timeout: how long to wait, in seconds.

        Returns:
            The frames so far, or the event.

        Raises:
            TimeoutError: it did not come in time; the message says what came instead.
        """
        number(timeout, "timeout (seconds)")
        if not callable(wanted):
            number(wanted, "wanted (frames)", whole=True)
        deadline = time.monotonic() + timeout
        looked = 0
        while True:
            woken: concurrent.futures.Future[None] = concurrent.futures.Future()
            with self._lock:
                fresh = [row for row in reversed_until(self._rows, looked)]
                frames = sum(self._frames)
                self._waiting.add(woken)
            try:
                if not callable(wanted):
                    if frames >= wanted:
                        return self.frames
                else:
                    for row in fresh:
                        looked = row.number
                        if wanted(row.event):
                            return row.event
                await asyncio.wait_for(asyncio.wrap_future(woken), max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                what = "that" if callable(wanted) else f"{wanted} frames"
                raise TimeoutError(
                    f"the wire did not show {what} in {timeout:g} s, but {frames} frames:\n"
                    f"{self.table(last=8)}"
                ) from None
            finally:
                with self._lock:
                    self._waiting.discard(woken)

    def table(self, *, times: bool = False, connection: int | None = None, last: int = PRINTED) -> str:
        """The timeline as text, a line an event: number, direction, what, bytes on the wire, an excerpt.

        Without times it is the same for the same conversation: ports, keys, and the headers and bytes of
        HTTP heads are left out. Numbers and times count from the first event that is shown.

        Args:
            times: with a column of milliseconds.
            connection: number of the only connection to show.
            last: how many events to show at most; the others are counted.
        """
        self._catch_up()
        with self._lock:
            rows = [row for row in self._rows if connection in (None, row.event.connection)]
            gone = self._row_maker.count - self._cleared - len(self._rows)
            begin = self._cleared, self._zero or 0.0
        return as_table(rows[-last:], times=times, left_out=gone + max(0, len(rows) - last), begin=begin)

    def clear(self) -> None:
        """Forget what was shown, and count and time from the next event on."""
        self._catch_up()
        self._clear(self._row_maker.count)

    def close(self) -> None:
        """Listen to the tap no longer, and take the timeline off the page."""
        self._stop_listening()
        super().close()

    def __repr__(self) -> str:
        return self.table()

    __str__ = __repr__

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        shown = super()._repr_mimebundle_(**kwargs)
        if shown is not None:
            shown[0]["text/plain"] = self.table()
        return shown

    def _catch_up(self) -> None:
        with contextlib.suppress(TimeoutError):  # a handler blocks the tap's loop: show what is known
            self._tap.tell()

    def _take(self, events: list[Event]) -> None:
        with self._lock:
            for row in self._row_maker.rows(events):
                self._rows.append(row)
                self._zero = row.event.at if self._zero is None else self._zero
                self._kept += row.event.kept
                self._connections = max(self._connections, row.event.connection)
                self._add_up(row.event)
            while len(self._rows) > KEPT or self._kept > KEPT_BYTES:
                self._kept -= self._rows.popleft().event.kept
            waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_result(None)
        self._changed()

    def _clear(self, until: int) -> None:
        with self._lock:
            while self._rows and self._rows[0].number <= until:
                self._kept -= self._rows.popleft().event.kept
            self._cleared = max(self._cleared, until)
            self._frames, self._bytes = [0, 0], [0, 0]
            self._zero = self._rows[0].event.at if self._rows else None
            for row in self._rows:
                self._add_up(row.event)
        self._changed()

    def _add_up(self, event: Event) -> None:
        if isinstance(event, Frame):
            way = event.direction != TO_SERVER
            self._frames[way] += 1
            self._bytes[way] += event.size

    def _changed(self) -> None:
        """Have the page updated: at once after a pause, and in a flood as often as Jupyter carries it."""
        with self._lock:
            if self._armed:
                return
            wait = self._next_update - time.monotonic()
            if wait > 0:
                self._armed = True
                timer = threading.Timer(wait, self._show)
                timer.daemon = True
                timer.start()
                return
        self._show()

    def _show(self) -> None:
        with self._lock:
            self._armed = False
            view = self._as_shown()
            pause = max(1 / UPDATES_PER_SECOND, len(view) / BYTES_PER_SECOND)
            self._next_update = time.monotonic() + pause
            self._view = view

    def _as_shown(self) -> str:
        """The last rows and the figures, as JSON; a row is put into words once, and only if it is shown."""
        ready = self._ready
        while ready and ready[0][0] <= self._cleared:
            ready.popleft()
        known = ready[-1][0] if ready else 0
        ready.extend((row.number, row.for_page()) for row in reversed_until(self._rows, known, DRAWN))
        rows = ",".join(text for _, text in ready)
        figures = {
            "count": self._row_maker.count,
            "first": self._rows[0].number if self._rows else self._row_maker.count + 1,
            "cleared": self._cleared,
            "zero": round(1000 * (self._zero or 0.0), 3),
            "frames": self._frames,
            "bytes": self._bytes,
            "connections": self._connections,
        }
        return f'{json.dumps(figures)[:-1]}, "rows": [{rows}]}}'

    def _from_the_page(self, widget: object, content: dict[str, Any], buffers: list[memoryview]) -> None:
        if content["do"] == "clear":
            self._clear(min(int(content["until"]), self._row_maker.count))
            return
        with self._lock:
            earlier = [row for row in self._rows if row.number < content["before"]][-DRAWN:]
        rows = f"[{','.join(row.for_page() for row in earlier)}]"
        self.send({"do": "page", "before": content["before"], "rows": rows})


def reversed_until(rows: collections.deque[Row], number: int, most: int | None = None) -> list[Row]:
    """The rows after the one of a number, the last `most` of them, oldest first."""
    last = itertools.takewhile(lambda row: row.number > number, reversed(rows))
    return list(itertools.islice(last, most))[::-1]
