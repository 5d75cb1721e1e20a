"""The decoder as an observer: it reads what a strict peer would refuse, and nothing depends on the pieces."""

from __future__ import annotations

import gzip
import zlib

import pytest
from conversations import Conversation, decode, frames, handshake, only, reasons, rechunk
from hypothesis import example, given, settings
from hypothesis import strategies as st
from shared import takes_at_most

from helpers.wire import events
from helpers.wire.events import TO_CLIENT, TO_SERVER, Direction, Event
from helpers.wire.masking import apply_mask

GET = b"GET / HTTP/1.1\r\n\r\n"
LONG = b"a" * 65_000
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("request_head", "response", "told"),
    [
        (b"GET / HTTP/1.1\nHost: x\n\n", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", "/ 200 hi"),
        (b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\nhi", "/ 200 hi"),
        (b"\r\n\nGET\t /a b \xc3\xbc\tHTTP/1.1 \r\n\r\n", b"\r\nHTTP/1.1 200\r\n\r\nhi", "/a b ü 200 hi"),
        (GET, b"HTTP/1.1 200 \r\nContent-Length : 2\r\n\r\nhi", "/ 200 hi"),
        (GET, b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\t2\r\n\r\nhi", "/ 200 hi"),
        (b"GET / HTTP/1.1\r\n odd\r\nA: \0\xff\r\n\r\n", b"HTTP/1.1 204 No\r\n\r\n", "/ 204"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 1000 + b"\r\n", b"HTTP/1.1 304 X\r\n\r\n", "/ 304"),
        (b"GET /" + LONG + b" HTTP/1.1\r\nCookie: " + LONG + b"\r\n\r\n", b"", "/" + LONG.decode()),
        (b"HEAD / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "/ 200"),
        (GET, b"HTTP/1.1 103 E\r\nA: x\r\n\r\nHTTP/1.1 204 N\r\n\r\n", "/ 103 204"),
        (GET, CHUNKED + b'2 ;a="b;c"\r\nhi\r\n00\r\nTrailer: x\r\n y\r\n\r\n', "/ 200 hi"),
        (GET, CHUNKED + b"2\nhi\n0\n\n", "/ 200 hi"),
        (GET, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhi", "/ 200 hi"),
        (b"GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nhi", "/ 200 hi"),
    ],
)  # fmt: skip
def test_what_a_strict_peer_would_refuse_is_read(request_head: bytes, response: bytes, told: str) -> None:
    said: Conversation = [(TO_SERVER, request_head), (TO_CLIENT, response)]
    seen = decode(said)
    words = []
    for event in seen:
        if isinstance(event, events.HttpRequest):
            words.append(event.target)
        elif isinstance(event, events.HttpResponse):
            words.append(str(event.status))
        elif isinstance(event, events.HttpBody):
            words.append(event.data.decode())
    assert " ".join(words) == told
    assert not only(events.Violation, seen) + only(events.NotWebSocket, seen)
    assert [event.undecoded for event in only(events.TcpClosed, seen)] == [0, 0]
    assert decode(rechunk(said, [1] * 200 if len(request_head) > 10_000 else [1] * 10_000)) == seen


@pytest.mark.parametrize("size", ["0x2", "+2", "2_0", "", "2 2", "-1"])
def test_what_is_no_size_of_a_chunk(size: str) -> None:
    seen = decode([(TO_SERVER, GET), (TO_CLIENT, CHUNKED + f"{size}\r\nhi\r\n".encode())])
    assert [event.reason for event in only(events.NotWebSocket, seen)] == [
        "a chunk does not begin with its size"
    ]


class TestEventStreams:
    """HTML Standard §9.2.5 and §9.2.6, at the edges of the stream and of its pieces."""

    def head(self, *headers: str) -> bytes:
        return "\r\n".join(["HTTP/1.1 200 OK", "Content-Type: Text/Event-Stream", *headers, "", ""]).encode()

    def told(self, response: bytes, *, end: bool = False) -> list[str | bytes]:
        """Events and the chunks that they don't tell, which must not depend on the pieces."""
        said: Conversation = [(TO_SERVER, GET), (TO_CLIENT, response)]
        seen = decode(said, end=end)
        for size in (1, 2, 7):
            assert decode(rechunk(said, [size] * len(response)), end=end) == seen
        return [
            event.data
            for event in seen
            if isinstance(event, events.ServerSentEvent)
            or (isinstance(event, events.HttpChunk) and not event.is_told)
        ]

    @pytest.mark.parametrize(
        ("stream", "told"),
        [
            (b"\xef\xbb\xbfdata: one\n\ndata: two\n\n", ["one", "two"]),
            (b"\xef\xbb\xbf\n\xef\xbb\xbfdata: one\n\ndata: two\n\n", ["two"]),
            (b"\xef\xbb\xbf\xef\xbb\xbfdata: one\n\ndata: two\n\n", ["two"]),
            (b"data: one\r\r", ["one"]),
            (b"data: one\r\n\r", ["one"]),
            (b"data: one\n\r", ["one"]),
            (b"data: one\r\rdata: two\r\r\n\ndata: three\r\n\r\n", ["one", "two", "three"]),
            (b"data: a\rdata: b\r\ndata: c\n\r\n", ["a\nb\nc"]),
        ],
    )
    def test_edges(self, stream: bytes, told: list[str]) -> None:
        assert self.told(self.head() + stream) == told

    def test_the_lengths_are_those_of_the_stream(self) -> None:
        stream = b"data: 1\r\n\r\ndata: 2\r\rdata: 3\n\ndata: 4\r\n\r"
        seen = decode([(TO_SERVER, GET), (TO_CLIENT, self.head() + stream)])
        assert [event.length for event in only(events.ServerSentEvent, seen)] == [11, 9, 9, 11]

    @pytest.mark.parametrize(
        "coding", ["identity", "gzip", "x-gzip", "deflate", "bare deflate", "Identity, GZIP"]
    )
    def test_codings_that_are_understood(self, coding: str) -> None:
        wbits = {"deflate": 15, "bare deflate": -15}.get(coding, 31)
        packer = None if coding == "identity" else zlib.compressobj(wbits=wbits)
        response = self.head(
            f"Content-Encoding: {coding.removeprefix('bare ')}", "Transfer-Encoding: chunked"
        )
        for number in range(3):
            data = b"data: %d\n\n" % number
            if packer:
                data = packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)
            response += b"%x\r\n%s\r\n" % (len(data), data)
        assert self.told(response) == ["0", "1", "2"]

    def test_a_coding_that_is_not_understood_leaves_the_chunks(self) -> None:
        response = self.head("Content-Encoding: br", "Transfer-Encoding: chunked") + b"2\r\nhi\r\n"
        assert self.told(response) == [b"hi"]

    def test_a_coding_that_is_not_what_was_said_leaves_the_chunks(self) -> None:
        packer = zlib.compressobj(wbits=31)
        good = packer.compress(b"data: 0\n\n") + packer.flush(zlib.Z_SYNC_FLUSH)
        head = self.head("Content-Encoding: gzip", "Transfer-Encoding: chunked")
        broken = good + b"\xff" * 9
        response = head + b"%x\r\n%s\r\n2\r\nhi\r\n" % (len(broken), broken)
        assert self.told(response) == ["0", broken, b"hi"]
        seen = decode([(TO_SERVER, GET), (TO_CLIENT, response)], end=False)
        assert reasons(seen) == ["the body is not gzip as its Content-Encoding says"]

    def test_members_and_large_events(self) -> None:
        text = "x" * 100_000
        body = gzip.compress(f"data: {text}\n\n".encode()) + gzip.compress(b"data: two\n\n")
        head = self.head("Content-Encoding: gzip", f"Content-Length: {len(body)}")
        assert self.told(head + body) == [text[:4090], "two"]


class TestUpgrade:
    def swapped(self, request: dict[bytes, bytes], response: dict[bytes, bytes]) -> list[Event]:
        """A handshake with other headers, and a message."""
        (up, asked), (down, agreed) = handshake("permessage-deflate; server_max_window_bits=11")
        for old, new in request.items():
            asked = asked.replace(old, new)
        for old, new in response.items():
            agreed = agreed.replace(old, new)
        said = [(up, asked), (down, agreed + bytes.fromhex("c107f248cdc9c90700")), (up, b"\x89\x80mask")]
        seen = decode(said, end=False)
        assert decode(rechunk(said, [1] * 1000), end=False) == seen
        assert [frame.message.text for frame in frames(seen) if frame.message] == ["Hello"]
        assert [frame.name for frame in frames(seen)] == ["text", "ping"]
        return seen

    @pytest.mark.parametrize(
        ("request_headers", "response_headers"),
        [
            ({b"Upgrade: websocket": b"upgrade: WebSocket"}, {b"Upgrade: websocket": b"UPGRADE:WEBSOCKET"}),
            ({b"Connection: Upgrade": b"Connection: keep-alive, Upgrade"}, {b": Upgrade": b": upgrade,"}),
            ({b"Connection: Upgrade": b"Connection: keep-alive\r\nconnection: upgrade"}, {}),
            ({}, {b"permessage-deflate; server_max_window_bits=11":
                b'Permessage-Deflate;server_max_window_bits="11"'}),
            ({}, {b"\r\n": b"\n"}),
        ],
    )  # fmt: skip
    def test_odd_and_right(
        self, request_headers: dict[bytes, bytes], response_headers: dict[bytes, bytes]
    ) -> None:
        assert reasons(self.swapped(request_headers, response_headers)) == []

    @pytest.mark.parametrize(
        ("request_headers", "response_headers", "reason"),
        [
            ({b"Connection: Upgrade\r\n": b""}, {}, "the request has no Connection: upgrade"),
            ({}, {b"Connection: Upgrade\r\n": b""}, "the response has no Connection: upgrade"),
            ({}, {b"Upgrade: websocket\r\n": b""}, "the response has no Upgrade: websocket"),
            ({b"Upgrade: websocket\r\n": b""}, {}, "the request has no Upgrade: websocket"),
            ({}, {b"bits=11": b"bits=011"}, "Sec-WebSocket-Extensions cannot be understood"),
            ({}, {b"bits=11": b"bits=11; x=1"}, "Sec-WebSocket-Extensions cannot be understood"),
            ({}, {b"deflate;": b"deflate;;"}, "Sec-WebSocket-Extensions cannot be understood"),
        ],
    )
    def test_odd_and_wrong(
        self, request_headers: dict[bytes, bytes], response_headers: dict[bytes, bytes], reason: str
    ) -> None:
        assert reasons(self.swapped(request_headers, response_headers)) == [reason]


# Frames that keep no rule, cut at random places.


def deflated(data: bytes, *more: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4] + b"".join(more)


BROKEN = deflated(b"\xff\xfe" * 40, b"\xff" * 9)  # not UTF-8, and after that no DEFLATE data either


def odd_frame(opcode: int, fin: bool, rsv: int, form: int, payload: bytes, mask: bytes) -> bytes:
    """A frame whose length may be written in more bits than it needs."""
    length = len(payload)
    form = max(form, length > 125)
    written = (bytes([length]), b"\x7e" + length.to_bytes(2), b"\x7f" + length.to_bytes(8))[form]
    first = bytes([fin << 7 | rsv << 4 | opcode, written[0] | bool(mask) << 7])
    return first + written[1:] + mask + (apply_mask(payload, mask) if mask else payload)


odd_payloads = st.binary(max_size=8) | st.sampled_from(
    [
        *[b"\xc3", b"\xc3\xbc", b"\x03", b"\x03\xe8", b"\x03\xed\xff", bytes(130)],
        *[
            bytes.fromhex("f248cdc9c90700"),
            bytes.fromhex("f200110000"),
            bytes.fromhex("f248"),
            b"\x03\x00" * 9,
        ],
        *[deflated(b"\xff" * 40), BROKEN, deflated(bytes(70_000))],
    ]
)
odd_frames = st.builds(
    odd_frame,
    st.sampled_from([0, 1, 1, 2, 3, 8, 9, 10]),
    st.booleans(),
    st.sampled_from([0, 0, 1, 2, 4, 4, 4]),
    st.integers(0, 2),
    odd_payloads,
    st.sampled_from([b"", b"mask"]),
)
agreements = st.sampled_from(
    [
        None,
        "foo",
        "permessage-deflate",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; client_max_window_bits=8",
        'permessage-deflate;; server_max_window_bits="99"',
    ]
)
ways: st.SearchStrategy[Direction] = st.sampled_from([TO_SERVER, TO_CLIENT])


@settings(max_examples=150, deadline=None)
@given(
    agreements, st.lists(st.tuples(ways, odd_frames), max_size=9), st.lists(st.integers(1, 9), max_size=300)
)
@example("permessage-deflate", [(TO_CLIENT, odd_frame(1, True, 4, 0, BROKEN, b""))], [1] * 300)
def test_frames_of_any_kind(agreed: str | None, said: Conversation, cuts: list[int]) -> None:
    heads = [len(data) for _, data in handshake(agreed)]
    said = [*handshake(agreed), *said]
    whole = decode(said, inflate_limit=1000)
    assert decode(rechunk(said, [*heads, *cuts]), inflate_limit=1000) == whole
    assert len(frames(whole)) == len(said) - 2
    assert [event.undecoded for event in only(events.TcpClosed, whole)] == [0, 0]


@pytest.mark.parametrize(
    "head",
    [
        b"GET a" + b" " * 1_000_000 + b"x\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\n" + b" a\n" * 300_000 + b"\n",
        b"GET / HTTP/1.1\r\nConnection:" + b"," * 1_000_000 + b"\r\n\r\n",
    ],
    ids=["blanks", "folds", "commas"],
)
def test_a_long_head_takes_a_time_that_grows_with_its_length(head: bytes) -> None:
    with takes_at_most(5):  # about 1 s; where it grows with the square it is minutes, and 8 s for the folds
        decode([(TO_SERVER, head)])
