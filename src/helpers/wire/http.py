"""HTTP/1 heads and bodies out of a byte stream (RFC 9112), read more leniently than by either peer."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from helpers.wire.reader import CountingReader

Headers = tuple[tuple[str, str], ...]

LONGEST_HEAD = 1 << 20
"""Bytes of a head, and of the trailers of a body; servers refuse what is much shorter."""

_BEGINNING = 80  # bytes of a first line that show whether it may be HTTP/1
_REQUEST_BEGINS = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]{0,64}(?:[ \t].*)?", re.DOTALL)
_RESPONSE_BEGINS = re.compile(rb"|H|HT|HTT|HTTP|HTTP/|HTTP/1|HTTP/1\..*", re.DOTALL)
_VERSION = re.compile(rb"HTTP/1\.[0-9]")
_RESPONSE = re.compile(rb"(HTTP/1\.[0-9])[ \t]+([1-9][0-9]{2})(?:[ \t](.*))?", re.DOTALL)
_HEX = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?", re.DOTALL)


class HttpError(Exception):
    """These bytes are not HTTP/1."""


class RequestHead(NamedTuple):
    """What `HttpRequest` says."""

    method: str
    target: str
    version: str
    headers: Headers


class ResponseHead(NamedTuple):
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
    line, headers = yield from _read_head(reader, "request", _REQUEST_BEGINS)
    method, _, rest = line.replace(b"\t", b" ").partition(b" ")
    target, _, version = rest.strip().rpartition(b" ")
    if not target or not _VERSION.fullmatch(version):
        raise HttpError("this isn't an HTTP/1 request line")
    return RequestHead(
        method.decode(), target.strip().decode("utf-8", "backslashreplace"), version.decode(), headers
    )


def read_response_head(reader: CountingReader) -> Generator[None, None, ResponseHead]:
    """Read a status line and headers.

    Raises:
        HttpError: it is no HTTP/1 response.
        EOFError: the stream ends before the head is complete.
    """
    line, headers = yield from _read_head(reader, "response", _RESPONSE_BEGINS)
    found = _RESPONSE.fullmatch(line)
    if found is None:
        raise HttpError("this isn't an HTTP/1 status line")
    version, status, reason = found.groups()
    return ResponseHead(int(status), (reason or b"").decode("latin-1").strip(), version.decode(), headers)


def _read_head(
    reader: CountingReader, kind: str, begins: re.Pattern[bytes]
) -> Generator[None, None, tuple[bytes, Headers]]:
    """The first line and the headers. What can't be a first line is not waited for to its end."""
    until = reader.position + LONGEST_HEAD
    line = b""
    while not line:
        while True:
            seen, end, _ = bytes(reader.buffer[:_BEGINNING]).partition(b"\n")
            if not begins.fullmatch(seen.removesuffix(b"\r")):
                raise HttpError(f"this is no HTTP/1 {kind}")
            if end or reader.eof or len(seen) == _BEGINNING:
                break
            yield
        line = yield from _read_line(reader, until)
    return line, (yield from _read_fields(reader, until))


def _read_fields(reader: CountingReader, until: int) -> Generator[None, None, Headers]:
    """Headers or trailers with the empty line after them. A line may be folded (RFC 9112 §5.2)."""
    fields: list[tuple[str, list[str]]] = []  # each value in the parts that are folded
    while line := (yield from _read_line(reader, until)):
        text = line.decode("latin-1")
        if text[0] in " \t":
            if fields:
                fields[-1][1].append(text.strip())
            continue
        name, colon, value = text.partition(":")
        if not colon or not name:
            raise HttpError("a header has no name or no colon")
        fields.append((name.rstrip(), [value.strip()]))
    return tuple((name, " ".join(parts).strip()) for name, parts in fields)


def _read_line(reader: CountingReader, until: int) -> Generator[None, None, bytes]:
    """A line without its end, CRLF or LF (RFC 9112 §2.2), which is at `until` or before."""
    line = yield from reader.read_line(max(until - reader.position, 0), _LineTooLong)
    return bytes(line[:-1]).removesuffix(b"\r")


class _LineTooLong(HttpError):
    def __init__(self, what: str) -> None:
        super().__init__(f"a head has more than {LONGEST_HEAD} bytes")


def get_all(headers: Headers, name: str) -> list[str]:
    """Return the elements of a header that is a list, in lower case."""
    joined = ",".join(value for key, value in headers if key.lower() == name)
    return [element.strip().lower() for element in joined.split(",") if element.strip()]


def _is_chunked(headers: Headers) -> bool:
    return get_all(headers, "transfer-encoding")[-1:] == ["chunked"]


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
        if get_all(headers, "transfer-encoding") and not _is_chunked(headers):
            raise HttpError("the last transfer coding is not chunked")
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
        if get_all(headers, "transfer-encoding"):
            return cls("chunked") if _is_chunked(headers) else cls("until close")
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
            size = _HEX.fullmatch((yield from _read_line(self._reader, start + LONGEST_HEAD)))
            if size is None:
                raise HttpError("a chunk does not begin with its size")
            length = int(size[1], 16)
            if length == 0:
                yield from _read_fields(self._reader, self._reader.position + LONGEST_HEAD)
                return
            kept = yield from self._read_exact(length)
            end = yield from self._reader.read_exact(1)
            if end == b"\r":
                end = yield from self._reader.read_exact(1)
            if end != b"\n":
                raise HttpError("a chunk does not end with an empty line")
            self._on_chunk(length, self._reader.position - start, kept)

    def _take(self, piece: bytes) -> None:
        self.length += len(piece)
        room = self._limit - len(self._kept)
        if room > 0:
            self._kept += piece[:room]
        self._on_data(piece)
