"""The measured comparisons with a progress bar, where there is a notebook to show it in."""

from __future__ import annotations

import functools
import sys
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar

import ipywidgets

from helpers.experiments import fan_out, never_reads, push, request_reply

P = ParamSpec("P")
R = TypeVar("R")


class ProgressBar(ipywidgets.IntProgress):  # type: ignore[misc]
    """A bar that is called with the share that is done, 0 to 1, and shows itself at the first call.

        compare_requests(progress=ProgressBar("Measuring"))

    Args:
        what: what it says beside the bar.
    """

    def __init__(self, what: str = "Measuring") -> None:
        super().__init__(value=0, max=100, description=what)
        self._shown = False

    def __call__(self, share: float) -> None:
        if not self._shown:
            from IPython.display import display

            self._shown = True
            display(self)  # type: ignore[no-untyped-call]
        self.value = int(100 * share)

    def __repr__(self) -> str:
        return f"{self.description} …"


def in_a_notebook() -> bool:
    """Whether a Jupyter kernel runs this."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None) is not None


def with_a_bar(measure: Callable[P, R]) -> Callable[P, R]:
    """Give a function a progress bar where it runs in a notebook and none was asked for.

    Args:
        measure: takes `progress`, a function to call with the share that is done.
    """

    @functools.wraps(measure)
    def measured(*args: P.args, **options: P.kwargs) -> R:
        if not in_a_notebook() or "progress" in options:
            return measure(*args, **options)
        bar = ProgressBar()
        try:
            options_with_bar: dict[str, Any] = {**options, "progress": bar}
            return measure(*args, **options_with_bar)
        finally:
            bar.close()

    return measured


def awaited_with_a_bar(measure: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """The same for a coroutine function, which may call `progress` from another thread."""

    @functools.wraps(measure)
    async def measured(*args: P.args, **options: P.kwargs) -> R:
        if not in_a_notebook() or "progress" in options:
            return await measure(*args, **options)
        bar = ProgressBar()
        bar(0)  # shown from here, as it belongs to this cell
        try:
            options_with_bar: dict[str, Any] = {**options, "progress": bar}
            return await measure(*args, **options_with_bar)
        finally:
            bar.close()

    return measured


compare_requests = with_a_bar(request_reply.compare_requests)
compare_push = with_a_bar(push.compare_push)
compare_fan_out = awaited_with_a_bar(fan_out.compare_fan_out)
one_never_reads = awaited_with_a_bar(never_reads.one_never_reads)
