"""What every measured comparison is: options, `await run(progress)`, a result."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

from helpers.background.child import Child
from helpers.background.lifetime import BackgroundError
from helpers.readers_code import in_words

Result = TypeVar("Result")

Progress = Callable[[float], None]
"""Is called now and then with the share that is done, 0 to 1."""


def ignore(share: float) -> None:
    """Nobody watches."""


class Run(ABC, Generic[Result]):
    """A measured comparison, to be carried out once with `await run.run()`.

    A subclass takes the options, and refuses with a `ValueError` what makes no sense.
    """

    def __init__(self) -> None:
        self._child: Child | None = None
        self._stopped = False

    @abstractmethod
    async def run(self, progress: Progress = ignore) -> Result:
        """Measure. What it has started ends when it is cancelled.

        Args:
            progress: is called with the share that is done.

        Raises:
            BackgroundError: a server or a client has failed, and why.
        """

    def stop(self) -> None:
        """Break it off, from any thread; `run` then raises a `BackgroundError`."""
        self._stopped = True
        if self._child is not None:
            self._child.close()

    @asynccontextmanager
    async def _measuring(
        self, function: Callable[..., Any], *args: object, seconds: float
    ) -> AsyncIterator[Child]:
        """A child process that runs a function of `experiments.children`; it ends with the block.

        Args:
            function: what the child does.
            *args: for the function, after the child's `Parent`.
            seconds: how long the block may take.

        Raises:
            BackgroundError: the child gave up, and why; or the run was broken off.
        """
        limit = asyncio.timeout(seconds)
        try:
            async with Child(function, *args) as child, limit:
                self._child = child
                if self._stopped:
                    raise BackgroundError
                yield child
        except Exception as error:
            if self._stopped:
                raise BackgroundError("it was broken off") from None
            if isinstance(error, BackgroundError):
                raise
            why = f"not done after {seconds:g} s" if limit.expired() else in_words(error)
            raise BackgroundError(f"the client gave up: {why}") from error
