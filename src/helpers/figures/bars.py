"""Durations or other amounts side by side, as a picture and as text."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping


def _in_ms(seconds: float) -> str:
    return f"{1000 * seconds:,.1f} ms"


class Bars:
    """Bars for durations.

        Bars({"kernel's loop": 1.0, "thread": 0.004})

    Args:
        seconds: the durations by their labels, in seconds; or other amounts, with `words`.
        words: how an amount is said.
    """

    def __init__(self, seconds: Mapping[str, float], *, words: Callable[[float], str] = _in_ms) -> None:
        self.seconds = dict(seconds)
        self._words = words

    def __repr__(self) -> str:
        wide = max(map(len, self.seconds))
        rows = ((label, value, round(40 * self._share(value))) for label, value in self.seconds.items())
        return "\n".join(
            f"{label:{wide}}  {self._words(value):>10}  {'█' * cells}" for label, value, cells in rows
        )

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th scope="row" style="text-align: left; white-space: nowrap">{html.escape(label)}</th>'
            f'<td style="text-align: right; white-space: nowrap">{self._words(value)}</td>'
            '<td style="width: 60%; text-align: left"><div style="height: 1em; border-radius: 2px; '
            f"min-width: 2px; width: {100 * self._share(value):.1f}%; "
            'background: var(--jp-brand-color1, #1976d2)"></div></td></tr>'
            for label, value in self.seconds.items()
        )
        style = "table-layout: auto; width: 100%; max-width: 720px"  # JupyterLab's own layout is fixed
        return f'<table style="{style}"><tbody>{rows}</tbody></table>'

    def _share(self, value: float) -> float:
        longest = max(self.seconds.values())
        return value / longest if longest else 0.0
