"""Scaling out: fan-out and delivery over a bus, memory for each idle connection, a million that come back."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import nats
import psutil
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from redis.asyncio import Redis
from websockets.asyncio.server import ServerConnection

from apps.bus.bus import KEPT, connect
from benchmarks.room import uvicorn
from benchmarks.tagged_cells import NOTEBOOKS, run_tagged_cells
from helpers import compare_fan_out
from helpers.background.process import BackgroundProcess
from helpers.background.server import BackgroundServer
from helpers.experiments.children.reach_everybody import Audience
from helpers.sockets import raise_file_limit

ROOT = Path(__file__).resolve().parents[1]
CHAPTER = NOTEBOOKS / "14_scale_out.ipynb"
CHAT = "apps.chat.server:app"
ENGINES = ("redis", "nats")
ALONE = "one process without a bus"
CLIENTS, MESSAGES, DELIVERIES = 400, 30, 400
IDLE = (100, 1000, 5000)
ROOM = 50
"""So many idle clients share a room of the chat."""

BARE = """
import asyncio, sys, threading
from websockets.asyncio.server import serve
from helpers.sockets import raise_file_limit

async def idle(connection):
    await connection.wait_closed()

async def main():
    raise_file_limit()
    async with serve(idle, "127.0.0.1", int(sys.argv[1])) as server:
        print("ready", flush=True)
        await server.serve_forever()

threading.Thread(target=asyncio.run, args=(main(),)).start()
"""
"""On a thread, as ours runs: what the start has left free in the main thread's heap would be filled first."""


@contextlib.contextmanager
def engine(kind: str) -> Iterator[str]:
    """Run an engine with files of its own, and give its address."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "apps.bus", kind, "--port", "{port}", "--folder", folder]
        with BackgroundProcess(
            command, ready="^(redis|nats)://", listens=True, scheme=kind, folder=ROOT
        ) as running:
            yield running.url


def fan_out() -> dict[str, float]:
    """How many times as long a message to everybody takes with a bus as without one, by engine and processes.

    Raises:
        RuntimeError: a message did not reach everybody.
    """
    with contextlib.ExitStack() as stack:
        served = {ALONE: stack.enter_context(uvicorn(CHAT))}
        for kind in ENGINES:
            for workers in (1, 2):
                bus = stack.enter_context(engine(kind))  # one each, or they would be one chat
                url = stack.enter_context(uvicorn(CHAT, workers, CHAT_BUS=bus))
                served[f"{workers} with {kind}"] = url
        result = asyncio.run(compare_fan_out(served, clients=[CLIENTS], messages=MESSAGES))
    if not all(way.whole for way in result):
        raise RuntimeError(result.facts())
    return {name: result.ratio(name, ALONE) for name in served if name != ALONE}


async def bare_valkey(
    url: str,
) -> AsyncGenerator[tuple[Callable[[str], Awaitable[Any]], AsyncGenerator[Any]]]:
    """The engine's own client, with the commands that the bus uses."""
    client: Any = Redis.from_url(url, decode_responses=True, protocol=2)

    async def follow() -> AsyncGenerator[str]:
        last = "$"
        while True:
            for name, fields in (await client.xread({"bare": last}, count=100, block=1000) or [("", [])])[0][
                1
            ]:
                last = name
                yield fields[""]

    yield lambda text: client.xadd("bare", {"": text}, maxlen=KEPT), follow()
    await client.aclose()


async def bare_nats(url: str) -> AsyncGenerator[tuple[Callable[[str], Awaitable[Any]], AsyncGenerator[Any]]]:
    """The engine's own client, with the calls that the bus uses."""
    client = await nats.connect(url)
    jetstream = client.jetstream()
    await jetstream.add_stream(name="bare", subjects=["bare"], max_msgs=KEPT)
    new = ConsumerConfig(ack_policy=AckPolicy.NONE, deliver_policy=DeliverPolicy.NEW)
    came = await jetstream.subscribe("bare", config=new)

    async def follow() -> AsyncGenerator[str]:
        while True:
            yield (await came.next_msg(timeout=None)).data.decode()

    yield lambda text: jetstream.publish("bare", text.encode()), follow()
    await client.close()


async def one_delivery(publish: Callable[[str], Awaitable[Any]], messages: AsyncGenerator[Any]) -> float:
    """Seconds from before a message is published until it is there."""

    async def arrival() -> float:
        await anext(messages)
        return time.perf_counter()

    waiting = asyncio.create_task(arrival())
    await asyncio.sleep(0.002)  # until the engine knows that somebody waits
    begin = time.perf_counter()
    await publish("x" * 100)
    return await waiting - begin


async def deliveries(kind: str, url: str) -> tuple[float, float]:
    """The median time of a delivery by the bus, and by the engine's own client, in turn."""
    publisher, subscriber = connect(url), connect(url)
    messages = await subscriber.subscribe("ours")
    ways = bare_valkey(url) if kind == "redis" else bare_nats(url)
    ours, bare = [], []
    async with contextlib.aclosing(ways):
        publish_bare, bare_messages = await anext(ways)
        for _ in range(DELIVERIES):
            ours.append(await one_delivery(lambda text: publisher.publish("ours", text), messages))
            bare.append(await one_delivery(publish_bare, bare_messages))
        await anext(ways, None)
    await publisher.close()
    await subscriber.close()
    return statistics.median(ours), statistics.median(bare)


async def idle(connection: ServerConnection) -> None:
    """Wait for the end."""
    await connection.wait_closed()


def resident(programs: set[psutil.Process]) -> int:
    """The bytes in memory of some programs."""
    return sum(program.memory_info().rss for program in programs)


def memory(server: contextlib.AbstractContextManager[str], counts: list[int]) -> dict[int, float]:
    """The bytes for each idle connection, by their number.

    Args:
        server: starts it, and gives its address; in a room of it may be `ROOM` clients.
        counts: how many connections, rising.

    Raises:
        RuntimeError: not all of them got in.
    """
    before = set(psutil.Process().children(recursive=True))
    audiences: list[Audience] = []
    with server as url:
        programs = set(psutil.Process().children(recursive=True)) - before

        def connected(count: int) -> int:
            while (there := sum(map(len, audiences))) < count:
                audiences.append(Audience(f"{url}?room=r{len(audiences) % 100}"))
                audiences[-1].begin(min(ROOM, count - there))
                audiences[-1].complete()
                if audiences[-1].trouble:
                    raise RuntimeError(audiences[-1].trouble)
            return resident(programs)

        first = connected(ROOM)  # what is allocated only once
        used = {count: (connected(count + ROOM) - first) / count for count in counts}
        for audience in audiences:
            audience.leave()
    return used


@contextlib.contextmanager
def background_server() -> Iterator[str]:
    """Our server, in a process of its own."""
    with BackgroundServer(idle, where="process") as server:
        yield server.url


@contextlib.contextmanager
def bare_server() -> Iterator[str]:
    """The library's `serve`, in a process of its own."""
    command = [sys.executable, "-c", BARE, "{port}"]
    with BackgroundProcess(command, ready="ready", scheme="ws", folder=ROOT, name="bare") as server:
        yield server.url


def storm_seconds() -> tuple[int, float]:
    """The busiest second of a million clients' return, by the chapter's cells, and what they took for it."""
    restart = run_tagged_cells(CHAPTER, "storm")["restart"]
    begin = time.perf_counter()
    busiest: int = max(restart(1_000_000, 40, 30).values())
    return busiest, time.perf_counter() - begin


def line(what: str, ratios: list[float], goal: str = "") -> str:
    """A figure with its goal and the single rounds."""
    each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    return f"{what}: {statistics.median(ratios):.2f}{goal}   [{each}]"


def run(rounds: int) -> Iterator[str]:
    """A line for each figure."""
    fans = [fan_out() for _ in range(rounds)]
    for name in fans[0]:
        yield line(f"fan-out to {CLIENTS}, processes: {name} / {ALONE}", [fan[name] for fan in fans])
    for kind in ENGINES:
        with engine(kind) as url:
            pairs = [asyncio.run(deliveries(kind, url)) for _ in range(rounds)]
        what = f"publish to deliver, median, bus / {kind}'s own client"
        goal = " (≤ 1.30)" if kind == "redis" else ""
        yield (
            line(what, [ours / bare for ours, bare in pairs], goal) + f"   {1000 * pairs[-1][1]:.2f} ms bare"
        )
    room = raise_file_limit() - 2 * ROOM
    counts = [count for count in IDLE if count < room]
    figures: dict[str, list[dict[int, float]]] = {
        "BackgroundServer": [],
        "apps.chat, uvicorn": [],
        "bare": [],
    }
    for _ in range(rounds):
        figures["BackgroundServer"].append(memory(background_server(), counts))
        figures["bare"].append(memory(bare_server(), counts))
        figures["apps.chat, uvicorn"].append(memory(uvicorn(CHAT), counts))
    for name in ("BackgroundServer", "apps.chat, uvicorn"):
        for count in counts:
            pairs = [(a[count], b[count]) for a, b in zip(figures[name], figures["bare"], strict=True)]
            goal = " (≤ 1.05)" if name == "BackgroundServer" else ""
            what = f"memory of an idle connection, {count:,} of them, {name} / bare websockets"
            ours, bare = pairs[-1]
            last = f"   {ours / 1024:.1f} / {bare / 1024:.1f} KiB"
            yield line(what, [ours / bare for ours, bare in pairs], goal) + last
    busiest, seconds = storm_seconds()
    yield f"1,000,000 connections come back, simulated: {seconds:.1f} s, {busiest:,} in the busiest second"
