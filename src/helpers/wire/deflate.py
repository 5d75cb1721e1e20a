"""permessage-deflate, seen from the middle: agreed parameters, and inflating in bounded steps (RFC 7692)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_TAIL = b"\x00\x00\xff\xff"  # removed by the sender, RFC 7692 §7.2.1
_WINDOW = 1 << 15
_STEP = 1 << 16
_STREAMS = 1000  # each costs a copy of the window


class InflateError(Exception):
    """A message cannot be inflated."""


@dataclass(frozen=True, slots=True)
class DeflateParameters:
    """What one side promised about its compression (RFC 7692 §7.1).

    Attributes:
        no_context_takeover: whether every message starts with an empty window.
        max_window_bits: Base-2 logarithm of the window's size, 8 to 15. The window that is inflated with is
            always the largest: it understands what was compressed with any smaller one (RFC 7692 §7.1.2), and
            zlib holds a sender to a smaller one only across the pieces it happens to be given.
    """

    no_context_takeover: bool
    max_window_bits: int

    @classmethod
    def agreed(cls, side: str, parameters: Sequence[tuple[str, str | None]]) -> DeflateParameters:
        """Read one side's parameters from the extension in the handshake response.

        Args:
            side: `"server"` or `"client"`.
            parameters: names and values, as `websockets.headers.parse_extension` returns them.

        Raises:
            ValueError: a parameter is unknown, repeated or has a wrong value.
        """
        values = dict(parameters)
        if len(values) != len(parameters):
            raise ValueError("a parameter is repeated")
        for name, value in parameters:
            match name.partition("_"):
                case (("server" | "client"), _, "no_context_takeover") if value is None:
                    pass
                case (("server" | "client"), _, "max_window_bits") if value in _WINDOW_BITS:
                    pass
                case _:
                    raise ValueError(f"parameter {name} is unknown or has a wrong value")
        return cls(f"{side}_no_context_takeover" in values, int(values.get(f"{side}_max_window_bits") or 15))


_WINDOW_BITS = {str(bits) for bits in range(8, 16)}


class Inflater:
    """Inflates the messages of one direction, a piece at a time.

    Args:
        parameters: what the sending side promised.
        limit: most bytes a single message may inflate to.
    """

    def __init__(self, parameters: DeflateParameters, limit: int) -> None:
        self._parameters = parameters
        self._limit = limit
        self._window = bytearray()
        self._inflated = 0
        self._streams = 1
        self._zlib = self._new()

    @property
    def starts_afresh(self) -> bool:
        """Whether a message can be inflated although the one before could not."""
        return self._parameters.no_context_takeover

    def start(self) -> None:
        """Begin a message."""
        self._inflated = 0
        self._streams = 1
        if self._parameters.no_context_takeover:
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
