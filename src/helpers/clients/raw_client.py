"""WebSocket clients on bare sockets: as cheap as a client can be, and one that never reads."""

from __future__ import annotations

import contextlib
import socket
from typing import NoReturn
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake
from websockets.protocol import State
from websockets.uri import parse_uri

from helpers.readers_code import in_words
from helpers.sockets import make_narrow

OPENING = 5.0
"""Seconds that a server may take to answer the handshake."""


class NotOpenedError(OSError):
    """The server did not open a WebSocket; the message says why."""


class RawClient:
    """A WebSocket connection on a plain, blocking socket; the protocol is done by `websockets`, without I/O.

        client = RawClient(server.url)
        client.complete()
        client.say("hi")
        client.socket.close()

    The constructor sends the request and `complete` waits for the answer, so that several can be underway.

    Args:
        url: a `ws://` address.
        narrow: whether as little as possible fits into the connection when nobody reads.

    Attributes:
        socket: yours to read from once it is complete; no byte after the server's answer was taken out.

    Raises:
        OSError: nobody listens there.

    Source: https://websockets.readthedocs.io/en/stable/howto/sansio.html
    """

    def __init__(self, url: str, *, narrow: bool = False) -> None:
        uri = parse_uri(url)
        self._protocol = ClientProtocol(uri)
        family = socket.AF_INET6 if ":" in uri.host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            if narrow:
                make_narrow(self.socket)
            self.socket.settimeout(OPENING)
            self.socket.connect((uri.host, uri.port))
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._protocol.send_request(self._protocol.connect())
            self._flush()
        except BaseException:
            self.socket.close()
            raise

    def complete(self) -> None:
        """Wait for the server's answer to the handshake.

        Raises:
            NotOpenedError: it refused, or did not answer in time.
        """
        answer = b""
        try:
            while not answer.endswith(b"\r\n\r\n"):
                seen = answer + self._receive(socket.MSG_PEEK)
                head, end, _ = seen.partition(b"\r\n\r\n")
                answer += self.socket.recv(len(head + end) - len(answer))
            self._protocol.receive_data(answer)
            while self._protocol.state is not State.OPEN and self._protocol.handshake_exc is None:
                self._protocol.receive_data(self._receive())  # a refusal has a body
        except TimeoutError:
            self._give_up(f"no answer to the handshake for {OPENING:g} s")
        except ConnectionError as error:
            self._give_up(in_words(error))
        wrong = self._protocol.handshake_exc
        if wrong is not None:
            self._give_up(str(wrong) if isinstance(wrong, InvalidHandshake) else in_words(wrong))

    def say(self, text: str) -> None:
        """Send a text message."""
        self._protocol.send_text(text.encode())
        self._flush()

    def answer_ping(self, payload: bytes) -> None:
        """Send the pong to a ping."""
        self._protocol.send_pong(payload)
        self._flush()

    def leave(self) -> None:
        """Send a close frame (1000) where that is possible, and close the socket."""
        if self._protocol.state is State.OPEN:
            with contextlib.suppress(OSError):
                self._protocol.send_close(1000)
                self._flush()
        self.socket.close()

    def _receive(self, flags: int = 0) -> bytes:
        data = self.socket.recv(4096, flags)
        if not data:
            self._give_up("it closed the connection instead of answering the handshake")
        return data

    def _flush(self) -> None:
        self.socket.sendall(b"".join(self._protocol.data_to_send()))

    def _give_up(self, why: str) -> NoReturn:
        self.socket.close()
        raise NotOpenedError(why) from None


def named(url: str, name: str) -> str:
    """The address with `name=` in its query, which a chat takes for the client's name."""
    parts = urlsplit(url)
    query = [(key, value) for key, value in parse_qsl(parts.query, keep_blank_values=True) if key != "name"]
    return urlunsplit(parts._replace(path=parts.path or "/", query=urlencode([*query, ("name", name)])))
