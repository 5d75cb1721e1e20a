"""A tap: a TCP relay in front of a server, which records what goes through and can make the link worse."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import random
import socket
import struct
import sys
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from types import TracebackType
from typing import Any, Final, Literal, Protocol, Self, TypedDict, Unpack, cast
from urllib.parse import urlsplit, urlunsplit

from helpers.sockets import listening_socket

from .events import TO_CLIENT, TO_SERVER, Direction, Event, How, opposite
from .link import Count, Line, Shape
from .recorder import End, Recorder

__all__ = ["Counts", "Tap", "TapOptions", "TapStats", "tapped"]

_DIRECTIONS: Final[tuple[Direction, Direction]] = (TO_SERVER, TO_CLIENT)
_NOTIFY: Final = 0.05  # seconds between two calls of a listener
_BACKLOG: Final = 512
_RESET: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)  # struct linger: on, 0 s
_LINGER: Final = 1.0  # seconds that a connection cut with FIN waits for the peers' FIN
_PATIENCE: Final = 10.0  # seconds that another thread waits for the tap's loop


class ShapeOptions(TypedDict, total=False):
    """How the link behaves; see :class:`~.link.Shape`."""

    delay: float
    jitter: float
    rate: float | None
    cut_after_bytes: int | None
    cut_after_seconds: float | None
    cut_how: Literal["rst", "fin"]
    refuse: bool


class TapOptions(ShapeOptions, total=False):
    """All that a tap may be told at its start; see :class:`Tap`."""

    listen_port: int
    window: int
    socket_buffer: int | None
    record_chunks: int
    record_bytes: int
    record_events: int
    keep: int
    seed: int | None


class HasUrl(Protocol):
    """A server that says where it is."""

    @property
    def url(self) -> str: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Counts:
    """What went in one direction.

    Attributes:
        bytes: Bytes that the tap has read from the sender.
        segments: Reads in which they came.
        relayed: Bytes that the tap has handed on to the receiver.
    """

    bytes: int
    segments: int
    relayed: int


@dataclasses.dataclass(frozen=True, slots=True)
class TapStats:
    """What went through a tap since its start.

    Attributes:
        connections: TCP connections that were opened.
        open: TCP connections that are open now.
        to_server: Bytes and segments from the clients.
        to_client: Bytes and segments from the server.
        dropped: Events that were dropped because there were too many.
    """

    connections: int
    open: int
    to_server: Counts
    to_client: Counts
    dropped: int


class Tap:
    """A TCP relay on 127.0.0.1. Start it on any asyncio loop; then use it from any thread.

    It relays bytes unchanged, and passes on backpressure, half-close and reset. (asyncio sets TCP_NODELAY on
    every TCP connection.) A new connection costs its round trip: the server sees it three one-way delays
    after the client has opened it, when the client's second packet would have come.

    Args:
        host: Where the server is.
        port: Its port.
        listen_port: Port on which the tap listens; 0 lets the system choose a free one.
        window: Bytes that the tap holds of each direction of a connection before it stops to read,
            including those on their way in the delay. The sockets' buffers come on top.
        socket_buffer: Bytes of the sockets' send and receive buffers, or None to leave them to the system.
        record_chunks: Most chunks of bytes that wait to be decoded.
        record_bytes: Most bytes that wait to be decoded, and most bytes that the events hold.
        record_events: Most events that are kept.
        keep: Bytes that are kept of each payload and message.
        seed: Makes the jitter repeat itself.
        shape: How the link behaves at first; see :class:`~.link.Shape`.

    Raises:
        ValueError: If an option makes no sense.

    Example::

        async with Tap("127.0.0.1", 8765, delay=0.02) as tap:
            ...  # connect to 127.0.0.1, tap.port
            print(tap.stats, tap.events())
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        listen_port: int = 0,
        window: int = 1 << 20,
        socket_buffer: int | None = None,
        record_chunks: int = 20_000,
        record_bytes: int = 16 << 20,
        record_events: int = 20_000,
        keep: int = 4096,
        seed: int | None = None,
        **shape: Unpack[ShapeOptions],
    ) -> None:
        if window < 1:
            raise ValueError("window is bytes, 1 or more")
        self._target = host, port
        self._scheme, self._path, self._query = "http", "", ""
        self._window = window
        self._socket_buffer = socket_buffer
        self._shape = Shape(**shape)
        self._stalled: set[Direction] = set()
        self._recorder = Recorder(chunks=record_chunks, size=record_bytes, events=record_events, keep=keep)
        self._dice = random.Random(seed)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listener: socket.socket | None = None
        self._serving: asyncio.Task[None] | None = None
        self._server: asyncio.Server | None = None
        self._started_at = 0.0
        self._port = listen_port
        self._opened = 0
        self._connections: set[_Connection] = set()
        self._empty = asyncio.Event()
        self._counts: dict[Direction, Count] = {TO_SERVER: Count(), TO_CLIENT: Count()}
        self._listeners: list[Callable[[list[Event]], None]] = []
        self._notification: asyncio.TimerHandle | None = None
        self._failure: Exception | None = None
        self._closed = False

    @classmethod
    def before(cls, server: str | HasUrl, **options: Unpack[TapOptions]) -> Self:
        """Make a tap for a server that is given by its URL, or has one.

        Args:
            server: A ``ws://`` or ``http://`` URL, or anything with a ``url``.
            options: As for :class:`Tap`.

        Raises:
            ValueError: If the URL is of another kind.
        """
        url = server if isinstance(server, str) else server.url
        parts = urlsplit(url)
        if parts.scheme not in ("ws", "http") or not parts.hostname:
            raise ValueError(f"a tap needs a ws:// or http:// URL, not {url!r}")
        tap = cls(parts.hostname, parts.port or 80, **options)
        tap._scheme, tap._path, tap._query = parts.scheme, parts.path, parts.query
        return tap

    @property
    def port(self) -> int:
        """The tap's port on 127.0.0.1."""
        return self._port

    @property
    def url(self) -> str:
        """The server's URL with the tap's address in place of the server's."""
        return urlunsplit((self._scheme, f"127.0.0.1:{self._port}", self._path, self._query, ""))

    @property
    def stats(self) -> TapStats:
        """What went through since the start."""
        up, down = (Counts(**dataclasses.asdict(self._counts[direction])) for direction in _DIRECTIONS)
        return TapStats(self._opened, len(self._connections), up, down, self._recorder.dropped)

    async def start(self, *, or_any_port: bool = False) -> None:
        """Listen, on the running loop.

        Args:
            or_any_port: Whether it may listen on a free port where `listen_port` is taken.

        Raises:
            OSError: If there is no port.
            RuntimeError: If it was started before.
        """
        if self._loop is not None:
            raise RuntimeError("a tap is started once; make a new one")
        self._loop = asyncio.get_running_loop()
        self._started_at = self._loop.time()
        self._hear(or_any_port=or_any_port)
        if self._serving is not None:
            await self._serving
        if self._shape.refuse:
            self._deafen()

    async def aclose(self) -> None:
        """Stop listening and cut all connections; what was recorded stays.

        Raises:
            Exception: What a listener has raised, if nothing has told it before.
        """
        self._closed = True
        self._deafen()
        if self._notification is not None:
            self._notification.cancel()
        for connection in list(self._connections):
            connection.cut("rst")
        while self._connections:
            self._empty.clear()
            await self._empty.wait()
        self._tell_all()
        self._complain()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def events(self) -> list[Event]:
        """Return what was seen so far on all connections, decoded, oldest first.

        Times are in seconds since the tap's start, and are those at which the tap read the bytes, before
        any delay. At most ``record_events`` are kept; ``stats.dropped`` says how many older ones are missing.

        Raises:
            Exception: What a listener has raised.
        """
        self._complain()
        return self._recorder.events()

    def listen(self, callback: Callable[[list[Event]], None], *, past: bool = False) -> Callable[[], None]:
        """Have new events told, in batches, at most twenty times a second.

        Args:
            callback: Is called on the tap's thread with the events since the last call. It must not block.
                When it raises it is not called again, and the next use of the tap raises what it raised.
            past: Whether it is called first with the events that were recorded before.

        Returns:
            A function that ends it.
        """

        def begin() -> None:
            if not self._listeners:
                self._recorder.collect(True)
                self._recorder.on_record = self._recorded
            if past:
                untold, recorded = self._recorder.catch_up()
                self._call_listeners(untold)
                callback(recorded)
            self._listeners.append(callback)

        def end() -> None:
            if callback in self._listeners:
                self._listeners.remove(callback)
            if not self._listeners:
                self._recorder.on_record = None
                self._recorder.collect(False)

        self._do(begin)
        return lambda: self._do(end)

    def tell(self) -> None:
        """Tell the listeners now what has been recorded, and return when they have been told.

        The tap records before it relays: what a peer has received is among it.

        Raises:
            TimeoutError: If the tap's loop does not answer in ten seconds.
            Exception: What a listener has raised.
        """
        self._recorder.decode()
        self._do(self._tell_all)
        self._complain()

    def shape(self, **changes: Unpack[ShapeOptions]) -> Shape:
        """Change how the link behaves, for the connections that are open and for new ones.

        What is already on its way keeps its time of arrival. ``cut_after_bytes`` and ``cut_after_seconds``
        count from the opening of each connection.

        Args:
            changes: Fields of :class:`~.link.Shape`; those not named stay.

        Returns:
            How the link behaves now.

        Raises:
            ValueError: If a value makes no sense.
            OSError: If the port was taken while connections were refused.
        """
        new = dataclasses.replace(self._shape, **changes)

        def apply() -> None:
            self._shape = new
            for connection in list(self._connections):
                connection.reshape(new)
            if new.refuse:
                self._deafen()
            elif self._loop is not None:
                self._hear()

        self._do(apply)
        return new

    def cut(self, how: Literal["rst", "fin"] = "rst") -> None:
        """Cut all open connections now.

        Args:
            how: ``"rst"``: both ends get a reset, and what was on its way is lost. ``"fin"``: both ends see
                an orderly end of the stream, in the middle of whatever was on its way.
        """

        def apply() -> None:
            for connection in list(self._connections):
                connection.cut(how)

        self._do(apply)

    def stall(self, direction: Direction | None = None) -> None:
        """Carry nothing any more, as when a cable is unplugged: no bytes, no end; until :meth:`resume`.

        Args:
            direction: ``"to_server"`` or ``"to_client"`` for one direction (half-open); None for both.
        """
        self._do(lambda: self._set_stalled({direction} if direction else set(_DIRECTIONS)))

    def resume(self) -> None:
        """Carry on where :meth:`stall` has stopped; nothing is lost."""
        self._do(lambda: self._set_stalled(set()))

    def _set_stalled(self, directions: set[Direction]) -> None:
        self._stalled = directions
        for connection in self._connections:
            for direction in _DIRECTIONS:
                connection.lines[direction].stall(direction in directions)

    def _do(self, change: Callable[[], None]) -> None:
        """Run a change on the tap's loop and wait for it."""
        self._complain()
        try:
            running: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if self._loop is None or self._loop is running or self._loop.is_closed():
            change()
            return
        done: concurrent.futures.Future[None] = concurrent.futures.Future()

        def run() -> None:
            try:
                change()
            except Exception as exc:
                done.set_exception(exc)
            else:
                done.set_result(None)

        self._loop.call_soon_threadsafe(run)
        done.result(_PATIENCE)

    def _complain(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _hear(self, *, or_any_port: bool = False) -> None:
        """Take connections, on the same port as before if there was one."""
        if self._listener is not None or self._closed:
            return
        assert self._loop is not None
        self._listener = listening_socket("127.0.0.1", self._port, or_any=or_any_port)
        self._port = self._listener.getsockname()[1]
        self._serving = self._loop.create_task(self._serve(self._listener))

    async def _serve(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Connection(self).client, sock=listener, backlog=_BACKLOG)
        if listener is self._listener:
            self._server = server
        else:  # refused again meanwhile
            server.close()

    def _deafen(self) -> None:
        """Refuse connections: nobody listens on the port."""
        if self._server is not None:
            self._server.close()
        elif self._listener is not None:
            self._listener.close()
        self._server = self._listener = None

    def _recorded(self) -> None:
        if self._notification is None and self._loop is not None and not self._closed:
            self._notification = self._loop.call_later(_NOTIFY, self._notify)

    def _notify(self) -> None:
        assert self._loop is not None
        self._notification = self._loop.call_later(0, self._notify) if self._tell() else None

    def _tell_all(self) -> None:
        while self._listeners and self._tell():
            pass

    def _tell(self) -> bool:
        """Tell the listeners what is new; returns whether there is more."""
        events, more = self._recorder.fresh()
        self._call_listeners(events)
        return more

    def _call_listeners(self, events: list[Event]) -> None:
        for callback in list(self._listeners) if events else ():
            try:
                callback(events)
            except Exception as exc:
                self._failure = self._failure or exc
                self._listeners.remove(callback)


class _Side(asyncio.Protocol):
    """One end of a relayed connection: the TCP connection to the client, or the one to the server."""

    def __init__(self, connection: _Connection, out: Direction) -> None:
        self._connection = connection
        self._out = out
        self._into = opposite(out)
        self.transport: asyncio.Transport | None = None
        self.ended = False

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
        self._connection.lost(self._out, exc)

    def pause_writing(self) -> None:
        self._connection.lines[self._into].block(True)

    def resume_writing(self) -> None:
        self._connection.lines[self._into].block(False)

    def reset(self) -> None:
        """Close with a reset, at once."""
        if self.transport is not None:
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.transport.abort()

    def finish(self) -> None:
        """Send what is waiting and then the end of the stream; go on reading."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write_eof()


class _Connection:
    """A client's TCP connection, the one to the server that goes with it, and the two lines between them."""

    def __init__(self, tap: Tap) -> None:
        self._tap = tap
        self._loop = asyncio.get_running_loop()
        self._number = 0
        self._opened_at = 0.0
        self._cutting = False
        self._ends: set[Direction] = set()
        self._arrived: set[Direction] = set()
        self._connecting: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.client = _Side(self, TO_SERVER)
        self._server = _Side(self, TO_CLIENT)
        self._sides: dict[Direction, _Side] = {TO_SERVER: self.client, TO_CLIENT: self._server}
        self.lines: dict[Direction, Line] = {
            direction: Line(
                window=tap._window,
                shape=tap._shape,
                allowance=self._allowance,
                on_cut=self._cut_as_shaped,
                on_end=partial(self._arrive, direction),
                count=tap._counts[direction],
                dice=tap._dice,
            )
            for direction in _DIRECTIONS
        }
        self._shape = tap._shape

    # What the two sides report.

    def made(self, side: _Side, out: Direction) -> None:
        transport = side.transport
        assert transport is not None
        if self._tap._socket_buffer is not None:
            sock = transport.get_extra_info("socket")
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                sock.setsockopt(socket.SOL_SOCKET, option, self._tap._socket_buffer)
        if side is self.client:
            self._open()
        elif self._cutting:
            transport.abort()
            return
        for direction in self._tap._stalled:
            self.lines[direction].stall(True)
        self.lines[out].read_from(transport)
        self.lines[opposite(out)].write_to(transport)

    def received(self, direction: Direction, data: bytes) -> None:
        if self._cutting:
            return
        tap = self._tap
        count = tap._counts[direction]
        count.bytes += len(data)
        count.segments += 1
        tap._recorder.record(self._number, direction, self._loop.time() - tap._started_at, data)
        self.lines[direction].send(data)

    def ended(self, direction: Direction, how: How) -> bool:
        """Note the end of a direction; returns whether the connection stays open for the other one."""
        self.lines[direction].read_from(None)
        if self._cutting:
            return False
        self._record_end(direction, how)
        self.lines[direction].end(how)
        return True

    def lost(self, direction: Direction, exc: Exception | None) -> None:
        if not self._cutting:  # reset by the peer
            self.lines[opposite(direction)].kill()
            self.ended(direction, How.RST)
            connecting = self._connecting is not None and not self._connecting.done()
            if not connecting and not any(side.transport for side in self._sides.values()):
                self._cut(How.RST, "client" if direction == TO_SERVER else "server")
        self._forget()

    # What the lines report.

    def _allowance(self) -> int | None:
        limit = self._shape.cut_after_bytes
        if limit is None:
            return None
        return max(limit - sum(line.relayed for line in self.lines.values()), 0)

    def _cut_as_shaped(self) -> None:
        self.cut(self._shape.cut_how)

    def _arrive(self, direction: Direction, how: How) -> None:
        """An end has come through the line."""
        receiver = self._sides[opposite(direction)]
        if how is How.FIN:
            self._arrived.add(direction)
            receiver.finish()
            if len(self._arrived) == 2:
                self._close()
        else:
            self._cut(How.RST, "client" if direction == TO_SERVER else "server")

    # What the tap asks for.

    def reshape(self, shape: Shape) -> None:
        self._shape = shape
        for line in self.lines.values():
            line.reshape(shape)
        self._set_timer()

    def cut(self, how: Literal["rst", "fin"]) -> None:
        self._cut(How(how), "tap")

    def _open(self) -> None:
        tap = self._tap
        self._opened_at = self._loop.time()
        tap._opened += 1
        self._number = tap._opened
        tap._connections.add(self)
        tap._recorder.record(self._number, TO_SERVER, self._opened_at - tap._started_at, None)
        self._connecting = self._loop.create_task(self._connect())
        self._set_timer()

    async def _connect(self) -> None:
        if self._shape.delay:
            await asyncio.sleep(3 * self._shape.delay)
        try:
            await self._loop.create_connection(lambda: self._server, *self._tap._target)
        except OSError:
            self._cut(How.RST, "server", recorded=How.REFUSED)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._shape.cut_after_seconds is not None and not self._cutting:
            self._timer = self._loop.call_at(
                self._opened_at + self._shape.cut_after_seconds, self._cut_as_shaped
            )

    def _close(self) -> None:
        """Both directions have come to their end."""
        self._stop()
        for side in self._sides.values():
            if side.transport is not None:
                side.transport.close()

    def _cut(self, how: How, by: Literal["client", "server", "tap"], *, recorded: How | None = None) -> None:
        if self._cutting:
            return
        for direction in _DIRECTIONS:
            self._record_end(direction, recorded or how, by)
        self._stop()
        if how is How.FIN:
            for side in self._sides.values():
                side.finish()
                if side.ended and side.transport is not None:
                    side.transport.close()
            self._timer = self._loop.call_later(_LINGER, self._reset)
        else:
            self._reset()
        self._forget()

    def _stop(self) -> None:
        """Relay nothing any more."""
        self._cutting = True
        if self._connecting is not None and self._connecting is not asyncio.current_task():
            self._connecting.cancel()
        if self._timer is not None:
            self._timer.cancel()
        for line in self.lines.values():
            line.kill()

    def _reset(self) -> None:
        for side in self._sides.values():
            side.reset()

    def _record_end(
        self, direction: Direction, how: How, by: Literal["client", "server", "tap"] | None = None
    ) -> None:
        if direction in self._ends:
            return
        self._ends.add(direction)
        who = by or ("client" if direction == TO_SERVER else "server")
        at = self._loop.time() - self._tap._started_at
        self._tap._recorder.record(self._number, direction, at, End(how, who))

    def _forget(self) -> None:
        """Go from the tap's list when nothing is left open."""
        if self._cutting and not any(side.transport for side in self._sides.values()):
            if self._timer is not None:
                self._timer.cancel()
            self._tap._connections.discard(self)
            self._tap._empty.set()


Submit = Callable[[Coroutine[Any, Any, Any]], "concurrent.futures.Future[Any]"]


class tapped:
    """Put a tap in front of a server, on a loop in another thread.

    Args:
        server: A ``ws://`` or ``http://`` URL on this machine, or anything with a ``url``.
        submit: Runs a coroutine on a loop that goes on in another thread, and returns a
            ``concurrent.futures.Future``. Without it the tap gets a thread and a loop of its own.
        options: As for :class:`Tap` and :class:`~.link.Shape`.

    Raises:
        ValueError: If the URL is of another kind, or an option makes no sense.

    Example::

        with tapped("ws://127.0.0.1:8765/chat", delay=0.02) as tap:
            ...  # connect to tap.url
            print(tap.stats.to_client.bytes, tap.events())
    """

    def __init__(
        self, server: str | HasUrl, *, submit: Submit | None = None, **options: Unpack[TapOptions]
    ) -> None:
        self._tap = Tap.before(server, **options)
        self._submit = submit
        self._own: _LoopThread | None = None

    def __enter__(self) -> Tap:
        try:
            self._begin().result(_PATIENCE)
        except BaseException:
            self._stop()
            raise
        return self._tap

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._end().result(_PATIENCE)
        finally:
            self._stop()

    async def __aenter__(self) -> Tap:
        try:
            await asyncio.wrap_future(self._begin())
        except BaseException:
            self._stop()
            raise
        return self._tap

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await asyncio.wrap_future(self._end())
        finally:
            self._stop()

    def _begin(self) -> concurrent.futures.Future[Any]:
        if self._submit is None:
            self._own = _LoopThread()
            self._submit = self._own.submit
        return self._submit(self._tap.start())

    def _end(self) -> concurrent.futures.Future[Any]:
        assert self._submit is not None
        return self._submit(self._tap.aclose())

    def _stop(self) -> None:
        if self._own is not None:
            self._own.stop()
            self._own = self._submit = None


class _LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tap", daemon=True)
        self._thread.start()

    def submit(self, coroutine: Coroutine[Any, Any, Any]) -> concurrent.futures.Future[Any]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)
        self._loop.close()
