"""Amounts of several kinds in several groups, as a picture and as text: a colour a kind."""

from __future__ import annotations

import html
from collections.abc import Mapping

COLOURS = ("#2f7ed8", "#c9700a", "#2b9a5f", "#a266d4", "#d64569", "#168c9e", "#8a7a1c", "#808080")
"""Each has a contrast of 3:1 or more to the light theme's ground and to the dark one's (WCAG 2.2, 1.4.11)."""


class GroupedBars:
    """Bars in groups, each group to its own scale, and the same kind in the same colour everywhere.

        GroupedBars({"10 clients": {"a": (0.6, "0.60 ms"), "b": (0.7, "0.70 ms")}})

    Args:
        groups: for each group the amounts of the kinds, with the words for each; None where there is none.
    """

    def __init__(self, groups: Mapping[str, Mapping[str, tuple[float | None, str]]]) -> None:
        self.groups = {group: dict(bars) for group, bars in groups.items()}
        kinds = dict.fromkeys(kind for bars in self.groups.values() for kind in bars)
        self.colours = {kind: COLOURS[at % len(COLOURS)] for at, kind in enumerate(kinds)}

    def __repr__(self) -> str:
        wide = max(map(len, self.colours), default=0)
        lines = []
        for group, bars in self.groups.items():
            said = max(len(words) for _, words in bars.values())
            lines.append(group)
            lines += [
                f"  {kind:{wide}}  {words:>{said}}  {'█' * round(40 * share)}".rstrip()
                for kind, words, share in self._shares(bars)
            ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th scope="rowgroup" colspan="3" style="text-align: left; padding-top: 0.8em">'
            f"{html.escape(group)}</th></tr>"
            + "".join(
                '<tr><th scope="row" style="text-align: left; white-space: nowrap; font-weight: normal">'
                f'<span aria-hidden="true" style="color: {self.colours[kind]}">■</span> '
                f"{html.escape(kind)}</th>"
                '<td style="text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums">'
                f"{html.escape(words)}</td>"
                '<td style="width: 60%; text-align: left"><div style="height: 1em; border-radius: 2px; '
                f'width: {100 * share:.1f}%; background: {self.colours[kind]}"></div></td></tr>'
                for kind, words, share in self._shares(bars)
            )
            for group, bars in self.groups.items()
        )
        return (
            f'<table style="width: 100%; max-width: 720px; table-layout: auto"><tbody>{rows}</tbody></table>'
        )

    def _shares(self, bars: Mapping[str, tuple[float | None, str]]) -> list[tuple[str, str, float]]:
        longest = max((amount or 0.0 for amount, _ in bars.values()), default=0.0)
        return [
            (kind, words, (amount or 0.0) / longest if longest else 0.0)
            for kind, (amount, words) in bars.items()
        ]
