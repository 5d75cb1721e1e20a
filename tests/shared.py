"""What many tests share: peers that echo or ask, waiting for what must come, counting what is left."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Literal, TypeVar, get_args

import psutil
import websockets.sync.client
from websockets.asyncio.server import ServerConnection
from websockets.sync.client import ClientConnection

from helpers.background.lifetime import Background
from helpers.background.server import BackgroundServer

Result = TypeVar("Result")

Place = Literal["shared", "own", "process"]
"""Where a handler can run."""

PLACES: tuple[Place, ...] = get_args(Place)


def wait_until(condition: Callable[[], object], seconds: float = 60, what: str = "it") -> None:
    """Wait until a condition holds that nobody announces, such as the end of another process."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen in {seconds} s"
        time.sleep(0.02)


def says(background: Background, text: str) -> bool:
    return any(text in entry.text for entry in background.log)


def descriptors() -> int:
    return int(psutil.Process().num_fds() if os.name == "posix" else psutil.Process().num_handles())


@contextlib.contextmanager
def nothing_left(seconds: float = 3) -> Iterator[None]:
    """Fail when threads, descriptors or child processes are left over at the end."""
    gc.collect()
    threads, before = set(threading.enumerate()), descriptors()
    children = {child.pid for child in psutil.Process().children(recursive=True)}
    yield

    def left() -> list[object]:
        rest: list[object] = [thread for thread in threading.enumerate() if thread not in threads]
        rest += [c for c in psutil.Process().children(recursive=True) if c.pid not in children]
        return rest + ["descriptors"] * max(0, descriptors() - before)

    deadline = time.monotonic() + seconds
    while left() and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.02)
    assert left() == []


@contextlib.contextmanager
def takes_at_most(seconds: float) -> Iterator[None]:
    begin = time.monotonic()
    yield
    assert time.monotonic() - begin < seconds


def tcp(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=5)


def ws_by_hand(port: int) -> socket.socket:
    """A peer that made the handshake and then does nothing of its own accord."""
    peer = tcp(port)
    peer.sendall(
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert b" 101 " in peer.recv(4096)
    return peer


open_here = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
"""Like `urllib.request.urlopen`, but past the system's proxies, which can't reach this machine."""


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    return asyncio.run(asyncio.wait_for(coroutine, 60))


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds, and let the loop go on meanwhile."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def talk(url: str, message: str = "hi") -> str | bytes:
    async def ask() -> str | bytes:
        from websockets.asyncio.client import connect

        async with connect(url, proxy=None, compression=None) as connection:
            await connection.send(message)
            return await asyncio.wait_for(connection.recv(), 10)

    return asyncio.run(ask())


def sync_connect(url: str) -> ClientConnection:
    return websockets.sync.client.connect(url, proxy=None, compression=None, close_timeout=1)


def full_buffer(server: BackgroundServer) -> socket.socket:
    """A peer of which the server knows, and which never reads."""
    peer = ws_by_hand(server.port)
    wait_until(lambda: says(server, "opened"))
    return peer


def rubbish_in_a_frame(server: BackgroundServer) -> socket.socket:
    peer = ws_by_hand(server.port)
    peer.sendall(bytes(range(256)))
    return peer


@contextlib.contextmanager
def sync_pings(url: str) -> Iterator[Callable[[], int]]:
    """A client in a thread that talks all the time; gives a function that counts its answers."""
    answers, stop = [0], threading.Event()

    def ping() -> None:
        with websockets.sync.client.connect(url, proxy=None, compression=None) as client:
            while not stop.is_set():
                client.send("x")
                client.recv(timeout=30)
                answers[0] += 1

    thread = threading.Thread(target=ping)
    thread.start()
    yield lambda: answers[0]
    stop.set()
    thread.join(30)
