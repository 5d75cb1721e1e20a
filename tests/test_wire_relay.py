"""The relay: it changes no byte, passes on how a peer ends, and does to the link what it is told."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import socket
import statistics
import struct
import time
from collections.abc import Callable
from itertools import pairwise
from multiprocessing.connection import Connection
from typing import Any, Literal

import pytest
from conversations import only
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shared import echo, until
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed
from wire_tools import ask, echo_server, in_loop, linked, tcp_server

from helpers.wire import events
from helpers.wire.events import TO_CLIENT, TO_SERVER, Direction
from helpers.wire.tap import Tap

READ = 256 * 1024  # asyncio reads at most so much at once


async def settled(count: Callable[[], int]) -> int:
    """Wait until a count has not grown for 0.3 seconds."""
    last, same = -1, 0
    while same < 15:
        same = same + 1 if count() == last else 0
        last = count()
        await asyncio.sleep(0.02)
    return last


def reset(writer: asyncio.StreamWriter) -> None:
    """Close a TCP connection with RST."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


chunks = st.lists(
    st.binary(min_size=1, max_size=50) | st.sampled_from([1, 1000, 70_000, 200_000]).map(os.urandom),
    max_size=6,
)
shapes = st.fixed_dictionaries(
    {},
    optional={
        "delay": st.sampled_from([0.001, 0.003]),
        "jitter": st.sampled_from([0.001, 0.003]),
        "rate": st.sampled_from([5e6, 2e7]),
        "window": st.sampled_from([1, 1000, 100_000]),
        "socket_buffer": st.sampled_from([32768, 65536]),
        "cut_after_bytes": st.just(1 << 40),
        "record_chunks": st.just(2),
    },
)
meddling = st.lists(
    st.sampled_from(
        [
            lambda tap: tap.shape(delay=0.0, jitter=0.0),
            lambda tap: tap.shape(delay=0.003),
            lambda tap: tap.shape(rate=None),
            lambda tap: tap.shape(rate=5e6),
            lambda tap: tap.stall(TO_CLIENT),
            lambda tap: tap.stall(TO_SERVER),
            lambda tap: tap.stall(),
            lambda tap: tap.resume(),
        ]
    ),
    max_size=6,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chunks, chunks, shapes, meddling)
@in_loop
async def test_bytes_come_through_unchanged(
    upward: list[bytes], downward: list[bytes], shape: dict[str, Any], meddle: list[Callable[[Tap], Any]]
) -> None:
    """In both directions at once, whatever the shape, and whatever is changed meanwhile."""

    async def say(writer: asyncio.StreamWriter, pieces: list[bytes]) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        writer.write_eof()

    async def disturb(tap: Tap) -> None:
        for change in meddle:
            change(tap)
            await asyncio.sleep(0.002)
        tap.resume()

    async with linked(**shape) as (tap, client, server):
        *_, down, up = await asyncio.gather(
            say(client[1], upward),
            say(server[1], downward),
            disturb(tap),
            client[0].read(),
            server[0].read(),
        )
        assert up == b"".join(upward)
        assert down == b"".join(downward)
        await until(lambda: tap.stats.open == 0)
        for count, sent in ((tap.stats.to_server, up), (tap.stats.to_client, down)):
            assert count.bytes == count.relayed == len(sent)
        closed = [
            (event.direction, event.how) for event in tap.events() if isinstance(event, events.TcpClosed)
        ]
        assert sorted(closed) == [(TO_CLIENT, events.How.FIN), (TO_SERVER, events.How.FIN)]


class TestRelay:
    @in_loop
    async def test_half_close(self) -> None:
        async with linked() as (tap, client, server):
            client[1].write(b"the question")
            client[1].write_eof()
            assert await server[0].read() == b"the question"
            server[1].write(b"the answer")
            server[1].write_eof()
            assert await client[0].read() == b"the answer"
            await until(lambda: tap.stats.open == 0)

    @pytest.mark.parametrize("delay", [0.0, 0.03])
    @in_loop
    async def test_reset_by_the_client(self, delay: float) -> None:
        async with linked(delay=delay) as (tap, client, server):
            client[1].write(b"x")
            await server[0].readexactly(1)
            reset(client[1])
            with pytest.raises(ConnectionResetError):
                await server[0].read()
            await until(lambda: tap.stats.open == 0)
            closed = only(events.TcpClosed, tap.events())
            assert [(event.how, event.by) for event in closed] == [(events.How.RST, "client")] * 2

    @in_loop
    async def test_reset_by_the_server(self) -> None:
        async with linked() as (tap, client, server):
            reset(server[1])
            with pytest.raises(ConnectionResetError):
                await client[0].read()
            await until(lambda: tap.stats.open == 0)

    @in_loop
    async def test_nothing_is_sent_to_a_client_that_has_reset(self) -> None:
        async with linked(delay=0.3) as (tap, client, server):
            reset(client[1])
            await until(lambda: any(isinstance(event, events.TcpClosed) for event in tap.events()))
            tap.shape(delay=0.0)  # the reset keeps its time of arrival
            server[1].write(b"are you there?")
            await until(lambda: tap.stats.to_client.bytes == 14)
            assert tap.stats.to_client.relayed == 0
            with pytest.raises(ConnectionResetError):
                await server[0].read()

    @in_loop
    async def test_the_client_closes_while_the_server_sends(self) -> None:
        async with linked() as (tap, client, server):
            client[1].close()
            assert await server[0].read() == b""

            async def send_forever() -> None:
                while True:
                    server[1].write(bytes(1000))
                    await server[1].drain()
                    await asyncio.sleep(0.001)

            with pytest.raises(ConnectionError):
                await send_forever()
            await until(lambda: tap.stats.open == 0)

    @in_loop
    async def test_no_server(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        async with Tap("127.0.0.1", port) as tap:
            reader, writer = await asyncio.open_connection("127.0.0.1", tap.port)
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()
            closed = only(events.TcpClosed, tap.events())
            assert [event.how for event in closed] == [events.How.REFUSED] * 2

    @in_loop
    async def test_closing_the_tap_closes_its_connections(self) -> None:
        async with linked(delay=0.01) as (tap, client, server):
            client[1].write(b"x" * 1000)
            await tap.aclose()
            assert tap.stats.open == 0
            for reader in (client[0], server[0]):
                with pytest.raises(ConnectionResetError):
                    await reader.read()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", tap.port)

    @in_loop
    async def test_closing_the_tap_while_it_connects(self) -> None:
        async with echo_server() as url:
            tap = Tap.before(url, delay=10)
            await tap.start()
            reader, writer = await asyncio.open_connection("127.0.0.1", tap.port)
            await until(lambda: tap.stats.open == 1)
            await tap.aclose()
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()


class TestBackpressure:
    TOTAL = 16 << 20
    BUFFER = 64 * 1024
    WINDOW = 128 * 1024

    @pytest.mark.parametrize(
        "shape",
        [{}, {"delay": 0.005}, {"rate": 1e8}, {"stalled": True}],
        ids=["plain", "delay", "rate", "stall"],
    )
    @in_loop
    async def test_a_peer_that_does_not_read_fills_no_memory(self, shape: dict[str, Any]) -> None:
        options = dict(shape)
        stalled = options.pop("stalled", False)
        sent = 0
        received = 0

        async def send(server: asyncio.StreamWriter) -> None:
            nonlocal sent
            while sent < self.TOTAL:
                server.write(bytes(65536))
                await server.drain()
                sent += 65536
            server.write_eof()

        async with linked(window=self.WINDOW, socket_buffer=self.BUFFER, **options) as (tap, client, server):
            client[1].transport.pause_reading()  # type: ignore[attr-defined]
            if stalled:
                tap.stall(TO_CLIENT)
            sending = asyncio.create_task(send(server[1]))
            accepted = await settled(lambda: sent)
            held = tap.stats.to_client.bytes - tap.stats.to_client.relayed
            assert accepted < self.TOTAL // 2
            assert held <= self.WINDOW + READ
            assert tap.stats.to_client.bytes < self.TOTAL // 2
            client[1].transport.resume_reading()  # type: ignore[attr-defined]
            tap.resume()
            while piece := await client[0].read(1 << 20):
                received += len(piece)
            await sending
        assert received == self.TOTAL


class TestShape:
    @in_loop
    async def test_delay(self) -> None:
        """A delay is never shorter than it should be; at best, on a busy machine, not much longer."""
        times = []
        async with echo_server() as url, Tap.before(url) as tap:
            for _ in range(5):
                tap.shape(delay=0.05)
                marks = [time.monotonic()]
                async with connect(tap.url, proxy=None, compression=None) as websocket:
                    for delay in (0.05, 0.05, 0.0):
                        tap.shape(delay=delay)
                        marks.append(time.monotonic())
                        await websocket.send("Hello")
                        await websocket.recv()
                    marks.append(time.monotonic())
                times.append([after - before for before, after in pairwise(marks)])
        opening, first, second, at_once = (min(column) for column in zip(*times, strict=True))
        assert 0.2 <= opening < 0.3  # TCP and HTTP: two round trips
        assert 0.1 <= first < 0.2
        assert 0.1 <= second < 0.2
        assert at_once < 0.05

    @in_loop
    async def test_the_first_bytes_of_the_server_come_after_two_round_trips(self) -> None:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 ready\r\n")

        times = []
        async with tcp_server(handler) as port, Tap("127.0.0.1", port, delay=0.05) as tap:
            for _ in range(5):
                begin = time.monotonic()
                reader, writer = await asyncio.open_connection("127.0.0.1", tap.port)
                await reader.readline()
                times.append(time.monotonic() - begin)
                writer.close()
        assert 0.2 <= min(times) < 0.3

    @in_loop
    async def test_jitter(self) -> None:
        times = []
        async with linked(jitter=0.03, seed=1) as (_, client, server):
            for _ in range(20):
                begin = time.monotonic()
                client[1].write(b"x")
                await server[0].readexactly(1)
                times.append(time.monotonic() - begin)
        quartiles = statistics.quantiles(times)
        assert quartiles[0] + 0.005 < quartiles[2] < 0.06

    @in_loop
    async def test_less_delay_overtakes_nothing(self) -> None:
        async with linked(delay=0.1) as (tap, client, server):
            client[1].write(b"first")
            await until(lambda: tap.stats.to_server.bytes == 5)
            tap.shape(delay=0.0)
            client[1].write(b"second")
            assert await server[0].readexactly(11) == b"firstsecond"

    @in_loop
    async def test_rate(self) -> None:
        async with linked(rate=200_000) as (_, client, server):
            begin = time.monotonic()
            client[1].write(bytes(100_000))
            first = await server[0].read(100_000)
            await server[0].readexactly(100_000 - len(first))
            took = time.monotonic() - begin
        assert 0 < len(first) < 100_000
        assert took > 0.45

    @in_loop
    async def test_time_in_which_nothing_went_is_not_made_up_for(self) -> None:
        async with linked(rate=100_000) as (tap, client, server):
            client[1].write(bytes(50_000))
            await until(lambda: tap.stats.to_server.bytes == 50_000)
            tap.stall()
            left = 50_000 - tap.stats.to_server.relayed
            await asyncio.sleep(0.5)
            begin = time.monotonic()
            tap.resume()
            await server[0].readexactly(50_000)
            assert time.monotonic() - begin > 0.8 * left / 100_000 > 0.01


class TestCut:
    @pytest.mark.parametrize("delay", [0.0, 0.01])
    @in_loop
    async def test_after_bytes_with_fin(self, delay: float) -> None:
        async with linked(cut_after_bytes=70_000, cut_how="fin", delay=delay) as (tap, client, server):
            client[1].write(bytes(20_000))
            await server[0].readexactly(20_000)
            server[1].write(bytes(100_000))
            assert len(await client[0].read()) == 50_000
            assert await server[0].read() == b""
            assert tap.stats.to_client.relayed == 50_000
            closed = only(events.TcpClosed, tap.events())
            assert [(event.how, event.by) for event in closed] == [(events.How.FIN, "tap")] * 2
            client[1].close()
            server[1].close()
            await until(lambda: tap.stats.open == 0)

    @in_loop
    async def test_after_bytes_with_rst(self) -> None:
        async with linked(cut_after_bytes=70_000) as (tap, client, server):
            got = bytearray()
            server[1].write(bytes(100_000))

            async def read_forever() -> None:
                while True:
                    got.extend(await client[0].read(1000))

            with pytest.raises(ConnectionResetError):
                await read_forever()
            with pytest.raises(ConnectionResetError):
                await server[0].read()
            assert len(got) <= 70_000
            assert tap.stats.to_client.relayed == 70_000
            await until(lambda: tap.stats.open == 0)

    @in_loop
    async def test_after_seconds(self) -> None:
        async with linked(cut_after_seconds=0.1) as (tap, client, _):
            with pytest.raises(ConnectionResetError):
                await client[0].read()
            (opened, *closed) = tap.events()
            assert 0.1 <= closed[0].at - opened.at < 2

    @in_loop
    async def test_after_seconds_that_are_over(self) -> None:
        async with linked() as (tap, client, _):
            tap.shape(cut_after_seconds=0.0)
            with pytest.raises(ConnectionResetError):
                await client[0].read()

    @pytest.mark.parametrize("how", ["rst", "fin"])
    @in_loop
    async def test_now(self, how: Literal["rst", "fin"]) -> None:
        async with echo_server() as url, Tap.before(url) as tap:
            async with connect(tap.url, proxy=None) as websocket:
                tap.cut(how)
                with pytest.raises(ConnectionClosed) as info:
                    await websocket.recv()
                assert info.value.rcvd is None
            await ask(tap.url, "new")

    @in_loop
    async def test_a_peer_that_does_not_answer_a_fin_is_reset(self) -> None:
        async with linked() as (tap, client, server):
            tap.cut("fin")
            assert await client[0].read() == b""
            assert await server[0].read() == b""
            await until(lambda: tap.stats.open == 0)


class TestStall:
    @pytest.mark.parametrize(("stalled", "delay"), [(TO_CLIENT, 0.0), (TO_SERVER, 0.0), (TO_CLIENT, 0.01)])
    @in_loop
    async def test_one_direction(self, stalled: Direction, delay: float) -> None:
        async with linked(delay=delay) as (tap, client, server):
            up, down = (client[1], server[0]), (server[1], client[0])
            (quiet_writer, quiet), (writer, reader) = (down, up) if stalled == TO_CLIENT else (up, down)
            tap.stall(stalled)
            quiet_writer.write(b"held")
            quiet_writer.write_eof()
            writer.write(b"goes on")
            assert await reader.readexactly(7) == b"goes on"
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(quiet.read(1), 0.1)
            stats = tap.stats
            assert (stats.to_client if stalled == TO_CLIENT else stats.to_server).bytes == 0
            tap.resume()
            assert await quiet.read() == b"held"

    @in_loop
    async def test_new_connections_are_stalled_too(self) -> None:
        async with echo_server() as url, Tap.before(url) as tap:
            tap.stall(TO_CLIENT)
            with pytest.raises(TimeoutError):
                await connect(tap.url, proxy=None, open_timeout=0.2)
            assert tap.stats.connections == 1
            tap.resume()
            await ask(tap.url, "Hello")


def serve_in_child(pipe: Connection) -> None:
    async def main() -> None:
        async with serve(echo, "127.0.0.1", 0, compression=None) as server:
            pipe.send(server.sockets[0].getsockname()[1])
            await asyncio.Future()

    asyncio.run(main())


@pytest.fixture
def child_port() -> Any:
    """Port of an echo server in a child process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve_in_child, args=(theirs,), daemon=True)
    process.start()
    assert ours.poll(30)
    yield ours.recv()
    process.terminate()
    process.join(5)


@in_loop
async def test_an_echo_through_the_tap_is_not_much_slower(child_port: int) -> None:
    """On a quiet machine the median is 1.5 times the direct one; this finds only what is grossly wrong."""
    async with (
        Tap("127.0.0.1", child_port) as tap,
        connect(f"ws://127.0.0.1:{child_port}", proxy=None, compression=None) as direct,
        connect(f"ws://127.0.0.1:{tap.port}", proxy=None, compression=None) as through,
    ):
        times: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(20):
            for tapping, websocket in ((False, direct), (True, through)):
                for _ in range(50):
                    begin = time.perf_counter()
                    await websocket.send("Hello")
                    await websocket.recv()
                    times[tapping].append(time.perf_counter() - begin)
    assert statistics.median(times[True]) < 3 * statistics.median(times[False])


@in_loop
async def test_small_messages_do_not_wait_for_the_acknowledgement_of_others() -> None:
    async with linked() as (tap, _, _):
        (connection,) = tap._relay.connections
        socks = [side.transport.get_extra_info("socket") for side in connection.sides.values()]  # type: ignore[union-attr]
        assert all(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for sock in socks)
