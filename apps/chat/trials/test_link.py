"""A test with a line that can be cut and stalled, as a fixture of pytest; no plugin is needed."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Iterator

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed


class Link:
    """A line to a server on this machine. Clients connect to `link.port`."""

    def __init__(self) -> None:
        self.flows = asyncio.Event()
        self.flows.set()
        self.writers: set[asyncio.StreamWriter] = set()

    async def start(self, to_port: int) -> None:
        """Carry what comes to a port of this machine."""
        self.to_port = to_port
        self.server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Break all connections, and take no more."""
        self.server.close()
        self.cut()

    def cut(self) -> None:
        """Break all connections, as when the network goes away."""
        while self.writers:
            self.writers.pop().transport.abort()

    def stall(self) -> None:
        """Carry nothing, until `flows.set()`: neither end notices."""
        self.flows.clear()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.to_port)
        self.writers |= {writer, back}
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(1000):
            await self.flows.wait()
            writer.write(piece)
            await writer.drain()
        writer.close()


async def count(connection: ServerConnection) -> None:
    """Count on from where the client was."""
    number = int(await connection.recv())
    while True:
        number += 1
        await connection.send(str(number))
        await asyncio.sleep(0.001)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def link(runner: asyncio.Runner) -> Iterator[Link]:
    async def begin() -> tuple[Link, Server]:
        link, server = Link(), await serve(count, "127.0.0.1", 0, close_timeout=0.1)
        await link.start(server.sockets[0].getsockname()[1])
        return link, server

    async def end() -> None:
        link.stop()
        server.close()
        await server.wait_closed()

    link, server = runner.run(begin())
    yield link
    runner.run(end())


def test_ten_cuts(runner: asyncio.Runner, link: Link) -> None:
    async def follow() -> list[int]:
        got, cuts = [0], 0
        async for connection in connect(f"ws://127.0.0.1:{link.port}", proxy=None):
            with contextlib.suppress(ConnectionClosed):
                await connection.send(str(got[-1]))
                async for message in connection:
                    got.append(int(message))
                    if got[-1] == 20 * (cuts + 1):
                        if cuts == 10:
                            return got
                        cuts += 1
                        link.cut()
        raise AssertionError("the loop over connections doesn't end")

    assert runner.run(asyncio.wait_for(follow(), 20)) == list(range(221))


def test_a_silent_line_is_noticed(runner: asyncio.Runner, link: Link) -> None:
    async def listen() -> None:
        soon = functools.partial(connect, ping_interval=0.05, ping_timeout=0.05, close_timeout=0.05)
        async with soon(f"ws://127.0.0.1:{link.port}", proxy=None) as connection:
            link.stall()
            await connection.wait_closed()
            assert connection.protocol.close_sent
            assert connection.protocol.close_sent.reason == "keepalive ping timeout"

    runner.run(asyncio.wait_for(listen(), 20))
