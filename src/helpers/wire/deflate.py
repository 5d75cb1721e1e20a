"""Inflating in bounded steps: permessage-deflate, seen from the middle (RFC 7692), and content codings."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator, Sequence

_TAIL = b"\x00\x00\xff\xff"  # removed by the sender, RFC 7692 §7.2.1
_WINDOW = 1 << 15
_STEP = 1 << 16
_STREAMS = 1000  # each costs a copy of the window


class InflateError(Exception):
    """A message cannot be inflated."""


def parameters_are_right(parameters: Sequence[tuple[str, str | None]]) -> bool:
    """Whether each parameter of permessage-deflate is known, comes once and has a value that it may have.

    Args:
        parameters: names and values, of a response (RFC 7692 §7.1).
    """
    names = {name for name, _ in parameters}
    return len(names) == len(parameters) and all(
        value is None if name in _NO_CONTEXT_TAKEOVER else name in _MAX_WINDOW_BITS and value in _WINDOW_BITS
        for name, value in parameters
    )


_NO_CONTEXT_TAKEOVER = {"server_no_context_takeover", "client_no_context_takeover"}
_MAX_WINDOW_BITS = {"server_max_window_bits", "client_max_window_bits"}
_WINDOW_BITS = {str(bits) for bits in range(8, 16)}


class Inflater:
    """Inflates the messages of one direction, a piece at a time.

    The window is always the largest: it understands what was compressed with any smaller one (RFC 7692
    §7.1.2), and zlib holds a sender to a smaller one only across the pieces it happens to be given.

    Args:
        starts_afresh: whether every message begins with an empty window (`no_context_takeover`), so that it
            can be inflated although the one before could not.
        limit: most bytes a single message may inflate to.
    """

    def __init__(self, starts_afresh: bool, limit: int) -> None:
        self.starts_afresh = starts_afresh
        self._limit = limit
        self._window = bytearray()
        self._inflated = 0
        self._streams = 1
        self._zlib = self._new()

    def start(self) -> None:
        """Begin a message."""
        self._inflated = 0
        self._streams = 1
        if self.starts_afresh:
            self._window.clear()
            self._zlib = self._new()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Inflate a piece of a message; yields pieces of at most 64 KiB.

        Raises:
            InflateError: it is no valid DEFLATE data, or exceeds a limit.
        """
        while True:
            try:
                piece = self._zlib.decompress(data, _STEP)
            except zlib.error as exc:
                raise InflateError("the payload is not valid DEFLATE data") from exc
            self._inflated += len(piece)
            if self._inflated > self._limit:
                raise InflateError(f"the message inflates to more than {self._limit} bytes")
            self._remember(piece)
            yield piece
            if (
                self._zlib.eof
            ):  # a block with BFINAL set, RFC 7692 §7.2.3.4: the stream goes on, with its window
                data = self._zlib.unused_data
                self._streams += 1
                if self._streams > _STREAMS:
                    raise InflateError(f"the message has more than {_STREAMS} final blocks")
                self._zlib = self._new()
            else:
                data = self._zlib.unconsumed_tail
            if not data:
                return

    def finish(self) -> Iterator[bytes]:
        """End a message; yields what was held back."""
        return self.feed(_TAIL)

    def _remember(self, piece: bytes) -> None:
        self._window += piece
        if len(self._window) > 4 * _WINDOW:
            del self._window[:-_WINDOW]

    def _new(self) -> zlib._Decompress:
        return zlib.decompressobj(wbits=-15, zdict=bytes(self._window[-_WINDOW:]))


class ContentInflater:
    """Inflates a body with `Content-Encoding: gzip` or `deflate`, a piece at a time (RFC 9110 §8.4.1).

    Args:
        coding: `"gzip"`, `"x-gzip"`, or `"deflate"` with a zlib header or, as some send it, without.
    """

    CODINGS = frozenset({"gzip", "x-gzip", "deflate"})

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._begun = b""
        self._zlib: zlib._Decompress | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Inflate a piece; yields pieces of at most 64 KiB.

        Raises:
            InflateError: it is not what the header says.
        """
        if self._zlib is None:
            self._begun = data = self._begun + data
            if len(data) < 2:
                return
            self._zlib = self._new()
        while data:
            before = self._zlib.copy()
            try:
                piece = self._zlib.decompress(data, _STEP)
            except zlib.error as exc:
                yield from _until_it_fails(before, data)
                raise InflateError(f"the body is not {self._coding} as its Content-Encoding says") from exc
            yield piece
            data = self._zlib.unused_data or self._zlib.unconsumed_tail
            if self._zlib.eof:  # gzip may have several members
                self._zlib = self._new()
            while len(piece) == _STEP and not data:  # there may be more that it holds back
                piece = self._zlib.decompress(b"", _STEP)
                yield piece

    def _new(self) -> zlib._Decompress:
        first, second = self._begun[:2]
        if self._coding != "deflate":
            return zlib.decompressobj(wbits=15 + 16)
        has_header = first % 16 == 8 and (256 * first + second) % 31 == 0  # RFC 1950 §2.2
        return zlib.decompressobj(wbits=15 if has_header else -15)


def _until_it_fails(inflate: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    """What can be inflated before the error: `decompress` itself keeps it back."""
    with contextlib.suppress(zlib.error):
        for byte in data:
            yield inflate.decompress(bytes([byte]))
