"""The tap: what it records, whom it tells, and when it takes connections."""

from __future__ import annotations

import asyncio
import os
import threading
import tracemalloc

import pytest
from conversations import handshake, only
from shared import echo, until
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from wire_tools import ask, echo_server, in_loop, linked, tcp_server

from helpers.wire import events
from helpers.wire.events import TO_CLIENT, TO_SERVER, Event
from helpers.wire.recorder import Recorder
from helpers.wire.tap import Tap


def kinds(seen: list[Event]) -> list[str]:
    return [event.name if isinstance(event, events.Frame) else type(event).__name__ for event in seen]


class TestRecord:
    @in_loop
    async def test_a_conversation(self) -> None:
        async with echo_server() as url, Tap.before(url) as tap:
            assert tap.url == f"ws://127.0.0.1:{tap.port}/chat?room=1"
            await ask(tap.url, "Hello")
            await until(lambda: tap.stats.open == 0)
            seen = tap.events()
            stats = tap.stats
        assert kinds(seen) == [
            "TcpOpened",
            "HttpRequest",
            "HttpResponse",
            "WebSocketOpened",
            "text",
            "text",
            "close",
            "close",
            "TcpClosed",
            "TcpClosed",
        ]
        request, up, down = seen[1], seen[4], seen[5]
        assert isinstance(request, events.HttpRequest)
        assert request.target == "/chat?room=1"
        assert isinstance(up, events.Frame)
        assert isinstance(down, events.Frame)
        assert (up.direction, up.payload, up.mask is None, up.size) == (TO_SERVER, b"Hello", False, 11)
        assert (down.direction, down.payload, down.mask is None, down.size) == (TO_CLIENT, b"Hello", True, 7)
        assert [event.at for event in seen] == sorted(event.at for event in seen)
        for count, direction in ((stats.to_server, TO_SERVER), (stats.to_client, TO_CLIENT)):
            theirs = [event for event in seen if event.direction == direction]
            sizes = [
                event.size
                for event in theirs
                if isinstance(event, events.Frame | events.HttpRequest | events.HttpResponse)
            ]
            assert (count.bytes, count.relayed, count.segments) == (sum(sizes), sum(sizes), 3)
        assert (stats.connections, stats.open, stats.dropped) == (1, 0, 0)

    @in_loop
    async def test_connections_are_numbered(self) -> None:
        async with echo_server() as url, Tap.before(url) as tap:
            await ask(tap.url, "one")
            await ask(tap.url, "two")
            seen = tap.events()
        payloads = {(event.connection, event.payload) for event in seen if isinstance(event, events.Frame)}
        assert {(1, b"one"), (2, b"two")} < payloads
        assert tap.stats.connections == 2
        assert tap.events()[: len(seen)] == seen

    @in_loop
    async def test_compressed_messages_are_inflated(self) -> None:
        async with (
            serve(echo, "127.0.0.1", 0) as server,
            Tap("127.0.0.1", server.sockets[0].getsockname()[1]) as tap,
            connect(f"ws://127.0.0.1:{tap.port}", proxy=None) as websocket,
        ):
            for _ in range(3):
                await websocket.send("Hello " * 100)
                await websocket.recv()
            seen = tap.events()
        opened = only(events.WebSocketOpened, seen)
        messages = [event.message for event in seen if isinstance(event, events.Frame) and event.message]
        assert opened[0].deflate
        assert {message.text for message in messages} == {"Hello " * 100}
        assert len(messages) == 6
        assert all(message.wire_length < 50 for message in messages)

    @in_loop
    async def test_http_and_server_sent_events(self) -> None:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
            writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
            writer.write(b"9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n")

        async with tcp_server(handler) as port, Tap.before(f"http://127.0.0.1:{port}/") as tap:
            assert tap.url == f"http://127.0.0.1:{tap.port}/"
            reader, writer = await asyncio.open_connection("127.0.0.1", tap.port)
            writer.write(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"hi")
            writer.write(b"GET /b HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.read()
            writer.close()
            seen = tap.events()
        assert [event.target for event in only(events.HttpRequest, seen)] == ["/a", "/b"]
        assert [event.length for event in only(events.HttpChunk, seen)] == [9, 9]
        assert [event.data for event in only(events.ServerSentEvent, seen)] == ["1", "2"]
        assert tap.stats.connections == 1

    @in_loop
    async def test_rubbish_goes_through(self) -> None:
        rubbish = os.urandom(20_000)
        async with linked() as (tap, (_, up), (reader, _)):
            up.write(rubbish)
            assert await reader.readexactly(len(rubbish)) == rubbish
            up.write(rubbish)
            assert await reader.readexactly(len(rubbish)) == rubbish
            assert [type(event) for event in tap.events()] == [events.TcpOpened, events.NotWebSocket]

    @in_loop
    async def test_looking_while_it_runs(self) -> None:
        """Another thread that looks all the time misses nothing and disturbs nothing."""
        async with echo_server() as url, Tap.before(url, record_chunks=10) as tap:
            async with connect(tap.url, proxy=None, compression=None) as websocket:
                for number in range(300):
                    await websocket.send(str(number))
                    await websocket.recv()
                    if number % 3 == 0:
                        tap.events()
            texts = [
                event.payload
                for event in tap.events()
                if isinstance(event, events.Frame) and event.name == "text"
            ]
        assert texts == [str(number // 2).encode() for number in range(600)]


class TestRecorder:
    def test_memory_is_bounded_for_20_000_frames(self) -> None:
        head = b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\n\r\n"
        agreed = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        recorder = Recorder(chunks=1000, size=1 << 20, events=1000, keep=4096)
        recorder.record(1, TO_SERVER, 0.0, None)
        recorder.record(1, TO_SERVER, 0.0, head)
        recorder.record(1, TO_CLIENT, 0.0, agreed)
        tracemalloc.start()
        try:
            for count in range(20_000):
                recorder.record(1, TO_CLIENT, count / 1000, b"\x81\x05Hello")
            peak = tracemalloc.get_traced_memory()[1]
            seen = recorder.events()
        finally:
            tracemalloc.stop()
        assert peak < 4 << 20
        assert len(seen) == 1000
        assert {frame.payload for frame in only(events.Frame, seen)} == {b"Hello"}
        assert [event.at for event in seen] == [count / 1000 for count in range(19_000, 20_000)]
        assert recorder.dropped == 20_000 + 5 - 1000  # 5: opened, request, response, violation, agreed

    def test_bytes_are_bounded(self) -> None:
        recorder = Recorder(chunks=1000, size=100_000, events=1000, keep=10_000)
        recorder.record(1, TO_SERVER, 0.0, None)
        for direction, data in handshake():
            recorder.record(1, direction, 0.0, data)
        for number in range(100):
            frame = b"\x82\x7e" + (20_000).to_bytes(2) + bytes([number]) * 20_000
            recorder.record(1, TO_CLIENT, 0.0, frame)
            assert recorder.waiting <= 100_000
        frames = only(events.Frame, recorder.events())
        assert [frame.length for frame in frames] == [20_000] * len(frames)
        assert 5 <= len(frames) <= 10
        assert frames[-1].payload == bytes([99]) * 10_000
        assert recorder.dropped >= 90


class TestListen:
    @in_loop
    async def test_all_events_in_batches(self) -> None:
        batches: list[list[Event]] = []
        async with echo_server() as url, Tap.before(url) as tap:
            stop = tap.listen(batches.append)
            await ask(tap.url, *["Hello"] * 300)
            await until(lambda: tap.stats.open == 0)
            await until(lambda: sum(map(len, batches)) == len(tap.events()))
            stop()
            assert [event for batch in batches for event in batch] == tap.events()
            assert len(batches) < 100
            told = len(batches)
            await ask(tap.url)
            await until(lambda: tap.stats.open == 0)
        assert len(batches) == told

    @in_loop
    async def test_what_a_listener_raises_is_raised_later(self) -> None:
        called = threading.Event()

        def listener(seen: list[Event]) -> None:
            called.set()
            raise ZeroDivisionError("in the listener")

        async with echo_server() as url, Tap.before(url) as tap:
            tap.listen(listener)
            async with connect(tap.url, proxy=None, compression=None) as websocket:
                await asyncio.to_thread(called.wait, 5)
                await websocket.send("still there?")
                assert await websocket.recv() == "still there?"
            with pytest.raises(ZeroDivisionError, match="in the listener"):
                tap.events()
            assert len(tap.events()) > 5

    @in_loop
    async def test_or_at_the_end(self) -> None:
        called = asyncio.Event()

        def listener(seen: list[Event]) -> None:
            called.set()
            raise ZeroDivisionError("in the listener")

        async with echo_server() as url:
            tap = Tap.before(url)
            await tap.start()
            tap.listen(listener)
            async with connect(tap.url, proxy=None):
                await asyncio.wait_for(called.wait(), 5)
            with pytest.raises(ZeroDivisionError):
                await tap.aclose()


class TestStart:
    @in_loop
    async def test_wrong_values(self) -> None:
        for wrong in ({"delay": -1}, {"jitter": -1}, {"rate": 0}, {"window": 0}, {"cut_how": "x"}):
            with pytest.raises(ValueError, match=r"seconds|bytes|cut_how"):
                Tap("127.0.0.1", 1, **wrong)
        with pytest.raises(ValueError, match="wss://"):
            Tap.before("wss://127.0.0.1:1/")
        async with linked() as (tap, _, _):
            with pytest.raises(ValueError, match="seconds"):
                tap.shape(delay=-1)

    @in_loop
    async def test_a_tap_is_started_once(self) -> None:
        async with linked() as (tap, _, _):
            with pytest.raises(RuntimeError):
                await tap.start()


class TestRefuse:
    @in_loop
    async def test_new_connections(self) -> None:
        async with echo_server() as url, Tap.before(url) as tap, connect(tap.url, proxy=None) as websocket:
            port = tap.port
            tap.shape(refuse=True)
            with pytest.raises(ConnectionRefusedError):
                await connect(tap.url, proxy=None)
            await websocket.send("still there")
            assert await websocket.recv() == "still there"
            tap.shape(refuse=False)
            assert tap.port == port
            await ask(tap.url, "back")

    @in_loop
    async def test_from_the_start_and_quickly(self) -> None:
        async with echo_server() as url, Tap.before(url, refuse=True) as tap:
            with pytest.raises(ConnectionRefusedError):
                await connect(tap.url, proxy=None)
            for refuse in (False, True, False, True, False):
                tap.shape(refuse=refuse)
            await ask(tap.url, "Hello")
