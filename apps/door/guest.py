"""Somebody who has come in, and what waits for them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Any

from websockets.exceptions import ConnectionClosed

from apps.door import limits
from apps.door.limits import Visitor
from apps.door.messages import as_text
from apps.door.tickets import Pass


class Guest:
    """Somebody who has come in: a bounded queue of messages for them, and a task that sends those.

    Args:
        connection: theirs.
        held: the pass that they have shown.
    """

    def __init__(self, connection: Visitor, held: Pass) -> None:
        self.connection, self.held = connection, held
        self.faults = 0
        self._closing: tuple[int, str] | None = None
        self._waiting: deque[str] = deque()
        self._bytes = 0
        self._more = asyncio.Event()
        self._writer = asyncio.create_task(self._write())

    def tell(self, kind: str, **fields: Any) -> None:
        """Queue a message; a guest for whom too many pile up is cut off."""
        text = as_text(kind, **fields)
        self._bytes += len(text)
        self._waiting.append(text)
        self._more.set()
        if self._bytes > limits.OUTBOX_BYTES:
            self.connection.transport.abort()

    def close(self, code: int, why: str) -> None:
        """Close the connection when what waits has been sent, and `bye`: a proxy may drop the reason."""
        if not self._closing:
            self.tell("bye", text=why)
            self._closing = code, why

    async def end(self) -> None:
        """Send what waits if there is a close to come after it, and nothing more."""
        if not self._closing:
            self._writer.cancel()
        await asyncio.wait([self._writer])

    @property
    def is_closing(self) -> bool:
        """Whether it is told nothing more, and not heard."""
        return self._closing is not None

    async def _write(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            while self._waiting or not self._closing:
                if not self._waiting:
                    self._more.clear()
                    await self._more.wait()
                    continue
                text = self._waiting.popleft()
                self._bytes -= len(text)
                try:
                    async with asyncio.timeout(limits.SEND_SECONDS):
                        await self.connection.send(text)
                except TimeoutError:
                    self.connection.transport.abort()
            await self.connection.close(*self._closing)
