"""A progress bar for the measured comparisons, where there is a notebook to show it in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import ipywidgets
from IPython.display import display

from helpers.experiments import run
from helpers.interrupts import in_a_notebook


class ProgressBar(ipywidgets.IntProgress):  # type: ignore[misc]
    """A bar that is called with the share that is done, 0 to 1."""

    def __init__(self) -> None:
        super().__init__(value=0, max=100, description="Measuring")

    def __call__(self, share: float) -> None:
        self.value = int(100 * share)

    def __repr__(self) -> str:
        return f"{self.description} …"


@contextmanager
def bar_in_a_notebook() -> Iterator[run.Progress]:
    """Show a bar under the cell that runs, and take it away at the end."""
    if not in_a_notebook():
        yield run.ignore
        return
    bar = ProgressBar()
    display(bar)  # type: ignore[no-untyped-call]
    try:
        yield bar
    finally:
        bar.close()


run.progress_bar = bar_in_a_notebook
