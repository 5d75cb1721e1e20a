"""A minute passes for every event loop of this process, in a moment.

The root's `conftest.py` has a notebook's kernel run this before each cell: a reader takes that long, and in a
minute the keepalive pings a connection, and drops it if nobody answers. Only asyncio's clock is moved on:
whatever waits on it wakes up. Pings travel as fast as ever, so this waits for their answers.
"""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

from websockets.asyncio.connection import Connection

PART = 21.0
"""Seconds that pass at once: a ping is sent after 20 s of silence, and missed after 20 more."""

ANSWERED = 2.0
"""Seconds, real ones, in which a peer answers a ping, on a busy machine too."""

LONG = 10.0
"""Seconds until a timer that a minute can make a difference to."""


def all_of(kind: type) -> list[Any]:
    return [each for each in gc.get_objects() if issubclass(type(each), kind)]


def moved() -> dict[str, float]:
    """By how much the clock is ahead; kept where the next call finds it."""
    if not hasattr(asyncio.BaseEventLoop, "ahead"):
        ahead = {"seconds": 0.0}
        setattr(asyncio.BaseEventLoop, "ahead", ahead)  # noqa: B010
        setattr(asyncio.BaseEventLoop, "time", lambda loop: time.monotonic() + ahead["seconds"])  # noqa: B010
    return asyncio.BaseEventLoop.ahead  # type: ignore[attr-defined, no-any-return]


def waits_for_pongs() -> bool:
    return any(connection.pong_waiters for connection in all_of(Connection))


async def minute_passes() -> None:
    ahead = moved()
    loops = [loop for loop in all_of(asyncio.BaseEventLoop) if loop.is_running()]
    if not any(timer.when() - loop.time() > LONG for loop in loops for timer in list(loop._scheduled)):
        return
    for _ in range(3):
        ahead["seconds"] += PART
        woken: list[None] = []
        for loop in loops:
            loop.call_soon_threadsafe(woken.append, None)  # it looks at the clock only when it is woken
        deadline = time.monotonic() + ANSWERED
        await asyncio.sleep(0.05)
        while time.monotonic() < deadline and (len(woken) < len(loops) or waits_for_pongs()):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
