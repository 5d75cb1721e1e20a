"""A minute passes for every event loop of this process, in a moment.

The root's `conftest.py` has a notebook's kernel run this before each cell: a reader takes that long, and in a
minute the keepalive pings a connection, and drops it if nobody answers. Only asyncio's clock is moved on:
whatever waits on it wakes up. Pings travel as fast as ever, so this waits for their answers.

Importing this starts to note which loops look at the clock, and for which pongs somebody waits. To search the
kernel's objects for them would take 40 ms each time.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from websockets.asyncio.connection import Connection

PARTS = (21.0, 21.0, 21.0)
"""Seconds that pass at once: a ping is sent after 20 s of silence, and missed after 20 more."""

ANSWERED = 2.0
"""Seconds, real ones, in which a peer answers a ping, on a busy machine too."""

LONG = 10.0
"""Seconds until a timer that a minute can make a difference to."""

HOPS = 6
"""Turns that each loop gets in a part: what a timer sets off is sent, read and answered meanwhile."""

ahead = 0.0
loops: set[Any] = set()
pongs: set[Any] = set()
ping = Connection.ping


def look_at_the_clock(loop: asyncio.BaseEventLoop) -> float:
    loops.add(loop)
    return time.monotonic() + ahead


async def ping_and_note_it(*arguments: Any, **options: Any) -> Any:
    pong = await ping(*arguments, **options)
    pongs.add(pong)
    return pong


setattr(asyncio.BaseEventLoop, "time", look_at_the_clock)  # noqa: B010
setattr(Connection, "ping", ping_and_note_it)  # noqa: B010


async def minute_passes() -> None:
    """Let it pass, and wait until each loop has done what was due."""
    global ahead
    running = [loop for loop in list(loops) if loop.is_running()]
    loops.intersection_update(running)
    if not any(timer.when() - loop.time() > LONG for loop in running for timer in list(loop._scheduled)):
        return
    for part in PARTS:
        ahead += part
        with contextlib.suppress(TimeoutError):  # a loop is blocked, or a peer doesn't answer
            async with asyncio.timeout(ANSWERED):
                for _ in range(HOPS):
                    await asyncio.gather(*map(turn, running))
                while not all_answered():  # noqa: ASYNC110
                    await asyncio.sleep(0.002)


async def turn(loop: asyncio.BaseEventLoop) -> None:
    """Wait until a loop has looked at its clock; it does so only when it is woken."""
    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asyncio.sleep(0.001), loop))


def all_answered() -> bool:
    pongs.difference_update([pong for pong in list(pongs) if pong.done()])
    return not pongs
