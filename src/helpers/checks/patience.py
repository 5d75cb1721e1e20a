"""Deadlines for the reader's code that a machine in trouble doesn't use up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

Given = TypeVar("Given")

SLICE = 0.05
"""How much of a deadline one wait takes, in seconds, even if the machine stands still meanwhile."""


async def in_time(awaitable: Awaitable[Given], seconds: float) -> Given:
    """Wait, as `asyncio.wait_for` does, but in slices: while nothing runs here, little time passes.

    A laptop that swaps or wakes up stands still for seconds, and a right answer would be found too slow.

    Args:
        awaitable: what to wait for; it is cancelled when the time is over.
        seconds: how long, while the loop gets its turns.

    Raises:
        TimeoutError: it was not done in time.
    """
    future = asyncio.ensure_future(awaitable)
    try:
        for _ in range(max(1, round(seconds / SLICE))):
            done, _ = await asyncio.wait([future], timeout=min(SLICE, seconds))
            if done:
                return future.result()
        raise TimeoutError
    finally:
        future.cancel()
        await asyncio.wait([future])
