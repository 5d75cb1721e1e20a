"""Durations or other amounts side by side, as a picture and as text."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping
from typing import cast

from helpers.arguments import kind, number

COLOURS = ("#2f7ed8", "#c9700a", "#2b9a5f", "#a266d4", "#d64569", "#168c9e", "#8a7a1c", "#808080")
"""Each has a contrast of at least 3:1 to the light and the dark theme's background (WCAG 2.2, 1.4.11)."""

Amounts = Mapping[str, float | tuple[float | None, str]]
"""Amounts by their labels; with words of its own where `words` would not do, and None where there is none."""


def _in_ms(seconds: float) -> str:
    return f"{1000 * seconds:,.1f} ms"


class Bars:
    """Bars, all to one scale; or in groups, each group to its own scale and each label in its own colour.

    Where the longest is more than 300 times the shortest, the scale is logarithmic, and says so.

        Bars({"kernel's loop": 1.0, "thread": 0.004})
        Bars({"10 clients": {"loop": 0.6, "gather": 0.7}, "100 clients": {"loop": 6.1, "gather": 5.9}})

    Args:
        amounts: in seconds, or in what `words` expects; or such amounts for each group.
        words: turns an amount into words.
    """

    def __init__(
        self, amounts: Amounts | Mapping[str, Amounts], *, words: Callable[[float], str] = _in_ms
    ) -> None:
        if not isinstance(amounts, Mapping):
            raise TypeError(f"Bars takes a dict of amounts by their labels, not {amounts!r}")
        grouped = any(isinstance(each, Mapping) for each in amounts.values())
        if grouped and not all(isinstance(each, Mapping) for each in amounts.values()):
            raise TypeError("Bars takes amounts or groups of amounts, not both")
        groups = cast("Mapping[str, Amounts]", amounts if grouped else {"": amounts})
        for label, each in (bar for bars in groups.values() for bar in bars.items()):
            kind(label, "a label", str, words="a string")
            number((each[0] or 0) if isinstance(each, tuple) else each, f"the amount of {label!r}")
        self._groups = {
            group: {
                label: each if isinstance(each, tuple) else (each, words(each))
                for label, each in bars.items()
            }
            for group, bars in groups.items()
        }
        labels = dict.fromkeys(label for bars in self._groups.values() for label in bars)
        self.colours = {
            label: COLOURS[at % len(COLOURS) if grouped else 0] for at, label in enumerate(labels)
        }

    def __repr__(self) -> str:
        wide = max(map(len, self.colours), default=0)
        lines = []
        for group, bars in self._groups.items():
            said = max((len(words) for _, words in bars.values()), default=0)
            lines += [group] if group else []
            lines += [
                f"{'  ' if group else ''}{label:{wide}}  {words:>{said}}  {'█' * round(40 * share)}".rstrip()
                for label, words, share in _shares(bars)
            ]
            lines += [f"({_LOGARITHMIC})"] if _decades(bars) else []
        return "\n".join(lines) or "no amounts"

    def _repr_html_(self) -> str:
        rows = "".join(
            self._heading(group)
            + "".join(self._row(*bar, mark=bool(group), decades=_decades(bars)) for bar in _shares(bars))
            + (
                f'<tr><td colspan="3" style="text-align: left">{_LOGARITHMIC}</td></tr>'
                if _decades(bars)
                else ""
            )
            for group, bars in self._groups.items()
        )
        style = "width: 100%; max-width: 720px; table-layout: auto"  # JupyterLab's own layout is fixed
        return f'<table style="{style}"><tbody>{rows or "<tr><td>no amounts</td></tr>"}</tbody></table>'

    def _heading(self, group: str) -> str:
        return group and (
            '<tr><th scope="rowgroup" colspan="3" style="text-align: left; padding-top: 0.8em">'
            f"{html.escape(group)}</th></tr>"
        )

    def _row(self, label: str, words: str, share: float, *, mark: bool, decades: float) -> str:
        colour = self.colours[label]
        square = f'<span aria-hidden="true" style="color: {colour}">■</span> ' if mark else ""
        line = "transparent calc(100% - 1px), color-mix(in srgb, currentColor 35%, transparent) 0"
        step = (
            f"background: linear-gradient(to right, {line}) 0 / {100 / decades:.2f}% 100%; "
            if decades
            else ""
        )
        return (
            '<tr><th scope="row" style="text-align: left; white-space: nowrap; font-weight: normal">'
            f"{square}{html.escape(label)}</th>"
            '<td style="text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums">'
            f"{html.escape(words)}</td>"
            f'<td style="width: 60%; text-align: left"><div style="{step}"><div style="height: 1em; '
            f'border-radius: 2px; width: {100 * share:.1f}%; background: {colour}"></div></div></td></tr>'
        )


_LOGARITHMIC = "logarithmic scale: each step is ten times as much"


def _decades(bars: Mapping[str, tuple[float | None, str]]) -> float:
    """How many powers of ten a logarithmic scale shows; 0 where a linear one will do."""
    there = [amount for amount, _ in bars.values() if amount]
    if not there or max(there) <= 300 * min(there):
        return 0
    return math.log10(max(there)) - _begin(there)


def _begin(amounts: list[float]) -> float:
    """Where a logarithmic scale begins, as a power of ten, so that the shortest bar can be seen."""
    return math.floor(math.log10(min(amounts)) - 0.2)


def _shares(bars: Mapping[str, tuple[float | None, str]]) -> list[tuple[str, str, float]]:
    """Label, words, and the share of the longest bar in the same group."""
    there = [amount for amount, _ in bars.values() if amount]
    decades = _decades(bars)

    def share(amount: float | None) -> float:
        if not amount:
            return 0.0
        return (math.log10(amount) - _begin(there)) / decades if decades else amount / max(there)

    return [(label, words, share(amount)) for label, (amount, words) in bars.items()]
