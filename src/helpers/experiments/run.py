"""What every measured comparison is: options, `await run(progress)`, a result."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from inspect import Signature, signature
from typing import Any, Generic, ParamSpec, TypeVar

Options = ParamSpec("Options")
Result = TypeVar("Result")

Progress = Callable[[float], None]
"""Is called now and then, in any thread, with the share that is done, 0 to 1."""


def ignore(share: float) -> None:
    """Nobody watches."""


def no_bar() -> AbstractContextManager[Progress]:
    """Show nothing."""
    return nullcontext(ignore)


progress_bar = no_bar
"""Shows how far a comparison is while a cell awaits it; `helpers.widgets.progress` puts a real bar here."""


class Run(ABC, Generic[Result]):
    """A measured comparison, to be carried out once.

        run = PushRun(20)
        result = await run.run()

    A subclass takes the options, and refuses with a `ValueError` what makes no sense.
    """

    async def run(self, progress: Progress = ignore) -> Result:
        """Measure. Cancelling it ends the child processes.

        Args:
            progress: is called with the share that is done.

        Raises:
            BackgroundError: a server or a client has failed, and why.
        """
        try:
            return await asyncio.to_thread(self._measure, progress)
        except asyncio.CancelledError:
            self.stop()
            raise

    @abstractmethod
    def stop(self) -> None:
        """Break it off, from any thread; `run` then raises a `BackgroundError`."""

    @abstractmethod
    def _measure(self, progress: Progress) -> Result:
        """Carry it out, in a thread of its own."""


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
