"""Figures in rows and columns, as text and as HTML, and what is calculated from many of them."""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, TypeVar

Measured = TypeVar("Measured")


def look_up(measured: Mapping[str, Measured], name: str) -> Measured:
    """What was measured under this name.

    Raises:
        KeyError: nothing was; with the names that there are.
    """
    try:
        return measured[name]
    except KeyError:
        raise KeyError(f"{name!r} was not measured; there are {', '.join(map(repr, measured))}") from None


class Comparison(Generic[Measured]):
    """What was measured of several ways or servers, by their names: `result["SSE"]`."""

    def __init__(self, ways: Mapping[str, Measured]) -> None:
        self._ways = ways

    def __getitem__(self, way: str) -> Measured:
        return look_up(self._ways, way)

    def __iter__(self) -> Iterator[Measured]:
        return iter(self._ways.values())

    def _compared_with(self) -> tuple[str, str]:
        """The way that the others are compared with, and the heading of a column of such ratios."""
        if "WebSocket" in self._ways:
            return "WebSocket", "× WS"
        first = next(iter(self._ways))
        return first, f"× {first}"


def nearest_rank(values: Sequence[float], share: float) -> float:
    """The smallest of the values below or at which so large a share of them is.

    Args:
        values: at least one.
        share: 0.5 for the median, 0.99 for the 99th percentile.
    """
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def overtaken(numbers: Sequence[int]) -> int:
    """How many came after one that was sent later."""
    highest = itertools.accumulate(numbers, max)
    return sum(number < before for number, before in zip(numbers, highest, strict=True))


def in_ms(seconds: float | None) -> str:
    """A duration, three digits of it; `–` for None."""
    if seconds is None:
        return "–"
    ms = 1000 * seconds
    return f"{ms:,.0f}" if ms >= 100 else f"{ms:.1f}" if ms >= 10 else f"{ms:.2f}"


def in_bytes(count: float | None) -> str:
    """A number of bytes, rounded; `–` for None."""
    return "–" if count is None else f"{count:,.0f}"


def times(ratio: float | None) -> str:
    """A ratio like `×2.0`; `–` for None."""
    return "–" if ratio is None else f"×{ratio:.1f}" if ratio >= 1.95 else f"×{ratio:.2f}"


_SHADE_WHERE_MORE_IS = ", ".join(
    f"linear-gradient(to {side}, {ground}, transparent {width}) {moves}"
    for ground, width, moves in (
        ("var(--jp-layout-color0, Canvas) 14px", "40px", "local"),  # hides the shade at the table's own edge
        ("color-mix(in srgb, currentColor 45%, transparent)", "14px", "scroll"),
    )
    for side in ("right", "left")
)
"""A background for what scrolls sideways. Source: https://lea.verou.me/blog/2012/04/background-attachment-local/"""


class Table:
    """Rows of text under a caption. It prints as text and shows as an HTML table.

    Args:
        caption: what it is about.
        columns: for each its group (or "") and its own heading; the first column names the rows.
        rows: the cells.
    """

    def __init__(
        self, caption: str, columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[str]]
    ) -> None:
        self.caption = caption
        self.columns = list(columns)
        self.rows = [list(row) for row in rows]

    def __repr__(self) -> str:
        heads = [head for _, head in self.columns]
        wide = [max(map(len, cells)) for cells in zip(heads, *self.rows, strict=True)]
        for begin, end, group in self._groups():  # room for the group's name over its columns
            wide[end - 1] += max(
                0, len(group) + 4 * bool(group) - sum(wide[begin:end]) - 2 * (end - begin - 1)
            )
        over = "  ".join(
            (f" {group} " if group else "").center(
                sum(wide[begin:end]) + 2 * (end - begin - 1), "─" if group else " "
            )
            for begin, end, group in self._groups()
        )
        lines = [
            "  ".join(
                cell.ljust(width) if not column else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(cells, wide, strict=True))
            )
            for cells in [heads, *self.rows]
        ]
        top = [self.caption, over.rstrip()] if over.strip() else [self.caption]
        return "\n".join(line.rstrip() for line in [*top, *lines])

    def _repr_html_(self) -> str:
        words, most = self._width(), len(self.columns)
        room = f"(100cqi - {words:.1f}em) / {2 * most}"  # for the padding on each side of a column
        tight = f"padding: 0.4em clamp(0.25em, {room}, 0.5em)"
        number = f"text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; {tight}"
        groups = "".join(
            f'<th colspan="{end - begin}" scope="colgroup" style="text-align: center; {tight}">'
            f"{html.escape(group)}</th>"
            if group
            else "<td></td>" * (end - begin)
            for begin, end, group in self._groups()
        )
        heads = "".join(
            f'<th scope="col" style="text-align: {"right" if column else "left"}; {tight}">'
            f"{html.escape(head).replace('× ', '×&nbsp;')}</th>"
            for column, (_, head) in enumerate(self.columns)
        )
        rows = "".join(
            f'<tr><th scope="row" style="text-align: left; {tight}">'
            f"{html.escape(first).replace('-', '&#8209;')}</th>"
            + "".join(f'<td style="{number}">{html.escape(cell)}</td>' for cell in rest)
            + "</tr>"
            for first, *rest in self.rows
        )
        return (
            '<div style="container-type: inline-size">'
            f'<div style="overflow-x: auto; background: {_SHADE_WHERE_MORE_IS}">'
            f'<table style="font-size: clamp(10.5px, 100cqi / {words + most / 2:.1f}, 1em)">'
            '<caption style="text-align: left; color: inherit; max-width: 100cqi">'
            f"{html.escape(self.caption)}</caption>"
            f"<thead>{f'<tr>{groups}</tr>' if any(group for group, _ in self.columns) else ''}"
            f"<tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div></div>"
        )

    def _width(self) -> float:
        """How wide the columns are at least, in em, when headings and names are broken between words."""
        characters = 0
        for column, (_, head) in enumerate(self.columns):
            cells = [row[column] for row in self.rows]
            words = [*head.replace("× ", "×").split(), *(cells if column else " ".join(cells).split())]
            characters += max(map(len, words), default=0)
        return 0.66 * characters  # the average width of bold letters and digits

    def _groups(self) -> list[tuple[int, int, str]]:
        groups: list[tuple[int, int, str]] = []
        for column, (group, _) in enumerate(self.columns):
            if groups and groups[-1][2] == group and group:
                groups[-1] = groups[-1][0], column + 1, group
            else:
                groups.append((column, column + 1, group))
        return groups
