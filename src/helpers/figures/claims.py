"""A table that a chapter fills in: a claim, the reader's verdict, what was measured, and the verdict."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Mapping
from typing import NamedTuple

from helpers.arguments import kind


class Claim(NamedTuple):
    """One row: what is claimed, what the reader made of it, and what became of it."""

    claim: str
    judged: str
    measured: str
    verdict: str


class Claims:
    """Claims that the reader judges first, and measurements settle; settling one again replaces its row.

        claims = Claims({"HTTP opens a connection for each request": ...})  # True or False?
        claims.settle("HTTP opens a connection for each request", "1 connection for 1,000", False)
        claims

    Args:
        judged: the claims, and whether the reader takes each for true; `...` where nothing was written.

    Raises:
        TypeError: there is something else than True, False or `...`.
    """

    def __init__(self, judged: Mapping[str, object]) -> None:
        kind(judged, "what you judge", Mapping, words="a dict from each claim to True or False")
        for claim, verdict in judged.items():
            if not isinstance(verdict, bool) and verdict is not ...:
                raise TypeError(f"write True or False after {claim!r}, not {verdict!r}")
        self._judged = judged
        self._rows: dict[str, Claim] = {}

    def settle(self, claim: str, measured: str, verdict: bool) -> None:
        """Put a row into the table.

        Args:
            claim: one of the claims.
            measured: what came out.
            verdict: whether that bears the claim out.

        Raises:
            KeyError: it isn't one of the claims.
        """
        if claim not in self._judged:
            raise KeyError(f"{claim!r} isn't one of the claims:  {', '.join(map(repr, self._judged))}")
        judged = "–" if self._judged[claim] is ... else _word(self._judged[claim])
        self._rows[claim] = Claim(claim, judged, measured, _word(verdict))

    @property
    def rows(self) -> list[Claim]:
        """The claims that were measured, in the order in which they came."""
        return list(self._rows.values())

    def tally(self) -> str:
        """How many of the settled claims the reader has judged, and how many of those rightly."""
        judged = [row for row in self.rows if row.judged != "–"]
        right = sum(row.judged == row.verdict for row in judged)
        return f"You judged {len(judged)} of {len(self.rows)} claims, {right} of them correctly."

    def __repr__(self) -> str:
        lines = []
        for number, row in enumerate(self.rows, start=1):
            lines.append(f"{number}. {row.claim}")
            for label, text in (
                ("you judged", row.judged),
                ("measured", row.measured),
                ("verdict", row.verdict),
            ):
                lines.append(
                    textwrap.fill(
                        f"{label + ':':12}{text}", 100, initial_indent="   ", subsequent_indent=" " * 15
                    )
                )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        left = "text-align: left; vertical-align: top; white-space: normal"
        heads = "".join(
            f'<th scope="col" style="{left}">{head}</th>'
            for head in ("claim", "you judged", "measured", "verdict")
        )
        rows = "".join(
            f'<tr><th scope="row" style="{left}; font-weight: normal">{html.escape(row.claim)}</th>'
            f'<td style="{left}">{html.escape(row.judged)}</td>'
            f'<td style="{left}">{html.escape(row.measured)}</td>'
            f'<td style="{left}"><b>{html.escape(row.verdict)}</b></td></tr>'
            for row in self.rows
        )
        style = "table-layout: auto; width: 100%; max-width: 720px"  # JupyterLab's own layout is fixed
        return f'<table style="{style}"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'


def _word(verdict: object) -> str:
    return "true" if verdict else "false"
