"""A table that a chapter fills in: a claim, the reader's guess, what was measured, and the verdict."""

from __future__ import annotations

import html
import textwrap
from typing import NamedTuple


class Claim(NamedTuple):
    """One row: what is claimed, and what became of it."""

    claim: str
    guess: str
    measured: str
    verdict: str


class Claims:
    """Claims, judged one after another; judging a claim again replaces its row.

    claims = Claims()
    claims.judge("HTTP opens a connection for each request", 25, "1 connection", False)
    claims
    """

    def __init__(self) -> None:
        self._rows: dict[str, Claim] = {}

    def judge(self, claim: str, guess: object, measured: str, verdict: bool) -> None:
        """Put a row into the table.

        Args:
            claim: what is said.
            guess: what the reader expected; `...` where nothing was written.
            measured: what came out, in the unit of the guess.
            verdict: whether that bears the claim out.
        """
        guessed = "–" if guess is ... else str(guess)
        self._rows[claim] = Claim(claim, guessed, measured, "true" if verdict else "false")

    @property
    def rows(self) -> list[Claim]:
        """The rows so far, in the order in which the claims came."""
        return list(self._rows.values())

    def __repr__(self) -> str:
        lines = []
        for number, row in enumerate(self.rows, start=1):
            lines.append(f"{number}. {row.claim}")
            for label, text in (
                ("you said", row.guess),
                ("measured", row.measured),
                ("verdict", row.verdict),
            ):
                lines.append(
                    textwrap.fill(
                        f"{label + ':':10}{text}",
                        100,
                        initial_indent="   ",
                        subsequent_indent=" " * 13,
                    )
                )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        left = "text-align: left; vertical-align: top; white-space: normal"
        heads = "".join(
            f'<th scope="col" style="{left}">{head}</th>'
            for head in ("claim", "you said", "measured", "verdict")
        )
        rows = "".join(
            f'<tr><th scope="row" style="{left}; font-weight: normal">{html.escape(row.claim)}</th>'
            f'<td style="{left}">{html.escape(row.guess)}</td>'
            f'<td style="{left}">{html.escape(row.measured)}</td>'
            f'<td style="{left}"><b>{html.escape(row.verdict)}</b></td></tr>'
            for row in self.rows
        )
        style = "table-layout: auto; width: 100%; max-width: 720px"  # JupyterLab's own layout is fixed
        return f'<table style="{style}"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'
