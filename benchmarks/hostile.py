"""What attackers cost the others: two people talk, somebody attacks, and the server is then asked to end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from benchmarks.attacks import ATTACKS
from benchmarks.room import bare
from benchmarks.tagged_cells import the_room
from helpers.background.process import BackgroundProcess
from helpers.background.server import BackgroundServer

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 4.0
"""How long the attack is watched."""
PAUSE = 0.05
"""In seconds: between two messages of the honest one."""
PATIENCE = 8.0
"""In seconds: how long an honest message may be on its way."""
TIME_TO_END = 15.0
"""In seconds, after which a server that was asked to end is killed."""
QUIET_MEMBERS = 10
SILENCE, GROWTH, END = 0.5, 16, 3.0
"""The goals: seconds, MiB, seconds."""

SERVERS = {
    "apps.chat.server": ["-m", "apps.chat.server", "--port={port}"],
    "the room of chapter 05": ["-m", "benchmarks.hostile", "room", "{port}"],
    "bare websockets": ["-m", "benchmarks.hostile", "bare", "{port}"],
    "bare uvicorn (apps.chat.naive_server)": ["-m", "uvicorn", "apps.chat.naive_server:app", "--port={port}"],
}
OURS = list(SERVERS)[:2]


@dataclass
class Seen:
    """What was seen of one server under one attack.

    Args:
        lost: how many honest messages did not arrive.
        silence: seconds, the longest without an honest message, or until a newcomer was in.
        grown: MiB that the server's memory grew at most.
        end: seconds from SIGTERM to the end; None when it had to be killed.
        said: what the attackers print.
    """

    lost: int
    silence: float
    grown: float
    end: float | None
    said: str

    def line(self, name: str, attack: str) -> str:
        """What there is to say, with the goals of our own servers."""
        end = f"{self.end:.1f} s" if self.end is not None else f"not in {TIME_TO_END:.0f} s"
        goals = ["(0)", f"(≤ {SILENCE})", f"(≤ {GROWTH})", f"(≤ {END:.0f})"] if name in OURS else [""] * 4
        parts = [f"lost {self.lost} {goals[0]}", f"silence {self.silence:.2f} s {goals[1]}"]
        parts += [f"memory + {self.grown:.0f} MiB {goals[2]}", f"end {end} {goals[3]}"]
        verdict = "" if name not in OURS else "ok" if self.good() else "NOT MET"
        return f"{attack:8} {name:38} {', '.join(map(str.strip, parts))}  {verdict} {self.said}".rstrip()

    def good(self) -> bool:
        """Whether all goals are met."""
        ended = self.end is not None and self.end <= END
        return not self.lost and self.silence <= SILENCE and self.grown <= GROWTH and ended


def run(rounds: int) -> list[str]:
    """A line for each attack and server, and round."""
    return [
        watch(name, attack).line(name, attack)
        for attack in ATTACKS
        for name in SERVERS
        for _ in range(rounds)
    ]


def watch(name: str, attack: str) -> Seen:
    """Start a server, have two people talk while it is attacked, and end it."""
    command = [sys.executable, *SERVERS[name]]
    server = BackgroundProcess(command, ready="running", folder=ROOT, name=f"{name}, {attack}").start()
    try:
        assert server._process
        (itself,) = psutil.Process(server._process.pid).children()
        return asyncio.run(_watch(itself, server.port, attack))
    finally:
        server.halt(hurry=True)


async def _watch(server: psutil.Process, port: int, attack: str) -> Seen:
    url = f"ws://127.0.0.1:{port}/ws?room=lobby&name="
    async with contextlib.AsyncExitStack() as stack:
        for number in range(QUIET_MEMBERS):
            await stack.enter_async_context(member(f"{url}Q{number}"))
        ann = await stack.enter_async_context(member(f"{url}Ann"))
        bob = await stack.enter_async_context(member(f"{url}Bob"))
        memory = Memory(server)
        attacker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.attacks", attack, str(port)),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            sent, newcomer = await asyncio.gather(talk(ann), arrive(f"{url}Zoe"))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await bob.until(sent)
            grown = memory.grown()
            end = await asyncio.to_thread(end_of, server)
        finally:
            attacker.kill()
            said = (await attacker.communicate())[0].decode().strip()
    return Seen(sent - len(bob.heard), max(bob.silence(), newcomer), grown, end, said)


class Honest:
    """A member who reads all the time, and knows which honest messages came when."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.heard: dict[int, float] = {}
        self._more = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for text in self.connection:
                if found := re.search(r"#(\d+)#", str(text)):
                    self.heard[int(found[1])] = time.monotonic()
                    self._more.set()

    async def until(self, count: int) -> None:
        """Wait until so many have come."""
        while len(self.heard) < count:
            self._more.clear()
            await self._more.wait()

    def silence(self) -> float:
        """Seconds, the longest between two of them."""
        times = sorted(self.heard.values())
        return max((after - before for before, after in itertools.pairwise(times)), default=float("inf"))


@contextlib.asynccontextmanager
async def member(url: str) -> AsyncIterator[Honest]:
    """Join."""
    connection = await connect(url, proxy=None, compression=None, ping_interval=None, close_timeout=0.2)
    try:
        yield Honest(connection)
    finally:
        connection.transport.abort()


async def talk(ann: Honest) -> int:
    """Say something again and again; return how often."""
    for number in range(sent := int(SECONDS / PAUSE)):
        with contextlib.suppress(ConnectionClosed):
            await ann.connection.send(f"#{number}#")
        await asyncio.sleep(PAUSE)
    return sent


async def arrive(url: str) -> float:
    """Join while the others are attacked, again and again; return the longest that it took, in seconds."""
    longest, end = 0.0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        begin = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE), member(url):
                longest = max(longest, time.monotonic() - begin)
        except (OSError, TimeoutError):
            return PATIENCE
        await asyncio.sleep(PAUSE)
    return longest


class Memory:
    """Looks all the time how much memory a process has, in a thread of its own."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._before = self._most = process.memory_info().rss
        self._ended = threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            while not self._ended.wait(0.01):
                self._most = max(self._most, self._process.memory_info().rss)

    def grown(self) -> float:
        """MiB that it grew at most; looks no longer."""
        self._ended.set()
        return float(self._most - self._before) / 2**20


def end_of(server: psutil.Process) -> float | None:
    """Ask a server to end; return how many seconds it took, None if it didn't."""
    begin = time.monotonic()
    server.terminate()
    with contextlib.suppress(psutil.TimeoutExpired):
        server.wait(TIME_TO_END)
        return time.monotonic() - begin
    return None


async def serve_bare(port: int) -> None:
    """Broadcast, with nothing but `websockets`, until SIGTERM."""
    async with serve(bare, "127.0.0.1", port) as server:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.close)
        print("running", flush=True)
        await server.wait_closed()


def serve_room(port: int) -> None:
    """Serve the room of chapter 05 as the chapter does, until SIGTERM."""
    end = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: end.set())
    with BackgroundServer(the_room(), port=port, max_size=1000):
        print("running", flush=True)
        end.wait()


def main() -> None:
    """Serve, in a process of its own."""
    which, port = sys.argv[1], int(sys.argv[2])
    serve_room(port) if which == "room" else asyncio.run(serve_bare(port))


if __name__ == "__main__":
    main()
