"""A server stops in about a second, whatever its peers and its handlers do."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
from shared import (
    PLACES,
    Place,
    echo,
    full_buffer,
    nothing_left,
    rubbish_in_a_frame,
    says,
    takes_at_most,
    tcp,
    wait_until,
    ws_by_hand,
)
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection

from helpers.background.lifetime import HandlerFailedError
from helpers.background.server import BackgroundServer


async def flood(connection: ServerConnection) -> None:
    while True:
        await connection.send(bytes(1_000_000))


async def sleep_for_an_hour(connection: ServerConnection) -> None:
    await asyncio.sleep(3600)


async def swallow_every_cancel(connection: ServerConnection) -> None:
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)


async def cling_to_life(connection: ServerConnection) -> None:
    try:
        await asyncio.sleep(3600)
    finally:
        while True:
            with contextlib.suppress(asyncio.CancelledError, GeneratorExit):
                await asyncio.sleep(3600)


def half_a_handshake(server: BackgroundServer) -> socket.socket:
    peer = tcp(server.port)
    peer.sendall(b"GET / HTTP/1.1\r\nHost:")
    return peer


def half_a_frame(server: BackgroundServer) -> socket.socket:
    peer = ws_by_hand(server.port)
    peer.sendall(b"\x82\xfe\xff")
    return peer


PEERS = {
    "ignores the close": (echo, full_buffer),
    "never reads": (flood, full_buffer),
    "sent nothing": (echo, lambda server: tcp(server.port)),
    "half a handshake": (echo, half_a_handshake),
    "half a frame": (echo, half_a_frame),
    "rubbish": (echo, rubbish_in_a_frame),
    "handler sleeps": (sleep_for_an_hour, full_buffer),
    "handler swallows cancel": (swallow_every_cancel, full_buffer),
}


@pytest.mark.parametrize("where", PLACES)
def test_stop_ends_whatever_the_peers_do(where: Place) -> None:
    """All of them at once, each on its own server, so that it takes a second and not ten."""
    with nothing_left():
        servers, peers = [], []
        for name, (handler, connects) in PEERS.items():
            server = BackgroundServer(handler, where=where, name=name, close_timeout=0.5).start()
            servers.append(server)
            peers.append(connects(server))
        took = {}

        def stop(server: BackgroundServer) -> None:
            with takes_at_most(3):
                server.stop()
            took[server.name] = True

        stoppers = [threading.Thread(target=stop, args=[server]) for server in servers]
        for stopper in stoppers:
            stopper.start()
        for stopper in stoppers:
            stopper.join(10)
        assert set(took) == set(PEERS)
        for peer in peers:
            peer.close()


def test_stop_takes_about_a_second_by_default() -> None:
    with nothing_left():
        server = BackgroundServer(echo).start()
        peer = ws_by_hand(server.port)
        with takes_at_most(1.9):
            server.stop()
        peer.close()


def test_a_handler_that_swallows_every_cancel_leaves_no_task() -> None:
    async def tasks() -> int:
        return len(asyncio.all_tasks())

    with BackgroundServer(echo, name="holder") as holder:
        before = asyncio.run_coroutine_threadsafe(tasks(), holder.loop).result(5)
        with BackgroundServer(swallow_every_cancel) as server:
            peer = full_buffer(server)
        peer.close()
        assert asyncio.run_coroutine_threadsafe(tasks(), holder.loop).result(5) == before


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_handler_that_clings_to_life_is_a_failure() -> None:
    server = BackgroundServer(cling_to_life, close_timeout=0.2).start()
    peer = full_buffer(server)
    with takes_at_most(3), pytest.raises(HandlerFailedError, match="ignored GeneratorExit"):
        server.stop()
    peer.close()


def test_tls_peer_that_sent_nothing(tls: ssl.SSLContext) -> None:
    with BackgroundServer(echo, ssl=tls, close_timeout=0.3) as server:
        assert server.url.startswith("wss://")
        peer = tcp(server.port)
        talked = tcp(server.port)
        talked.sendall(b"\x16\x03\x01")
        with takes_at_most(2):
            server.stop()
    peer.close()
    talked.close()


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:

    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("makes its certificate with openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = (
        f"req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -keyout {key} -out {certificate}"
    )
    subprocess.run([openssl, *command.split()], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@pytest.mark.parametrize("where", PLACES)
def test_stop_from_the_loop_where_the_clients_live(where: Place) -> None:
    async def cell() -> list[int | None]:
        server = BackgroundServer(echo, where=where).start()
        clients = [await connect(server.url, proxy=None) for _ in range(3)]
        await clients[0].send("unread by anybody")
        with takes_at_most(1):
            server.stop()
        for client in clients:
            await asyncio.wait_for(client.wait_closed(), 5)
        return [client.close_code for client in clients]

    with nothing_left():
        assert asyncio.run(cell()) == [1001, 1001, 1001]


@pytest.mark.parametrize("method", ["stop", "start"])
def test_stop_and_start_on_the_servers_own_loop_are_refused_in_words(method: str) -> None:
    async def handler(connection: ServerConnection) -> None:
        getattr(server, method)()

    server = BackgroundServer(handler, where="own").start()
    peer = ws_by_hand(server.port)
    wait_until(lambda: says(server, "to_thread"))
    assert server.running
    with pytest.raises(HandlerFailedError, match=r"asyncio\.to_thread"):
        server.stop()
    peer.close()
