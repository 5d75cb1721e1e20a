"""A `websockets` server alongside the kernel, from a handler written in a cell."""

from __future__ import annotations

import asyncio
import functools
import inspect
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from websockets.asyncio.server import ServerConnection, serve

from helpers.arguments import kind, number
from helpers.background.lifetime import Background, BackgroundError
from helpers.background.loop_server import LoopServer
from helpers.background.page import ServedPage
from helpers.background.serving import Handler
from helpers.readers_code import call_of, cannot_be_called_with, may_give_coroutine

if TYPE_CHECKING:
    from helpers.background.child_server import ChildServer


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
        TypeError: the handler can't be called with a connection and awaited, or an option is of a wrong kind.

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
        close_timeout: float | None = 1,
        **options: Any,
    ) -> None:
        if where not in ("shared", "own", "process"):
            raise ValueError(f'where must be "shared", "own" or "process", not {where!r}')
        super().__init__(name or _name_of(handler), host, port)
        _check_handler(handler)
        if "sock" in options:
            raise TypeError("the server makes its own socket: give host= and port= instead of sock=")
        _check_options({"close_timeout": close_timeout, **options})
        if page is not None:
            options["process_request"] = ServedPage(page, options.get("process_request"))
        self.handler = handler
        self.where = where
        self._close_timeout = close_timeout
        self._options = options
        self._served: LoopServer | ChildServer | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that the handler runs on; cross over with `asyncio.run_coroutine_threadsafe`.

        Raises:
            BackgroundError: the server doesn't run, or runs in another process.
        """
        if not isinstance(self._served, LoopServer):
            why = "runs in a child process" if self._served else "is not running"
            raise BackgroundError(f"{self.name!r} has no loop here: it {why}")
        return self._served.loop

    @property
    def connections(self) -> set[ServerConnection]:
        """The open connections; touch them only from the server's own loop.

        Raises:
            BackgroundError: the server runs in another process.
        """
        if self.where == "process":
            raise BackgroundError(f"{self.name!r} runs in a child process: its connections are there")
        return self._served.connections if isinstance(self._served, LoopServer) else set()

    @property
    def _scheme(self) -> str:
        return "wss" if self._options.get("ssl") else "ws"

    def _start(self) -> None:
        address = (self.host, self.port, not self._fixed_port)
        options = {"close_timeout": self._close_timeout, **self._options}
        try:
            if self.where == "process":
                from helpers.background.child_server import ChildServer

                self._served = ChildServer(self.handler, address, options, self._journal)
            else:
                own_loop = f"loop of {self.name!r}" if self.where == "own" else None
                self._served = LoopServer(self.handler, address, options, self._journal, own_loop=own_loop)
        except OSError as error:
            raise self._port_error(error) from None
        self.port = self._served.port

    def _stop(self, reason: str, seconds: float | None) -> None:
        assert self._served is not None
        patience = 1 if self._close_timeout is None else self._close_timeout
        seconds = patience if seconds is None else min(seconds, patience)
        try:
            self._served.close(seconds, reason)
        finally:
            self._served = None

    def _why_ended(self) -> str | None:
        return self._served.ended() if self._served else None


def _check_options(options: dict[str, Any]) -> None:
    takes = {
        *inspect.signature(serve).parameters,
        *inspect.signature(asyncio.BaseEventLoop.create_server).parameters,
    }
    if unknown := options.keys() - takes:
        raise TypeError(f"neither BackgroundServer nor `serve` has an option {min(unknown)!r}")
    seconds = ("close_timeout", "open_timeout", "ping_interval", "ping_timeout")
    for name in (*seconds, "max_size", "max_queue", "write_limit"):
        given = options.get(name)
        for part in given if isinstance(given, tuple) else (given,):
            if part is not None:
                number(part, name, whole=name not in seconds)
    context = options.get("ssl")
    if context is not None:
        kind(context, "ssl", ssl.SSLContext, words="an ssl.SSLContext that has loaded the certificate")
    if isinstance(origins := options.get("origins"), str):
        raise TypeError(f"origins must be a list: write origins=[{origins!r}]")


def _check_handler(handler: object) -> None:
    if not callable(handler):
        raise TypeError(f"the handler must be a function, `async def handler(connection)`, not {handler!r}")
    if not may_give_coroutine(handler):
        name = _name_of(handler)
        why = " and without `yield`" if inspect.isasyncgenfunction(call_of(handler)) else ""
        raise TypeError(f"{name} must be a coroutine function: write `async def {name}(connection)`{why}")
    if why_not := cannot_be_called_with(handler, None):
        raise TypeError(f"the handler is called with one argument, the connection: {why_not}")


def _name_of(handler: object) -> str:
    function = handler.func if isinstance(handler, functools.partial) else handler
    return str(getattr(function, "__name__", type(function).__name__))
