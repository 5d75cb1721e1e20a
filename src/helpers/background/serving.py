"""A `websockets` server on the loop that calls it: it reports what happens, and ends when it is told."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from helpers.background.break_off import Abandoned, end_by_force
from helpers.background.closed import how_it_ended
from helpers.background.journal import Refusal, Reporter
from helpers.background.page import wants_websocket
from helpers.readers_code import in_words

Handler = Callable[[ServerConnection], Awaitable[None]]

SMALL_READ, LARGE_READ, LARGE_FRAME = 2**13, 2**16, 2**10  # bytes; asyncio reads 2**18 at once


class Serving:
    """A running `websockets` server that reports what happens and ends when told, whatever the peers do.

    It lives on the loop that calls it and knows nothing of threads.

    Args:
        handler: called for each connection.
        reporter: takes what happens.
    """

    def __init__(self, handler: Handler, reporter: Reporter) -> None:
        self._handler = handler
        self._say = reporter.say
        self._fail = reporter.fail
        self._numbers = itertools.count(1)
        self._made: set[ServerConnection] = set()
        self._server: Server | None = None
        self._ending = False

    @property
    def connections(self) -> set[ServerConnection]:
        return self._server.connections if self._server else set()

    async def open(self, options: dict[str, Any]) -> None:
        serving, own = self, options.pop("create_connection", None) or _InPieces

        class Watched(own):  # type: ignore[misc, valid-type]
            buffer = memoryview(bytearray(LARGE_READ))  # for all of a loop: what is read is used at once

            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                serving._made.add(self)
                super().connection_made(transport)

            def connection_lost(self, error: Exception | None) -> None:
                super().connection_lost(error)
                serving._made.discard(self)
                self.loop.call_soon(serving._say_why_refused, self)

        logger = options.pop("logger", None) or _logger_that_tells(self._say)
        self._server = await serve(self._handle, create_connection=Watched, logger=logger, **options)

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
                connection.transport.abort()
            self._ending = True
            for handler in handlers:
                handler.cancel()
            await asyncio.wait([closed], timeout=0.3)
        if not closed.done():
            for handler in handlers:
                end_by_force(handler)
            await asyncio.wait([closed], timeout=0.3)
        if not closed.done():
            closed.cancel()
            self._say("a connection did not end when it was broken off; it has been left behind")

    async def _handle(self, connection: ServerConnection) -> None:
        number = next(self._numbers)
        me = asyncio.current_task()
        self._say(f"connection {number} opened")
        try:
            await self._handler(connection)
        except Abandoned:
            self._say("the handler blocked its loop and was broken off")
        except BaseException as error:
            ended = isinstance(error, asyncio.CancelledError | GeneratorExit)
            if ended and (self._ending or not _is_running(me)):  # whoever ends the server wants it
                raise
            # That its own connection has closed is no failure; that another one has, which it wrote to, is.
            if not _is_connection_closed(error) or connection.state is State.OPEN:
                self._fail(_from_the_handlers_line(error))
                await connection.close(1011)
        else:
            await connection.close()
        finally:
            self._say(f"connection {number} closed: {_how_it_ended(connection)}")

    def _say_why_refused(self, connection: ServerConnection) -> None:
        """Say it for a peer that never became a connection; `websockets` itself logs nothing of rubbish."""
        answer, request = connection.response, connection.request
        if answer and answer.status_code == 101:
            return
        status = f"{answer.status_code} {answer.reason_phrase}" if answer else ""
        error = connection.protocol.handshake_exc
        if request and error is None and not wants_websocket(request):
            self._say(f"GET {request.path}: {status}")
        else:
            answered = f" ({status})" if status else ""
            self._say(Refusal.because(answered + with_causes(error)))


class _InPieces(ServerConnection, asyncio.BufferedProtocol):
    """Decodes a little at a time where frames are small, because everybody else waits meanwhile."""

    _read_bytes = SMALL_READ
    buffer: memoryview

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.buffer[: self._read_bytes]

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self.buffer[:nbytes]))
        large = nbytes >= max(1, len(self.recv_messages.frames)) * LARGE_FRAME
        if large != (self._read_bytes == LARGE_READ):  # an idle connection keeps nothing
            self._read_bytes = LARGE_READ if large else SMALL_READ


def _is_connection_closed(error: BaseException) -> bool:
    """Whether it is `ConnectionClosed`, also as a task group raises it."""
    if isinstance(error, BaseExceptionGroup):
        return all(_is_connection_closed(part) for part in error.exceptions)
    return isinstance(error, ConnectionClosed)


def _is_running(task: asyncio.Task[Any] | None) -> bool:
    """Whether this is called in that task, and not by the garbage collector, which closes its coroutine."""
    try:
        return asyncio.current_task() is task
    except RuntimeError:
        return False


def _from_the_handlers_line(error: BaseException) -> Exception:
    """The failure as an `Exception`: others have a meaning of their own where they are raised again."""
    trace = error.__traceback__.tb_next if error.__traceback__ else None
    if isinstance(error, Exception):
        return error.with_traceback(trace)
    ends_loop = isinstance(error, SystemExit | KeyboardInterrupt)
    effect = ", which would end the loop" if ends_loop else ""
    failure = RuntimeError(f"the handler raised {in_words(error)}{effect}")
    failure.__cause__ = error
    return failure.with_traceback(trace)


def _how_it_ended(connection: ServerConnection) -> str:
    if connection.state is not State.CLOSED:
        return "not yet; the handler ended first"
    wrong = connection.protocol.parser_exc
    broken = wrong is not None and not isinstance(wrong, EOFError)
    why = f"; the peer broke the protocol: {in_words(wrong)}" if wrong and broken else ""
    return how_it_ended(connection.protocol.close_exc) + why


class _WebsocketsLog(logging.Handler):
    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text in _SAID_ALREADY or text.startswith(_SAID_BEGINNINGS):
            return
        self._say(text + with_causes(record.exc_info[1] if record.exc_info else None))


def with_causes(error: BaseException | None) -> str:
    """An exception and what has caused it, each after a colon."""
    return f": {in_words(error)}{with_causes(error.__cause__)}" if error else ""


_SAID_BEGINNINGS = ("server listening", "connection rejected", "HTTP response sent")
_SAID_ALREADY = {"connection open", "connection closed", "server closing", "server closed"}


def _logger_that_tells(say: Callable[[str], None]) -> logging.Logger:
    """A logger of its own, so that what `websockets` logs is in the log, and not red text in a cell."""
    logger = logging.Logger("helpers.background", logging.INFO)
    logger.addHandler(_WebsocketsLog(say))
    return logger
