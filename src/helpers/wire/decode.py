"""The bytes of a connection, in; what they mean, out. No sockets, no clock, no exceptions (sans-I/O)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Literal

from helpers.wire import events
from helpers.wire.deflate import ContentInflater, InflateError, Inflater
from helpers.wire.events import TO_CLIENT, TO_SERVER, Direction, Event, How, Stamp
from helpers.wire.frames import FrameReader
from helpers.wire.handshake import Agreement, agree, asks_to_upgrade, upgrades_to_websocket
from helpers.wire.http import (
    BodyReader,
    Framing,
    Headers,
    HttpError,
    get_all,
    read_request_head,
    read_response_head,
)
from helpers.wire.reader import CountingReader
from helpers.wire.sse import EventStream

_PENDING_REQUESTS = 1000
_PENDING_BYTES = 1 << 20


class Decoder:
    """Decodes one TCP connection: HTTP/1 requests and responses, Server-Sent Events, and WebSocket.

        decoder = Decoder()
        decoder.feed("to_server", b"GET / HTTP/1.1\\r\\nHost: example.org\\r\\n\\r\\n")
        # [HttpRequest(connection=1, direction='to_server', at=0.0, method='GET', target='/', ...)]

    Feed it the bytes of both directions, in any chunks, in the order in which they were seen; the events
    don't depend on the chunks. It never raises for what a peer sent: a broken rule is a `Violation`,
    and bytes that are not HTTP/1 are one `NotWebSocket` and after that only counted.

    Its memory is bounded. Of a payload, a message or a body the first `keep` bytes stay in the event; the
    rest passes through in pieces and is only counted, so that a frame of a gigabyte costs `keep` bytes
    and the chunk that is being fed. Lengths are always those on the wire. A decoder holds at most 1 MiB of
    a direction that has to wait for the other, and 1,000 unanswered requests.

    Args:
        connection: number that the events carry.
        keep: bytes that are kept of each payload, message, chunk and body; at least 125.
        inflate_limit: bytes to which one compressed message may inflate; beyond that the
            direction's later compressed messages have no `data` and no `length`.
    """

    def __init__(self, connection: int = 1, *, keep: int = 4096, inflate_limit: int = 1 << 26) -> None:
        self._connection = connection
        self._keep = max(keep, 125)  # a whole control frame
        self._inflate_limit = inflate_limit
        self._at = 0.0
        self._out: list[Event] = []
        self._requests: deque[_Request] = deque()
        self._agreed: Agreement | None = None
        self._directions: dict[Direction, _Direction] = {
            TO_SERVER: _Direction(self, TO_SERVER, self._read_requests),
            TO_CLIENT: _Direction(self, TO_CLIENT, self._read_responses),
        }

    def open(self, *, at: float = 0.0) -> list[Event]:
        """Say that the client has opened the connection.

        Args:
            at: when, in seconds.

        Returns:
            The event.
        """
        return [events.TcpOpened(connection=self._connection, direction=TO_SERVER, at=at)]

    def feed(self, direction: Direction, data: bytes, *, at: float = 0.0) -> list[Event]:
        """Take bytes of one direction.

        Args:
            direction: where they went, `"to_server"` or `"to_client"`.
            data: the bytes.
            at: when they were seen, in seconds.

        Returns:
            What became complete with them.
        """
        self._at = at
        self._directions[direction].feed(data)
        return self._take()

    def close(
        self,
        direction: Direction,
        how: How = How.FIN,
        *,
        by: Literal["client", "server", "tap"] | None = None,
        at: float = 0.0,
    ) -> list[Event]:
        """Say that one direction has ended.

        Args:
            direction: the direction in which no more bytes come.
            how: in which way.
            by: who ended it; the sender when it is not given.
            at: when, in seconds.

        Returns:
            What became complete or stays incomplete, and the event.
        """
        self._at = at
        stream = self._directions[direction]
        stream.close()
        who = by or ("client" if direction == TO_SERVER else "server")
        self._out.append(events.TcpClosed(**stream.stamp(), how=how, by=who, undecoded=stream.undecoded))
        return self._take()

    def _take(self) -> list[Event]:
        out, self._out = self._out, []
        return out

    def _read_requests(self, stream: _Direction) -> Generator[None, None, None]:
        while True:
            yield from stream.more()
            head = yield from read_request_head(stream.reader)
            size = stream.unit()
            self._out.append(events.HttpRequest(**stream.stamp(), **head._asdict(), size=size))
            upgrade = asks_to_upgrade(head.headers)
            request = _Request(head.method, upgrade, head.headers if upgrade else ())
            if len(self._requests) >= _PENDING_REQUESTS:
                raise HttpError(f"more than {_PENDING_REQUESTS} requests have no response")
            self._requests.append(request)
            yield from self._read_body(stream, Framing.of_request(head.headers), None)
            if request.upgrade or request.method == "CONNECT":
                while request.answer is None:
                    yield
                if request.answer == "tunnel":
                    raise HttpError("the connection has left HTTP/1 for another protocol")
                if request.answer == "websocket":
                    yield from self._read_frames(stream, "client")

    def _read_responses(self, stream: _Direction) -> Generator[None, None, None]:
        while True:
            yield from stream.more()
            head = yield from read_response_head(stream.reader)
            size = stream.unit()
            self._out.append(events.HttpResponse(**stream.stamp(), **head._asdict(), size=size))
            if head.status < 200 and head.status != 101:
                continue
            request = self._requests.popleft() if self._requests else None
            tunnel = request and request.method == "CONNECT" and head.status < 300
            if head.status == 101 or tunnel:
                if request is None or not upgrades_to_websocket(request.headers, head.headers):
                    self._answer(request, "tunnel")
                    raise HttpError("the connection has left HTTP/1 for another protocol")
                self._agree(stream, request.headers, head.headers)
                self._answer(request, "websocket")
                yield from self._read_frames(stream, "server")
            self._answer(request, "http")
            framing = Framing.of_response(head.headers, head.status, request.method if request else None)
            yield from self._read_body(stream, framing, head.headers)

    def _answer(self, request: _Request | None, answer: Literal["websocket", "tunnel", "http"]) -> None:
        """Let the client's direction, which waits for this, go on before the server's does."""
        if request is not None:
            request.answer = answer
            self._directions[TO_SERVER].step()

    def _read_body(
        self, stream: _Direction, framing: Framing, headers: Headers | None
    ) -> Generator[None, None, None]:
        """Read a body; `headers` are those of a response, which may be an event stream."""
        event_stream = _event_stream(headers, self._keep) if headers else None

        def on_data(piece: bytes) -> None:
            nonlocal event_stream
            try:
                for found in event_stream.feed(piece) if event_stream else ():
                    self._out.append(
                        events.ServerSentEvent(
                            **stream.stamp(),
                            event=found.event,
                            data=found.data,
                            id=found.id,
                            length=found.length,
                        )
                    )
            except InflateError as error:
                event_stream = None
                self._violation(stream, str(error), "RFC 9110 §8.4")

        def on_chunk(length: int, wire_length: int, data: bytes) -> None:
            stream.unit()
            self._out.append(
                events.HttpChunk(
                    **stream.stamp(),
                    length=length,
                    wire_length=wire_length,
                    data=data,
                    is_told=event_stream is not None,
                )
            )

        start = stream.reader.position
        body = BodyReader(stream.reader, framing, self._keep, on_data, on_chunk)
        yield from body.read()
        stream.unit()
        if body.length:
            self._out.append(
                events.HttpBody(
                    **stream.stamp(),
                    framing=framing.kind,
                    length=body.length,
                    wire_length=stream.reader.position - start,
                    data=body.data,
                )
            )

    def _agree(self, stream: _Direction, request: Headers, response: Headers) -> None:
        """Note what the opening handshake agreed on."""
        agreed = agree(request, response)
        for reason, rule in agreed.broken:
            self._violation(stream, reason, rule)
        self._agreed = agreed
        self._out.append(
            events.WebSocketOpened(
                **stream.stamp(),
                subprotocol=agreed.subprotocol,
                extensions=agreed.extensions,
                deflate=agreed.deflate is not None,
            )
        )

    def _read_frames(
        self, stream: _Direction, sender: Literal["client", "server"]
    ) -> Generator[None, None, None]:
        assert self._agreed is not None
        deflate = self._agreed.deflate
        frames = FrameReader(
            stream.reader,
            stream.stamp,
            self._out_append,
            inflater=Inflater(deflate[sender], self._inflate_limit) if deflate else None,
            reserved_bits=self._agreed.unknown,
            limit=self._keep,
        )
        while True:
            yield from stream.more()
            yield from frames.read()
            stream.unit()

    def _out_append(self, event: Event) -> None:
        self._out.append(event)

    def _violation(self, stream: _Direction, reason: str, rule: str) -> None:
        self._out.append(events.Violation(**stream.stamp(), reason=reason, rule=rule))


def _event_stream(headers: Headers, keep: int) -> EventStream | None:
    """What finds the events in the body of a response; None where none can be found."""
    kind = ",".join(get_all(headers, "content-type")).partition(";")[0].strip()
    codings = [coding for coding in get_all(headers, "content-encoding") if coding != "identity"]
    codings += get_all(headers, "transfer-encoding")[:-1]  # the last one is chunked
    if kind != "text/event-stream" or len(codings) > 1 or not ContentInflater.CODINGS.issuperset(codings):
        return None
    return EventStream(keep, ContentInflater(codings[0]) if codings else None)


@dataclass(slots=True)
class _Request:
    """A request that waits for its response."""

    method: str
    upgrade: bool
    headers: Headers  # kept only when it asks for an upgrade
    answer: Literal["websocket", "tunnel", "http"] | None = None


class _Ended(Exception):
    """The stream has ended where it may."""


class _Direction:
    """The stream of one direction and how far it has been understood."""

    def __init__(
        self,
        decoder: Decoder,
        direction: Direction,
        program: Callable[[_Direction], Generator[None, None, None]],
    ) -> None:
        self._decoder = decoder
        self._direction: Direction = direction
        self._program: Generator[None, None, None] | None = program(self)
        self._understood = 0
        self.reader = CountingReader()

    @property
    def undecoded(self) -> int:
        """Bytes that are in no event."""
        return self.reader.fed - self._understood

    def stamp(self) -> Stamp:
        return {
            "connection": self._decoder._connection,
            "direction": self._direction,
            "at": self._decoder._at,
        }

    def feed(self, data: bytes) -> None:
        if self._program is None or self.reader.eof:
            self.reader.fed += len(data)
            return
        self.reader.feed_data(data)
        self.step()
        if self._program is not None and len(self.reader.buffer) > _PENDING_BYTES:
            self._give_up(f"more than {_PENDING_BYTES} bytes wait for the response to an upgrade")

    def close(self) -> None:
        if not self.reader.eof:
            self.reader.feed_eof()
            self.step()

    def step(self) -> None:
        """Read on as far as the bytes go."""
        if self._program is None:
            return
        try:
            next(self._program)
        except _Ended:
            self._program = None
        except EOFError:
            self._program = None
            self._decoder._violation(
                self,
                f"the connection ended after {self.undecoded} bytes of an unfinished message",
                "RFC 9112 §8, RFC 6455 §7.1.1",
            )
        except HttpError as exc:
            self._give_up(str(exc))

    def more(self) -> Generator[None, None, None]:
        """Wait until there is a byte, at a place where the stream may end."""
        if (yield from self.reader.at_eof()):
            raise _Ended

    def unit(self) -> int:
        """Note that everything read so far is understood; returns the bytes since the last time."""
        size = self.reader.position - self._understood
        self._understood = self.reader.position
        return size

    def _give_up(self, reason: str) -> None:
        self._program = None
        self._decoder._out.append(events.NotWebSocket(**self.stamp(), reason=reason))
        self.reader.discard()
