"""Runs the reader's code against real peers, with a deadline, and survives whatever it does."""

from __future__ import annotations

import ast
import asyncio
import collections
import concurrent.futures
import inspect
import textwrap
import traceback
from collections.abc import Callable, Coroutine
from typing import Any

from websockets.exceptions import ConnectionClosed

from helpers.background.break_off import RESTART
from helpers.background.loops import BackgroundLoop
from helpers.background.server import BackgroundServer
from helpers.checks.answer import Answer, hint_for, how_it_raised, name_of
from helpers.checks.peers import GIVE_TURNS, until_all_have_left
from helpers.checks.verdict import NotYet, Verdict, shown
from helpers.readers_code import in_words, readers_line

DEADLINE = 3.0
"""How long a trial may take, in seconds; another second or so goes by when code has to be broken off."""

HandlerScenario = Callable[[str, asyncio.AbstractEventLoop], Coroutine[Any, Any, str]]


def try_handler(handler: Any, scenario: HandlerScenario) -> Verdict:
    """Serve with the reader's handler, on a loop of its own, and play a scenario against it.

    Args:
        handler: the reader's `async def handler(connection)`.
        scenario: is called on another loop, with the server's address and the handler's loop; returns
            what went right, or raises `NotYet`.

    Returns:
        The verdict, within five seconds whatever the handler does.
    """
    if _unfinished(handler):
        return UNFINISHED
    name = name_of(handler)
    try:
        server = BackgroundServer(handler, where="own", name=f"check of {name}", close_timeout=0.2)
    except TypeError as error:
        return _unfit(str(error))
    server.start()
    tasks = _recorded_tasks(server.loop)
    try:
        verdict, sure = _play(scenario(server.url, server.loop))
    finally:
        server.halt()  # and not stop(), which would tell what the verdict tells
    failures, blocked = server.failures, server.blocked
    if not (verdict or failures):
        failures = [death for death in map(_died_of, tasks) if death]
    return _explained(verdict, sure, handler, failures[0] if failures else None, blocked)


def _recorded_tasks(loop: asyncio.AbstractEventLoop) -> collections.deque[asyncio.Task[Any]]:
    """The tasks that are made on the loop from now on, the last thousand of them."""
    tasks: collections.deque[asyncio.Task[Any]] = collections.deque(maxlen=1000)

    def recorded(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        tasks.append(asyncio.Task(coroutine, loop=loop, **options))
        return tasks[-1]

    loop.set_task_factory(recorded)
    return tasks


def _died_of(task: asyncio.Task[Any]) -> Exception | None:
    """What a task of the reader's raised, unless its peer had left; asyncio tells only who awaits it."""
    error = task.exception() if task.done() and not task.cancelled() else None
    if not isinstance(error, Exception) or isinstance(error, ConnectionClosed):
        return None
    return error if readers_line(traceback.extract_tb(error.__traceback__)) else None


def try_function(
    function: Any,
    scenario: Callable[[Answer], Coroutine[Any, Any, str]],
    *,
    arguments: str,
    coroutine: bool | None = True,
) -> Verdict:
    """Play a scenario in which the reader's function is called.

    Args:
        function: the reader's function.
        scenario: is called with the function as an `Answer`, on another loop.
        arguments: the names of the function's arguments, like `"url, question"`.
        coroutine: whether it has to be a coroutine function; None lets it be one or a plain function.

    Returns:
        The verdict, within five seconds whatever the function does.
    """
    if _unfinished(function):
        return UNFINISHED
    names = arguments.split(", ")
    if not callable(function):
        return _unfit(f"the answer must be a function, not {shown(function)}")
    try:
        inspect.signature(function).bind(*names)
    except (TypeError, ValueError) as error:
        return _unfit(f"`{name_of(function)}` is called as `{name_of(function)}({arguments})`: {error}")
    is_coroutine = inspect.iscoroutinefunction(function)
    has_yield = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
    if (coroutine and not is_coroutine) or (coroutine is None and has_yield):
        why = " and no `yield`" if has_yield else ""
        return _unfit(f"`{name_of(function)}` must be a coroutine function: write `async def`{why}")
    if coroutine is False and (is_coroutine or inspect.isasyncgenfunction(function)):
        return _unfit(f"`{name_of(function)}` must be a plain function: write `def`, without `async`")
    answer = Answer(function)
    try:
        verdict, sure = _play(scenario(answer))
    finally:
        answer.end()
    return _explained(verdict, sure, function, None, answer.blocked)


def _play(scenario: Coroutine[Any, Any, str]) -> tuple[Verdict, bool]:
    """The verdict, and whether no deeper reason has to be looked for."""
    examiner = BackgroundLoop("examiner")
    examiner.hold(scenario)
    future = examiner.submit(until_all_have_left(scenario))
    try:
        return Verdict(True, future.result(DEADLINE)), False
    except NotYet as not_yet:
        return not_yet.verdict, not_yet.sure
    except concurrent.futures.TimeoutError:
        future.cancel()
        said, hint = f"the trial was not over after {DEADLINE:g} s", "what does your code wait for?"
    except (ConnectionClosed, OSError) as error:
        said, hint = f"the connection broke: {in_words(error)}", "does your code end too early?"
    except Exception as error:  # what the reader returned may raise wherever it is looked at
        said, hint = (
            f"what you returned can't be looked at: {in_words(error)}",
            "what should it be?",
        )
    finally:
        examiner.release(scenario)
    return Verdict(False, said, hint), False


def _explained(
    verdict: Verdict, sure: bool, code: object, error: BaseException | None, blocked: str | None
) -> Verdict:
    """A verdict with the deeper reason, where one is known."""
    if blocked and RESTART in blocked:
        return Verdict(False, blocked, GIVE_TURNS)
    if sure:
        return verdict
    if error:
        return Verdict(False, how_it_raised(name_of(code), error), hint_for(error))
    if blocked and not verdict:
        return Verdict(False, blocked, GIVE_TURNS)
    return verdict


UNFINISHED = Verdict(False, "there is still a `...`", "put your own lines in its place")


def _unfit(why: str) -> Verdict:
    return Verdict(False, why, "look at the first line of the stub")


def _unfinished(code: object) -> bool:
    if code is ...:
        return True
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(code)))  # type: ignore[arg-type]
    except (OSError, TypeError, SyntaxError):
        return False
    return any(isinstance(node, ast.Constant) and node.value is ... for node in ast.walk(tree))
