"""A `websockets` server beside the kernel, from a handler written in a cell."""

from __future__ import annotations

import asyncio
import functools
import inspect
import socket
from pathlib import Path
from typing import Any, Literal

from websockets.asyncio.server import ServerConnection

from helpers.background.lifetime import Background, BackgroundError
from helpers.background.loops import (
    BackgroundLoop,
    LoopBlockedError,
    hold_shared_loop,
)
from helpers.background.page import ServedPage
from helpers.background.serving import Handler, Serving
from helpers.sockets import listening_socket


class BackgroundServer(Background):
    """Serve WebSocket connections in the background while cells run.

        server = BackgroundServer(echo).start()
        print(server.url)
        server.stop()

    With `page` it serves a web page on the same port, and the page reaches the handler by
    `new WebSocket(location.href.replace("http", "ws"))`, also through Jupyter's proxy:

        server = BackgroundServer(echo, page="echo.html").start()
        AppPage(server)

    Args:
        handler: a coroutine function, `async def handler(connection)`, called for each connection, as
            for `websockets.asyncio.server.serve`.
        page: an HTML file for those who ask for `/` without wanting a WebSocket.
        where: on which loop the handler runs. `"shared"`: the background loop that the widget clients
            use too, the fastest. `"own"`: a loop of its own, for a handler that may block. `"process"`:
            a child process, for measurements; the handler is copied there with what it refers to.
        name: what the server is called in messages; the handler's name by default.
        host: the address to listen on; only this machine can reach the default.
        port: the port to listen on; 0 lets the system choose a free one.
        close_timeout: how long, in seconds, a peer may take to answer the close.
        **options: every other option of `serve`, such as `origins`, `compression`, `max_size`.

    Raises:
        FileNotFoundError: there is no such page.
        TypeError: the handler can't be called with a connection and awaited.

    Source: https://websockets.readthedocs.io/en/stable/reference/asyncio/server.html
    """

    def __init__(
        self,
        handler: Handler,
        *,
        page: str | Path | None = None,
        where: Literal["shared", "own", "process"] = "shared",
        name: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        close_timeout: float = 1,
        **options: Any,
    ) -> None:
        if where not in ("shared", "own", "process"):
            raise ValueError(f'where must be "shared", "own" or "process", not {where!r}')
        super().__init__(name or _name_of(handler), host, port)
        _check_handler(handler)
        if "sock" in options:
            raise TypeError("the server makes its own socket: give host= and port= instead of sock=")
        if page is not None:
            options["process_request"] = ServedPage(page, options.get("process_request"))
        self.handler = handler
        self.where = where
        self._close_timeout = close_timeout
        self._options = options
        self._loop: BackgroundLoop | None = None
        self._serving: Serving | None = None
        self._socket: socket.socket | None = None
        self._child: Any = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that the handler runs on; cross over with `asyncio.run_coroutine_threadsafe`.

        Raises:
            BackgroundError: the server doesn't run, or runs in another process.
        """
        if self._loop is None:
            why = "runs in a child process" if self._child else "is not running"
            raise BackgroundError(f"{self.name!r} has no loop here: it {why}")
        return self._loop.asyncio_loop

    @property
    def connections(self) -> set[ServerConnection]:
        """The open connections; touch them only from the server's own loop.

        Raises:
            BackgroundError: the server runs in another process.
        """
        if self.where == "process":
            raise BackgroundError(f"{self.name!r} runs in a child process: its connections are there")
        return self._serving.connections if self._serving else set()

    @property
    def _scheme(self) -> str:
        return "wss" if self._options.get("ssl") else "ws"

    def _open(self) -> None:
        if self.where == "process":
            from helpers.background.child_server import ChildServer

            address = (self.host, self.port, not self._fixed_port)
            options = {"close_timeout": self._close_timeout, **self._options}
            try:
                self._child = ChildServer(
                    self.handler, address, options, self._say, self._fail, self._trouble
                )
            except OSError as error:
                raise self._port_error(error) from None
            self.port = self._child.port
            return
        self._loop = self._hold_loop()
        try:
            self._socket = listening_socket(self.host, self.port, or_any=not self._fixed_port)
            self.port = self._socket.getsockname()[1]
            self._serving = Serving(self.handler, self._say, self._fail)
            options = {"close_timeout": self._close_timeout, **self._options, "sock": self._socket}
            self._loop.call(self._serving.open(options), timeout=10)
        except OSError as error:
            self._let_go()
            raise self._port_error(error) from None
        except BaseException:
            self._let_go()
            raise

    def _close(self, seconds: float | None) -> None:
        seconds = self._close_timeout if seconds is None else min(seconds, self._close_timeout)
        reason = "replaced by a newer server" if self._replaced else "server stopped"
        if self._child is not None:
            self._child.close(seconds, reason)
            self._child = None
            return
        assert self._loop is not None
        assert self._serving is not None
        try:
            self._loop.call(self._serving.close(seconds, reason), timeout=seconds + 2, insist=True)
        except LoopBlockedError as error:
            self._say(str(error))
        finally:
            self._let_go()

    def _hold_loop(self) -> BackgroundLoop:
        if self.where == "shared":
            return hold_shared_loop(self, self._say, self._trouble)
        loop = BackgroundLoop(f"loop of {self.name!r}")
        loop.hold(self, self._say, self._trouble)
        return loop

    def _let_go(self) -> None:
        loop, self._loop, self._serving = self._loop, None, None
        sock, self._socket = self._socket, None
        if sock is not None:
            sock.close()  # where the loop is blocked, nobody else frees the port
        if loop is not None:
            loop.release(self)

    def _ended(self) -> str | None:
        why: str | None = self._child.ended() if self._child else None
        return why


def _check_handler(handler: object) -> None:
    if not callable(handler):
        raise TypeError(f"the handler must be a function, `async def handler(connection)`, not {handler!r}")
    function = handler.func if isinstance(handler, functools.partial) else handler
    call = function if inspect.isroutine(function) else type(function).__call__
    if not inspect.iscoroutinefunction(call):
        name = _name_of(handler)
        why = " and without `yield`" if inspect.isasyncgenfunction(call) else ""
        raise TypeError(f"{name} must be a coroutine function: write `async def {name}(connection)`{why}")
    try:
        inspect.signature(handler).bind(None)
    except TypeError as error:
        raise TypeError(f"the handler is called with one argument, the connection: {error}") from None


def _name_of(handler: object) -> str:
    function = handler.func if isinstance(handler, functools.partial) else handler
    return str(getattr(function, "__name__", type(function).__name__))
