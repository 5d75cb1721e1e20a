"""A progress bar for the measured comparisons, where there is a notebook to show it in."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import Signature, signature
from typing import Any, ParamSpec

import ipywidgets
from IPython.display import display

from helpers.experiments.run import Progress, Result, Run, ignore
from helpers.interrupts import in_a_notebook

Options = ParamSpec("Options")


class ProgressBar(ipywidgets.IntProgress):  # type: ignore[misc]
    """A bar that is called with the share that is done, 0 to 1."""

    def __init__(self) -> None:
        super().__init__(value=0, max=100, description="Measuring")

    def __call__(self, share: float) -> None:
        self.value = int(100 * share)

    def __repr__(self) -> str:
        return f"{self.description} …"


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show a bar under the cell that runs, and take it away at the end."""
    if not in_a_notebook():
        yield ignore
        return
    bar = ProgressBar()
    display(bar)  # type: ignore[no-untyped-call]
    try:
        yield bar
    finally:
        bar.close()


def comparison(
    name: str, run: Callable[Options, Run[Result]]
) -> Callable[Options, Coroutine[Any, Any, Result]]:
    """The function that carries out such a run, with the same options, and shows a progress bar meanwhile.

    Args:
        name: what the function is called.
        run: makes the run; its documentation becomes the function's.
    """

    @wraps(run, updated=())
    async def compare(*args: Options.args, **options: Options.kwargs) -> Result:
        measuring = run(*args, **options)
        with progress_bar() as progress:
            return await measuring.run(progress)

    compare.__name__ = compare.__qualname__ = name
    shown = signature(run).replace(return_annotation=Signature.empty)  # and not the None of `__init__`
    compare.__signature__ = shown  # type: ignore[attr-defined]
    return compare
