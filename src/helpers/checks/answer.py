"""The reader's function, called on a loop of its own, and in words what became of it."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from helpers.background.loops import BackgroundLoop
from helpers.checks.peers import ANSWER_WITHIN
from helpers.checks.verdict import NotYet
from helpers.readers_code import in_words, readers_line

READ_IT = "read the message: what did that line expect?"


class Answer:
    """The reader's function, run on a loop of its own, so that it may block.

    Args:
        function: the reader's function, a coroutine function or a plain one.

    Attributes:
        error: what it raised last.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.loop = BackgroundLoop("loop of your code")
        self.blocked: str | None = None
        self.error: Exception | None = None
        self._function = function
        self._name = name_of(function)
        self.loop.hold(self, blocked=self._is_blocked)

    async def __call__(self, *arguments: object, within: float = ANSWER_WITHIN) -> Any:
        """Call it, and wait for what it returns.

        Raises:
            NotYet: it raised, or did not return in time.
        """
        future = self.loop.submit(self._call(arguments))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), within)
        except Exception as error:
            if self.error is not None:
                said, hint = how_it_raised(self._name, self.error), hint_for(self.error)
                raise NotYet(said, hint, sure=True) from error
            if not isinstance(error, TimeoutError):
                raise
            raise NotYet(
                f"`{self._name}` did not return within {within:g} s",
                "what does it wait for, and who would end the waiting?",
            ) from None

    def end(self) -> None:
        """Stop its loop, and break off what blocks it."""
        self.loop.release(self)
        self.blocked = self.loop.left_behind or self.blocked

    def _is_blocked(self, text: str) -> None:
        self.blocked = text

    async def _call(self, arguments: tuple[object, ...]) -> Any:
        try:
            result = self._function(*arguments)
            return await result if isinstance(result, Awaitable) else result
        except (SystemExit, KeyboardInterrupt) as error:
            self.error = RuntimeError(f"{type(error).__name__}, which would end the kernel")
            raise self.error.with_traceback(error.__traceback__) from None
        except asyncio.CancelledError as error:
            if asyncio.current_task().cancelling():  # type: ignore[union-attr]
                raise
            self.error = RuntimeError("it was cancelled, by itself")
            raise self.error.with_traceback(error.__traceback__) from None
        except Exception as error:
            self.error = error  # here, because a `TimeoutError` loses its lines on its way to another loop
            raise


def hint_for(error: BaseException) -> str:
    text = in_words(error)
    if "data must be str" in text:
        return "what you send must be a string (or bytes): is an `await` missing in front of what makes it?"
    if "object is not callable" in text:
        return "pass the function itself and its argument separately: `f, x` instead of `f(x)`"
    return READ_IT


def how_it_raised(name: str, error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):  # from a task group
        error = error.exceptions[0]
    where = readers_line(traceback.extract_tb(error.__traceback__))
    return f"`{name}` raised {in_words(error)}" + (f", at {where}" if where else "")


def name_of(code: object) -> str:
    return str(getattr(code, "__name__", "your answer"))
