"""What strangers can cost the server: limits in front of the application, where uvicorn has none.

`Bounds` is for every uvicorn, whatever its options:

- A message is inflated up to MESSAGE_BYTES and no further, and has at most MESSAGE_PIECES frames.
- A connection is read READ_BYTES at a time, so that a burst never keeps the loop from others for long.
- A client that takes nothing is cut off when UNREAD_BYTES wait for it: answers to its pings count, too.
- No line in uvicorn's log is longer than LOG_CHARACTERS, and no stranger can cause a traceback.

`Http` comes before: a deadline for the head of a request, and an answer to each that `websockets` refuses.
uvicorn uses it when it is told to, as `python -m apps.chat.server` does with `OPTIONS`.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from websockets import http11
from websockets.server import ServerProtocol

from apps.chat.room import TEXT_CHARACTERS

MESSAGE_BYTES = 4 * TEXT_CHARACTERS + 16
"""The longest message, inflated; UTF-8 has at most 4 bytes a character, and there may be a number first."""
MESSAGE_PIECES = 64
"""How many frames a message may come in."""
READ_BYTES = 2048
"""How much of a connection is read at once: up to 350 messages."""
UNREAD_BYTES = 512 * 1024
"""How much may wait in a connection's write buffer."""
HEAD_BYTES = 65_536
"""The longest head of a request, as in Jupyter: cookies of all ports of a host come together."""
HEAD_SECONDS = 10.0
"""How long a client may take to send the head of a request, as in `websockets`."""
END_SECONDS = 2
"""How long uvicorn waits at its end for answers on their way."""
LOG_CHARACTERS = 200

OPTIONS: dict[str, Any] = {
    "http": "apps.chat.limits:Http",
    "ws_max_size": MESSAGE_BYTES,
    "h11_max_incomplete_event_size": HEAD_BYTES,
    "timeout_graceful_shutdown": END_SECONDS,
}
"""What `python -m apps.chat.server` gives uvicorn. Source: https://uvicorn.dev/settings/"""

# h11 has read the head before `websockets` reads it again, with limits that are lower, and for which uvicorn
# has no answer. WEBSOCKETS_MAX_LINE_LENGTH would do it, too, but uvicorn imports `websockets` before this.
http11.MAX_LINE_LENGTH = max(http11.MAX_LINE_LENGTH, 2**20)
http11.MAX_NUM_HEADERS = max(http11.MAX_NUM_HEADERS, 2**20)


def main() -> None:
    """Run the chat's server with the limits that only uvicorn's options can set."""
    uvicorn.main.main(
        ["apps.chat.server:app", *sys.argv[1:]], prog_name="python -m apps.chat.server", default_map=OPTIONS
    )


class Http(H11Protocol):
    """uvicorn's HTTP, with a deadline for the head of a request, and an answer for each that is refused."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the client time to ask."""
        super().connection_made(transport)
        self._expect_a_head()

    def data_received(self, data: bytes) -> None:
        """Read on; the deadline holds until the head is complete."""
        super().data_received(data)
        upgraded = self.transport.get_protocol()
        if upgraded is not self:
            self._expect_nothing()
            self._answer(getattr(upgraded, "conn", None))
        elif self.cycle and not self.cycle.response_complete:
            self._expect_nothing()
        else:
            self._expect_a_head()

    def on_response_complete(self) -> None:
        """Give the client time to ask again."""
        super().on_response_complete()
        self._expect_a_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing any more."""
        self._expect_nothing()
        super().connection_lost(exc)

    def _expect_a_head(self) -> None:
        if not self._deadline:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _expect_nothing(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None

    def _answer(self, handshake: Any) -> None:
        """Answer a handshake that `websockets` can't read; uvicorn would leave it as it is."""
        if getattr(handshake, "handshake_exc", None) and not self.transport.is_closing():
            answer = b"".join(handshake.data_to_send())
            self.transport.write(answer or b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            self.transport.close()


class Bounds:
    """Puts `Bounded` between each WebSocket connection and uvicorn."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        for name in ("uvicorn.error", "uvicorn.access"):
            logging.getLogger(name).addFilter(shorten)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on. uvicorn's `receive` is a method of the object with the transport."""
        protocol = getattr(receive, "__self__", None)
        transport = getattr(protocol, "transport", None)
        if scope["type"] == "websocket" and isinstance(transport, asyncio.Transport):
            transport.set_protocol(Bounded(protocol, transport))
        await self.app(scope, receive, send)


class Bounded(asyncio.BufferedProtocol):
    """Sits between a connection and uvicorn, and lets through what is within the limits.

    Args:
        protocol: uvicorn's.
        transport: the connection.
    """

    def __init__(self, protocol: Any, transport: asyncio.Transport) -> None:
        self.protocol, self.transport = protocol, transport
        self._piece = bytearray(READ_BYTES)
        parser = getattr(protocol, "conn", None)
        if isinstance(parser, ServerProtocol):  # with other libraries, uvicorn's --ws-max-size has to do
            parser.max_message_size = min(parser.max_message_size or MESSAGE_BYTES, MESSAGE_BYTES)

    def get_buffer(self, sizehint: int) -> bytearray:
        """Say where to put what comes, and so how much to read at once."""
        return self._piece

    def buffer_updated(self, nbytes: int) -> None:
        """Hand on what has come, and look at what that has cost."""
        self.protocol.data_received(bytes(self._piece[:nbytes]))
        if len(getattr(self.protocol, "frames", ())) > MESSAGE_PIECES:
            self.protocol.frames = []
            self.protocol.conn.fail(1009, f"a message has at most {MESSAGE_PIECES} frames")
            self.protocol.handle_parser_exception()
        elif self.transport.get_write_buffer_size() > UNREAD_BYTES:
            self.transport.abort()

    def eof_received(self) -> None:
        """Pass it on."""
        self.protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass it on."""
        self.protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """Pass it on."""
        self.protocol.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self.protocol.resume_writing()


def shorten(record: logging.LogRecord) -> bool:
    """Shorten what strangers bring into a log: addresses, and the traceback for what isn't UTF-8."""
    if isinstance(record.args, tuple):
        record.args = tuple(shortened(arg) if isinstance(arg, str) else arg for arg in record.args)
    if record.exc_info and isinstance(record.exc_info[1], UnicodeDecodeError):
        record.exc_info, record.levelno, record.levelname = None, logging.INFO, "INFO"
    return True


def shortened(text: str) -> str:
    """Return a stranger's text as it may be shown: its beginning."""
    return text if len(text) <= LOG_CHARACTERS else f"{text[:LOG_CHARACTERS]}…"
