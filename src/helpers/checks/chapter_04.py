"""The exercises of `04_talk_both_ways`."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from types import CodeType
from typing import Any, cast

from websockets.asyncio import server
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from helpers.checks.answer import Answer
from helpers.checks.peers import Peer, serving
from helpers.checks.trial import try_function, try_handler
from helpers.checks.verdict import NotYet, Verdict, shown
from helpers.checks.whose import check

UNASKED = "readings must come unprompted: send them from a separate task, next to the loop that reads"
TOO_SELDOM = "send one every 0.1 s: `await asyncio.sleep(0.1)`"
CANCEL_IT = "cancel the task in a `finally`, or cancel it where the reading loop ends"
CATCH_IT = (
    "only 1000, 1001 and 1005 end `async for` quietly, every other code makes it raise, "
    "and `recv()` raises on all of them: "
    "catch `ConnectionClosed`, of which `ConnectionClosedOK` and `ConnectionClosedError` are the two kinds"
)


@check
def thermostat(handler: Any) -> Verdict:
    """Check a handler that sends the temperature every 0.1 s, unprompted, and obeys `set N` meanwhile."""

    async def scenario(url: str, loop: asyncio.AbstractEventLoop) -> str:
        ann = await Peer.join(url)
        began = time.monotonic()
        came = []
        for number in range(1, 6):
            _is(await ann.hears("while Ann said nothing", hint=UNASKED), "20", "Ann has said nothing yet")
            came.append(time.monotonic() - began)
            if came[-1] > 1.5:
                raise NotYet(f"reading number {number} came after {came[-1]:.1f} s", TOO_SELDOM, sure=True)
        if (shortest := min(late - early for early, late in pairwise(came))) > 0.25:
            raise NotYet(f"between two readings there were {shortest:.1f} s or more", TOO_SELDOM, sure=True)
        if came[-1] < 0.15:
            raise NotYet("five readings came in a bunch", "wait with `await asyncio.sleep(0.1)` between two")
        await _obeys(ann, "set 23", "23")
        bob = await Peer.join(url)
        for _ in range(2):
            _is(
                await bob.hears("while Bob said nothing", hint=UNASKED),
                "20",
                "Ann has set 23, not Bob",
            )
        for _ in range(2):
            _is(await ann.hears("after Bob had come", hint=UNASKED), "23", "Ann has set 23, and Bob has come")
        await _obeys(ann, "set 18", "18")
        ended = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_left_behind(), loop))
        await ann.leaves()
        bob.vanishes()
        if left := await ended:
            raise NotYet(f"Ann has left, Bob's line was cut, and {left}", CANCEL_IT)
        return "readings came unprompted, `set` was obeyed at once, and each peer had its own temperature"

    return try_handler(handler, scenario)


async def _obeys(ann: Peer, order: str, wanted: str) -> None:
    await ann.says(order)
    when = f"after `{order}`"
    for _ in range(12):  # some readings may have been on their way
        if await ann.hears(when, hint=UNASKED) == "ok":
            break
    else:
        raise NotYet(
            f"{when}, twelve messages came and none was `ok`",
            'in the loop that reads: `await connection.send("ok")`',
        )
    for _ in range(3):
        _is(await ann.hears(f"{when} and `ok`", hint=UNASKED), wanted, f"{when} and `ok`")


@check
def collect(function: Any) -> Verdict:
    """Check a client, `async def collect(url)`, that returns all messages and the close code."""

    async def scenario(answer: Answer) -> str:
        conversations: list[tuple[int, str, list[str | bytes]]] = [
            (1000, "", ["one", "", "one", b"\x00\xff"]),
            (4000, "enough", ["only this"]),
            (1011, "broken", []),
            (1006, "", ["cut off"]),
        ]
        for code, reason, messages in conversations:
            returned = await _collected(answer, code, reason, messages)
            if not (isinstance(returned, tuple | list) and len(returned) == 2):
                raise NotYet(
                    f"`collect` returned {shown(returned)}",
                    "return two things: `messages, connection.close_code`",
                )
            if isinstance(returned[1], list):
                raise NotYet(
                    f"`collect` returned {shown(returned)}",
                    "return first the messages, then the code: `messages, connection.close_code`",
                )
            if returned[0] != messages:
                raise NotYet(
                    f"the server sent `{messages}`, and {_ended(code)}; you returned {shown(returned[0])}",
                    "append every message to a list, until no more come",
                )
            if returned[1] != code:
                raise NotYet(
                    f"{_ended(code)}; you returned {shown(returned[1])}",
                    "when it is over, `connection.close_code` tells you",
                )
        return "you had every message and the close code, whether the end was 1000, 4000, 1011 or 1006"

    return try_function(function, scenario, arguments="url")


def _ended(code: int) -> str:
    return "the connection broke off (1006)" if code == 1006 else f"the server closed with {code}"


async def _collected(answer: Answer, code: int, reason: str, messages: list[str | bytes]) -> Any:
    async def speaker(connection: ServerConnection) -> None:
        for message in messages:
            await connection.send(message)
        await asyncio.sleep(0.2)  # silence is not yet the end
        if code == 1006:
            connection.transport.abort()  # without a close frame
        else:
            await connection.close(code, reason)

    async with serving(speaker) as url:
        try:
            return await answer(url)
        except NotYet as not_yet:
            said = not_yet.verdict.said
            if not not_yet.sure:
                raise
            hint = not_yet.verdict.hint
            if "raised ConnectionClosed" in said:
                hint = CATCH_IT
            elif code == 1006:
                hint = "no close frame came, so nobody sent a code: `connection.close_code` says 1006 then"
            raise NotYet(f"{_ended(code)}; {said}", hint, sure=True) from not_yet


async def _left_behind() -> str:
    """What goes on, on the handler's loop, when its peers have gone; nothing when all has ended by itself."""
    me = {asyncio.current_task()}
    handlers = {task for task in asyncio.all_tasks() - me if _code(task).co_filename == server.__file__}
    _, running = await asyncio.wait(handlers, timeout=1)
    if running:
        return "the handler still runs"
    left = asyncio.all_tasks() - me
    if not left:
        return ""
    names = ", ".join(sorted({f"`{_code(task).co_name}`" for task in left}))
    ended, running = await asyncio.wait(left, timeout=1)
    if running:
        return f"{names} is still running"
    died = any(not task.cancelled() and isinstance(task.exception(), ConnectionClosed) for task in ended)
    return f"{names} went on until its next `send` raised" if died else ""


def _code(task: asyncio.Task[Any]) -> CodeType:
    return cast("CodeType", task.get_coro().cr_code)  # type: ignore[union-attr]


def _is(came: str | bytes, wanted: str, when: str) -> None:
    if came != wanted:
        raise NotYet(
            f"{when}: got {shown(came)}, expected the reading `{wanted!r}`",
            "keep the temperature in a variable of this one connection, and send it as a string like `20`",
        )
