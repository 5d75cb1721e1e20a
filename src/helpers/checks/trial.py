"""Runs the reader's code against real peers, with a deadline, and survives whatever it does."""

from __future__ import annotations

import concurrent.futures
import inspect
import itertools
from collections.abc import Callable, Coroutine
from typing import Any

from websockets.exceptions import ConnectionClosed

from helpers.background.journal import LeftBehind
from helpers.background.loops import BackgroundLoop
from helpers.background.server import BackgroundServer
from helpers.checks.answer import (
    LOOK_AT_THE_STUB,
    Answer,
    hint_for,
    hint_for_blocked,
    how_it_raised,
    name_of,
    unfit_form,
)
from helpers.checks.holes import holes
from helpers.checks.patience import in_time
from helpers.checks.peers import until_all_have_left
from helpers.checks.verdict import UNFINISHED, NotYet, Verdict, shown
from helpers.checks.watched import SWALLOWED, Watch
from helpers.readers_code import call_of, cannot_be_called_with, in_words

DEADLINE = 4.0
"""How long a trial may take, in seconds; breaking code off takes another second or so."""

_numbers = itertools.count(1)

HandlerScenario = Callable[[str, Watch], Coroutine[Any, Any, str]]


def try_handler(handler: Any, scenario: HandlerScenario) -> Verdict:
    """Serve with the reader's handler, on a loop of its own, and play a scenario against it.

    Args:
        handler: what the reader wrote for `async def handler(connection)`, in any form that can be served.
        scenario: is called on another loop, with the server's address and what the handler does on its loop;
            returns what went right, or raises `NotYet`. Afterwards, whatever the handler started has to end.

    Returns:
        The verdict, within six seconds whatever the handler does.
    """
    if holes(handler) == "nothing else":
        return UNFINISHED
    name = name_of(handler)
    try:
        title = f"check {next(_numbers)} of {name}"  # a server of the same name would take its place
        server = BackgroundServer(handler, where="own", name=title, close_timeout=0.2)
    except TypeError as error:
        return Verdict(False, str(error), LOOK_AT_THE_STUB)
    watched: list[Watch] = []
    server.handler = lambda connection: watched[0].handler(handler)(connection)
    early: list[Exception] = []
    server.start()
    watched.append(watch := Watch(server.loop))
    try:
        verdict, sure = _play(_noting(scenario(server.url, watch), early, lambda: server.failures), watch)
    finally:
        server.halt()  # and not stop(), which would tell what the verdict tells
    failures, blocked = server.failures, server.blocked
    if verdict:
        early += failures  # when peers leave; after a failed trial that would be no explanation
    elif not early and (died := watch.failure()):
        early.append(died)
    return _explained(verdict, sure, handler, early, blocked, swallowed=watch.swallowed)


def try_function(
    function: Any,
    scenario: Callable[[Answer], Coroutine[Any, Any, str]],
    *,
    arguments: str,
    coroutine: bool | None = True,
) -> Verdict:
    """Play a scenario in which the reader's function is called.

    Args:
        function: what the reader wrote, in any form that can be called.
        scenario: is called with the function as an `Answer`, on another loop. Afterwards, whatever the
            function started on its loop has to end.
        arguments: the names of the function's arguments, like `"url, question"`; empty where whoever calls
            it goes by other rules.
        coroutine: whether a call must give something to await; None lets it be either.

    Returns:
        The verdict, within six seconds whatever the function does.
    """
    if holes(function) == "nothing else":
        return UNFINISHED
    if not callable(function):
        return Verdict(False, f"the answer must be a function, not {shown(function)}", LOOK_AT_THE_STUB)
    name, written = name_of(function), call_of(function)
    why_not = cannot_be_called_with(function, *arguments.split(", ")) if arguments else None
    if why_not:
        return Verdict(False, f"`{name}` is called as `{name}({arguments})`: {why_not}", LOOK_AT_THE_STUB)
    has_yield = inspect.isgeneratorfunction(written) or inspect.isasyncgenfunction(written)
    if has_yield or (coroutine is False and inspect.iscoroutinefunction(written)):
        generator = has_yield and coroutine is not False
        return unfit_form(name, coroutine=coroutine is not False, generator=generator).verdict
    answer = Answer(function, coroutine=coroutine)
    try:
        verdict, sure = _play(scenario(answer), answer.watch)
    finally:
        answer.end()
    failure = None if verdict else answer.watch.failure()
    return _explained(verdict, sure, function, [failure] if failure else [], answer.blocked)


async def _noting(
    scenario: Coroutine[Any, Any, str], early: list[Exception], failures: Callable[[], list[Exception]]
) -> str:
    """Note which handlers have failed before the peers leave."""
    try:
        return await scenario
    finally:
        early += failures()


def _play(scenario: Coroutine[Any, Any, str], watch: Watch) -> tuple[Verdict, bool]:
    """The verdict, and whether no deeper reason has to be looked for."""
    examiner = BackgroundLoop("examiner")
    examiner.hold(scenario)
    future = examiner.submit(in_time(_to_the_end(scenario, watch), DEADLINE))
    try:
        return Verdict(True, future.result(5 * DEADLINE)), False
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


async def _to_the_end(scenario: Coroutine[Any, Any, str], watch: Watch) -> str:
    said = await until_all_have_left(scenario)
    await watch.all_have_ended("it is over")
    return said


def _explained(
    verdict: Verdict,
    sure: bool,
    code: object,
    errors: list[Exception],
    blocked: str | None,
    *,
    swallowed: bool = False,
) -> Verdict:
    """A verdict with the deeper reason, where one is known."""
    if blocked and (isinstance(blocked, LeftBehind) or not (verdict or sure or errors)):
        verdict = Verdict(False, blocked, SWALLOWED if swallowed else hint_for_blocked(code, blocked))
    elif errors and not sure:
        verdict = Verdict(False, how_it_raised(name_of(code), errors[0]), hint_for(errors[0]))
    if not verdict and holes(code) == "some":
        return Verdict(False, verdict.said, f"{verdict.hint}; and there is still a `...` in your code")
    return verdict
