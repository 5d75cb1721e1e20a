"""Widget client and background server on one loop, against two plain `websockets` processes.

All variants run this file's measuring coroutines, in turn; ours in a real kernel.

One loop has the shorter round-trip time: no message waits for another process to wake up. Throughput is
shown and has no goal for the panel, because a person types into it. A background server in a child process
(`where="process"`) is made for measurements and has to carry about as much as two plain processes.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

ROUND_TRIPS = 1500
PIPELINED = 12_000
IN_FLIGHT = 64
MESSAGE = "x" * 64

Send = Callable[[str], Awaitable[object] | None]
Receive = Callable[[], Awaitable[object]]


async def measure(send: Send, receive: Receive) -> tuple[float, float]:
    """Median round-trip time in seconds, and messages a second with 64 in flight."""
    times = []
    for _ in range(ROUND_TRIPS):
        begin = time.perf_counter()
        if (sending := send(MESSAGE)) is not None:
            await sending
        await receive()
        times.append(time.perf_counter() - begin)
    begin = time.perf_counter()
    for number in range(PIPELINED + IN_FLIGHT):
        if number >= IN_FLIGHT:
            await receive()
        if number < PIPELINED and (sending := send(MESSAGE)) is not None:
            await sending
    return statistics.median(times), PIPELINED / (time.perf_counter() - begin)


async def _plain_server() -> None:
    from websockets.asyncio.server import serve

    async def echo(connection):  # type: ignore[no-untyped-def]
        async for message in connection:
            await connection.send(message)

    async with serve(echo, "127.0.0.1", 0, compression=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def _one_loop() -> tuple[float, float]:
    from websockets.asyncio.client import connect
    from websockets.asyncio.server import serve

    async def echo(connection):  # type: ignore[no-untyped-def]
        async for message in connection:
            await connection.send(message)

    async with serve(echo, "127.0.0.1", 0, compression=None) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with connect(url, proxy=None, compression=None) as connection:
            await measure(connection.send, connection.recv)  # warm up
            return await measure(connection.send, connection.recv)


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


def one_loop() -> tuple[float, float]:
    """Measure with a plain server and a plain client on one loop, in a process of their own."""
    done = subprocess.run(
        [sys.executable, __file__, "one"], capture_output=True, text=True, check=True, timeout=120
    )
    p50, rate = json.loads(done.stdout)
    return p50, rate


IN_THE_KERNEL = """
import asyncio, json
from benchmarks.echo import measure
from helpers import BackgroundServer, ClientPanel

async def echo(connection):
    async for message in connection:
        await connection.send(message)

async def both(client):
    await measure(client.send, client.received)
    return await measure(client.send, client.received)

with BackgroundServer(echo, where=WHERE, compression=None) as server:
    panel = ClientPanel("Ann", server.url, compression=None)
    await panel.connect()
    figures = await asyncio.wrap_future(panel.client.loop.submit(both(panel.client)))
print(json.dumps(figures))
"""


async def in_a_kernel(where: str) -> tuple[float, float]:
    """Measure with a widget client and a background server, in a Jupyter kernel.

    Args:
        where: on which loop the server's handler runs, as `BackgroundServer` takes it.
    """
    from helpers import ChildKernel

    async with ChildKernel() as kernel:
        outcome = await kernel.run(f"WHERE = {where!r}\n{IN_THE_KERNEL}", timeout=120)
    if outcome.error:
        raise RuntimeError(outcome.error)
    p50, rate = json.loads(outcome.printed)
    return p50, rate


def run(rounds: int) -> list[str]:
    """The variants in turn, on one processor and on all; a line for each pair."""
    ours = "widget client and background server"
    lines = []
    if sys.platform == "linux":
        with _on_one_processor():
            two, one, _ = _measured(rounds)
        lines = [
            f"echo on one processor, {ours} / two processes: {two.line(most=0.80)}",
            f"echo on one processor, {ours} / plain websockets on one loop: {one.line()}",
        ]
    two, one, child = _measured(rounds)
    processors = f"echo on {os.cpu_count()} processors"
    return [
        *lines,
        f"{processors}, {ours} / two processes: {two.line(most=0.80)}",
        f"{processors}, {ours} / plain websockets on one loop: {one.line()}",
        f"{processors}, {ours} in a child process / two processes: {child.line(least=0.95)}",
    ]


def _measured(rounds: int) -> tuple[_Ratios, _Ratios, _Ratios]:
    """One loop against two processes and against a plain loop; a child process against two processes."""
    against_two, against_one, child = _Ratios(), _Ratios(), _Ratios()
    for _ in range(rounds):
        plain, ours, one = two_processes(), asyncio.run(in_a_kernel("shared")), one_loop()
        against_two.add(ours, plain)
        against_one.add(ours, one)
        child.add(asyncio.run(in_a_kernel("process")), plain)
    return against_two, against_one, child


@contextmanager
def _on_one_processor() -> Iterator[None]:
    """Keep this process, and those that it starts meanwhile, on one processor; only Linux can."""
    assert sys.platform == "linux"
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


class _Ratios:
    """The best of ours against the best of theirs: what else the machine does only ever slows one down.

    Source: https://docs.python.org/3/library/timeit.html#timeit.Timer.repeat
    """

    def __init__(self) -> None:
        self._ours: list[tuple[float, float]] = []
        self._theirs: list[tuple[float, float]] = []

    def add(self, ours: tuple[float, float], theirs: tuple[float, float]) -> None:
        self._ours.append(ours)
        self._theirs.append(theirs)

    def line(self, least: float | None = None, most: float | None = None) -> str:
        (p50, rate), (their_p50, their_rate) = _best(self._ours), _best(self._theirs)
        rates = f"throughput {rate / their_rate:.2f}" + (f" (≥ {least:.2f})" if least else "")
        p50s = f"p50 {p50 / their_p50:.2f}" + (f" (≤ {most:.2f})" if most else "")
        pairs = zip(self._ours, self._theirs, strict=True)
        each = ", ".join(f"{ours[1] / theirs[1]:.2f}/{ours[0] / theirs[0]:.2f}" for ours, theirs in pairs)
        return f"{rates}, {p50s}   [each round: {each}]"


def _best(figures: list[tuple[float, float]]) -> tuple[float, float]:
    return min(p50 for p50, _ in figures), max(rate for _, rate in figures)


async def _one() -> None:
    print(json.dumps(await _one_loop()))


if __name__ == "__main__":
    role = sys.argv[1]
    asyncio.run(
        _plain_server() if role == "server" else _one() if role == "one" else _plain_client(sys.argv[2])
    )
