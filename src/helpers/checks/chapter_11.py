"""The exercises of `11_survive_failures`."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import random
import time
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from helpers.checks.answer import Answer
from helpers.checks.peers import serving
from helpers.checks.trial import try_function
from helpers.checks.verdict import NotYet, Verdict, shown
from helpers.checks.whose import check

DRAWS = 200
"""How often a random answer is asked for: that none is in the highest fifth has a chance of 1e-19."""

LIMIT = "the limit is `0.5 * 2**attempt`, and never more than 8"
TOO_LARGE = (
    "`0.5 * 2**attempt` doesn't fit into a float any more: from which attempt on is the limit 8 anyway?"
)
ALL_OF_IT = "draw from all of it: `random.uniform(0, limit)`"
RAISE_IT = "raise a `LookupError` where a message isn't to be had, and no other exception"
HOW_MANY = "`last - after` messages were missed; is that more than are kept?"
FUTURE = "there is no such number yet: the client must mean other messages than you do"
NEWEST = "the deque's last text has the number `last`: count from its end (and `[-0:]` is everything)"
EACH_TIME = "the clock starts over with each message: a deadline around `recv`, not around the whole loop"
ONLY_THESE = (
    "the deadline raises `TimeoutError`, a lost connection `ConnectionClosed`: what was heard still counts"
)
DONT_WAIT = "a polite close waits for the peer's: `close_timeout=` says how long, `transport.abort()` doesn't"


@check
def pause(function: Any) -> Verdict:
    """Check `def pause(attempt)`, which returns a random pause, with a limit that doubles up to 8 s."""

    async def scenario(answer: Answer) -> str:
        for attempt in (0, 1, 2, 3, 4, 5, 20):
            await _draws(answer, attempt, min(8.0, 0.5 * 2**attempt))
        for attempt in (1100, 100_000):  # 2**1024 is no float any more
            await _in_range(answer, attempt, 8.0)
        return "the pauses are random, the limit doubles, and stops at 8 s, even after weeks"

    return try_function(function, scenario, arguments="attempt", coroutine=False)


async def _draws(answer: Answer, attempt: int, limit: float) -> None:
    drawn = [await _in_range(answer, attempt, limit) for _ in range(DRAWS)]
    low, high = min(drawn), max(drawn)
    when = f"for attempt {attempt}, {DRAWS} pauses were between {low:.3g} and {high:.3g} s"
    if low == high:
        raise NotYet(f"for attempt {attempt}, all pauses are {low:g} s", ALL_OF_IT, sure=True)
    if high < 0.8 * limit:
        raise NotYet(f"{when}, and the limit is {limit:g} s", LIMIT, sure=True)
    if low > 0.2 * limit:
        raise NotYet(f"{when}: none of them is short", ALL_OF_IT, sure=True)


async def _in_range(answer: Answer, attempt: int, limit: float) -> float:
    try:
        given = await answer(attempt)
    except NotYet as not_yet:
        hint = TOO_LARGE if isinstance(answer.error, OverflowError) else not_yet.verdict.hint
        raise NotYet(f"for attempt {attempt}, {not_yet.verdict.said}", hint, sure=not_yet.sure) from not_yet
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise NotYet(f"`pause({attempt})` returned {shown(given)}", "return a number of seconds", sure=True)
    if not 0 <= given <= limit:
        said = f"`pause({attempt})` returned {given:.4g}, and the limit is {limit:g} s"
        raise NotYet(said, LIMIT if given >= 0 else ALL_OF_IT, sure=True)
    return float(given)


@check
def missed(function: Any) -> Verdict:
    """Check `def missed(kept, last, after)`, which returns what a client has missed."""
    chance = random.Random(11)
    cases = [(3, 3, 0), (3, 3, 1), (3, 3, 3), (3, 10, 9), (3, 10, 8), (3, 10, 7), (3, 10, 10), (0, 0, 0)]
    cases += [(0, 5, 5), (1, 5, 4)]
    wrong = [(3, 10, 6), (3, 10, 0), (3, 10, 11), (3, 3, 4), (0, 5, 4), (0, 0, 1), (5, 9, 14)]
    for _ in range(10):
        last = chance.randint(20, 40)
        held = chance.randint(5, 15)
        cases.append((held, last, last - chance.randint(0, held)))
        wrong.append((held, last, last - held - chance.randint(1, 5)))

    async def scenario(answer: Answer) -> str:
        for held, last, after in cases:
            await _missed(answer, held, last, after)
        for held, last, after in wrong:
            await _not_to_be_had(answer, held, last, after)
        return "you return what was missed, and raise a `LookupError` when it isn't all there"

    return try_function(function, scenario, arguments="kept, last, after", coroutine=False)


def _texts(after: int, last: int) -> list[str]:
    """The texts after this number; a string says nothing about its number, and may come twice."""
    return [
        "yes" if number % 3 else f"is it {number * 7919 % 1000:03}?" for number in range(after + 1, last + 1)
    ]


def _kept(held: int, last: int) -> collections.deque[str]:
    return collections.deque(_texts(last - held, last), max(held, 20))


def _when(held: int, last: int, after: int) -> str:
    kept = f"numbers {last - held + 1} to {last} are kept" if held else f"nothing is kept, `last` is {last}"
    return f"{kept}, the client has number {after}"


async def _missed(answer: Answer, held: int, last: int, after: int) -> None:
    kept, when = _kept(held, last), _when(held, last, after)
    try:
        given = await answer(kept, last, after)
    except NotYet:
        if not isinstance(answer.error, LookupError):
            raise
        raise NotYet(
            f"{when}: you raised {answer.error!r}, and it's all there", HOW_MANY, sure=True
        ) from None
    right = _texts(after, last)
    if kept != _kept(held, last):
        said = f"{when}: after the call, `kept` holds {shown(list(kept))}"
        raise NotYet(said, "leave `kept` as it is: other clients come back, too", sure=True)
    if not isinstance(given, list) or given != right:
        raise NotYet(f"{when}: you returned {shown(given)}, expected {shown(right)}", NEWEST, sure=True)


async def _not_to_be_had(answer: Answer, held: int, last: int, after: int) -> None:
    when = _when(held, last, after)
    try:
        given = await answer(_kept(held, last), last, after)
    except NotYet:
        if answer.error is None:
            raise
        if not isinstance(answer.error, LookupError):
            raise NotYet(f"{when}: you raised {answer.error!r}", RAISE_IT, sure=True) from None
        answer.error = None
    else:
        hint = FUTURE if after > last else HOW_MANY
        raise NotYet(f"{when}: you returned {shown(given)}, expected a `LookupError`", hint, sure=True)


SILENCE = 0.3


@check
def listen(function: Any) -> Verdict:
    """Check a client, `async def listen(url, silence)`, that returns what it heard until there is silence."""

    async def scenario(answer: Answer) -> str:
        await _hears(answer, "the server sends three messages, and closes with 1000", 3, 0.03, 1000)
        await _hears(answer, "the server sends two messages, and closes with 1011", 2, 0.03, 1011)
        await _hears(answer, "the server sends two messages, and the line is cut", 2, 0.03, None)
        await _hears(answer, "a message comes every {gap:g} s, four times", 4, 0.5, 1000)
        await _falls_silent(answer, 2)
        return "all that was said was heard, and a dead line was noticed in time"

    return try_function(function, scenario, arguments="url, silence")


def _messages(count: int) -> list[str]:
    return ["message 1", "", "message 1", "message 2"][:count]


async def _hears(answer: Answer, when: str, count: int, share: float, code: int | None) -> None:
    """Make sure that all messages are heard if each pause is this share of the silence.

    A machine may stand still for longer, and then the answer gives up rightly: so it may try once more.
    """
    try:
        await _hears_with(answer, when, count, share * SILENCE, code, SILENCE)
    except NotYet as not_yet:
        if not_yet.verdict.hint != EACH_TIME:
            raise
        await _hears_with(answer, when, count, 2 * share * SILENCE, code, 2 * SILENCE)


async def _hears_with(
    answer: Answer, when: str, count: int, gap: float, code: int | None, silence: float
) -> None:
    async def talk(connection: ServerConnection, over: asyncio.Event) -> None:
        for message in _messages(count):
            await connection.send(message)
            await asyncio.sleep(gap)
        if code is None:
            connection.transport.abort()
        else:
            await connection.close(code)

    await _expect(answer, talk, when.format(gap=gap), count, silence)


async def _falls_silent(answer: Answer, count: int) -> None:
    when = f"the server sends {count} messages, and then the line is dead"

    async def talk(connection: ServerConnection, over: asyncio.Event) -> None:
        for message in _messages(count):
            await connection.send(message)
        connection.transport.pause_reading()
        await over.wait()
        connection.transport.abort()

    begin = time.monotonic()
    await _expect(answer, talk, when, count)
    took = time.monotonic() - begin
    if took < 0.8 * SILENCE:
        said = f"{when}: you returned after {took:.1f} s, and `silence` is {SILENCE:g} s"
        raise NotYet(said, EACH_TIME, sure=True)


async def _expect(answer: Answer, talk: Any, when: str, count: int, silence: float = SILENCE) -> None:
    over = asyncio.Event()

    async def served(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            await talk(connection, over)

    heard = _messages(count)
    async with serving(served) as url:
        try:
            given = await answer(url, silence, within=silence + 1.4)
            await answer.watch.all_have_ended(f"{when}: you have returned")
        except NotYet as not_yet:
            if answer.error is not None:
                said = f"{when}: {not_yet.verdict.said}"
                known = isinstance(answer.error, TimeoutError | ConnectionClosed)
                raise NotYet(said, ONLY_THESE if known else not_yet.verdict.hint, sure=True) from None
            if not_yet.sure:
                raise
            said = f"{when}: you hadn't returned {1.4:g} s after a silence of {silence:g} s"
            raise NotYet(said, DONT_WAIT) from None  # if the loop is blocked, that's the reason
        finally:
            over.set()
    if not isinstance(given, list):
        raise NotYet(f"{when}: you returned {shown(given)}", "return the list of the messages", sure=True)
    if given != heard:
        hint = EACH_TIME if given == heard[: len(given)] and given else ONLY_THESE
        raise NotYet(f"{when}: you returned {shown(given)}, expected {shown(heard)}", hint, sure=True)
