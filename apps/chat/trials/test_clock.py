"""A test in virtual time: an hour of pauses takes some milliseconds.

The loop's clock doesn't run by itself. When there is nothing to do, it jumps to the next timer. That fits
whatever waits with `asyncio.sleep` and `asyncio.timeout`; a real socket would find its peer asleep.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from typing import Any

from apps.chat.resume import pauses


class JumpingSelector(selectors.DefaultSelector):
    """Finds out how long the loop wants to wait, and moves its clock instead."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> Any:
        """Return what is ready now, without waiting."""
        ready = super().select(0)
        if not ready and timeout:
            self.loop.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is a number."""

    def __init__(self) -> None:
        self.now = 0.0
        selector = JumpingSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        """Return the virtual time, in seconds."""
        return self.now


async def attempts(seconds: float) -> list[float]:
    """When a client tries to connect to a server that is away for that long."""
    loop, tried = asyncio.get_running_loop(), list[float]()
    for pause in pauses():
        await asyncio.sleep(pause)
        if loop.time() > seconds:
            break
        tried.append(loop.time())
    return tried


def test_an_hour_without_a_server() -> None:
    begin = time.perf_counter()
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        tried = runner.run(attempts(3600))
    assert 3600 / 4 < len(tried) < 3600 / 2 + 5
    assert time.perf_counter() - begin < 10


def test_a_hundred_clients_do_not_come_together() -> None:
    async def crowd() -> list[list[float]]:
        return await asyncio.gather(*(attempts(30) for _ in range(100)))

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        tried = runner.run(crowd())
    last = [round(times[-1], 1) for times in tried]
    assert max(map(last.count, last)) < 20
