"""The relay behind a tap: pairs of TCP connections, the lines between them, and what was counted of them."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import sys
from functools import partial
from typing import Literal, cast

from helpers.wire.events import DIRECTIONS, TO_CLIENT, TO_SERVER, Direction, How, opposite
from helpers.wire.link import Count, Line, Shape
from helpers.wire.recorder import End, Recorder

RESET = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""`struct linger`: on, 0 seconds. A socket that is closed with it sends a reset."""

LINGER = 1.0
"""Seconds that a connection cut with FIN waits for its peers' FIN."""


class Relay:
    """What the connections of a tap share: their target, the shape of the link, counts and record.

    It lives on one event loop, and so do its connections.

    Args:
        target: host and port of the server.
        shape: how the link behaves at first.
        recorder: what keeps the bytes.
        window: bytes that a line holds before it stops reading its source.
        socket_buffer: bytes of the sockets' send and receive buffers, or None to leave them to the system.
        seed: makes the jitter repeat itself.
    """

    def __init__(
        self,
        target: tuple[str, int],
        shape: Shape,
        recorder: Recorder,
        *,
        window: int,
        socket_buffer: int | None = None,
        seed: int | None = None,
    ) -> None:
        self.target = target
        self.shape = shape
        self.recorder = recorder
        self.window = window
        self.socket_buffer = socket_buffer
        self.dice = random.Random(seed)
        self.counts: dict[Direction, Count] = {TO_SERVER: Count(), TO_CLIENT: Count()}
        self.stalled: set[Direction] = set()
        self.connections: set[Connection] = set()
        self.opened = 0
        self._empty = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started_at = 0.0

    def start(self) -> None:
        """Begin to count the time, on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._started_at = self._loop.time()

    def accept(self) -> asyncio.Protocol:
        """A protocol for a client that connects; what `loop.create_server` asks for."""
        return Connection(self).client

    def add(self, connection: Connection) -> int:
        """Take in a connection that was opened, and give it its number."""
        self.opened += 1
        self.connections.add(connection)
        self.record(self.opened, TO_SERVER, None)
        return self.opened

    def discard(self, connection: Connection) -> None:
        """Forget a connection of which nothing is left open."""
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()

    def record(self, number: int, direction: Direction, what: bytes | End | None) -> None:
        """Record bytes, an end, or (None) that a connection was opened."""
        assert self._loop is not None
        self.recorder.record(number, direction, self._loop.time() - self._started_at, what)

    def reshape(self, shape: Shape) -> None:
        """Behave differently, on the connections that are open and on new ones."""
        self.shape = shape
        for connection in list(self.connections):
            connection.reshape()

    def stall(self, directions: set[Direction]) -> None:
        """Carry nothing in these directions, and everything in the others."""
        self.stalled = directions
        for connection in self.connections:
            for direction in DIRECTIONS:
                connection.lines[direction].stall(direction in directions)

    def cut(self, how: Literal["rst", "fin"]) -> None:
        """Cut all open connections."""
        for connection in list(self.connections):
            connection.cut(How(how), "tap")

    async def aclose(self) -> None:
        """Reset all connections, and return when they are gone."""
        self.cut("rst")
        while self.connections:
            self._empty.clear()
            await self._empty.wait()


class Side(asyncio.Protocol):
    """One end of a relayed connection: the TCP connection to the client, or the one to the server."""

    def __init__(self, connection: Connection, out: Direction) -> None:
        self.transport: asyncio.Transport | None = None
        self.ended = False
        self._connection = connection
        self._out = out
        self._into = opposite(out)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._connection.made(self, self._out)

    def data_received(self, data: bytes) -> None:
        self._connection.received(self._out, data)

    def eof_received(self) -> bool:
        self.ended = True
        return self._connection.ended(self._out, How.FIN)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self.transport = None
        self._connection.lost(self._out)

    def pause_writing(self) -> None:
        self._connection.lines[self._into].block(True)

    def resume_writing(self) -> None:
        self._connection.lines[self._into].block(False)

    def reset(self) -> None:
        """Close with a reset, at once."""
        if self.transport is not None:
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.transport.abort()

    def finish(self) -> None:
        """Send what is waiting and then the end of the stream; go on reading."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write_eof()


class Connection:
    """A client's TCP connection, the one to the server that goes with it, and the two lines between them."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._loop = asyncio.get_running_loop()
        self._number = 0
        self._opened_at = 0.0
        self._cutting = False
        self._ends: set[Direction] = set()
        self._arrived: set[Direction] = set()
        self._connecting: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.client = Side(self, TO_SERVER)
        self._server = Side(self, TO_CLIENT)
        self.sides: dict[Direction, Side] = {TO_SERVER: self.client, TO_CLIENT: self._server}
        self.lines: dict[Direction, Line] = {
            direction: Line(
                window=relay.window,
                shape=relay.shape,
                allowance=self._allowance,
                on_cut=self._cut_as_shaped,
                on_end=partial(self._arrive, direction),
                count=relay.counts[direction],
                dice=relay.dice,
            )
            for direction in DIRECTIONS
        }

    # What the two sides report.

    def made(self, side: Side, out: Direction) -> None:
        """A side has its TCP connection."""
        transport = side.transport
        assert transport is not None
        if self._relay.socket_buffer is not None:
            sock = transport.get_extra_info("socket")
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                sock.setsockopt(socket.SOL_SOCKET, option, self._relay.socket_buffer)
        if side is self.client:
            self._open()
        elif self._cutting:
            transport.abort()
            return
        for direction in self._relay.stalled:
            self.lines[direction].stall(True)
        self.lines[out].read_from(transport)
        self.lines[opposite(out)].write_to(transport)

    def received(self, direction: Direction, data: bytes) -> None:
        """Bytes have come in: they are recorded before they are relayed."""
        if self._cutting:
            return
        count = self._relay.counts[direction]
        count.bytes += len(data)
        count.segments += 1
        self._relay.record(self._number, direction, data)
        self.lines[direction].send(data)

    def ended(self, direction: Direction, how: How) -> bool:
        """Note the end of a direction; returns whether the connection stays open for the other one."""
        self.lines[direction].read_from(None)
        if self._cutting:
            return False
        self._record_end(direction, how, _sender(direction))
        self.lines[direction].end(how)
        return True

    def lost(self, direction: Direction) -> None:
        """A side has lost its TCP connection: reset by its peer, unless it was cut here."""
        if not self._cutting:
            self.lines[opposite(direction)].kill()
            self.ended(direction, How.RST)
            connecting = self._connecting is not None and not self._connecting.done()
            if not connecting and not self._anything_open():
                self.cut(How.RST, _sender(direction))
        self._forget()

    # What the lines report.

    def _allowance(self) -> int | None:
        limit = self._relay.shape.cut_after_bytes
        if limit is None:
            return None
        return max(limit - sum(line.relayed for line in self.lines.values()), 0)

    def _cut_as_shaped(self) -> None:
        self.cut(How(self._relay.shape.cut_how), "tap")

    def _arrive(self, direction: Direction, how: How) -> None:
        """An end has come through the line."""
        if how is not How.FIN:
            self.cut(How.RST, _sender(direction))
            return
        self._arrived.add(direction)
        self.sides[opposite(direction)].finish()
        if len(self._arrived) == 2:
            self._close()

    # What the relay asks for.

    def reshape(self) -> None:
        """Behave as the relay's shape says now."""
        for line in self.lines.values():
            line.reshape(self._relay.shape)
        self._set_timer()

    def cut(self, how: How, by: Literal["client", "server", "tap"], *, recorded: How | None = None) -> None:
        """End both directions now.

        Args:
            how: with a reset, or with the end of the stream.
            by: who ended it.
            recorded: how it is recorded, where that is something else.
        """
        if self._cutting:
            return
        for direction in DIRECTIONS:
            self._record_end(direction, recorded or how, by)
        self._stop()
        if how is How.FIN:
            for side in self.sides.values():
                side.finish()
                if side.ended and side.transport is not None:
                    side.transport.close()
            self._timer = self._loop.call_later(LINGER, self._reset)
        else:
            self._reset()
        self._forget()

    def _open(self) -> None:
        self._opened_at = self._loop.time()
        self._number = self._relay.add(self)
        self._connecting = self._loop.create_task(self._connect())
        self._set_timer()

    async def _connect(self) -> None:
        if self._relay.shape.delay:
            await asyncio.sleep(3 * self._relay.shape.delay)
        try:
            await self._loop.create_connection(lambda: self._server, *self._relay.target)
        except OSError:
            self.cut(How.RST, "server", recorded=How.REFUSED)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        seconds = self._relay.shape.cut_after_seconds
        if seconds is not None and not self._cutting:
            self._timer = self._loop.call_at(self._opened_at + seconds, self._cut_as_shaped)

    def _close(self) -> None:
        """Both directions have come to their end."""
        self._stop()
        for side in self.sides.values():
            if side.transport is not None:
                side.transport.close()

    def _stop(self) -> None:
        """Stop relaying."""
        self._cutting = True
        if self._connecting is not None and self._connecting is not asyncio.current_task():
            self._connecting.cancel()
        if self._timer is not None:
            self._timer.cancel()
        for line in self.lines.values():
            line.kill()

    def _reset(self) -> None:
        for side in self.sides.values():
            side.reset()

    def _record_end(self, direction: Direction, how: How, by: Literal["client", "server", "tap"]) -> None:
        if direction not in self._ends:
            self._ends.add(direction)
            self._relay.record(self._number, direction, End(how, by))

    def _anything_open(self) -> bool:
        return any(side.transport for side in self.sides.values())

    def _forget(self) -> None:
        """Leave the relay when nothing is left open."""
        if self._cutting and not self._anything_open():
            if self._timer is not None:
                self._timer.cancel()
            self._relay.discard(self)


def _sender(direction: Direction) -> Literal["client", "server"]:
    return "client" if direction == TO_SERVER else "server"
