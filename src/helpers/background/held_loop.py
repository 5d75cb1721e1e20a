"""A background loop as servers, apps and taps hold it: from their start to their stop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from helpers.background.journal import Reporter
from helpers.background.loops import BackgroundLoop, LoopBlockedError, T, hold_shared_loop


class HeldLoop:
    """Holds a background loop, and finds what blocks it.

    Args:
        reporter: takes what goes wrong on the loop.
        own: the name of a loop of its own; None for the loop that all share.
    """

    def __init__(self, reporter: Reporter, *, own: str | None = None) -> None:
        self._reporter = reporter
        if own is None:
            self._loop = hold_shared_loop(self, reporter.say, reporter.block)
        else:
            self._loop = BackgroundLoop(own)
            self._loop.hold(self, reporter.say, reporter.block)

    @property
    def asyncio_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop.asyncio_loop

    def call(self, coroutine: Coroutine[Any, Any, T], timeout: float) -> T:
        """Run a coroutine on the loop and wait for it, at most `timeout` seconds.

        Raises:
            LoopBlockedError: it did not end in time.
        """
        return self._loop.call(coroutine, timeout)

    def end(self, coroutine: Coroutine[Any, Any, object], timeout: float) -> None:
        """Run the last coroutine, break off what blocks the loop meanwhile, and let go of the loop."""
        try:
            self._loop.call(coroutine, timeout, insist=True)
        except LoopBlockedError as error:
            self._reporter.say(str(error))
        finally:
            self.let_go()

    def let_go(self) -> None:
        """Let go of the loop, and tell of code that could not be ended."""
        self._loop.release(self)
        if self._loop.left_behind:
            self._reporter.block(self._loop.left_behind)
