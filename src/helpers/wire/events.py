"""What was seen on a connection: one frozen dataclass for each kind of event."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final, Literal, TypedDict

from websockets.frames import Opcode

from helpers.wire.masking import apply_mask

_HEADER = 160
"""Bytes of a header's two strings and their tuple in CPython, beyond their characters."""

Direction = Literal["to_server", "to_client"]
TO_SERVER: Final = "to_server"
TO_CLIENT: Final = "to_client"
DIRECTIONS: Final[tuple[Direction, Direction]] = (TO_SERVER, TO_CLIENT)


class How(enum.StrEnum):
    """How one direction of a TCP connection ended."""

    FIN = "fin"
    RST = "rst"
    REFUSED = "refused"


class Stamp(TypedDict):
    """The fields that all events share, ready to be passed on as keyword arguments."""

    connection: int
    direction: Direction
    at: float


def opposite(direction: Direction) -> Direction:
    """The other direction."""
    return TO_CLIENT if direction == TO_SERVER else TO_SERVER


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that was seen on a connection.

    Attributes:
        connection: number of the TCP connection, from 1.
        direction: where the bytes went, `"to_server"` or `"to_client"`.
        at: when the last byte of it was seen, in seconds, as the caller of the decoder counts them.
    """

    connection: int
    direction: Direction
    at: float

    @property
    def kept(self) -> int:
        """How many payload and header bytes this event holds in memory."""
        return len(getattr(self, "data", b""))


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpOpened(Event):
    """The client opened a TCP connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpClosed(Event):
    """One direction of the TCP connection ended.

    Attributes:
        how: `"fin"` (half-close, the other direction may go on), `"rst"` (both directions are gone)
            or `"refused"` (the server took no connection).
        by: `"client"`, `"server"`, or `"tap"` when a tap cut the connection.
        undecoded: bytes of this direction that are in no event: not understood, or not complete.
    """

    how: How
    by: Literal["client", "server", "tap"]
    undecoded: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _HttpHead(Event):
    version: str
    headers: tuple[tuple[str, str], ...]
    size: int

    @property
    def kept(self) -> int:
        return self.size + _HEADER * len(self.headers)

    def header(self, name: str) -> str | None:
        """The values of a header, joined with commas, or None when there is none.

        Args:
            name: name of the header, in any case.
        """
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest(_HttpHead):
    """The head of an HTTP/1 request (RFC 9112 §3).

    Attributes:
        method: for example `"GET"`.
        target: path and query, as sent.
        version: `"HTTP/1.1"` or `"HTTP/1.0"`.
        headers: names and values in the order and the case in which they were sent.
        size: bytes of the head, with the empty line.
    """

    method: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse(_HttpHead):
    """The head of an HTTP/1 response (RFC 9112 §4); fields as in `HttpRequest`.

    Attributes:
        status: for example 101.
        reason: for example `"Switching Protocols"`.
    """

    status: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpChunk(Event):
    """One chunk of a chunked HTTP body (RFC 9112 §7.1).

    Attributes:
        length: bytes of content in it.
        wire_length: bytes it took, with its size line and line end.
        data: the content, or its beginning when it is longer than the decoder's limit.
        is_told: whether it is part of an event stream that is understood: then `ServerSentEvent`s tell it.
    """

    length: int
    wire_length: int
    data: bytes
    is_told: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpBody(Event):
    """The end of an HTTP body that was not empty (RFC 9112 §6).

    Attributes:
        framing: what says where it ends: `"content-length"`, `"chunked"` or `"until close"`.
        length: bytes of content.
        wire_length: bytes it took, with the framing of the chunks.
        data: the content, or its beginning when it is longer than the decoder's limit.
    """

    framing: Literal["content-length", "chunked", "until close"]
    length: int
    wire_length: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSentEvent(Event):
    """One event of a `text/event-stream` body (HTML Standard §9.2.6).

    Attributes:
        event: its type; `"message"` when the stream names none.
        data: its data, or the beginning when it is longer than the decoder's limit.
        id: the last event id, or None when the stream has set none.
        length: bytes of the event in the body, inflated and with the empty line.
    """

    event: str
    data: str
    id: str | None
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSocketOpened(Event):
    """The opening handshake is complete; from here on both directions carry frames (RFC 6455 §4).

    Attributes:
        subprotocol: the one that was agreed, or None.
        extensions: the `Sec-WebSocket-Extensions` header of the response, or None.
        deflate: whether permessage-deflate was agreed.
    """

    subprotocol: str | None
    extensions: str | None
    deflate: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A whole text or binary message, put together from its frames.

    Attributes:
        opcode: 1 (text) or 2 (binary).
        frames: how many frames carried it.
        compressed: whether it was sent compressed with permessage-deflate (RFC 7692).
        wire_length: payload bytes in its frames, as sent.
        length: bytes of the message, inflated. None when it could not be inflated.
        data: the message, or its beginning when it is longer than the decoder's limit.
    """

    opcode: int
    frames: int
    compressed: bool
    wire_length: int
    length: int | None
    data: bytes

    @property
    def text(self) -> str:
        """The data as text; what is not UTF-8 is replaced by U+FFFD."""
        return self.data.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame(Event):
    """One WebSocket frame (RFC 6455 §5.2).

    Attributes:
        fin: whether it is the last frame of its message.
        rsv1: set on the first frame of a compressed message (RFC 7692 §6).
        rsv2: reserved.
        rsv3: reserved.
        opcode: 0 to 15; see `name`.
        mask: the masking key, or None for an unmasked frame.
        length: payload bytes, whatever was kept of them.
        length_form: bits in which the length was written: 7, 16 or 64.
        header: the bytes before the payload, with the masking key.
        payload: the payload unmasked, or its beginning when it is longer than the decoder's limit.
        close_code: code of a close frame; None for other frames and for an empty close frame.
        close_reason: reason of a close frame with a code; else None.
        message: the message, on the frame that ends one; else None.
    """

    fin: bool
    rsv1: bool
    rsv2: bool
    rsv3: bool
    opcode: int
    mask: bytes | None
    length: int
    length_form: Literal[7, 16, 64]
    header: bytes
    payload: bytes
    close_code: int | None
    close_reason: str | None
    message: Message | None

    @property
    def name(self) -> str:
        """Name of the opcode: text, binary, close, ping, pong, continuation or reserved."""
        return _OPCODE_NAMES.get(self.opcode, "reserved")

    @property
    def sent(self) -> bytes:
        """The payload as it was on the wire: masked when there is a mask; no longer than `payload`."""
        return self.payload if self.mask is None else apply_mask(self.payload, self.mask)

    @property
    def size(self) -> int:
        """Bytes of the whole frame on the wire."""
        return len(self.header) + self.length

    @property
    def complete(self) -> bool:
        """Whether `payload` is the whole payload."""
        return len(self.payload) == self.length

    @property
    def kept(self) -> int:
        own = len(self.header) + len(self.payload)
        shared = self.message is None or self.message.data is self.payload
        return own if shared or self.message is None else own + len(self.message.data)


_OPCODE_NAMES: Final[dict[int, str]] = {
    Opcode.CONT: "continuation",
    Opcode.TEXT: "text",
    Opcode.BINARY: "binary",
    Opcode.CLOSE: "close",
    Opcode.PING: "ping",
    Opcode.PONG: "pong",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation(Event):
    """A peer broke a rule of the protocol; decoding goes on.

    Attributes:
        reason: what is wrong, in words.
        rule: where the rule is written, for example `"RFC 6455 §5.1"`.
    """

    reason: str
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotWebSocket(Event):
    """From here on the bytes of this direction are neither HTTP/1 nor WebSocket; they are only counted.

    Attributes:
        reason: why, in words.
    """

    reason: str
