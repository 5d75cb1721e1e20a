"""WebSocket frames and the messages they carry, out of a byte stream (RFC 6455 §5)."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Generator
from typing import Literal, NamedTuple

from websockets.exceptions import ProtocolError
from websockets.frames import CTRL_OPCODES, Close, Opcode

from helpers.wire.deflate import InflateError, Inflater
from helpers.wire.events import TO_SERVER, Event, Frame, Message, Stamp, Violation
from helpers.wire.masking import apply_mask
from helpers.wire.reader import CountingReader

_STEP = 1 << 16
_KNOWN = frozenset(Opcode)


class FrameHeader(NamedTuple):
    """What comes before a payload; the fields are those of `Frame`."""

    fin: bool
    rsv1: bool
    rsv2: bool
    rsv3: bool
    opcode: int
    mask: bytes | None
    length: int
    length_form: Literal[7, 16, 64]
    header: bytes


class FrameReader:
    """Reads the frames of one direction.

    However long a payload is, it holds `limit` bytes of it (twice: as a frame, and as a message).

    Args:
        reader: the stream, after the handshake.
        stamp: gives connection, direction and time for an event.
        emit: takes the events.
        inflater: for compressed messages; None when permessage-deflate was not agreed.
        reserved_bits: whether an extension that is not known here was agreed, which may set reserved bits.
        limit: bytes that are kept of a payload and of a message.
    """

    def __init__(
        self,
        reader: CountingReader,
        stamp: Callable[[], Stamp],
        emit: Callable[[Event], None],
        *,
        inflater: Inflater | None,
        reserved_bits: bool,
        limit: int,
    ) -> None:
        self._reader = reader
        self._stamp = stamp
        self._emit = emit
        self._inflater = inflater
        self._deflate = inflater is not None
        self._reserved_bits = reserved_bits
        self._limit = limit
        self._message: _Message | None = None
        self._closed = False
        self._broken: list[tuple[str, str]] = []

    def read(self) -> Generator[None, None, None]:
        """Read one frame.

        Raises:
            EOFError: the stream ends before the frame does.
        """
        try:
            yield from self._read()
        except EOFError:
            self._emit_violations()
            raise
        self._emit_violations()

    def _emit_violations(self) -> None:
        for why, rule in self._broken:
            self._emit(Violation(**self._stamp(), reason=why, rule=rule))
        self._broken.clear()

    def _read(self) -> Generator[None, None, None]:
        header = yield from self._read_header()
        message = self._begin(header)
        self._check(header)
        payload = yield from self._read_payload(header, message)
        done = None
        if message is not None:
            message.frames += 1
            message.wire_length += header.length
            if header.fin:
                done = message.finish(payload)
                self._message = None
            self._broken += message.broken
            message.broken = []
            if message.inflate_failed and self._inflater is not None and not self._inflater.starts_afresh:
                self._inflater = None
        code, reason = (None, None)
        if header.opcode == Opcode.CLOSE:
            code, reason = self._close(payload, header.length)
        self._emit(
            Frame(
                **self._stamp(),
                **header._asdict(),
                payload=payload,
                close_code=code,
                close_reason=reason,
                message=done,
            )
        )

    def _read_header(self) -> Generator[None, None, FrameHeader]:
        reader = self._reader
        header = bytes((yield from reader.read_exact(2)))
        first, second = header
        length = second & 0x7F
        length_form: Literal[7, 16, 64] = 7
        if length >= 126:
            length_form = 16 if length == 126 else 64
            header += yield from reader.read_exact(length_form // 8)
            length = int.from_bytes(header[2:])
        mask: bytes | None = None
        if second & 0x80:
            mask = bytes((yield from reader.read_exact(4)))
            header += mask
        return FrameHeader(
            fin=bool(first & 0x80),
            rsv1=bool(first & 0x40),
            rsv2=bool(first & 0x20),
            rsv3=bool(first & 0x10),
            opcode=first & 0x0F,
            mask=mask,
            length=length,
            length_form=length_form,
            header=header,
        )

    def _read_payload(self, header: FrameHeader, message: _Message | None) -> Generator[None, None, bytes]:
        """Read a payload in pieces; returns its beginning, unmasked."""
        length, mask = header.length, header.mask
        kept = bytearray()
        done = 0
        while done < length:
            piece = yield from self._reader.read_some(min(length - done, _STEP))
            if mask is not None:
                turn = done % 4
                piece = apply_mask(piece, mask[turn:] + mask[:turn])
            done += len(piece)
            if len(kept) < self._limit:
                kept += piece[: self._limit - len(kept)]
            if message is not None:
                message.feed(piece)
        return bytes(kept)

    def _begin(self, header: FrameHeader) -> _Message | None:
        """The message that this frame belongs to, or None for a control or reserved frame."""
        opcode, rsv1 = header.opcode, header.rsv1
        if opcode not in (Opcode.CONT, Opcode.TEXT, Opcode.BINARY):
            return None
        if opcode == Opcode.CONT:
            if self._message is None:
                self._violation("a continuation frame continues no message", "RFC 6455 §5.4")
            elif rsv1 and self._deflate:
                self._violation("RSV1 is set on a continuation frame", "RFC 7692 §6.1")
            return self._message
        if self._message is not None:
            self._violation("a new message begins before the last one has ended", "RFC 6455 §5.4")
        compressed = rsv1 and self._deflate
        self._message = _Message(opcode, compressed, self._inflater if compressed else None, self._limit)
        return self._message

    def _check(self, header: FrameHeader) -> None:
        """Note the rules that a frame breaks."""
        opcode, mask, length, form = header.opcode, header.mask, header.length, header.length_form
        control = opcode in CTRL_OPCODES
        to_server = self._stamp()["direction"] == TO_SERVER
        if self._closed:
            self._violation("a frame follows the close frame", "RFC 6455 §5.5.1")
        if to_server and mask is None:
            self._violation("a frame from the client is not masked", "RFC 6455 §5.1")
        if not to_server and mask is not None:
            self._violation("a frame from the server is masked", "RFC 6455 §5.1")
        if opcode not in _KNOWN:
            self._violation(f"opcode {opcode} is reserved", "RFC 6455 §5.2")
        unexplained = header.rsv2 or header.rsv3 or (header.rsv1 and (not self._deflate or control))
        if unexplained and not self._reserved_bits:
            self._violation("a reserved bit is set and no extension explains it", "RFC 6455 §5.2")
        if form > 7 and length < (126 if form == 16 else 1 << 16):
            self._violation(f"length {length} is written in {form} bits, not in the fewest", "RFC 6455 §5.2")
        if length >> 63:
            self._violation("the most significant bit of the length is set", "RFC 6455 §5.2")
        if control and length > 125:
            self._violation("a control frame has more than 125 bytes", "RFC 6455 §5.5")
        if control and not header.fin:
            self._violation("a control frame is fragmented", "RFC 6455 §5.5")

    def _close(self, payload: bytes, length: int) -> tuple[int | None, str | None]:
        """Code and reason of a close frame."""
        self._closed = True
        if length == 0:
            return None, None
        if length == 1:
            self._violation("a close frame has one byte, a code has two", "RFC 6455 §5.5.1")
            return None, None
        code, raw = int.from_bytes(payload[:2]), payload[2:]
        try:
            Close.parse(payload[:2])
        except ProtocolError:
            self._violation(f"close code {code} must not be sent", "RFC 6455 §7.4")
        reason = raw.decode("utf-8", "replace")
        if len(payload) == length and reason.encode() != raw:
            self._violation("the close reason is not UTF-8", "RFC 6455 §5.5.1")
        return code, reason

    def _violation(self, reason: str, rule: str) -> None:
        self._broken.append((reason, rule))


class _Message:
    """A message that is being put together."""

    def __init__(self, opcode: int, compressed: bool, inflater: Inflater | None, limit: int) -> None:
        self._opcode = opcode
        self._compressed = compressed
        self._inflater = inflater
        self._limit = limit
        self._kept = bytearray()
        self._length = 0
        self._utf8 = codecs.getincrementaldecoder("utf-8")() if opcode == Opcode.TEXT else None
        self.frames = 0
        self.wire_length = 0
        self.broken: list[tuple[str, str]] = []
        self.inflate_failed = False
        if inflater is not None:
            inflater.start()

    def feed(self, data: bytes) -> None:
        if not self._compressed:
            self._take(data)
        elif self._inflater is not None:
            self._inflate(self._inflater, data)

    def finish(self, payload: bytes) -> Message:
        """End the message; `payload` is the beginning of its last frame."""
        if self._inflater is not None:
            self._inflate(self._inflater, None)
        unknown = self._compressed and self._inflater is None
        if not unknown:
            self._take(b"", final=True)
        data = payload if self.frames == 1 and not self._compressed else bytes(self._kept)
        return Message(
            opcode=self._opcode,
            frames=self.frames,
            compressed=self._compressed,
            wire_length=self.wire_length,
            length=None if unknown else self._length,
            data=data,
        )

    def _inflate(self, inflater: Inflater, data: bytes | None) -> None:
        try:
            for piece in inflater.finish() if data is None else inflater.feed(data):
                self._take(piece)
        except InflateError as exc:
            # What was inflated before the error depends on the pieces, and so would words about it.
            self.broken = [(str(exc), "RFC 7692 §7.2.2")]
            self.inflate_failed = True
            self._inflater = None
            self._kept.clear()

    def _take(self, data: bytes, final: bool = False) -> None:
        self._length += len(data)
        room = self._limit - len(self._kept)
        if room > 0:
            self._kept += data[:room]
        if self._utf8 is not None:
            try:
                self._utf8.decode(data, final)
            except UnicodeDecodeError:
                self._utf8 = None
                self.broken.append(("a text message is not UTF-8", "RFC 6455 §8.1"))
