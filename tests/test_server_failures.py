"""What goes wrong on a server becomes an entry of its log, or is raised at the next call."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import traceback
import warnings
from typing import Any

import pytest
from shared import (
    PLACES,
    Place,
    echo,
    rubbish_in_a_frame,
    says,
    sync_connect,
    talk,
    tcp,
    wait_until,
    ws_by_hand,
)
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from helpers.background.lifetime import HandlerFailedError
from helpers.background.server import BackgroundServer
from helpers.background.serving import Handler

# --- what a handler raises


async def fails(connection: ServerConnection) -> None:
    await connection.recv()
    raise ValueError("no such room")


@pytest.mark.parametrize("where", ["shared", "process"])
@pytest.mark.parametrize("show", ["url", "check", "stop", "with", "async with"])
def test_a_failure_is_shown_once_with_its_line(where: Place, show: str) -> None:
    server = BackgroundServer(fails, where=where)

    def go_wrong() -> None:
        with sync_connect(server.url) as client:
            client.send("x")
            with pytest.raises(ConnectionClosed, match="1011"):
                client.recv(timeout=5)
        wait_until(lambda: says(server, "the handler failed"))

    async def beside() -> None:
        async with server:
            await asyncio.to_thread(go_wrong)

    with pytest.raises(HandlerFailedError, match="ValueError: no such room") as caught:
        if show == "with":
            with server:
                go_wrong()
        elif show == "async with":
            asyncio.run(beside())
        else:
            server.start()
            go_wrong()
            _ = server.url if show == "url" else getattr(server, show)()
    assert 'raise ValueError("no such room")' in "".join(traceback.format_exception(caught.value))
    assert isinstance(caught.value.__cause__, ValueError)
    server.check()
    server.stop()


def test_several_failures_are_counted_and_a_failure_beside_another_is_noted() -> None:
    server = BackgroundServer(fails)
    with pytest.raises(KeyError) as caught, server:
        url = server.url
        for _ in range(2):
            with sync_connect(url) as client:
                client.send("x")
                with pytest.raises(ConnectionClosed):
                    client.recv(timeout=5)
        wait_until(lambda: len([entry for entry in server.log if "the handler failed" in entry.text]) == 2)
        raise KeyError("mine")
    assert len(caught.value.__notes__) == 2
    server.check()


async def wait_in_a_group(connection: ServerConnection) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(connection.recv())


async def read_once(connection: ServerConnection) -> None:
    await connection.recv()


@pytest.mark.parametrize("handler", [read_once, echo, wait_in_a_group])
def test_the_end_of_its_own_connection_is_no_failure(handler: Handler) -> None:
    with BackgroundServer(handler) as server:
        tcp_peer = ws_by_hand(server.port)
        with sync_connect(server.url):
            pass
        tcp_peer.close()
        wait_until(lambda: len([entry for entry in server.log if "closed:" in entry.text]) == 2)
        server.check()


def test_the_end_of_another_connection_is_a_failure() -> None:
    with BackgroundServer(echo, name="other") as other:

        async def relays(connection: ServerConnection) -> None:
            async with connect(other.url, proxy=None) as upstream:
                await upstream.close()
                await upstream.recv()

        server = BackgroundServer(relays).start()
        with sync_connect(server.url) as client, pytest.raises(ConnectionClosed, match="1011"):
            client.recv(timeout=5)
        with pytest.raises(HandlerFailedError, match="ConnectionClosedOK"):
            server.stop()


async def exits(connection: ServerConnection) -> None:
    raise SystemExit(3)


async def interrupts(connection: ServerConnection) -> None:
    raise KeyboardInterrupt


async def is_cancelled(connection: ServerConnection) -> None:
    raise asyncio.CancelledError("by myself")


async def gives_up(connection: ServerConnection) -> None:
    raise GeneratorExit


async def fails_in_a_group(connection: ServerConnection) -> None:
    raise BaseExceptionGroup("two", [ValueError("one"), GeneratorExit()])


RAISES: dict[Handler, str] = {
    exits: "SystemExit: 3, which would end the loop",
    interrupts: "KeyboardInterrupt, which would end the loop",
    is_cancelled: "CancelledError: by myself",
    gives_up: "GeneratorExit",
    fails_in_a_group: "BaseExceptionGroup: two",
}


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("handler", RAISES)
def test_whatever_a_handler_raises_is_a_failure_and_the_loop_lives(where: Place, handler: Handler) -> None:
    server = BackgroundServer(handler, where=where).start()
    url = server.url
    for _ in range(2):
        with sync_connect(url) as client, pytest.raises(ConnectionClosed, match="1011"):
            client.recv(timeout=5)
    wait_until(lambda: says(server, "the handler failed"))
    assert says(server, f"{handler.__name__}(): raise") or where == "process"
    with pytest.raises(HandlerFailedError, match=rf"raised {RAISES[handler]}"):
        server.stop()


class Unspeakable(Exception):
    def __init__(self, one: object, two: object) -> None:
        self.lock = threading.Lock()

    def __str__(self) -> str:
        raise RuntimeError("not even my words")


@pytest.mark.parametrize("where", PLACES)
def test_an_exception_that_can_not_be_spoken_or_copied_is_kept(where: Place) -> None:
    async def handler(connection: ServerConnection) -> None:
        raise Unspeakable(1, 2)

    server = BackgroundServer(handler, where=where).start()
    with sync_connect(server.url) as client, pytest.raises(ConnectionClosed, match="1011"):
        client.recv(timeout=5)
    wait_until(lambda: says(server, "Unspeakable"))
    with pytest.raises(HandlerFailedError, match="Unspeakable"):
        server.stop()


def test_a_failure_of_a_replaced_server_is_told_by_the_next() -> None:
    server = BackgroundServer(fails).start()
    with sync_connect(server.url) as client:
        client.send("x")
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=5)
    wait_until(lambda: says(server, "the handler failed"))
    again = BackgroundServer(fails).start()
    assert says(again, "the one before had failed: ValueError: no such room")
    again.stop()


# --- how connections end


async def one_is_enough(connection: ServerConnection) -> None:
    await connection.recv()
    await connection.close(4001, "one message is enough")


def close_frame(code: int, reason: bytes = b"") -> bytes:
    return bytes([0x88, 0x80 | (2 + len(reason)), 0, 0, 0, 0]) + code.to_bytes(2, "big") + reason


HELLO = b"\x81\x80\x00\x00\x00\x00"  # an empty message


def next_opcode(peer: socket.socket) -> int:
    """The opcode of the next frame, which is short and whole."""
    with peer.makefile("rb", buffering=0) as stream:
        first, length = stream.read(1), stream.read(1)
        for _ in range(length[0]):
            stream.read(1)
    return first[0] & 0x0F


@pytest.mark.parametrize(
    ("handler", "sends", "answers", "words"),
    [
        (one_is_enough, HELLO, b"", "1006 (no answer to the close frame 4001, one message is enough)"),
        (one_is_enough, b"", b"", "1006 (no answer to the close frame 1011, keepalive ping timeout)"),
        (echo, close_frame(4002, b"bye"), b"", "4002 (bye)"),
        (one_is_enough, HELLO, close_frame(4001), "4001 (one message is enough)"),
        (one_is_enough, HELLO, close_frame(4003, b"bye"), "4003 (bye); sent 4001 (one message is enough)"),
    ],
)
def test_a_close_is_told_as_both_sides_saw_it(
    handler: Handler, sends: bytes, answers: bytes, words: str
) -> None:
    keepalive: dict[str, Any] = {} if sends else {"ping_interval": 0.1, "ping_timeout": 0.1}
    with BackgroundServer(handler, close_timeout=5 if answers else 0.2, **keepalive) as server:
        with ws_by_hand(server.port) as peer:
            peer.sendall(sends)
            while next_opcode(peer) != 8:  # close; before it, pings with anything in them
                pass
            peer.sendall(answers)
        wait_until(lambda: says(server, "closed: "))
        assert [entry.text for entry in server.log][-1] == f"connection 1 closed: {words}"


# --- peers that send rubbish


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize(
    ("rubbish", "words"),
    [
        (b"\x00\xff\xfe rubbish\r\n\r\n", "handshake: InvalidMessage: did not receive a valid HTTP request"),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "handshake (426 Upgrade Required): InvalidUpgrade: missing Connection header",
        ),
        (b"\x16\x03\x01\x02\x00\x01", "a peer did not complete the handshake"),
        (b"", "a peer did not complete the handshake"),
    ],
)
def test_rubbish_becomes_an_event_and_nothing_red(
    where: Place, rubbish: bytes, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with BackgroundServer(echo, where=where) as server:
        with tcp(server.port) as peer:
            peer.sendall(rubbish)
            if not rubbish.startswith(b"GET"):
                peer.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionError):
                while peer.recv(4096):
                    pass
        wait_until(lambda: says(server, words), what=words)
        assert talk(server.url) == "hi"
    assert capfd.readouterr() == ("", "")


def test_rubbish_after_the_handshake_is_an_event(capfd: pytest.CaptureFixture[str]) -> None:
    with BackgroundServer(echo) as server:
        peer = rubbish_in_a_frame(server)
        peer.close()
        wait_until(lambda: says(server, "the peer broke the protocol: ProtocolError"))
    assert capfd.readouterr() == ("", "")


def test_a_task_that_nobody_awaits_is_an_event_and_no_blocked_loop(capfd: pytest.CaptureFixture[str]) -> None:
    async def handler(connection: ServerConnection) -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await connection.send("done")

    with BackgroundServer(handler) as server:
        with sync_connect(server.url) as client:
            assert client.recv(timeout=5) == "done"
        wait_until(lambda: says(server, "ZeroDivisionError"))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            server.check()
    assert capfd.readouterr() == ("", "")
