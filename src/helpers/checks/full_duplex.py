"""The exercises of `04_talk_both_ways`."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from websockets.asyncio.server import ServerConnection

from helpers.checks.trial import Answer, Peer, serving, try_function, try_handler
from helpers.checks.verdict import NotYet, Verdict, shown

UNASKED = "readings come unasked: a task of its own sends them, beside the loop that reads"
CATCH_IT = (
    "only 1000 and 1001 end `async for` quietly, every other code raises, and `recv()` raises with each: "
    "catch `ConnectionClosed`, of which `ConnectionClosedOK` and `ConnectionClosedError` are the two kinds"
)


def thermostat(handler: Any) -> Verdict:
    """Check a handler that sends the temperature every 0.1 s, unasked, and obeys `set N` meanwhile."""

    async def scenario(url: str, loop: asyncio.AbstractEventLoop) -> str:
        ann = await Peer.join(url)
        started = time.monotonic()
        for number in range(1, 6):
            _is(await ann.hears("while Ann said nothing", hint=UNASKED), "20", "Ann has said nothing yet")
            took = time.monotonic() - started
            if took > 1.5:
                said = f"reading number {number} came after {took:.1f} s"
                raise NotYet(said, "one is wanted every 0.1 s: `await asyncio.sleep(0.1)`", sure=True)
        if took < 0.15:
            raise NotYet("five readings came in a bunch", "wait with `await asyncio.sleep(0.1)` between two")
        await ann.says("set 23")
        heard = [await ann.hears("after `set 23`", hint=UNASKED) for _ in range(6)]
        if "ok" not in heard:
            raise NotYet(
                f"after `set 23` there came `{heard}`, without `ok`",
                'in the loop that reads: `await connection.send("ok")`',
            )
        _is(heard[-1], "23", "after `set 23` and some more readings")
        bob = await Peer.join(url)
        for _ in range(2):
            _is(
                await bob.hears("while Bob said nothing", hint=UNASKED),
                "20",
                "Ann has set 23, not Bob",
            )
        for _ in range(4):
            _is(await ann.hears("after Bob had come", hint=UNASKED), "23", "Ann has set 23, and Bob has come")
        await ann.leaves()
        await bob.leaves()
        await _nothing_is_left(loop)
        return "readings came unasked, `set` was obeyed at once, and each peer had a temperature of its own"

    return try_handler(handler, scenario)


def collect(function: Any) -> Verdict:
    """Check a client, `async def collect(url)`, that returns all messages and the close code."""

    async def scenario(answer: Answer) -> str:
        for code, reason, messages in (
            (1000, "", ["one", "two", "three"]),
            (4000, "enough", ["only this"]),
            (1011, "broken", []),
        ):
            returned = await _collected(answer, code, reason, messages)
            if not (isinstance(returned, tuple) and len(returned) == 2):
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
                    f"the server sent `{messages}` and closed with {code}; you returned {shown(returned[0])}",
                    "append every message to a list, until no more come",
                )
            if returned[1] != code:
                raise NotYet(
                    f"the server closed with {code}; you returned {shown(returned[1])}",
                    "when it is over, `connection.close_code` tells",
                )
        return "you had every message and the close code, whether the end was 1000, 4000 or 1011"

    return try_function(function, scenario, arguments="url")


async def _collected(answer: Answer, code: int, reason: str, messages: list[str]) -> Any:
    async def speaker(connection: ServerConnection) -> None:
        for message in messages:
            await connection.send(message)
        await connection.close(code, reason)

    async with serving(speaker) as url:
        try:
            return await answer(url)
        except NotYet as not_yet:
            said = not_yet.verdict.said
            if not not_yet.sure:
                raise
            closed = "ConnectionClosed" in said
            hint = CATCH_IT if closed else not_yet.verdict.hint
            raise NotYet(f"the server closed with {code}; {said}", hint, sure=True) from not_yet


async def _nothing_is_left(loop: asyncio.AbstractEventLoop) -> None:
    """Make sure that the handler's loop has no task left, a second after the last peer has gone."""
    for _ in range(20):
        left = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_other_tasks(), loop))
        if not left:
            return
        await asyncio.sleep(0.05)
    raise NotYet(
        f"both peers have left, and there still runs {', '.join(f'`{name}`' for name in left)}",
        "cancel the task in a `finally`, or let an `asyncio.TaskGroup` own it",
    )


async def _other_tasks() -> list[str]:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    return sorted({getattr(task.get_coro(), "__name__", "?") for task in tasks})


def _is(came: str | bytes, wanted: str, when: str) -> None:
    if came != wanted:
        raise NotYet(
            f"{when}: there came {shown(came)}, expected was the reading `{wanted!r}`",
            "keep the temperature in a variable of this one connection, and send it as a text like `20`",
        )
