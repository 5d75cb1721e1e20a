"""A `websockets` server beside the kernel, from a handler written in a cell."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import itertools
import logging
import socket
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, Literal, cast

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from helpers.background.lifetime import Background, BackgroundError, listening_socket
from helpers.background.loops import (
    Abandoned,
    BackgroundLoop,
    LoopBlockedError,
    hold_shared_loop,
)
from helpers.background.places import in_words

Handler = Callable[[ServerConnection], Awaitable[None]]


class BackgroundServer(Background):
    """Serve WebSocket connections in the background while cells run.

        server = BackgroundServer(echo).start()
        print(server.url)
        server.stop()

    Args:
        handler: a coroutine function, `async def handler(connection)`, called for each connection, as
            for `websockets.asyncio.server.serve`.
        where: on which loop the handler runs. `"shared"`: the background loop that the widget clients
            use too, the fastest. `"own"`: a loop of its own, for a handler that may block. `"process"`:
            a child process, for measurements; the handler is copied there with what it refers to.
        name: what the server is called in messages; the handler's name by default.
        host: the address to listen on; only this machine can reach the default.
        port: the port to listen on; 0 lets the system choose a free one.
        close_timeout: how long, in seconds, a peer may take to answer the close.
        **options: every other option of `serve`, such as `origins`, `compression`, `max_size`.

    Source: https://websockets.readthedocs.io/en/stable/reference/asyncio/server.html
    """

    def __init__(
        self,
        handler: Handler,
        *,
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
            from helpers.background.child import ChildServer

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


class Serving:
    """A running `websockets` server that reports what happens and ends when told, whatever the peers do.

    It lives on the loop that calls it and knows nothing of threads.

    Args:
        handler: called for each connection.
        say: takes a sentence about what happened.
        fail: takes what a handler raised.
    """

    def __init__(
        self, handler: Handler, say: Callable[[str], None], fail: Callable[[Exception], None]
    ) -> None:
        self._handler = handler
        self._say = say
        self._fail = fail
        self._numbers = itertools.count(1)
        self._made: weakref.WeakSet[ServerConnection] = weakref.WeakSet()
        self._server: Server | None = None

    @property
    def connections(self) -> set[ServerConnection]:
        return self._server.connections if self._server else set()

    async def open(self, options: dict[str, Any]) -> None:
        make = options.pop("create_connection", None) or ServerConnection

        def create_connection(*args: Any, **kwargs: Any) -> ServerConnection:
            connection: ServerConnection = make(*args, **kwargs)
            self._made.add(connection)
            connection.connection_lost_waiter.add_done_callback(lambda _: self._say_why_refused(connection))
            return connection

        logger = options.pop("logger", None) or _logger_that_tells(self._say)
        tracked = cast(type[ServerConnection], create_connection)  # a wrapper will do, says its documentation
        self._server = await serve(self._handle, create_connection=tracked, logger=logger, **options)

    async def close(self, seconds: float, reason: str) -> None:
        """Close with 1001 (going away); after `seconds` break off what has not answered."""
        assert self._server is not None
        for connection in self._made:
            connection.close_timeout = seconds
        self._server.close(reason=reason)
        closed = asyncio.ensure_future(self._server.wait_closed())
        handlers = set(self._server.handler_tasks)
        await asyncio.wait([closed], timeout=seconds)
        if not closed.done():
            for connection in self._made:
                if hasattr(connection, "transport"):  # not before its TLS handshake
                    connection.transport.abort()
            for handler in handlers:
                handler.cancel()
            await asyncio.wait([closed], timeout=0.3)
        if not closed.done():
            for handler in handlers:
                _end_by_force(handler)
            await asyncio.wait([closed], timeout=0.3)
        if not closed.done():
            closed.cancel()
            self._say("a connection did not end when it was broken off; it has been left behind")

    async def _handle(self, connection: ServerConnection) -> None:
        number = next(self._numbers)
        self._say(f"connection {number} opened")
        try:
            await self._handler(connection)
        except (SystemExit, KeyboardInterrupt) as error:
            failure = RuntimeError(f"the handler raised {type(error).__name__}, which would end the loop")
            self._fail(_from_the_handlers_line(failure.with_traceback(error.__traceback__)))
            await connection.close(1011)
        except Abandoned:
            self._say("the handler blocked its loop and was broken off")
        except Exception as error:
            # Closed itself, it is no failure; still open, it talked to another one that was closed.
            if not _is_connection_closed(error) or connection.state is State.OPEN:
                self._fail(_from_the_handlers_line(error))
                await connection.close(1011)
        else:
            await connection.close()
        finally:
            reason = f" ({connection.close_reason})" if connection.close_reason else ""
            wrong = connection.protocol.parser_exc
            if wrong is not None and not isinstance(wrong, EOFError):
                reason += f"; the peer broke the protocol: {in_words(wrong)}"
            self._say(f"connection {number} closed: {connection.close_code}{reason}")

    def _say_why_refused(self, connection: ServerConnection) -> None:
        """Say it for a peer that never became a connection; `websockets` itself logs nothing of rubbish."""
        answer = connection.response
        if answer is None or answer.status_code != 101:
            answered = f" ({answer.status_code} {answer.reason_phrase})" if answer else ""
            why = _with_causes(connection.protocol.handshake_exc)
            self._say(f"a peer did not complete the handshake{answered}{why}")


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


def _is_connection_closed(error: BaseException) -> bool:
    """Whether it is `ConnectionClosed`, also as a task group raises it."""
    if isinstance(error, BaseExceptionGroup):
        return all(_is_connection_closed(part) for part in error.exceptions)
    return isinstance(error, ConnectionClosed)


def _end_by_force(handler: asyncio.Task[None]) -> None:
    """End a task that swallows `CancelledError`, by closing the coroutine under it."""
    if not handler.done():
        with contextlib.suppress(RuntimeError):  # swallowed as well
            handler.get_coro().close()
        handler.cancel()


def _from_the_handlers_line(error: Exception) -> Exception:
    trace = error.__traceback__
    return error.with_traceback(trace.tb_next if trace else None)


class _Teller(logging.Handler):
    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text in _SAID_BY_EVENTS or text.startswith(("server listening", "connection rejected")):
            return
        self._say(text + _with_causes(record.exc_info[1] if record.exc_info else None))


def _with_causes(error: BaseException | None) -> str:
    return f": {in_words(error)}{_with_causes(error.__cause__)}" if error else ""


_SAID_BY_EVENTS = {"connection open", "connection closed", "server closing", "server closed"}


def _logger_that_tells(say: Callable[[str], None]) -> logging.Logger:
    """A logger of its own, so that what `websockets` logs becomes an event and not red text in a cell."""
    logger = logging.Logger("helpers.background", logging.INFO)
    logger.addHandler(_Teller(say))
    return logger
