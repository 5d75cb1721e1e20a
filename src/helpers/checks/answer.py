"""The reader's function, called on a loop of its own, and in words what became of it."""

from __future__ import annotations

import asyncio
import inspect
import re
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from helpers.background.break_off import RESTART
from helpers.background.journal import LeftBehind
from helpers.background.loops import BackgroundLoop
from helpers.checks.patience import in_time
from helpers.checks.peers import ANSWER_WITHIN
from helpers.checks.verdict import NotYet, shown
from helpers.checks.watched import Watch
from helpers.readers_code import call_of, in_words, is_readers, may_give_coroutine, readers_line

READ_IT = "read the error: what did that line expect?"

ELSEWHERE = "slow work goes to another thread: `await asyncio.to_thread(function, argument)` in a coroutine"


class Answer:
    """The reader's function, run on a loop of its own, so that it may block.

    Args:
        function: what the reader wrote, in any form that can be called.
        coroutine: whether a call must give something to await; None lets it be either.

    Attributes:
        error: what it raised last.
        watch: what it has started on its loop.
    """

    def __init__(self, function: Callable[..., Any], *, coroutine: bool | None) -> None:
        self.loop = BackgroundLoop("loop of your code")
        self.watch = Watch(self.loop.asyncio_loop)
        self.blocked: str | None = None
        self.error: Exception | None = None
        self._function = function
        self._coroutine = coroutine
        self._name = name_of(function)
        self.loop.hold(self, blocked=self._is_blocked)

    async def __call__(self, *arguments: object, within: float = ANSWER_WITHIN, **named: object) -> Any:
        """Call it, and wait for what it returns.

        Raises:
            NotYet: it raised, or did not return in time.
        """
        future = self.loop.submit(self._call(arguments, named))
        try:
            return await in_time(asyncio.wrap_future(future), within)
        except NotYet:
            raise
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

    async def _call(self, arguments: tuple[object, ...], named: dict[str, object]) -> Any:
        try:
            return await self.watch.call(self._given, *arguments, **named)
        except NotYet:
            raise
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

    async def _given(self, *arguments: Any, **named: Any) -> Any:
        given = self._function(*arguments, **named)
        if inspect.isgenerator(given) or inspect.isasyncgen(given):
            raise unfit_form(self._name, coroutine=self._coroutine is not False, generator=True)
        if isinstance(given, Awaitable):
            if self._coroutine is False and inspect.iscoroutine(given):
                given.close()
                raise unfit_form(self._name, coroutine=False)
            return await given if self._coroutine is not False else given
        if self._coroutine:
            raise unfit_form(self._name, coroutine=True)
        return given


def unfit_form(name: str, *, coroutine: bool, generator: bool = False) -> NotYet:
    """Says that a function must be a coroutine function, or a plain one."""
    kind = (
        "coroutine function: write `async def`"
        if coroutine
        else "plain function: write `def`, without `async`"
    )
    why = " and no `yield`" if generator else ""
    return NotYet(f"`{name}` must be a {kind}{why}", LOOK_AT_THE_STUB, sure=True)


LOOK_AT_THE_STUB = "look at the first line of the stub"


def hint_for(error: BaseException) -> str:
    """Which way to look when the reader's code raised this."""
    text = in_words(error)
    if "data must be str" in text:
        return f"what you send must be a string (or bytes), {_sent(error)}"
    if "NoneType can't be used in 'await' expression" in text or "NoneType' object can't be awaited" in text:
        return (
            "what you `await` there is a plain call, which has already done its work: leave out the `await`"
        )
    if "object is not callable" in text and not is_readers(
        traceback.extract_tb(error.__traceback__)[-1].filename
    ):
        return "pass the function itself and its argument separately: `f, x` instead of `f(x)`"
    if "changed size during iteration" in text:
        return "a loop can't go through what it adds to or deletes from: go through a copy, `list(...)`"
    return READ_IT


def _sent(error: BaseException) -> str:
    """What `connection.send` was called with, and what is missing there."""
    value = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        value = frame.f_locals.get("message", value) if frame.f_code.co_name == "send" else value
    if inspect.isroutine(value):
        return "and you sent a function: call it, with `()` after its name"
    if isinstance(value, Awaitable):
        return "and you sent something that has not run yet: an `await` is missing in front of it"
    return f"and you sent {shown(value)}"


def hint_for_blocked(code: object, blocked: str) -> str:
    """Which way to look when the reader's code blocks its loop.

    Args:
        code: the reader's function.
        blocked: a sentence that names the line.
    """
    line = blocked.partition("(): ")[2].partition("; nobody")[0]
    if isinstance(blocked, LeftBehind):
        return f"{RESTART}, and catch only what you expect: `except ConnectionClosed`, never a bare `except`"
    if not may_give_coroutine(code):
        return "a plain function has to return at once: what does that line wait for, or what ends the loop?"
    if re.search(r"\bsleep\(", line):
        return "`time.sleep` stops everybody on the loop; in a coroutine, `await asyncio.sleep(...)` doesn't"
    if re.search(r"\.(result|get|join|wait|acquire)\(", line):
        return (
            "that call waits for somebody else and keeps the loop meanwhile, so that whoever would end the "
            "waiting gets no turn: in a coroutine, `await` the work itself"
        )
    if re.match(r"(while|for)\b", line) or not line:
        return "nothing in that loop waits, so nobody else gets a turn: inside it, `await` what you wait for"
    return f"while that line runs, nobody else gets a turn; {ELSEWHERE}"


def how_it_raised(name: str, error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):  # from a task group
        error = error.exceptions[0]
    where = readers_line(traceback.extract_tb(error.__traceback__))
    return f"`{name}` raised {in_words(error)}" + (f", at {where}" if where else "")


def name_of(code: object) -> str:
    """What the reader's code is called in a sentence."""
    function = call_of(code)
    own = code if function is type(code).__call__ else function
    return str(getattr(own, "__name__", None) or type(code).__name__)
