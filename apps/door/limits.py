"""How much one stranger may use, as named numbers; and what keeps count.

What isn't here is an option of `serve`: `max_size`, `open_timeout`, `compression`, `max_queue`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from apps import visitors
from apps.door.tickets import Pass

CONNECTIONS = 2000
"""At once, of all."""
ADDRESS_CONNECTIONS = 100
"""At once, from one address. Behind a proxy all have the proxy's: then it has to count."""
PERSON_CONNECTIONS = 10
"""At once, of one person."""
HEAD_SECONDS = 5.0
"""For the request of a handshake."""
ENTER_SECONDS = 5.0
"""For the first message that says who one is."""
IDLE_SECONDS = 600.0
"""For the next message; pings don't count, as a browser answers them by itself."""
SEND_SECONDS = 5.0
"""For a client to take a message."""
OUTBOX_BYTES = 64 * 1024
"""That may wait for a client in our queue, and about as many in its write buffer."""
MESSAGES_PER_SECOND, MESSAGES_AT_ONCE = 10.0, 50
"""Of one person, on all connections together."""
LOGINS_PER_SECOND, LOGINS_AT_ONCE = 0.2, 5
"""For one name."""
FAULTS = 20
"""Errors on one connection, until it is closed."""
LOG_LINES_PER_SECOND, LOG_LINES_AT_ONCE = 5.0, 50
LOG_CHARACTERS = 100
"""Of what a stranger has sent, in one line."""


class Addresses(Counter[str]):
    """How many connections each address has, those without a handshake included; the total is `total()`."""

    def remove(self, address: str) -> None:
        """Count one less, and forget an address that has none."""
        self[address] -= 1
        if not self[address]:
            del self[address]

    def crowded(self, address: str, times: int = 1) -> bool:
        """Whether there are more connections than may be, or so many times as many."""
        return self[address] > times * ADDRESS_CONNECTIONS or self.total() > times * CONNECTIONS


class Visitor(visitors.Visitor):
    """A connection that is counted from its first moment, and cut when it takes more than it may.

    Args:
        addresses: where it is counted.
        *args: for `websockets`' own class.
        **kwargs: for the same.

    Attributes:
        held: the pass that it has come with.
        address: where it is from.
    """

    most_unread = OUTBOX_BYTES

    def __init__(self, addresses: Addresses, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._addresses = addresses
        self.held: Pass | None = None
        self.address = "?"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it. Twice as many as may be are cut off before they have asked for anything."""
        super().connection_made(transport)
        self.address = str((transport.get_extra_info("peername") or ["?"])[0])
        self._addresses[self.address] += 1
        if self._addresses.crowded(self.address, times=2):
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it no more."""
        self._addresses.remove(self.address)
        super().connection_lost(exc)
