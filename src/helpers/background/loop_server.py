"""A `websockets` server on a background loop of this process."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from websockets.asyncio.server import ServerConnection

from helpers.background.held_loop import HeldLoop
from helpers.background.journal import Reporter
from helpers.background.serving import Handler, Serving
from helpers.sockets import listening_socket


class LoopServer:
    """Serves a handler on another thread. Returns from its construction when it listens.

    Args:
        handler: called for each connection.
        address: host, port, and whether any free port will do where that one is taken.
        options: for `websockets.asyncio.server.serve`.
        reporter: takes what happens.
        own_loop: the name of a loop of its own; None for the loop that all share.

    Raises:
        OSError: the port can't be used.
    """

    def __init__(
        self,
        handler: Handler,
        address: tuple[str, int, bool],
        options: dict[str, Any],
        reporter: Reporter,
        *,
        own_loop: str | None = None,
    ) -> None:
        self._serving = Serving(handler, reporter)
        self._socket: socket.socket | None = None
        self._loop = HeldLoop(reporter, own=own_loop)
        try:
            host, port, or_any = address
            self._socket = listening_socket(host, port, or_any=or_any)
            self.port: int = self._socket.getsockname()[1]
            self._loop.call(self._serving.open(options | {"sock": self._socket}), timeout=10)
        except BaseException:
            self._loop.let_go()
            self._free_port()
            raise

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return self._loop.asyncio_loop

    @property
    def connections(self) -> set[ServerConnection]:
        """The open connections; touch them only from the loop."""
        return self._serving.connections

    def ended(self) -> str | None:
        """None: it does not end by itself."""
        return None

    def close(self, seconds: float, reason: str) -> None:
        """Close with 1001 (going away); after `seconds` break off what has not answered."""
        try:
            self._loop.end(self._serving.close(seconds, reason), timeout=seconds + 2)
        finally:
            self._free_port()

    def _free_port(self) -> None:
        if self._socket is not None:
            self._socket.close()  # where the loop is blocked, nobody else does
