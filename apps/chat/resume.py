"""How a client comes back after its connection is lost: whether it tries, when, and what it has missed.

Nothing in here connects or waits; `client.py` does.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Iterable

from apps.chat.room import Event

FIRST_PAUSE = 0.5
"""In seconds: the longest wait before the first attempt to connect again."""
LONGEST_PAUSE = 4.0
"""In seconds: the longest wait between two attempts to connect."""
FINAL_CODES = {1000, 1003, 1007, 1008, *range(4000, 5000)}
"""Close codes that are an answer and no accident, so that it is no use to try again (RFC 6455 §7.4)."""


def pauses() -> Generator[float]:
    """How long to wait before each attempt, in seconds: longer each time, never alike for all."""
    longest = FIRST_PAUSE
    while True:
        yield random.uniform(longest / 2, longest)
        longest = min(2 * longest, LONGEST_PAUSE)


def unseen(seen: Iterable[Event], history: list[Event]) -> list[Event]:
    """The part of a `welcome`'s history that comes after what was seen before the connection was lost."""
    said = [event for event in seen if event["type"] == "said"]
    overlap = next(n for n in range(len(history), -1, -1) if said[len(said) - n :] == history[:n])
    return history[overlap:]
