"""How many messages a stranger may send, and how fast."""

from __future__ import annotations

import time
from collections.abc import Callable


class Bucket:
    """A token bucket: holds some tokens, gets new ones at a steady rate, and each use takes one.

    Args:
        rate: tokens per second.
        size: how many it holds at most, and at the beginning.
        clock: tells the time, in seconds.
    """

    def __init__(self, rate: float, size: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._size, self._clock = rate, size, clock
        self._tokens, self._at = size, clock()

    def take(self) -> bool:
        """Take a token; returns whether there was one."""
        now = self._clock()
        self._tokens = min(self._size, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
