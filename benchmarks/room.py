"""One message to 1,000 clients: the room of chapter 05 and FastAPI managers, against bare `broadcast()`."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, broadcast

from benchmarks.tagged_cells import the_room
from helpers import compare_fan_out
from helpers.background.process import BackgroundProcess
from helpers.experiments.servers import Served
from helpers.sockets import raise_file_limit

ROOT = Path(__file__).resolve().parents[1]
CLIENTS = 1000
MESSAGES = 15
STARTS_WITHIN = 30.0  # seconds
BARE = "bare broadcast()"
NAIVE_APP = "the article's manager (apps.chat.naive_server)"
OUR_APP = "our manager (apps.chat.server)"

members: set[ServerConnection] = set()


async def bare(connection: ServerConnection) -> None:
    """The least that brings a message to everybody."""
    members.add(connection)
    try:
        async for message in connection:
            broadcast(members, message)
    finally:
        members.discard(connection)


@contextlib.contextmanager
def uvicorn(app: str, workers: int = 1, **environment: str) -> Iterator[str]:
    """Serve an application as from a terminal, and give its WebSocket's address once all workers run."""
    raise_file_limit()  # the program inherits it, and needs one for each client
    command = [sys.executable, "-m", "uvicorn", app, "--port", "{port}", "--workers", str(workers)]
    more: dict[str, Any] = {"scheme": "ws", "folder": ROOT, "name": app, "environment": environment}
    with BackgroundProcess(command, ready="Uvicorn running", **more) as server:
        end = time.monotonic() + STARTS_WITHIN
        while sum("startup complete" in line for line in server.output) < workers:
            if time.monotonic() > end:
                raise RuntimeError(f"{app}: not all workers run")
            time.sleep(0.02)
        yield f"{server.url}/ws"


def compare(rounds: int, room: Served, clients: int = CLIENTS) -> dict[str, list[float]]:
    """The ratios of all to bare `broadcast()`, one a round, each round in new processes.

    Raises:
        RuntimeError: a message did not reach everybody.
    """
    ratios: dict[str, list[float]] = {"our room": [], NAIVE_APP: [], OUR_APP: []}
    for _ in range(rounds):
        with uvicorn("apps.chat.naive_server:app") as naive, uvicorn("apps.chat.server:app") as ours:
            served: dict[str, Served] = {"our room": room, NAIVE_APP: naive, OUR_APP: ours, BARE: bare}
            result = asyncio.run(compare_fan_out(served, clients=[clients], messages=MESSAGES))
        if not all(way.whole for way in result):
            raise RuntimeError(result.facts())
        for name, each in ratios.items():
            each.append(result.ratio(name, BARE))
    return ratios


def run(rounds: int) -> list[str]:
    """A line for each."""
    return [
        f"fan-out to {CLIENTS:,} clients, {name} / {BARE}: {statistics.median(each):.2f}"
        f"{' (≤ 1.15)' if name == 'our room' else ''}   [{', '.join(f'{ratio:.2f}' for ratio in each)}]"
        for name, each in compare(rounds, the_room()).items()
    ]
