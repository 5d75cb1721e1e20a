"""What server, client and kernel have agreed on. Imports nothing heavy, as the kernel needs it too."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

REQUEST_WAYS = ("new connection", "keep-alive", "six connections", "WebSocket", "pipelined")
ALL_WAYS = (*REQUEST_WAYS[:3], "long polling", "SSE", *REQUEST_WAYS[3:])
MANY_AT_A_TIME = ("six connections", "pipelined")
"""Ways in which messages go out without waiting: HTTP over six connections, and one WebSocket."""

PUSH_WAYS = ("polling", "long polling", "SSE", "WebSocket")

PATIENCE = 5.0
"""Seconds after the last publication in which an event may still come."""

NUMBER = 6
STAMP = 17
SMALLEST_EVENT = NUMBER + STAMP + 2
"""Bytes: an event carries its number and the moment of its publication."""


def overtaken(numbers: Sequence[int]) -> int:
    """How many came after one that was sent later."""
    highest = itertools.accumulate(numbers, max)
    return sum(number < before for number, before in zip(numbers, highest, strict=True))


WARM_UPS = 3
"""So many messages may get lost on a client whom the server has not yet taken in."""

LONGEST_SILENCE = 1.0
"""Seconds without a byte from the server after which a message counts as lost."""

LONGEST_WAIT = 10.0
"""Seconds after which it counts as lost although the server says something."""

STALLED = 1.5
"""Seconds without a message, though some are due, after which the healthy clients of a room hear nothing."""
