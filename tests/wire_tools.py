"""What the tests of tap and relay share: servers, a tap with one connection, waiting."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

from shared import echo
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from helpers.wire.tap import Tap

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an asynchronous test, for at most 100 seconds."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 100))

    return run


@contextlib.asynccontextmanager
async def echo_server() -> AsyncIterator[str]:
    """A WebSocket server that sends everything back."""
    async with serve(echo, "127.0.0.1", 0, compression=None, close_timeout=1) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/chat?room=1"


@contextlib.asynccontextmanager
async def tcp_server(handler: Handler) -> AsyncIterator[int]:
    """A TCP server; when it has been left, what its handlers raised is raised."""
    tasks: list[asyncio.Task[None]] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        try:
            await handler(reader, writer)
        except asyncio.CancelledError:
            pass  # by the end of the test
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            if not task.done():
                task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome


@contextlib.asynccontextmanager
async def linked(**options: Any) -> AsyncIterator[tuple[Tap, Streams, Streams]]:
    """A tap with one TCP connection through it: the tap, the client's end, the server's end."""
    accepted: asyncio.Future[Streams] = asyncio.get_running_loop().create_future()
    done = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set_result((reader, writer))
        await done.wait()

    async with tcp_server(handler) as port, Tap("127.0.0.1", port, **options) as tap:
        client = await asyncio.open_connection("127.0.0.1", tap.port)
        try:
            yield tap, client, await accepted
        finally:
            client[1].close()
            done.set()


async def ask(url: str, *texts: str) -> None:
    """Connect, say something and be answered with the same, each in turn."""
    async with connect(url, proxy=None, compression=None) as websocket:
        for text in texts:
            await websocket.send(text)
            assert await websocket.recv() == text
