"""A client's connection that writes once for many messages."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from websockets.asyncio.client import ClientConnection

CORKED = 16 * 1024
"""How many bytes are held back at most; half of what may wait before `websockets` slows a sender down."""


class CorkedConnection(ClientConnection):
    """A connection that writes the first frame in a pass of its loop at once, and the others together.

    Each write is a call into the operating system, which costs more than making the frame of a short
    message. So while a loop sends many, they wait for each other until its pass ends, at most `CORKED`
    bytes of them. The idea is TCP's own, `TCP_CORK` (https://man7.org/linux/man-pages/man7/tcp.7.html).
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        corked = _Corked(cast(asyncio.Transport, transport), self.loop)
        super().connection_made(cast(asyncio.BaseTransport, corked))


class _Corked:
    """A transport that holds writes back until the pass of the loop ends; all else is the transport's own."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._in_a_pass = False
        self._held: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._in_a_pass:
            self._in_a_pass = True
            self._loop.call_soon(self._pass_ends)
            self._transport.write(data)
            return
        self._held.append(data)
        self._size += len(data)
        if self._size >= CORKED:
            self._write_held()

    def get_write_buffer_size(self) -> int:
        return self._size + self._transport.get_write_buffer_size()

    def write_eof(self) -> None:
        self._write_held()
        self._transport.write_eof()

    def close(self) -> None:
        self._write_held()
        self._transport.close()

    def _pass_ends(self) -> None:
        self._in_a_pass = False
        self._write_held()

    def _write_held(self) -> None:
        if self._held and not self._transport.is_closing():
            self._transport.write(b"".join(self._held))
        self._held.clear()
        self._size = 0
