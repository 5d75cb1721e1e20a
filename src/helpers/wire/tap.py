"""A tap: a TCP relay in front of a server, which records what goes through and can make the link worse."""

from __future__ import annotations

import asyncio
import concurrent.futures
import copy
import dataclasses
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Protocol, Self, TypedDict, Unpack
from urllib.parse import urlsplit, urlunsplit

from helpers.arguments import number
from helpers.sockets import listening_socket
from helpers.wire.events import DIRECTIONS, TO_CLIENT, TO_SERVER, Direction, Event
from helpers.wire.link import Count, Shape
from helpers.wire.listeners import Listener, Listeners
from helpers.wire.recorder import Recorder
from helpers.wire.relay import Relay

BACKLOG = 512
RECORDED_BYTES = 1 << 24
"""Most bytes that wait to be decoded, and most bytes that the events hold."""
CHANGED_WITHIN = 10.0
"""Seconds that another thread waits until the tap's loop has made a change."""


class ShapeOptions(TypedDict, total=False):
    """How the link behaves; see `Shape`."""

    delay: float
    jitter: float
    rate: float | None
    cut_after_bytes: int | None
    cut_after_seconds: float | None
    cut_how: Literal["rst", "fin"]
    refuse: bool


class TapOptions(ShapeOptions, total=False):
    """All that a tap may be told at its start; see `Tap`."""

    listen_port: int
    window: int
    socket_buffer: int | None
    record_chunks: int
    record_events: int
    keep: int
    seed: int | None


class HasUrl(Protocol):
    """A server that says where it is."""

    @property
    def url(self) -> str: ...


@dataclasses.dataclass(frozen=True, slots=True)
class TapStats:
    """What went through a tap since its start.

    Attributes:
        connections: TCP connections that were opened.
        open: TCP connections that are open now.
        to_server: bytes and segments from the clients.
        to_client: bytes and segments from the server.
        dropped: events that were dropped because there were too many.
    """

    connections: int
    open: int
    to_server: Count
    to_client: Count
    dropped: int


class Tap:
    """A TCP relay on 127.0.0.1. Start it on any asyncio loop; then use it from any thread.

        async with Tap("127.0.0.1", 8765, delay=0.02) as tap:
            # connect to 127.0.0.1, tap.port
            print(tap.stats, tap.events())

    It relays bytes unchanged, and passes on backpressure, half-close and reset. (asyncio sets TCP_NODELAY on
    every TCP connection.) A new connection costs its round trip: the server sees it three one-way delays
    after the client has opened it, when the client's second packet would have come.

    Args:
        host: where the server is.
        port: its port.
        listen_port: port on which the tap listens; 0 lets the system choose a free one.
        window: bytes that the tap holds of each direction of a connection before it stops reading,
            including those on their way in the delay. The sockets' buffers come on top.
        socket_buffer: bytes of the sockets' send and receive buffers, or None to leave them to the system.
        record_chunks: most chunks of bytes that wait to be decoded.
        record_events: most events that are kept.
        keep: bytes that are kept of each payload and message.
        seed: makes the jitter repeat itself.
        **shape: how the link behaves at first; see `Shape`.

    Raises:
        ValueError: an option makes no sense.
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
        record_events: int = 20_000,
        keep: int = 4096,
        seed: int | None = None,
        **shape: Unpack[ShapeOptions],
    ) -> None:
        number(window, "window (bytes)", least=1, whole=True)
        self._recorder = Recorder(chunks=record_chunks, size=RECORDED_BYTES, events=record_events, keep=keep)
        self._listeners = Listeners(self._recorder)
        self._relay = Relay(
            (host, port),
            Shape(**shape),
            self._recorder,
            window=window,
            socket_buffer=socket_buffer,
            seed=seed,
        )
        self._scheme, self._path, self._query = "http", "", ""
        self._port = listen_port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._socket: socket.socket | None = None
        self._serving: asyncio.Task[None] | None = None
        self._server: asyncio.Server | None = None
        self._closed = False

    @classmethod
    def before(cls, server: str | HasUrl, **options: Unpack[TapOptions]) -> Self:
        """Make a tap for a server that is given by its URL, or has one.

        Args:
            server: a `ws://` or `http://` URL, or anything with a `url`.
            **options: as for `Tap`.

        Raises:
            ValueError: the URL is of another kind.
        """
        url = server if isinstance(server, str) else server.url
        parts = urlsplit(url)
        try:
            port = parts.port or 80
        except ValueError:  # above 65,535
            port = 0
        if parts.scheme not in ("ws", "http") or not parts.hostname or not port:
            raise ValueError(f"a tap needs a ws:// or http:// URL, not {url!r}")
        tap = cls(parts.hostname, port, **options)
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
        relay = self._relay
        return TapStats(
            connections=relay.opened,
            open=len(relay.connections),
            to_server=copy.copy(relay.counts[TO_SERVER]),
            to_client=copy.copy(relay.counts[TO_CLIENT]),
            dropped=self._recorder.dropped,
        )

    async def start(self, *, or_any_port: bool = False) -> None:
        """Listen, on the running loop.

        Args:
            or_any_port: whether it may listen on a free port where `listen_port` is taken.

        Raises:
            OSError: there is no port.
            RuntimeError: it was started before.
        """
        if self._loop is not None:
            raise RuntimeError("a tap is started once; make a new one")
        self._loop = asyncio.get_running_loop()
        self._relay.start()
        self._listen(or_any_port=or_any_port)
        if self._serving is not None:
            await self._serving
        if self._relay.shape.refuse:
            self._stop_listening()

    async def aclose(self) -> None:
        """Stop listening and cut all connections; what was recorded stays.

        Raises:
            Exception: what a listener has raised, if nothing has told it before.
        """
        self._closed = True
        self._stop_listening()
        await self._relay.aclose()
        self._listeners.close()
        self._listeners.raise_failure()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def events(self) -> list[Event]:
        """What was seen so far on all connections, decoded, oldest first.

        Times are in seconds since the tap's start, and are those at which the tap read the bytes, before
        any delay. At most `record_events` are kept; `stats.dropped` says how many older ones are missing.

        Raises:
            Exception: what a listener has raised.
        """
        self._listeners.raise_failure()
        return self._recorder.events()

    def listen(self, callback: Listener, *, past: bool = False) -> Callable[[], None]:
        """Call a function with new events, in batches, at most twenty times a second.

        Args:
            callback: is called on the tap's thread with the events since the last call. It must not block.
                When it raises it is not called again, and the next use of the tap raises what it raised.
            past: whether it is called first with the events that were recorded before.

        Returns:
            A function that ends it.
        """
        self._on_loop(lambda: self._listeners.add(callback, past=past))
        return lambda: self._on_loop(lambda: self._listeners.remove(callback))

    def tell(self) -> None:
        """Tell the listeners now what has been recorded, and return when they have been told.

        The tap records before it relays, so all that a peer has received is among it.

        Raises:
            TimeoutError: the tap's loop does not answer in ten seconds.
            Exception: what a listener has raised.
        """
        self._recorder.decode()
        self._on_loop(self._listeners.tell_all)
        self._listeners.raise_failure()

    def shape(self, **changes: Unpack[ShapeOptions]) -> Shape:
        """Change how the link behaves, for the connections that are open and for new ones.

        What is already on its way keeps its time of arrival. `cut_after_bytes` and `cut_after_seconds`
        count from the opening of each connection.

        Args:
            **changes: fields of `Shape`; those not named stay.

        Returns:
            How the link behaves now.

        Raises:
            ValueError: a value makes no sense.
            OSError: the port was taken while connections were refused.
        """
        new = dataclasses.replace(self._relay.shape, **changes)

        def apply() -> None:
            self._relay.reshape(new)
            if new.refuse:
                self._stop_listening()
            elif self._loop is not None:
                self._listen()

        self._on_loop(apply)
        return new

    def cut(self, how: Literal["rst", "fin"] = "rst") -> None:
        """Cut all open connections now.

        Args:
            how: `"rst"`: both ends get a reset, and what was on its way is lost. `"fin"`: both ends see
                an orderly end of the stream, in the middle of whatever was on its way.
        """
        self._on_loop(lambda: self._relay.cut(how))

    def stall(self, direction: Direction | None = None) -> None:
        """Stop carrying, as when a cable is unplugged: no bytes, no end of stream, until `resume()`.

        Args:
            direction: `"to_server"` or `"to_client"` for one direction (half-open); None for both.
        """
        self._on_loop(lambda: self._relay.stall({direction} if direction else set(DIRECTIONS)))

    def resume(self) -> None:
        """Carry on where `stall()` has stopped; nothing is lost."""
        self._on_loop(lambda: self._relay.stall(set()))

    def _on_loop(self, change: Callable[[], None]) -> None:
        """Run a change on the tap's loop and wait for it."""
        self._listeners.raise_failure()
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
            except Exception as error:
                done.set_exception(error)
            else:
                done.set_result(None)

        self._loop.call_soon_threadsafe(run)
        done.result(CHANGED_WITHIN)

    def _listen(self, *, or_any_port: bool = False) -> None:
        """Take connections, on the same port as before if there was one."""
        if self._socket is not None or self._closed:
            return
        assert self._loop is not None
        self._socket = listening_socket("127.0.0.1", self._port, or_any=or_any_port)
        self._port = self._socket.getsockname()[1]
        self._serving = self._loop.create_task(self._serve(self._socket))

    async def _serve(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._relay.accept, sock=sock, backlog=BACKLOG)
        if sock is self._socket:
            self._server = server
        else:  # refused again meanwhile
            server.close()

    def _stop_listening(self) -> None:
        """Stop listening on the port, so that connections are refused."""
        if self._server is not None:
            self._server.close()
        elif self._socket is not None:
            self._socket.close()
        self._server = self._socket = None
