"""Durations side by side, as a picture and as text."""

from __future__ import annotations

import html
from collections.abc import Mapping


class Bars:
    """Bars for durations.

        Bars({"kernel's loop": 1.0, "thread": 0.004})

    Args:
        seconds: the durations by their labels, in seconds.
    """

    def __init__(self, seconds: Mapping[str, float]) -> None:
        self.seconds = dict(seconds)

    def __repr__(self) -> str:
        wide = max(map(len, self.seconds))
        rows = ((label, value, round(40 * self._share(value))) for label, value in self.seconds.items())
        return "\n".join(
            f"{label:{wide}}  {_in_ms(value):>10}  {'█' * cells}" for label, value, cells in rows
        )

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th scope="row" style="text-align: left; white-space: nowrap">{html.escape(label)}</th>'
            f'<td style="text-align: right; white-space: nowrap">{_in_ms(value)}</td>'
            '<td style="width: 60%; text-align: left"><div style="height: 1em; border-radius: 2px; '
            f"min-width: 2px; width: {100 * self._share(value):.1f}%; "
            'background: var(--jp-brand-color1, #1976d2)"></div></td></tr>'
            for label, value in self.seconds.items()
        )
        return f'<table style="width: 100%; max-width: 720px"><tbody>{rows}</tbody></table>'

    def _share(self, value: float) -> float:
        longest = max(self.seconds.values())
        return value / longest if longest else 0.0


def _in_ms(seconds: float) -> str:
    return f"{1000 * seconds:,.1f} ms"
