"""Whose answer a check has looked at: the reader's, or the notebook's own solution."""

from __future__ import annotations

import functools
import linecache
import sys
from collections.abc import Callable
from typing import Any

from helpers.checks.verdict import Verdict

SOLUTION = "# Solution"
"""The first line of a cell that holds a solution."""


def check(function: Callable[[Any], Verdict]) -> Callable[[Any], Verdict]:
    """Decorates a check, so that its ✓ for the notebook's solution can't be taken for the reader's.

    The solution is what was checked in a cell that begins with `# Solution`; it is recognised again when the
    reader then runs their own check, since the solution has taken their function's name.
    """
    name = function.__name__
    solutions: list[object] = []

    @functools.wraps(function)
    def checked(answer: Any) -> Verdict:
        if linecache.getline(sys._getframe(1).f_code.co_filename, 1).startswith(SOLUTION):
            solutions[:] = [answer]
        verdict = function(answer)
        if verdict and any(answer is solution for solution in solutions):
            said = f"the solution passes; `{name}` is now the solution's, until you run your own cell again"
            return Verdict(True, said)
        return verdict

    return checked
