"""Widget client and background server on one loop, against two plain `websockets` processes.

Both variants run this file's measuring coroutines, alternately; the first in a real kernel.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

ROUND_TRIPS = 1500
PIPELINED = 12_000
IN_FLIGHT = 64
MESSAGE = "x" * 64

Send = Callable[[str], Awaitable[object]]
Receive = Callable[[], Awaitable[object]]


async def measure(send: Send, receive: Receive) -> tuple[float, float]:
    """Median round-trip time in seconds, and messages a second with 64 in flight."""
    times = []
    for _ in range(ROUND_TRIPS):
        begin = time.perf_counter()
        await send(MESSAGE)
        await receive()
        times.append(time.perf_counter() - begin)
    begin = time.perf_counter()
    for number in range(PIPELINED + IN_FLIGHT):
        if number >= IN_FLIGHT:
            await receive()
        if number < PIPELINED:
            await send(MESSAGE)
    return statistics.median(times), PIPELINED / (time.perf_counter() - begin)


async def _plain_server() -> None:
    from websockets.asyncio.server import serve

    async def echo(connection):  # type: ignore[no-untyped-def]
        async for message in connection:
            await connection.send(message)

    async with serve(echo, "127.0.0.1", 0, compression=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def _plain_client(port: str) -> None:
    from websockets.asyncio.client import connect

    async with connect(f"ws://127.0.0.1:{port}", proxy=None, compression=None) as connection:
        await measure(connection.send, connection.recv)  # warm up
        print(json.dumps(await measure(connection.send, connection.recv)))


def two_processes() -> tuple[float, float]:
    """Measure with a server and a client, each a plain process."""
    me = [sys.executable, __file__]
    with subprocess.Popen(
        [*me, "server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        client = subprocess.run(
            [*me, "client", port], capture_output=True, text=True, check=True, timeout=120
        )
        assert server.stdin is not None
        server.stdin.close()
    p50, rate = json.loads(client.stdout)
    return p50, rate


IN_THE_KERNEL = """
import asyncio, json
from benchmarks.echo import measure
from helpers import BackgroundServer, ClientPanel

async def echo(connection):
    async for message in connection:
        await connection.send(message)

async def both(client):
    async def send(message):
        client.send(message)
    await measure(send, client.received)
    return await measure(send, client.received)

with BackgroundServer(echo, compression=None) as server:
    panel = ClientPanel("Ann", server.url, compression=None)
    await panel.connect()
    figures = await asyncio.wrap_future(panel.client.loop.submit(both(panel.client)))
print(json.dumps(figures))
"""


async def in_a_kernel() -> tuple[float, float]:
    """Measure with a widget client and a background server, in a Jupyter kernel."""
    from helpers import ChildKernel

    async with ChildKernel() as kernel:
        outcome = await kernel.run(IN_THE_KERNEL, timeout=120)
    if outcome.error:
        raise RuntimeError(outcome.error)
    p50, rate = json.loads(outcome.printed)
    return p50, rate


def run(rounds: int) -> list[str]:
    """Both variants in turn; a line for each figure."""
    p50s, rates = [], []
    for _ in range(rounds):
        plain, ours = two_processes(), asyncio.run(in_a_kernel())
        p50s.append(ours[0] / plain[0])
        rates.append(ours[1] / plain[1])
    return [
        f"echo, widget client and background server / two processes: throughput "
        f"{statistics.median(rates):.2f} (≥ 0.95), p50 {statistics.median(p50s):.2f} (≤ 0.80)"
        f"   [{', '.join(f'{rate:.2f}/{p50:.2f}' for rate, p50 in zip(rates, p50s, strict=True))}]"
    ]


if __name__ == "__main__":
    asyncio.run(_plain_server() if sys.argv[1] == "server" else _plain_client(sys.argv[2]))
