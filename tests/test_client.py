"""A client against real servers: what it sends and receives, how it ends, and what it says when it can't."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from http import HTTPStatus
from typing import Any

import pytest
from shared import descriptors, echo, run
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from helpers.background.lifetime import BlockedLoopWarning
from helpers.background.server import BackgroundServer
from helpers.clients.client import Client
from helpers.clients.conversation import Message, NotConnectedError

pytestmark = pytest.mark.usefixtures("nothing_is_printed")


@pytest.fixture
def server() -> Iterator[BackgroundServer]:
    with BackgroundServer(echo) as server:
        yield server


@contextlib.asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncIterator[Client]:
    client = Client("Ann", url, **options)
    await client.connect()
    yield client
    await client.disconnect()


@contextlib.contextmanager
def standstill(server: BackgroundServer) -> Iterator[None]:
    """Nothing moves on the server's loop meanwhile, and so for its clients that share it."""
    stands, goes = threading.Event(), threading.Event()

    def stand() -> None:
        stands.set()
        assert goes.wait(60)

    server.loop.call_soon_threadsafe(stand)
    assert stands.wait(60)
    try:
        yield
    finally:
        goes.set()


@contextlib.contextmanager
def listener(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A TCP server that does to each peer whatever `answer` does."""
    threads: list[threading.Thread] = []

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = sock.accept()
                threads.append(threading.Thread(target=answer, args=(peer,)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as sock:
        acceptor = threading.Thread(target=serve)
        acceptor.start()
        yield f"ws://127.0.0.1:{sock.getsockname()[1]}"
        sock.shutdown(socket.SHUT_RDWR)
        acceptor.join(5)
        for thread in threads:
            thread.join(5)


def events(client: Client) -> list[Message]:
    return [message for message in client.log if message.direction == "event"]


def test_a_conversation(server: BackgroundServer) -> None:
    async def main() -> None:
        ann = Client("Ann", server.url)
        assert (ann.state, ann.detail, ann.log) == ("closed", "not connected yet", [])
        await ann.connect()
        assert (ann.state, ann.connection.protocol.state.name) == ("open", "OPEN")
        ann.send("hi")
        ann.send(b"\x00\xff")
        assert await ann.received(b"\x00\xff") == b"\x00\xff"
        assert await ann.received("hi") == "hi"
        await ann.disconnect()
        assert (ann.state, ann.detail, ann.sent_count, ann.received_count) == ("closed", "1000", 2, 2)
        talk = [(message.direction, message.data) for message in ann.log]
        assert talk[0] == ("event", f"connected to {server.url}")
        assert talk[-1] == ("event", "closed: 1000")
        assert [data for way, data in talk if way == "sent"] == ["hi", b"\x00\xff"]
        assert [data for way, data in talk if way == "received"] == ["hi", b"\x00\xff"]

    run(main())


def test_sends_keep_their_order_from_every_thread(server: BackgroundServer) -> None:
    async def main() -> None:
        async with connected(server.url, compression=None) as ann:

            def send(who: int) -> None:
                for number in range(200):
                    ann.send(f"{who} {number}")

            threads = [threading.Thread(target=send, args=(who,)) for who in range(4)]
            for thread in threads:
                thread.start()
            assert ann.loop is not None
            ann.loop.asyncio_loop.call_soon_threadsafe(send, 4)
            came = [str(await ann.received(timeout=10)).split() for _ in range(1000)]
            for thread in threads:
                thread.join()
        for who in range(5):
            assert [int(n) for w, n in came if int(w) == who] == list(range(200))

    run(main())


def test_what_the_loop_sends_waits_for_what_another_thread_sent_before(server: BackgroundServer) -> None:
    async def main() -> None:
        async with connected(server.url) as ann:

            async def send() -> None:
                other = threading.Thread(target=ann.send, args=("first",))
                other.start()
                other.join()
                ann.send("second")

            assert ann.loop is not None
            ann.loop.submit(send())
            assert [await ann.received(), await ann.received()] == ["first", "second"]

    run(main())


def test_a_message_waits_for_the_last_piece_of_another(server: BackgroundServer) -> None:
    begun, go_on = threading.Event(), asyncio.Event()

    async def pieces() -> AsyncIterator[str]:
        yield "one "
        begun.set()
        await go_on.wait()
        yield "message"

    async def main() -> None:
        async with connected(server.url) as ann:

            async def in_pieces() -> None:
                await ann.connection.send(pieces())

            assert ann.loop is not None
            ann.loop.submit(in_pieces())
            assert await asyncio.to_thread(begun.wait, 5)
            ann.send("after it")
            ann.loop.asyncio_loop.call_soon_threadsafe(go_on.set)
            assert [await ann.received(), await ann.received()] == ["one message", "after it"]

    run(main())


@pytest.mark.parametrize("on_the_loop", [False, True])
def test_what_was_sent_before_a_disconnect_arrives(
    on_the_loop: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("helpers.clients.client.FLUSHED_WITHIN", 60)
    got: list[str] = []

    async def collect(connection: ServerConnection) -> None:
        async for message in connection:
            got.append(str(message).lstrip("0"))

    async def main(url: str) -> None:
        async with connected(url, compression=None) as ann:

            async def send() -> int:
                for number in range(500):  # more than the buffers of both ends take at once
                    ann.send(f"{number:050000d}")
                return ann.connection.transport.get_write_buffer_size()

            if on_the_loop:
                assert ann.loop is not None
                waiting = await asyncio.wrap_future(ann.loop.submit(send()))
                assert waiting < 100_000  # the others wait in the outbox
            else:
                await send()
        assert ann.sent_count == 500

    with BackgroundServer(collect, where="own") as server:
        run(main(server.url))
    assert got == [f"{number:050000d}".lstrip("0") for number in range(500)]


def test_a_peer_that_does_not_read_delays_a_disconnect_by_seconds_only() -> None:
    async def deaf(connection: ServerConnection) -> None:
        await connection.wait_closed()

    async def main(url: str) -> None:
        async with connected(url, compression=None) as ann:
            for _ in range(100):
                ann.send(b"x" * 500_000)
            begin = time.monotonic()
        assert time.monotonic() - begin < 10
        assert ann.state == "closed"
        left = 100 - ann.sent_count
        assert 0 < left < 100
        assert f"; {left} messages were not sent" in ann.detail

    with BackgroundServer(deaf) as server:
        run(main(server.url))


def test_sending_while_closed_says_how_to_connect(server: BackgroundServer) -> None:
    async def main() -> None:
        ann = Client("Ann", server.url)
        with pytest.raises(
            NotConnectedError, match=r"Ann is not connected \(closed\): press Connect, or await"
        ):
            ann.send("hi")
        with standstill(server):
            begun = ann.begin()
            with pytest.raises(NotConnectedError, match=r"\(connecting\)"):
                ann.send("hi")
        await asyncio.wrap_future(begun)
        with standstill(server):
            ended = ann.end()
            with pytest.raises(NotConnectedError, match=r"\(closing\)"):
                ann.send("hi")
        assert ended is not None
        await asyncio.wrap_future(ended)
        with pytest.raises(NotConnectedError):
            _ = ann.connection
        await ann.disconnect()

    run(main())


def test_what_cannot_be_sent_is_refused_at_once_and_the_rest_goes_on(server: BackgroundServer) -> None:
    async def main() -> None:
        async with connected(server.url) as ann:
            with pytest.raises(TypeError, match="a message is str or bytes, not dict"):
                ann.send({"type": "hi"})  # type: ignore[arg-type]
            with pytest.raises(UnicodeEncodeError):
                ann.send("\ud800")
            ann.send("")
            assert await ann.received() == ""

    run(main())


def test_disconnecting_while_connecting() -> None:
    async def main(url: str) -> None:
        ann = Client("Ann", url)
        opening = asyncio.ensure_future(ann.connect())
        await asyncio.to_thread(accepted.wait, 5)
        await ann.disconnect()
        assert ann.state == "closed"
        with pytest.raises(NotConnectedError, match="Ann could not connect: abandoned before it was open"):
            await opening

    def silent(peer: socket.socket) -> None:
        accepted.set()
        with peer:
            while peer.recv(4096):
                pass

    accepted = threading.Event()
    with listener(silent) as url:
        run(main(url))


def test_a_cancelled_connect_gives_up() -> None:
    async def main(url: str) -> None:
        ann = Client("Ann", url)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ann.connect(), 0.1)
        assert ann.state in ("closing", "closed")
        await ann.disconnect()
        assert (ann.state, ann.detail) == ("closed", "abandoned before it was open")

    def silent(peer: socket.socket) -> None:
        with peer:
            while peer.recv(4096):
                pass

    with listener(silent) as url:
        run(main(url))


def test_a_cancelled_disconnect_goes_on_closing(server: BackgroundServer) -> None:
    async def main() -> None:
        ann = Client("Ann", server.url)
        await ann.connect()
        leaving = asyncio.ensure_future(ann.disconnect())
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        await ann.disconnect()
        assert (ann.state, ann.detail) == ("closed", "1000")

    run(main())


def test_reconnecting_before_the_old_connection_is_closed(server: BackgroundServer) -> None:
    async def main() -> None:
        ann = Client("Ann", server.url)
        for number in range(20):
            await ann.connect()
            ann.send(str(number))
            assert await ann.received(str(number))
            ann.end()
        await ann.connect()
        assert ann.state == "open"
        assert ann.connection.protocol.state.name == "OPEN"
        ann.send("still there")
        assert await ann.received("still there")
        texts = [message.data for message in events(ann)]
        assert texts == [f"connected to {server.url}", "closed: 1000"] * 20 + [f"connected to {server.url}"]
        await ann.disconnect()

    run(main())


def test_connecting_elsewhere_leaves_the_first_server(server: BackgroundServer) -> None:
    async def main(other: str) -> None:
        ann = Client("Ann", server.url)
        await ann.connect()
        await ann.connect(server.url)
        await ann.connect(other)
        assert ann.url == other
        assert [message.data for message in events(ann)] == [
            f"connected to {server.url}",
            "closed: 1000",
            f"connected to {other}",
        ]
        await ann.disconnect()

    with BackgroundServer(echo, name="other") as other:
        run(main(other.url))


def test_a_hundred_connections_leave_nothing(server: BackgroundServer) -> None:
    def tasks() -> int:
        async def count() -> int:
            return len(asyncio.all_tasks())

        return int(asyncio.run_coroutine_threadsafe(count(), server.loop).result(5))

    async def main() -> None:
        ann = Client("Ann", server.url)
        await ann.connect()
        await ann.disconnect()
        gc.collect()
        before = descriptors(), threading.active_count(), tasks()
        for number in range(100):
            await ann.connect()
            if number % 2:
                ann.send("hi")
                await ann.received("hi")
            await ann.disconnect()
        deadline = time.monotonic() + 5
        while (after := (descriptors(), threading.active_count(), tasks())) > before:
            assert time.monotonic() < deadline, f"{after} instead of {before}"
            await asyncio.sleep(0.01)
        assert len(server.connections) == 0

    run(main())


def test_a_client_alone_takes_its_thread_away() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as sock:
            port = sock.getsockname()[1]
        ann = Client("Ann", f"ws://127.0.0.1:{port}")
        for _ in range(20):
            with pytest.raises(NotConnectedError):
                await ann.connect()
        deadline = time.monotonic() + 5
        while [t for t in threading.enumerate() if t not in before and "background loop" in t.name]:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)

    before = threading.enumerate()
    run(main())


def failure(url: str, **options: Any) -> str:
    """What a client says that can't connect; it must say the same as its state and in its log."""

    async def main() -> str:
        ann = Client("Ann", url, **options)
        with pytest.raises(NotConnectedError) as failed:
            await ann.connect()
        assert ann.state == "closed"
        assert [message.data for message in ann.log] == [f"closed: {ann.detail}"]
        assert str(failed.value) == f"Ann could not connect: {ann.detail}"
        return ann.detail

    return str(run(main()))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_nobody_listens(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    url = f"ws://{host}:{port}"
    assert failure(url) == f"nothing is listening at {url}: start the server, or correct the address"


@pytest.mark.parametrize(
    "url", ["", "hello", "http://127.0.0.1:1/", "ws://", "ws://127.0.0.1:99999", "ws://[::1"]
)
def test_no_websocket_address(url: str) -> None:
    assert failure(url) == f"{url!r} is not a WebSocket address; one looks like ws://127.0.0.1:8765"


def test_no_such_computer() -> None:
    url = "ws://no-such-computer.invalid"
    assert failure(url) == f"there is no host of that name: {url}"


def test_the_server_refuses() -> None:
    def refuse(connection: ServerConnection, request: Request) -> Response:
        return connection.respond(HTTPStatus.FORBIDDEN, "not you\n")

    with BackgroundServer(echo, process_request=refuse) as server:
        assert failure(server.url) == (
            f"{server.url} refused the handshake: server rejected WebSocket connection: HTTP 403: not you"
        )


def test_the_server_never_answers() -> None:
    def silent(peer: socket.socket) -> None:
        with peer:
            while peer.recv(4096):
                pass

    with listener(silent) as url:
        assert failure(url, open_timeout=0.1) == f"{url} did not answer in time"


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"\xff\x00" * 50])
def test_something_else_answers(answer: bytes) -> None:
    def rubbish(peer: socket.socket) -> None:
        with peer:
            peer.recv(4096)
            peer.sendall(answer)

    with listener(rubbish) as url:
        said = failure(url)
    assert f"{url} refused the handshake: " in said or "ConnectionResetError" in said


def test_an_option_that_does_not_exist(server: BackgroundServer) -> None:
    assert "unexpected keyword argument 'colour'" in failure(server.url, colour="blue")


def ending(send: Callable[[Any], None], **options: Any) -> tuple[str, list[Message]]:
    """How a client's connection ends when its server writes raw bytes."""

    async def handler(connection: ServerConnection) -> None:
        send(connection.transport)
        await connection.wait_closed()

    async def main(url: str) -> tuple[str, list[Message]]:
        ann = Client("Ann", url, compression=None, **options)
        await ann.connect()
        with pytest.raises(NotConnectedError, match="Ann's connection is closed"):
            await ann.received("never", timeout=10)
        return ann.detail, ann.log

    with BackgroundServer(handler, compression=None) as server:
        return run(main(server.url))


def test_a_peer_that_sends_rubbish() -> None:
    detail, log = ending(lambda transport: transport.write(b"\x81\x02hi\xf7\xff rubbish"))
    assert detail.startswith("1006 (no answer to the close frame 1002, ")
    assert [message.data for message in log if message.direction == "received"] == ["hi"]


def test_a_message_that_is_too_big() -> None:
    detail, _ = ending(
        lambda transport: transport.write(b"\x82\x7f" + (5000).to_bytes(8, "big")), max_size=1000
    )
    assert detail == (
        "1006 (no answer to the close frame 1009, frame with 5000 bytes exceeds limit of 1000 bytes)"
    )


def test_a_text_that_is_no_utf_8() -> None:
    detail, _ = ending(lambda transport: transport.write(b"\x81\x02\xff\xfe"))
    assert detail.startswith("1006 (no answer to the close frame 1007, ")


def test_a_peer_that_vanishes() -> None:
    assert ending(lambda transport: transport.abort())[0] == "1006 (cut without a close frame)"


def test_the_server_closes_with_code_and_reason() -> None:
    async def goodbye(connection: ServerConnection) -> None:
        await connection.send("last words")
        await connection.close(4001, "bye")

    async def main(url: str) -> None:
        ann = Client("Ann", url)
        await ann.connect()
        with pytest.raises(NotConnectedError, match=r"4001 \(bye\)"):
            await ann.received("more", timeout=10)
        assert ann.detail == "4001 (bye)"
        assert await ann.received() == "last words"

    with BackgroundServer(goodbye) as server:
        run(main(server.url))


def test_a_stopped_server_is_seen_with_its_reason() -> None:
    async def main() -> None:
        async with BackgroundServer(echo) as server:
            ann = Client("Ann", server.url)
            await ann.connect()
            waiting = asyncio.ensure_future(ann.received(timeout=10))
        with pytest.raises(NotConnectedError):
            await waiting
        assert (ann.state, ann.detail) == ("closed", "1001 (server stopped)")

    run(main())


def test_options_reach_the_server() -> None:
    seen = []

    async def look(connection: ServerConnection) -> None:
        assert connection.request is not None
        seen.append((connection.subprotocol, connection.request.headers["X-Who"], connection.request.path))

    async def main(url: str) -> None:
        options = {"subprotocols": ["chat.v2"], "additional_headers": {"X-Who": "ann"}}
        async with connected(url + "/room?id=7", **options) as ann:
            assert ann._talk is not None
            assert ann._talk.connection is not None
            assert ann._talk.connection.subprotocol == "chat.v2"

    with BackgroundServer(look, subprotocols=["chat.v1", "chat.v2"]) as server:
        run(main(server.url))
    assert seen == [("chat.v2", "ann", "/room?id=7")]


def test_a_failing_view_does_not_hurt_the_conversation(server: BackgroundServer) -> None:
    """The client's loop is free again and the connection closed, even where the callback raises."""

    def changed() -> None:
        if ann.received_count:
            raise RuntimeError("no comm")

    async def main() -> None:
        await ann.connect()
        ann.send("hi")
        with pytest.raises(NotConnectedError, match="RuntimeError: no comm"):
            await ann.received("never", timeout=10)
        await ann.disconnect()
        assert len(server.connections) == 0
        assert ann.loop is None

    ann = Client("Ann", server.url, changed=changed)
    run(main())


def test_a_loop_blocked_by_a_handler_does_not_hold_the_client() -> None:
    async def block(connection: ServerConnection) -> None:
        await connection.recv()
        time.sleep(1.5)  # noqa: ASYNC251 - the reader's mistake
        await connection.send("late")

    async def main(url: str) -> None:
        async with connected(url) as ann:
            ann.send("go")
            assert await ann.received("late", timeout=10) == "late"

    with pytest.warns(BlockedLoopWarning, match="'block'"), BackgroundServer(block, where="own") as server:
        run(main(server.url))


def test_an_open_client_lets_the_program_end_in_silence(server: BackgroundServer) -> None:
    program = f"""
import asyncio
from helpers.clients.client import Client
ann = Client("Ann", {server.url!r})
asyncio.run(ann.connect())
ann.send("hi")
print(asyncio.run(ann.received("hi")))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "hi\n", "")
