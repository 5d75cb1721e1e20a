"""A server beside the kernel: it starts, answers, takes its place again and stops."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import websockets.sync.client
from shared import (
    PLACES,
    Place,
    echo,
    nothing_left,
    says,
    sync_connect,
    talk,
    ws_by_hand,
)
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from helpers.background.lifetime import BackgroundError
from helpers.background.server import BackgroundServer
from helpers.background.serving import Handler

# --- start and stop


@pytest.mark.parametrize(("where", "times"), [("shared", 100), ("own", 100), ("process", 4)])
def test_start_and_stop_many_times_leaves_nothing(where: Place, times: int) -> None:
    server = BackgroundServer(echo, where=where)
    talk(server.start().url)
    server.stop()
    ports = set()
    with nothing_left():
        for _ in range(times):
            server.start()
            ports.add(server.port)
            with sync_connect(server.url) as client:
                client.send("hi")
                assert client.recv(timeout=10) == "hi"
            server.stop()
    assert ports == {server.port}


def test_a_shared_loop_that_somebody_else_holds_keeps_no_task() -> None:
    async def tasks() -> int:
        return len(asyncio.all_tasks())

    with BackgroundServer(echo, name="holder") as holder:
        loop = holder.loop
        before = asyncio.run_coroutine_threadsafe(tasks(), loop).result(5)
        for _ in range(20):
            with BackgroundServer(echo, close_timeout=0.05) as server:
                assert server.loop is loop
                peer = ws_by_hand(server.port)
            peer.close()
        assert asyncio.run_coroutine_threadsafe(tasks(), loop).result(5) == before


@pytest.mark.parametrize("where", PLACES)
def test_with_and_async_with(where: Place) -> None:
    with nothing_left():
        with BackgroundServer(echo, where=where) as server:
            assert server.running
            assert talk(server.url) == "hi"
        assert not server.running

        async def inside() -> None:
            async with (
                BackgroundServer(echo, where=where) as server,
                connect(server.url, proxy=None) as client,
            ):
                await client.send("hi")
                assert await client.recv() == "hi"

        asyncio.run(inside())


@pytest.mark.parametrize("where", PLACES)
def test_small_messages_do_not_wait_for_the_acknowledgement_of_others(where: Place) -> None:
    async def tell(connection: ServerConnection) -> None:
        option = connection.transport.get_extra_info("socket").getsockopt(6, 1)  # IPPROTO_TCP, TCP_NODELAY
        await connection.send("at once" if option else "after the acknowledgement")

    with BackgroundServer(tell, where=where) as server, sync_connect(server.url) as client:
        assert client.recv(timeout=10) == "at once"


def test_a_burst_of_small_messages_is_decoded_in_pieces() -> None:
    async def count(connection: ServerConnection) -> None:
        queued = 0
        async for message in connection:
            queued = max(queued, len(connection.recv_messages.frames))
            if message == "how many at once?":
                await connection.send(str(queued))

    async def burst(url: str) -> int:
        async with connect(url, proxy=None, compression=None) as client:
            client.transport.write((b"\x81\x81" + bytes(4) + b"!") * 30_000)
            await client.send("x" * 500_000)
            await client.send("how many at once?")
            return int(await client.recv())

    with BackgroundServer(count) as server:
        assert 0 < asyncio.run(burst(server.url)) < 2000  # asyncio would read 36,000 at once


def test_an_idle_connection_keeps_no_read_buffer() -> None:
    async def kept(connection: ServerConnection) -> None:
        async for _ in connection:
            buffers = [value for value in vars(connection).values() if isinstance(value, bytearray)]
            await connection.send(str(sum(map(len, buffers))))

    with BackgroundServer(kept) as server, sync_connect(server.url) as client:
        client.send("?")
        assert client.recv(timeout=10) == "0"


def test_async_with_gives_clients_on_the_callers_loop_their_time() -> None:
    async def inside() -> tuple[BackgroundServer, int | None]:
        async with BackgroundServer(echo) as server:
            client = await connect(server.url, proxy=None)
        await client.wait_closed()
        return server, client.close_code

    server, code = asyncio.run(inside())
    assert code == 1001
    assert says(server, "closed: 1001 (server stopped)")


@pytest.mark.parametrize("where", PLACES)
def test_the_same_name_takes_over_the_port_and_tells_the_clients(where: Place) -> None:
    first = BackgroundServer(echo, where=where, name="chat").start()
    clients = [sync_connect(first.url) for _ in range(3)]
    second = BackgroundServer(echo, where=where, name="chat").start()
    assert second.port == first.port
    for client in clients:
        with client, pytest.raises(ConnectionClosed, match=r"1001.*replaced by a newer server"):
            client.recv(timeout=5)
    assert talk(second.url) == "hi"
    with pytest.raises(BackgroundError, match="another 'chat' has taken its place"):
        _ = first.url
    first.stop()
    assert second.running
    second.stop()
    third = BackgroundServer(echo, where=where, name="chat").start()
    assert third.port == first.port, "a stop before the cell is run again makes no difference"
    third.stop()


def test_the_same_name_on_a_fixed_port(unused_port: int) -> None:
    with contextlib.ExitStack() as peers:
        for _ in range(3):
            server = BackgroundServer(echo, port=unused_port).start()
            peers.enter_context(ws_by_hand(unused_port))
            assert talk(server.url) == "hi"
    server.stop()


@pytest.fixture
def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@pytest.mark.parametrize("where", PLACES)
def test_a_port_that_a_stranger_holds(where: Place) -> None:
    with nothing_left(), socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        server = BackgroundServer(echo, where=where, port=port)
        with pytest.raises(BackgroundError, match=rf"port {port} .*stop the program .*another number"):
            server.start()
        assert not server.running
    talk(server.start().url)
    server.stop()


@pytest.mark.parametrize("where", PLACES)
def test_a_port_that_one_of_ours_holds(where: Place) -> None:
    with nothing_left(), BackgroundServer(echo, name="mine") as mine:
        with pytest.raises(BackgroundError, match=rf"port {mine.port} .*your own 'mine' holds it"):
            BackgroundServer(echo, where=where, name="other", port=mine.port).start()
        assert talk(mine.url) == "hi"


@pytest.mark.parametrize("where", ["shared", "process"])
def test_a_host_that_is_not_here(where: Place) -> None:
    with nothing_left(), pytest.raises(BackgroundError, match="must be an address of this machine") as caught:
        BackgroundServer(echo, where=where, host="192.0.2.1", port=4711).start()
    assert "while" not in str(caught.value)


@pytest.mark.parametrize("where", PLACES)
def test_an_option_that_does_not_exist_leaves_nothing(where: Place) -> None:
    with nothing_left(), pytest.raises((TypeError, BackgroundError), match="colour"):
        BackgroundServer(echo, where=where, colour="blue").start()


@pytest.mark.parametrize("where", PLACES)
def test_options_pass_through(where: Place) -> None:
    options: dict[str, Any] = {
        "origins": ["https://a.example"],
        "subprotocols": ["chat"],
        "max_size": 10,
        "backlog": 5,
    }
    with BackgroundServer(echo, where=where, **options) as server:
        with pytest.raises(InvalidStatus, match="403"):
            sync_connect(server.url)
        with websockets.sync.client.connect(
            server.url, proxy=None, origin=Origin("https://a.example"), subprotocols=[Subprotocol("chat")]
        ) as client:
            assert client.subprotocol == "chat"
            client.send("x" * 11)
            with pytest.raises(ConnectionClosed, match="1009"):
                client.recv(timeout=5)


def test_a_socket_of_ones_own_is_refused_in_words() -> None:
    with pytest.raises(TypeError, match="host= and port= instead of sock="):
        BackgroundServer(echo, sock=None)


@pytest.mark.parametrize(
    ("host", "shown"), [("::1", "[::1]"), ("0.0.0.0", "127.0.0.1"), ("localhost", "localhost")]
)
def test_the_url_can_be_connected_to(host: str, shown: str) -> None:
    with BackgroundServer(echo, host=host) as server:
        assert server.url == f"ws://{shown}:{server.port}"
        assert talk(server.url) == "hi"
        assert server.url in repr(server)


def test_start_twice_stop_twice_and_with_after_start() -> None:
    server = BackgroundServer(echo)
    assert server.start() is server.start()
    with pytest.raises(BackgroundError, match="is already running"), server:
        pass
    server.stop()
    server.stop()
    with pytest.raises(BackgroundError, match="run the cell that starts it"):
        _ = server.url


def test_stop_from_many_threads_at_once() -> None:
    with nothing_left():
        for where in ("shared", "own"):
            server = BackgroundServer(echo, where=where).start()
            peer = ws_by_hand(server.port)
            failed: list[BaseException] = []

            def stop(server: BackgroundServer = server, failed: list[BaseException] = failed) -> None:
                try:
                    server.stop()
                except BaseException as error:
                    failed.append(error)

            threads = [threading.Thread(target=stop) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(5)
            assert not failed
            assert not any(thread.is_alive() for thread in threads)
            peer.close()


# --- what a handler may be


class Room:
    async def __call__(self, connection: ServerConnection) -> None:
        await connection.send("room")

    async def method(self, connection: ServerConnection) -> None:
        await connection.send("method")


async def greets(greeting: str, connection: ServerConnection) -> None:
    await connection.send(greeting)


class Handing:
    def __init__(self, function: Callable[..., Awaitable[None]]) -> None:
        self.function = function

    def __call__(self, connection: ServerConnection) -> Awaitable[None]:
        return self.function(connection)


def with_a_greeting(function: Callable[..., Awaitable[None]]) -> Handler:
    @functools.wraps(function)
    async def inner(connection: ServerConnection) -> None:
        await function("decorated", connection)

    return inner


def handing_on(function: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    def inner(connection: ServerConnection, *arguments: object) -> Awaitable[None]:
        return function("handed on", connection)

    return inner


@pytest.mark.parametrize(
    ("handler", "answer"),
    [
        (with_a_greeting(greets), "decorated"),
        (handing_on(greets), "handed on"),
        (lambda connection: greets("a lambda", connection), "a lambda"),
        (Handing(Room()), "room"),
    ],
)
def test_handlers_that_hand_on_to_another_function(handler: Handler, answer: str) -> None:
    """`functools.wraps` tells the other function's arguments, which aren't the handler's."""
    with BackgroundServer(handler) as server, sync_connect(server.url) as client:
        assert client.recv(timeout=5) == answer


@pytest.mark.parametrize("where", ["shared", "process"])
@pytest.mark.parametrize(
    ("handler", "answer", "name"),
    [
        (Room(), "room", "Room"),
        (Room().method, "method", "method"),
        (functools.partial(greets, "partial"), "partial", "greets"),
        (functools.partial(Room().method), "method", "method"),
        (functools.partial(Room()), "room", "Room"),
    ],
)
def test_handlers_of_every_shape(where: Place, handler: Handler, answer: str, name: str) -> None:
    with BackgroundServer(handler, where=where) as server, sync_connect(server.url) as client:
        assert client.recv(timeout=5) == answer
        assert server.name == name


def plain(connection: ServerConnection) -> None:
    pass


async def two(connection: ServerConnection, path: str) -> None:
    pass


async def none() -> None:
    pass


async def yields(connection: ServerConnection) -> AsyncIterator[ServerConnection]:
    yield connection


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (plain, r"write `async def plain\(connection\)`"),
        (lambda connection: None, "must be a coroutine function"),
        (functools.partial(plain), r"write `async def plain\(connection\)`"),
        (two, "one argument, the connection: missing a required argument: 'path'"),
        (functools.partial(greets, "x", "y"), "one argument"),  # type: ignore[arg-type]
        (none, "one argument, the connection: too many"),
        (yields, "without `yield`"),
        (Room, "must be a coroutine function"),
        (..., "must be a function"),
        (None, "must be a function"),
        ("echo", "must be a function"),
    ],
)
def test_what_can_not_be_a_handler_is_refused_in_words(handler: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        BackgroundServer(handler)


def test_an_unknown_place_is_refused() -> None:
    with pytest.raises(ValueError, match='"shared", "own" or "process", not \'thread\''):
        BackgroundServer(echo, where="thread")  # type: ignore[arg-type]
