"""Values over time as stepped lines, as a picture and in words."""

from __future__ import annotations

import html
import itertools
from collections.abc import Mapping, Sequence

from helpers.arguments import kind, number
from helpers.figures.bars import COLOURS
from helpers.figures.table import Table

WIDE, HIGH, LEFT, RIGHT, BELOW = 680, 220, 52, 20, 34  # pixels: the picture, and the room for numbers


class Lines:
    """A stepped line for each series of values, drawn once they are all there (`LiveChart` grows meanwhile).

        Lines("where Ann is", {"shown": [(0.0, 0), (0.1, 2)], "true": [(0.0, 0), (0.2, 2)]}, unit="m")

    Args:
        title: what it shows.
        series: for each line its points: the time in seconds, and the value.
        unit: of the values.
    """

    def __init__(
        self, title: str, series: Mapping[str, Sequence[tuple[float, float]]], *, unit: str = ""
    ) -> None:
        self._title = f"{title}, {unit}" if unit else title
        kind(series, "series", Mapping, words="a dict of points by the lines' names")
        self._series: dict[str, list[tuple[float, float]]] = {}
        for name, points in series.items():
            try:
                pairs = [(float(time), float(value)) for time, value in points]
            except (TypeError, ValueError):
                raise TypeError(f"each point of {name!r} must be a time and a value: {points!r}") from None
            for each in itertools.chain(*pairs):
                number(abs(each), f"a point of {name!r}")
            if pairs:
                self._series[str(name)] = pairs

    def __repr__(self) -> str:
        rows = []
        for name, points in self._series.items():
            values = [value for _, value in points]
            jumps = [abs(after - before) for before, after in itertools.pairwise(values)]
            figures = [values[0], values[-1], min(values), max(values), max(jumps, default=0)]
            rows.append([name, *(f"{figure:,.4g}" for figure in figures)])
        heads = ["line", "first", "last", "least", "most", "largest step"]
        return repr(Table(self._title, [("", head) for head in heads], rows))

    def _repr_html_(self) -> str:
        points = [point for line in self._series.values() for point in line] or [(0.0, 0.0)]
        (first, last), (least, most) = [(min(each), max(each)) for each in zip(*points, strict=True)]

        def place(time: float, value: float) -> str:
            x = LEFT + (time - first) / ((last - first) or 1) * (WIDE - LEFT - RIGHT)
            y = HIGH - BELOW - (value - least) / ((most - least) or 1) * (HIGH - BELOW - 10)
            return f"{x:.1f},{y:.1f}"

        drawn, names = [], []
        for colour, (name, line) in zip(COLOURS * len(self._series), self._series.items(), strict=False):
            corners = [line[0]]
            for (_, before), (time, after) in itertools.pairwise(line):
                corners += [(time, before), (time, after)]
            path = " ".join(place(*corner) for corner in corners)
            drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
            mark = f'<span style="color: {colour}">━</span>'
            names.append(f'<span style="white-space: nowrap">{mark} {html.escape(name)}</span>')
        style = 'font-size="12" fill="currentColor"'
        for value, high in ((most, 14), (least, HIGH - BELOW)):
            drawn.append(f'<text x="{LEFT - 8}" y="{high}" text-anchor="end" {style}>{value:,.4g}</text>')
        steps = (unit * 10.0**power for power in itertools.count(-9) for unit in (1, 2, 5))
        step = next(step for step in steps if 8 * step >= last - first)  # round, for 8 parts at most
        for n in range(int((last - first) / step) + 1):
            x = place(first + n * step, least).partition(",")[0]
            drawn.append(f'<path d="M{x} {HIGH - BELOW}v5" stroke="currentColor"/>')
            drawn.append(f'<text x="{x}" y="{HIGH - 10}" text-anchor="middle" {style}>{n * step:g} s</text>')
        return (
            f"<div><b>{html.escape(self._title)}</b> &emsp; {' &emsp; '.join(names)}</div>"
            f'<svg viewBox="0 0 {WIDE} {HIGH}" role="img" aria-label="{html.escape(repr(self))}" '
            f'style="width: 100%; max-width: {WIDE}px">{"".join(drawn)}</svg>'
        )
