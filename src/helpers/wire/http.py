"""HTTP/1 heads and bodies out of a byte stream (RFC 9112)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Literal

from websockets.exceptions import (
    HeaderLineTooLong,
    RequestLineTooLong,
    StatusLineTooLong,
    TooManyHeaders,
)
from websockets.http11 import MAX_LINE_LENGTH, MAX_NUM_HEADERS, Response, parse_headers, parse_line

from helpers.wire.reader import CountingReader

Headers = tuple[tuple[str, str], ...]
_HEAD_LIMITS = (
    f"a line is longer than {MAX_LINE_LENGTH} bytes or there are more than {MAX_NUM_HEADERS} headers"
)


class HttpError(Exception):
    """These bytes are not HTTP/1."""


@dataclass(frozen=True, slots=True)
class RequestHead:
    """What `HttpRequest` says."""

    method: str
    target: str
    version: str
    headers: Headers


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """What `HttpResponse` says."""

    status: int
    reason: str
    version: str
    headers: Headers


def read_request_head(reader: CountingReader) -> Generator[None, None, RequestHead]:
    """Read a request line and headers; empty lines before them are skipped (RFC 9112 §2.2).

    Raises:
        HttpError: it is no HTTP/1 request.
        EOFError: the stream ends before the head is complete.
    """
    try:
        line = b""
        while not line:
            line = bytes((yield from parse_line(reader.read_line, RequestLineTooLong)))
        parts = line.split(b" ")
        if len(parts) != 3 or parts[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
            raise HttpError("this is no HTTP/1 request line")
        method, target, version = (part.decode("ascii") for part in parts)
        headers = yield from parse_headers(reader.read_line)
    except (RequestLineTooLong, HeaderLineTooLong, TooManyHeaders) as exc:
        raise HttpError(f"this is no HTTP/1 request: {_HEAD_LIMITS}") from exc
    except ValueError as exc:
        raise HttpError("this is no HTTP/1 request: a malformed line") from exc
    return RequestHead(method, target, version, tuple(headers.raw_items()))


def read_response_head(reader: CountingReader) -> Generator[None, None, ResponseHead]:
    """Read a status line and headers.

    Raises:
        HttpError: it is no HTTP/1 response.
        EOFError: the stream ends before the head is complete.
    """
    version = "HTTP/1.1"

    def read_line(most: int, too_long: type[Exception]) -> Generator[None, None, bytearray]:
        nonlocal version
        line = yield from reader.read_line(most, too_long)
        if too_long is StatusLineTooLong and line.startswith(b"HTTP/1.0 "):
            version = "HTTP/1.0"
        return line

    try:
        # proxy=True: the head only, in both versions.
        head = yield from Response.parse(read_line, reader.read_exact, reader.read_to_eof, proxy=True)
    except (StatusLineTooLong, HeaderLineTooLong, TooManyHeaders) as exc:
        raise HttpError(f"this is no HTTP/1 response: {_HEAD_LIMITS}") from exc
    except ValueError as exc:
        raise HttpError("this is no HTTP/1 response: a malformed line") from exc
    return ResponseHead(head.status_code, head.reason_phrase, version, tuple(head.headers.raw_items()))


def get_all(headers: Headers, name: str) -> list[str]:
    """Return the elements of a header that is a list, in lower case."""
    joined = ",".join(value for key, value in headers if key.lower() == name)
    return [element.strip().lower() for element in joined.split(",") if element.strip()]


@dataclass(frozen=True, slots=True)
class Framing:
    """Where a body ends: after `length` bytes, with the last chunk, or with the connection."""

    kind: Literal["content-length", "chunked", "until close"]
    length: int = 0

    @classmethod
    def of_request(cls, headers: Headers) -> Framing:
        """Tell it for a request (RFC 9112 §6.3).

        Raises:
            HttpError: the headers contradict each other.
        """
        return cls._of(headers) or cls("content-length", 0)

    @classmethod
    def of_response(cls, headers: Headers, status: int, method: str | None) -> Framing:
        """Tell it for a response.

        Args:
            headers: headers of the response.
            status: status of the response.
            method: method of the request, or None when it is not known.

        Raises:
            HttpError: the headers contradict each other.
        """
        if method == "HEAD" or status < 200 or status in (204, 304):
            return cls("content-length", 0)
        return cls._of(headers) or cls("until close")

    @classmethod
    def _of(cls, headers: Headers) -> Framing | None:
        codings = get_all(headers, "transfer-encoding")
        if codings:
            if codings[-1] != "chunked":
                raise HttpError("the last transfer coding is not chunked")
            return cls("chunked")
        lengths = set(get_all(headers, "content-length"))
        if not lengths:
            return None
        (text, *others) = lengths
        if others or not (text.isascii() and text.isdigit()) or len(text) > 18:
            raise HttpError("the content length is not one number")
        return cls("content-length", int(text))


class BodyReader:
    """Reads one body and keeps its beginning.

    Args:
        reader: the stream.
        framing: where the body ends.
        limit: bytes of content that are kept, of the body and of each chunk.
        on_data: is called with every piece of content.
        on_chunk: is called at the end of a chunk with its length, its bytes on the wire and its beginning.
    """

    def __init__(
        self,
        reader: CountingReader,
        framing: Framing,
        limit: int,
        on_data: Callable[[bytes], None],
        on_chunk: Callable[[int, int, bytes], None],
    ) -> None:
        self._reader = reader
        self._framing = framing
        self._limit = limit
        self._on_data = on_data
        self._on_chunk = on_chunk
        self._kept = bytearray()
        self.length = 0

    @property
    def data(self) -> bytes:
        """Beginning of the content."""
        return bytes(self._kept)

    def read(self) -> Generator[None, None, None]:
        """Read it to its end.

        Raises:
            HttpError: the framing of a chunk is broken.
            EOFError: the stream ends before the body does.
        """
        match self._framing.kind:
            case "content-length":
                yield from self._read_exact(self._framing.length)
            case "chunked":
                yield from self._read_chunks()
            case "until close":
                yield from self._read_to_eof()

    def _read_exact(self, length: int) -> Generator[None, None, bytes]:
        kept = bytearray()
        while length:
            piece = yield from self._reader.read_some(length)
            length -= len(piece)
            kept += piece[: self._limit - len(kept)]
            self._take(piece)
        return bytes(kept)

    def _read_to_eof(self) -> Generator[None, None, None]:
        while True:
            try:
                piece = yield from self._reader.read_some(1 << 20)
            except EOFError:
                return
            self._take(piece)

    def _read_chunks(self) -> Generator[None, None, None]:
        while True:
            start = self._reader.position
            try:
                line = yield from parse_line(self._reader.read_line, HeaderLineTooLong)
                length = int(bytes(line).partition(b";")[0].strip().decode("ascii"), 16)
            except (HeaderLineTooLong, ValueError) as exc:
                raise HttpError("a chunk does not begin with its size") from exc
            if not 0 <= length < 1 << 60:
                raise HttpError("a chunk does not begin with its size")
            if length == 0:
                try:
                    yield from parse_headers(self._reader.read_line)
                except (HeaderLineTooLong, TooManyHeaders, ValueError) as exc:
                    raise HttpError("the trailer section is malformed") from exc
                return
            kept = yield from self._read_exact(length)
            if (yield from self._reader.read_exact(2)) != b"\r\n":
                raise HttpError("a chunk does not end with an empty line")
            self._on_chunk(length, self._reader.position - start, kept)

    def _take(self, piece: bytes) -> None:
        self.length += len(piece)
        room = self._limit - len(self._kept)
        if room > 0:
            self._kept += piece[:room]
        self._on_data(piece)
