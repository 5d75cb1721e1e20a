"""A chart that grows while cells run."""

from __future__ import annotations

import html
import itertools
import math
import threading
import time
from collections import deque
from typing import Any

import bqplot
import ipywidgets
import numpy

from helpers.arguments import kind, number
from helpers.figures.table import Table
from helpers.widgets.pages import UPDATES_PER_SECOND

POINTS = 300
"""How many of them a line has at most: one per update."""

COLOURS = ["#1e88e5", "#e0592a", "#2e9e5b", "#a259d9", "#b98a00", "#7f8a96"]
"""Legible on white and on black."""


class _Series:
    """A line: the points that are drawn, and the values in words."""

    def __init__(self) -> None:
        self.points: deque[tuple[float, float]] = deque(maxlen=POINTS)
        self.fresh = False
        self.count = 0
        self.newest = math.nan
        self.least, self.most = math.inf, -math.inf

    def add(self, value: float) -> None:
        self.fresh = True
        self.count += 1
        self.newest = value
        self.least, self.most = min(self.least, value), max(self.most, value)


class LiveChart(ipywidgets.VBox):  # type: ignore[misc]
    """Lines that grow with each value that you add, from any thread and at any rate.

        chart = LiveChart("age of the shown price", unit="ms")
        chart                            # show it
        chart.add("slow reader", 120)    # and the same in words: print(chart)

    bqplot draws. The page is updated at most 20 times a second, with the newest value of each line; what came
    in between is in the table of words only, where all values count.

    Args:
        title: what it shows.
        unit: of the values.
        seconds: how much of the past is drawn.
    """

    def __init__(self, title: str, *, unit: str = "", seconds: float = 15) -> None:
        kind(title, "title", str, words="a string")
        number(seconds, "seconds", least=1)
        self._title = f"{title}, {unit}" if unit else title
        self._seconds = seconds
        self._lock = threading.Lock()
        self._series: dict[str, _Series] = {}
        self._armed = False
        self._next_update = 0.0
        scales = {"x": bqplot.LinearScale(min=-seconds, max=0), "y": bqplot.LinearScale(min=0)}
        below = bqplot.Axis(scale=scales["x"], grid_lines="none", tick_format=".1~f")
        beside = bqplot.Axis(scale=scales["y"], orientation="vertical", tick_format=".3~r")
        nothing = numpy.zeros(0)  # one mark for all lines: it is drawn once per update
        self._lines = bqplot.Lines(x=nothing, y=nothing, scales=scales, colors=COLOURS, stroke_width=2)
        margin = {"top": 8, "bottom": 24, "left": 56, "right": 12}
        figure = bqplot.Figure(marks=[self._lines], axes=[below, beside], fig_margin=margin, padding_y=0)
        figure.layout = {"height": "240px", "width": "auto", "min_width": "0"}
        self._words = ipywidgets.HTML(self._legend())
        super().__init__([self._words, figure], layout={"width": "100%"})
        self.add_class("wsbook-chart")

    def add(self, series: str, value: float) -> None:
        """Add a value, now.

        Args:
            series: the line's name; a new name begins a new line.
            value: in the chart's unit.

        Raises:
            ValueError: the value is no finite number.
        """
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ValueError(f"{series}: {value!r} can't be drawn")
        with self._lock:
            if series not in self._series:
                self._series[series] = _Series()
            now = time.monotonic()
            self._series[series].add(value)
            if self._armed:
                return
            self._armed = True
            timer = threading.Timer(max(0.0, self._next_update - now), self._update)
        timer.daemon = True
        timer.start()

    def table(self) -> str:
        """All lines in words: the newest value, the least, the most, and how many there were."""
        with self._lock:
            rows = [
                [name, f"{line.newest:,.4g}", f"{line.least:,.4g}", f"{line.most:,.4g}", f"{line.count:,}"]
                for name, line in self._series.items()
            ]
        heads = ["line", "newest", "least", "most", "values"]
        return repr(Table(self._title, [("", head) for head in heads], rows))

    def _update(self) -> None:
        """Send the newest values, all at once."""
        with self._lock:
            now = time.monotonic()
            self._armed, self._next_update = False, now + 1 / UPDATES_PER_SECOND
            lines = list(self._series.values())
            for line in lines:
                if line.fresh:
                    line.points.append((now, line.newest))
                line.fresh = False
            # bqplot draws lines with as many points each, two at least: the first one is repeated.
            most = max(2, *(len(line.points) for line in lines))
            points = numpy.array(
                [[line.points[0]] * (most - len(line.points)) + [*line.points] for line in lines]
            )
            legend = self._legend()
        if points[:, :, 1].min() < 0:
            self._lines.scales["y"].min = None
        with self._lines.hold_sync():
            self._lines.x, self._lines.y = points[:, :, 0] - now, points[:, :, 1]
        self._words.value = legend

    def _legend(self) -> str:
        parts = [
            f'<span style="white-space: nowrap"><span style="color: {colour}">━</span> '
            f"{html.escape(name)} <b>{line.newest:,.4g}</b></span>"
            for (name, line), colour in zip(self._series.items(), itertools.cycle(COLOURS))
        ]
        words = " &emsp; ".join(parts) or "no values yet"
        return f"<b>{html.escape(self._title)}</b> (last {self._seconds:g} seconds) &emsp; {words}"

    def __repr__(self) -> str:
        return self.table() if self._series else f"{self._title}: no values yet"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        shown = super()._repr_mimebundle_(**kwargs)
        shown["text/plain"] = repr(self)
        return shown
