"""The decoder against the RFCs' examples, its own reading of other chunks, and rubbish."""

from __future__ import annotations

import gzip
import os
import tracemalloc
import zlib

import pytest
from conversations import (
    Conversation,
    Peers,
    decode,
    frames,
    handshake,
    only,
    reasons,
    rechunk,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.frames import Opcode

from helpers.wire import events
from helpers.wire.decode import Decoder
from helpers.wire.events import TO_CLIENT, TO_SERVER, Direction, Event

directions: st.SearchStrategy[Direction] = st.sampled_from([TO_SERVER, TO_CLIENT])


def after_handshake(
    direction: Direction, *data: str | bytes, extensions: str | None = None, end: bool = False, **options: int
) -> list[Event]:
    """Decode what follows a handshake, in hex digits or as it is, without the handshake's events."""
    said = [(direction, bytes.fromhex(item) if isinstance(item, str) else item) for item in data]
    return decode([*handshake(extensions), *said], end=end, **options)[4:]


def message_of(event: Event) -> events.Message:
    assert isinstance(event, events.Frame)
    assert event.message is not None
    return event.message


class TestRfc6455Section57:
    """The examples of RFC 6455 §5.7."""

    def test_unmasked_text(self) -> None:
        (frame,) = after_handshake(TO_CLIENT, "81 05 48 65 6c 6c 6f")
        assert frame == events.Frame(
            connection=1,
            direction=TO_CLIENT,
            at=0.0,
            fin=True,
            rsv1=False,
            rsv2=False,
            rsv3=False,
            opcode=Opcode.TEXT,
            mask=None,
            length=5,
            length_form=7,
            header=b"\x81\x05",
            payload=b"Hello",
            close_code=None,
            close_reason=None,
            message=events.Message(
                opcode=1, frames=1, compressed=False, wire_length=5, length=5, data=b"Hello"
            ),
        )
        assert (frame.name, frame.sent, frame.size, frame.complete) == ("text", b"Hello", 7, True)

    def test_masked_text(self) -> None:
        (frame,) = frames(after_handshake(TO_SERVER, "81 85 37 fa 21 3d 7f 9f 4d 51 58"))
        assert frame.mask == bytes.fromhex("37fa213d")
        assert frame.header == bytes.fromhex("818537fa213d")
        assert frame.sent == bytes.fromhex("7f9f4d5158")
        assert frame.payload == b"Hello"
        assert frame.size == 11

    def test_fragmented_text(self) -> None:
        first, last = frames(after_handshake(TO_CLIENT, "01 03 48 65 6c", "80 02 6c 6f"))
        assert (first.fin, first.name, first.message) == (False, "text", None)
        assert (last.fin, last.name) == (True, "continuation")
        assert message_of(last) == events.Message(
            opcode=1, frames=2, compressed=False, wire_length=5, length=5, data=b"Hello"
        )

    def test_ping_and_pong(self) -> None:
        (ping,) = frames(after_handshake(TO_CLIENT, "89 05 48 65 6c 6c 6f"))
        (pong,) = frames(after_handshake(TO_SERVER, "8a 85 37 fa 21 3d 7f 9f 4d 51 58"))
        assert [(frame.name, frame.payload, frame.message) for frame in (ping, pong)] == [
            ("ping", b"Hello", None),
            ("pong", b"Hello", None),
        ]

    @pytest.mark.parametrize(
        ("length", "header", "form"), [(256, "82 7E 01 00", 16), (65536, "827F0000000000010000", 64)]
    )
    def test_binary(self, length: int, header: str, form: int) -> None:
        data = bytes(range(256)) * (length // 256)
        (frame,) = frames(after_handshake(TO_CLIENT, bytes.fromhex(header) + data, keep=1 << 20))
        assert (frame.length, frame.length_form, frame.header) == (length, form, bytes.fromhex(header))
        assert frame.payload == data == message_of(frame).data


class TestRfc7692Section723:
    """The examples of RFC 7692 §7.2.3."""

    def inflate(self, *data: str, extensions: str = "permessage-deflate") -> list[events.Message]:
        seen = after_handshake(TO_CLIENT, *data, extensions=extensions)
        assert reasons(seen) == []
        return [frame.message for frame in frames(seen) if frame.message]

    def test_one_block(self) -> None:
        (message,) = self.inflate("c1 07 f2 48 cd c9 c9 07 00")
        assert message == events.Message(
            opcode=1, frames=1, compressed=True, wire_length=7, length=5, data=b"Hello"
        )

    def test_two_fragments(self) -> None:
        (message,) = self.inflate("41 03 f2 48 cd", "80 04 c9 c9 07 00")
        assert (message.frames, message.compressed, message.text) == (2, True, "Hello")

    def test_sharing_the_window(self) -> None:
        again = self.inflate("c1 07 f2 48 cd c9 c9 07 00", "c1 05 f2 00 11 00 00")
        assert [message.text for message in again] == ["Hello", "Hello"]

    def test_block_without_compression(self) -> None:
        (message,) = self.inflate("c1 0b 00 05 00 fa ff 48 65 6c 6c 6f 00")
        assert message.text == "Hello"

    def test_final_block_keeps_the_window(self) -> None:
        messages = self.inflate("c1 08 f3 48 cd c9 c9 07 00 00", "c1 05 f2 00 11 00 00")
        assert [message.text for message in messages] == ["Hello", "Hello"]

    def test_two_blocks(self) -> None:
        (message,) = self.inflate("c1 0d f2 48 05 00 00 00 ff ff ca c9 c9 07 00")
        assert message.text == "Hello"

    def test_empty_message(self) -> None:
        (message,) = self.inflate("c1 01 00")
        assert (message.length, message.data) == (0, b"")


class TestDeflate:
    def test_uncompressed_message_between(self) -> None:
        seen = after_handshake(TO_CLIENT, "81 02 68 69", extensions="permessage-deflate")
        assert (message_of(seen[0]).compressed, message_of(seen[0]).text) == (False, "hi")

    def test_no_context_takeover_is_for_one_direction(self) -> None:
        hello, again = "c1 07 f2 48 cd c9 c9 07 00", "c1 05 f2 00 11 00 00"
        agreed = "permessage-deflate; server_no_context_takeover"
        down = after_handshake(TO_CLIENT, hello, again, extensions=agreed)
        assert [event.length for event in map(message_of, frames(down))] == [5, None]
        assert reasons(down) == ["the payload is not valid DEFLATE data"]
        masked = "c1 87 00 00 00 00 f2 48 cd c9 c9 07 00", "c1 85 00 00 00 00 f2 00 11 00 00"
        up = after_handshake(TO_SERVER, *masked, extensions=agreed)
        assert [message_of(frame).text for frame in frames(up)] == ["Hello", "Hello"]

    def test_broken_message_ends_inflating_unless_messages_stand_alone(self) -> None:
        broken, hello = "c1 01 ff", "c1 07 f2 48 cd c9 c9 07 00"
        lost = after_handshake(TO_CLIENT, broken, hello, extensions="permessage-deflate")
        assert [message_of(frame).length for frame in frames(lost)] == [None, None]
        alone = after_handshake(
            TO_CLIENT, broken, hello, extensions="permessage-deflate; server_no_context_takeover"
        )
        assert [message_of(frame).length for frame in frames(alone)] == [None, 5]

    @pytest.mark.parametrize("size", [1, 100, 5000])
    def test_window_larger_than_agreed_is_understood_in_any_chunks(self, size: int) -> None:
        data = os.urandom(1000) * 2
        packer = zlib.compressobj(wbits=-15)
        packed = packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)
        frame = b"\xc2\x7e" + (len(packed) - 4).to_bytes(2) + packed[:-4]
        chunks = [frame[start : start + size] for start in range(0, len(frame), size)]
        seen = after_handshake(TO_CLIENT, *chunks, extensions="permessage-deflate; server_max_window_bits=9")
        assert reasons(seen) == []
        assert message_of(seen[0]).data == data

    def test_nothing_is_held_back_at_the_end_of_a_step(self) -> None:
        """The inflater works in steps of 64 KiB; the end of a message may lie anywhere around one."""
        for size in range(65536 - 270, 65536 + 270):
            packer = zlib.compressobj(wbits=-15)
            packed = (packer.compress(bytes(size)) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
            frame = bytes([0xC2, 0x7E, 0, len(packed)]) + packed
            seen = after_handshake(TO_CLIENT, frame, extensions="permessage-deflate")
            assert message_of(seen[0]).length == size

    def test_bomb_is_not_inflated(self) -> None:
        packer = zlib.compressobj(wbits=-15)
        packed = packer.compress(bytes(10_000_000)) + packer.flush(zlib.Z_SYNC_FLUSH)
        frame = b"\xc2\x7e" + (len(packed) - 4).to_bytes(2) + packed[:-4]
        seen = after_handshake(TO_CLIENT, frame, extensions="permessage-deflate", inflate_limit=1_000_000)
        assert message_of(seen[0]).length is None
        assert reasons(seen) == ["the message inflates to more than 1000000 bytes"]

    def test_many_final_blocks_are_not_inflated(self) -> None:
        blocks = b"\x03\x00" * 5000
        seen = after_handshake(
            TO_CLIENT, b"\xc2\x7e" + len(blocks).to_bytes(2) + blocks, extensions="permessage-deflate"
        )
        assert reasons(seen) == ["the message has more than 1000 final blocks"]

    @pytest.mark.parametrize(
        "parameters",
        ["server_max_window_bits=16", "client_no_context_takeover=1", "x", "server_max_window_bits"],
    )
    def test_wrong_parameters(self, parameters: str) -> None:
        seen = decode(handshake(f"permessage-deflate; {parameters}"), end=False)
        assert reasons(seen) == ["Sec-WebSocket-Extensions cannot be understood"]

    def test_extension_that_was_not_offered(self) -> None:
        seen = decode(handshake("permessage-deflate", offer="foo"), end=False)
        assert reasons(seen) == ["the server chose an extension that was not offered"]


@pytest.mark.parametrize(
    ("direction", "data", "reason"),
    [
        (TO_SERVER, "81 05 48 65 6c 6c 6f", "a frame from the client is not masked"),
        (TO_CLIENT, "81 85 37 fa 21 3d 7f 9f 4d 51 58", "a frame from the server is masked"),
        (TO_CLIENT, "83 00", "opcode 3 is reserved"),
        (TO_CLIENT, "8b 00", "opcode 11 is reserved"),
        (TO_CLIENT, "c1 00", "a reserved bit is set and no extension explains it"),
        (TO_CLIENT, "a1 00", "a reserved bit is set and no extension explains it"),
        (TO_CLIENT, "91 00", "a reserved bit is set and no extension explains it"),
        (TO_CLIENT, "80 00", "a continuation frame continues no message"),
        (TO_CLIENT, "01 00 81 00", "a new message begins before the last one has ended"),
        (TO_CLIENT, "09 00", "a control frame is fragmented"),
        (TO_CLIENT, "89 7e 00 7e" + "00" * 126, "a control frame has more than 125 bytes"),
        (TO_CLIENT, "81 7e 00 01 41", "length 1 is written in 16 bits, not in the fewest"),
        (TO_CLIENT, "81 7f 00 00 00 00 00 00 00 01 41", "length 1 is written in 64 bits, not in the fewest"),
        (TO_CLIENT, "88 01 03", "a close frame has one byte, a code has two"),
        (TO_CLIENT, "88 02 03 ed", "close code 1005 must not be sent"),
        (TO_CLIENT, "88 02 00 01", "close code 1 must not be sent"),
        (TO_CLIENT, "88 03 03 e8 ff", "the close reason is not UTF-8"),
        (TO_CLIENT, "88 00 81 00", "a frame follows the close frame"),
        (TO_CLIENT, "81 01 ff", "a text message is not UTF-8"),
        (TO_CLIENT, "81 01 c3", "a text message is not UTF-8"),
        (TO_CLIENT, "01 01 c3 80 01 41", "a text message is not UTF-8"),
    ],
)
def test_violation(direction: Direction, data: str, reason: str) -> None:
    """A broken rule is an event, and the frame after it is decoded all the same."""
    ping = "89 00" if direction == TO_CLIENT else "89 80 00 00 00 00"
    seen = after_handshake(direction, data, ping)
    assert reasons(seen)[0] == reason
    assert frames(seen)[-1].name == "ping"


def test_characters_may_be_cut_by_frames() -> None:
    seen = after_handshake(TO_CLIENT, "01 01 c3", "80 01 bc")
    assert message_of(seen[-1]).text == "ü"
    assert reasons(seen) == []


@pytest.mark.parametrize(
    ("data", "code", "reason"),
    [("88 00", None, None), ("88 02 03 e8", 1000, ""), ("88 07 0f a1 62 79 65 c3 bc", 4001, "byeü")],
)
def test_close(data: str, code: int | None, reason: str | None) -> None:
    (frame,) = frames(after_handshake(TO_CLIENT, data))
    assert (frame.name, frame.close_code, frame.close_reason) == ("close", code, reason)


def test_handshake() -> None:
    opened, request, response, websocket = decode(handshake(), end=False)
    assert isinstance(opened, events.TcpOpened)
    assert isinstance(request, events.HttpRequest)
    assert (request.method, request.target, request.header("upgrade")) == ("GET", "/chat", "websocket")
    assert request.size == len(handshake()[0][1])
    assert isinstance(response, events.HttpResponse)
    assert (response.status, response.reason) == (101, "Switching Protocols")
    assert websocket == events.WebSocketOpened(
        connection=1, direction=TO_CLIENT, at=0.0, subprotocol=None, extensions=None, deflate=False
    )


def test_wrong_accept_is_a_violation() -> None:
    (up, request), (down, response) = handshake()
    wrong = response.replace(b"s3pPLMBiTxaQ9kYGzzhZRbK", b"AAAAAAAAAAAAAAAAAAAAAAA")
    assert reasons(decode([(up, request), (down, wrong)], end=False)) == [
        "Sec-WebSocket-Accept does not answer Sec-WebSocket-Key"
    ]


def test_frames_before_the_response_wait_for_it() -> None:
    (up, request), (down, response) = handshake()
    ping = bytes.fromhex("8980 00000000")
    early = decode([(up, request + ping), (down, response + b"\x8a\x00")], end=False)
    assert [frame.name for frame in frames(early)] == ["ping", "pong"]


def test_refused_upgrade_stays_http() -> None:
    (up, request), _ = handshake()
    refusal = b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 3\r\n\r\nno!"
    seen = decode([(up, request), (TO_CLIENT, refusal), (up, b"GET / HTTP/1.1\r\n\r\n")], end=False)
    assert [type(event) for event in seen[1:]] == [
        events.HttpRequest,
        events.HttpResponse,
        events.HttpBody,
        events.HttpRequest,
    ]


def test_events_carry_connection_and_time() -> None:
    decoder = Decoder(7)
    seen = decoder.open(at=1.0)
    for seconds, (direction, data) in enumerate(handshake(), start=2):
        seen += decoder.feed(direction, data, at=float(seconds))
    seen += decoder.close(TO_CLIENT, events.How.RST, by="tap", at=4.0)
    assert [event.connection for event in seen] == [7] * 5
    assert [event.at for event in seen] == [1.0, 2.0, 3.0, 3.0, 4.0]
    assert seen[-1] == events.TcpClosed(
        connection=7, direction=TO_CLIENT, at=4.0, how=events.How.RST, by="tap", undecoded=0
    )


class TestHttp:
    def test_keep_alive_with_lengths_and_chunks(self) -> None:
        said: Conversation = [
            (TO_SERVER, b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"),
            (TO_CLIENT, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHello"),
            (TO_SERVER, b"POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nwhat"),
            (
                TO_CLIENT,
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nHel\r\n2;x=y\r\nlo\r\n0\r\n\r\n",
            ),
            (TO_SERVER, b"HEAD /c HTTP/1.1\r\nHost: x\r\n\r\n"),
            (TO_CLIENT, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
            (TO_SERVER, b"GET /d HTTP/1.1\r\nHost: x\r\n\r\n"),
            (TO_CLIENT, b"HTTP/1.1 304 Not Modified\r\n\r\n"),
            (TO_SERVER, b"GET /e HTTP/1.1\r\nHost: x\r\n\r\n"),
            (TO_CLIENT, b"HTTP/1.0 200 OK\r\n\r\nuntil"),
            (TO_CLIENT, b" close"),
        ]
        seen = decode(said)
        requests = only(events.HttpRequest, seen)
        responses = only(events.HttpResponse, seen)
        chunks = only(events.HttpChunk, seen)
        bodies = only(events.HttpBody, seen)
        assert [request.target for request in requests] == ["/a", "/b", "/c", "/d", "/e"]
        assert [response.status for response in responses] == [200, 200, 100, 200, 304, 200]
        assert responses[-1].version == "HTTP/1.0"
        assert [(chunk.length, chunk.wire_length, chunk.data) for chunk in chunks] == [
            (3, 8, b"Hel"),
            (2, 11, b"lo"),
        ]
        assert [(body.direction, body.framing, body.wire_length, body.data) for body in bodies] == [
            (TO_CLIENT, "content-length", 5, b"Hello"),
            (TO_SERVER, "content-length", 4, b"what"),
            (TO_CLIENT, "chunked", 24, b"Hello"),
            (TO_CLIENT, "until close", 11, b"until close"),
        ]
        assert [event.undecoded for event in only(events.TcpClosed, seen)] == [0, 0]
        assert reasons(seen) == []

    def test_server_sent_events(self) -> None:
        stream = b": hi\n\ndata: a\ndata: b\nid: 7\n\nevent: tick\r\ndata:c\r\n\r\ndata\r\rdata: lost"
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n"
        said: Conversation = [(TO_SERVER, b"GET / HTTP/1.1\r\n\r\n"), (TO_CLIENT, head + stream)]
        seen = decode(said)
        assert decode(rechunk(said, [1] * 1000)) == seen
        found = only(events.ServerSentEvent, seen)
        assert [(event.event, event.data, event.id, event.length) for event in found] == [
            ("message", "a\nb", "7", 23),
            ("tick", "c", "7", 23),
            ("message", "", "7", 6),
        ]

    @pytest.mark.parametrize(
        ("direction", "data"),
        [
            (TO_SERVER, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n"),
            (TO_SERVER, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
            (TO_SERVER, b"x" * 10000),
            (TO_SERVER, b"GET / HTTP/1.1\r\nbad header\r\n\r\n"),
            (TO_SERVER, b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nabc"),
            (TO_SERVER, b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"),
            (TO_SERVER, b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcde\r\n"),
            (TO_CLIENT, b"220 mail.example.org ESMTP\r\n"),
            (TO_CLIENT, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"),
            (TO_CLIENT, b"HTTP/2 200\r\n\r\n"),
            (TO_SERVER, b"GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n"),
            (TO_SERVER, b"GET / HTTP/1.1\r\nX: " + b"x" * (1 << 20)),
        ],
    )
    def test_rubbish_is_counted_and_the_rest_goes_on(self, direction: Direction, data: bytes) -> None:
        more = b"anything" * 10
        other: tuple[Direction, bytes] = (
            (TO_CLIENT, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            if direction == TO_SERVER
            else (TO_SERVER, b"GET / HTTP/1.1\r\n\r\n")
        )
        seen = decode([(direction, data), (direction, more), other])
        rubbish = only(events.NotWebSocket, seen)
        assert [event.direction for event in rubbish] == [direction]
        closed = {event.direction: event.undecoded for event in seen if isinstance(event, events.TcpClosed)}
        heads = sum(
            event.size for event in seen if isinstance(event, events.HttpRequest | events.HttpResponse)
        )
        assert closed[direction] == len(data) + len(more) + len(other[1]) - heads
        assert closed[other[0]] == 0

    def test_connection_that_ends_early(self) -> None:
        seen = decode([*handshake(), (TO_CLIENT, b"\x81\x05Hel"), (TO_SERVER, b"\x81")])
        assert reasons(seen) == [
            "the connection ended after 1 bytes of an unfinished message",
            "the connection ended after 5 bytes of an unfinished message",
        ]
        assert [event.undecoded for event in only(events.TcpClosed, seen)] == [1, 5]


def test_length_that_no_frame_may_have() -> None:
    seen = after_handshake(TO_CLIENT, "82 7f ff 00 00 00 00 00 00 00 41", end=True)
    assert reasons(seen) == [
        "the most significant bit of the length is set",
        "the connection ended after 11 bytes of an unfinished message",
    ]


def test_a_giant_frame_costs_no_memory() -> None:
    decoder = Decoder(keep=1000)
    for direction, data in handshake():
        decoder.feed(direction, data)
    size, piece = 200_000_000, os.urandom(100_000)
    tracemalloc.start()
    try:
        seen = decoder.feed(TO_SERVER, b"\x82\xff" + size.to_bytes(8) + b"mask")
        for _ in range(size // len(piece)):
            assert seen == []
            seen = decoder.feed(TO_SERVER, piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    (frame,) = frames(seen)
    assert (frame.length, frame.size, frame.complete) == (size, size + 14, False)
    assert (frame.sent, len(frame.payload)) == (piece[:1000], 1000)
    assert (message_of(frame).length, len(message_of(frame).data)) == (size, 1000)
    assert peak < 2_000_000


def test_waiting_bytes_are_bounded() -> None:
    (up, request), _ = handshake()
    seen = decode([(up, request), *[(up, bytes(100_000))] * 20], end=False)
    assert isinstance(seen[-1], events.NotWebSocket)


def test_unanswered_requests_are_bounded() -> None:
    seen = decode([(TO_SERVER, b"GET / HTTP/1.1\r\n\r\n" * 2000)], end=False)
    assert isinstance(seen[-1], events.NotWebSocket)
    assert len(seen) == 1003


# Random conversations between two peers of `websockets`, cut at random places.

payloads = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([125, 126, 127, 65535, 65536]).map(bytes),
    st.text(max_size=20).map(str.encode),
)
steps = st.one_of(
    st.tuples(directions, st.just(Opcode.TEXT), st.text(max_size=200).map(str.encode)),
    st.tuples(directions, st.just(Opcode.BINARY), payloads),
    st.tuples(directions, st.just(Opcode.PING), st.binary(max_size=125)),
)
deflates: st.SearchStrategy[dict[str, int | bool]] = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {"client_max_window_bits": st.integers(9, 15)},
        optional={
            "server_max_window_bits": st.integers(9, 15),
            "server_no_context_takeover": st.booleans(),
            "client_no_context_takeover": st.booleans(),
        },
    ),
)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Conversation, list[tuple[Direction, Opcode, bytes]]]:
    """What two peers said, and the messages they meant."""
    peers = Peers(**draw(deflates))
    meant = draw(st.lists(steps, max_size=8))
    for direction, opcode, data in meant:
        pieces = draw(st.integers(1, 3)) if opcode != Opcode.PING else 1
        cut = len(data) // pieces + 1
        for number in range(pieces):
            part = data[number * cut : (number + 1) * cut]
            peers.send(direction, opcode if number == 0 else Opcode.CONT, part, number == pieces - 1)
    peers.client.send_close(4000, draw(st.text(max_size=10)))
    peers.move()
    return peers.said, meant


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(conversations(), st.data())
def test_the_events_do_not_depend_on_the_chunks(
    talk: tuple[Conversation, list[tuple[Direction, Opcode, bytes]]], data: st.DataObject
) -> None:
    said, meant = talk
    cuts = data.draw(st.lists(st.integers(1, 50) | st.integers(1, 70000), max_size=200))
    whole = decode(said, keep=1 << 20)
    assert decode(rechunk(said, cuts), keep=1 << 20) == whole
    assert reasons(whole) == []
    got = {
        direction: [
            (frame.message.opcode, frame.message.data) if frame.message else (frame.opcode, frame.payload)
            for frame in frames(whole)
            if frame.direction == direction and (frame.message or frame.name == "ping")
        ]
        for direction in (TO_SERVER, TO_CLIENT)
    }
    assert got == {
        direction: [(opcode, payload) for towards, opcode, payload in meant if towards == direction]
        for direction in (TO_SERVER, TO_CLIENT)
    }
    assert all(frame.complete and len(frame.sent) == frame.length for frame in frames(whole))


@settings(max_examples=20, deadline=None)
@given(conversations())
def test_byte_by_byte(talk: tuple[Conversation, list[tuple[Direction, Opcode, bytes]]]) -> None:
    said = [(direction, data[:3000]) for direction, data in talk[0]]
    assert decode(rechunk(said, [1] * 100_000)) == decode(said)


HTTP_PIECES = [
    b"GET / HTTP/1.1\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n",
    b"Content-Length: 3\r\n",
    b"Content-Type: text/event-stream\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n",
    b"Sec-WebSocket-Extensions: permessage-deflate\r\n",
    b"\r\n",
    b"5\r\nHello\r\n",
    b"data: x\n\n",
    b"Content-Encoding: gzip\r\n",
    gzip.compress(b"data: x\n\n", mtime=0),
    b"HTTP/1.0 200\nTransfer-Encoding : chunked\n folded\n",
    b"\xef\xbb\xbf",
    b"\r",
    b"\n",
]
noise = st.one_of(st.binary(max_size=60), st.sampled_from(HTTP_PIECES))
opening = st.sampled_from([[], handshake(), handshake("permessage-deflate"), handshake("foo")])


@settings(max_examples=300, deadline=None)
@given(opening, st.lists(st.tuples(directions, noise), max_size=30), st.lists(st.integers(1, 30)))
def test_rubbish_never_raises(before: Conversation, noise: Conversation, cuts: list[int]) -> None:
    said = before + noise
    seen = decode(said)
    assert decode(rechunk(said, cuts)) == seen
    closed = only(events.TcpClosed, seen)
    assert [event.direction for event in closed] == [TO_SERVER, TO_CLIENT]
    for event in closed:
        fed = sum(len(data) for direction, data in said if direction == event.direction)
        assert 0 <= event.undecoded <= fed
