"""Clients of a chat server for the tests: those that read, one that doesn't, and one that dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from helpers.background.process import BackgroundProcess

ROOT = Path(__file__).resolve().parents[2]


def uvicorn(*options: str, app: str = "apps.chat.server:app", **more: Any) -> BackgroundProcess:
    """What the reader types in a terminal, in the repository's root."""
    command = [str(Path(sys.executable).with_name("uvicorn")), app, "--port", "{port}", *options]
    return BackgroundProcess(command, **{"ready": "Uvicorn running", "folder": ROOT, "seconds": 120, **more})


def itself(server: BackgroundProcess) -> psutil.Process:
    """The program that was started, without its guard."""
    assert server._process is not None
    return psutil.Process(server._process.pid).children()[0]


class Peer:
    """A client that reads all the time: `got` is what came, `lines` the same as short texts."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.got: list[Any] = []
        self._more = asyncio.Condition()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for text in self.connection:
                await self._add(json.loads(text) if str(text).startswith("{") else text)
        await self._add(("closed", self.connection.close_code, self.connection.close_reason))

    async def _add(self, what: Any) -> None:
        async with self._more:
            self.got.append(what)
            self._more.notify_all()

    async def say(self, text: str | bytes) -> None:
        await self.connection.send(text)

    async def until(self, what: Any, seconds: float = 20) -> Any:
        """Wait until something came that equals `what`, or is an event of that type; return it."""
        seen = 0
        async with asyncio.timeout(seconds), self._more:
            while True:
                for one in self.got[seen:]:
                    if what in (one, one["type"] if isinstance(one, dict) else one):
                        return one
                seen = len(self.got)
                await self._more.wait()

    async def anything(self, seconds: float = 20) -> Any:
        """Wait for the first that comes; return it."""
        async with asyncio.timeout(seconds), self._more:
            await self._more.wait_for(lambda: self.got)
        return self.got[0]

    async def closed(self) -> tuple[str, int, str]:
        """Wait for the end of the connection; return its code and reason."""
        await asyncio.wait_for(asyncio.shield(self._reader), 20)
        ended: tuple[str, int, str] = self.got[-1]
        return ended

    async def until_quiet(self, seconds: float = 1) -> None:
        """Wait until nothing has come for a while."""
        with contextlib.suppress(TimeoutError):
            while True:
                async with asyncio.timeout(seconds), self._more:
                    await self._more.wait()

    def types(self) -> list[str]:
        return [one["type"] if isinstance(one, dict) else one for one in self.got]

    def said(self) -> list[str]:
        return [one["text"] for one in self.got if isinstance(one, dict) and one["type"] == "said"]


@contextlib.asynccontextmanager
async def joined(url: str, *names: str, room: str = "lobby", **options: Any) -> AsyncIterator[list[Peer]]:
    """Clients that have connected one after another, in this order."""
    peers = []
    async with contextlib.AsyncExitStack() as stack:
        for name in names:
            where = f"{url.replace('http', 'ws', 1)}/ws?name={name}&room={room}"
            connection = await stack.enter_async_context(
                connect(where, **{"proxy": None, "compression": None, "close_timeout": 1, **options})
            )
            stack.callback(connection.transport.abort)  # a close would wait for what can't be written
            peers.append(Peer(connection))
        yield peers


@contextlib.asynccontextmanager
async def mute(url: str, name: str = "Mute") -> AsyncIterator[ClientConnection]:
    """A client that doesn't read: `recv()` isn't called, so that it stops reading after one message."""
    port = int(url.rpartition(":")[2])
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    where = f"ws://127.0.0.1:{port}/ws?name={name}"
    options: dict[str, Any] = {"max_queue": 1, "ping_interval": None, "close_timeout": 0}
    async with connect(where, sock=sock, proxy=None, compression=None, **options) as connection:
        yield connection
        connection.transport.abort()


async def in_one_write(connection: ClientConnection, text: str) -> None:
    """Say something and leave, both frames in one packet."""
    connection.protocol.send_text(text.encode())
    connection.protocol.send_close(1000)
    connection.transport.write(b"".join(connection.protocol.data_to_send()))
