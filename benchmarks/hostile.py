"""What attackers cost the others: two people talk, somebody attacks, and the server is then asked to end."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from apps.door import limits, people
from apps.door.server import Door
from benchmarks.attackers import ATTACKS
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
PASSWORD = "sesame"
SILENCE, GROWTH, END = 0.5, 16, 3.0
"""The goals: seconds, MiB, seconds."""
FUZZED_SILENCE, FUZZED_GROWTH, FUZZED_PAUSE = 1.0, 8, 0.2
"""The same for hostile inputs, which go on for longer; meanwhile the honest one says less per second."""

SERVERS = {
    "apps.chat.server": ["-m", "apps.chat.server", "--port={port}"],
    "apps.door": ["-m", "benchmarks.hostile", "door", "{port}"],
    "the room of chapter 05": ["-m", "benchmarks.hostile", "room", "{port}"],
    "bare websockets": ["-m", "benchmarks.hostile", "bare", "{port}"],
    "bare uvicorn (apps.chat.naive_server)": ["-m", "uvicorn", "apps.chat.naive_server:app", "--port={port}"],
}
OURS = list(SERVERS)[:3]


@dataclass
class Seen:
    """What was seen of one server under one attack.

    Args:
        sent: how many honest messages were sent.
        lost: how many honest messages did not arrive.
        silence: seconds, the longest without an honest message, or until a newcomer was in.
        grown: MiB that the server's memory grew at most.
        end: seconds from SIGTERM to the end; None when it had to be killed.
        said: what the attackers print.
    """

    sent: int
    lost: int
    silence: float
    grown: float
    end: float | None
    said: str

    def line(self, name: str, attack: str) -> str:
        """What there is to say, with the goals of our own servers."""
        silence, growth = goals(attack)
        end = f"{self.end:.1f} s" if self.end is not None else f"not in {TIME_TO_END:.0f} s"
        wanted = ["", "", "", ""]
        if name in OURS:
            wanted = [" (all)", f" (≤ {silence})", f" (≤ {growth})", f" (≤ {END:.0f})"]
        parts = [f"honest {self.sent - self.lost} of {self.sent}", f"silence {self.silence:.2f} s"]
        parts += [f"memory + {self.grown:.0f} MiB", f"end {end}"]
        said = ", ".join(map("".join, zip(parts, wanted, strict=True)))
        verdict = "" if name not in OURS else "ok" if self.good(attack) else "NOT MET"
        return f"{attack:8} {name:38} {said}  {verdict} {self.said}".rstrip()

    def good(self, attack: str) -> bool:
        """Whether all goals are met."""
        silence, growth = goals(attack)
        ended = self.end is not None and self.end <= END
        return not self.lost and self.silence <= silence and self.grown <= growth and ended


def goals(attack: str) -> tuple[float, int]:
    """The longest silence, in seconds, and the growth, in MiB."""
    return (FUZZED_SILENCE, FUZZED_GROWTH) if attack == "noise" else (SILENCE, GROWTH)


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
    ready = "running|Door at"
    server = BackgroundProcess(command, ready=ready, folder=ROOT, name=f"{name}, {attack}").start()
    try:
        assert server._process
        (itself,) = psutil.Process(server._process.pid).children()
        return asyncio.run(_watch(itself, server.port, attack))
    finally:
        server.halt(hurry=True)


async def _watch(server: psutil.Process, port: int, attack: str) -> Seen:
    names = [*(f"Q{number}" for number in range(QUIET_MEMBERS)), "Ann", "Bob", "Zoe", "Eve"]
    guests = await let_in(port, names)
    async with contextlib.AsyncExitStack() as stack:
        for name in names[:QUIET_MEMBERS]:
            await stack.enter_async_context(member(guests[name]))
        ann = await stack.enter_async_context(member(guests["Ann"]))
        bob = await stack.enter_async_context(member(guests["Bob"]))
        memory = Memory(server)
        attacker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.attackers", attack, str(port), *guests["Eve"].headers()),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert attacker.stdout
        said = b""
        over = asyncio.create_task(
            asyncio.sleep(SECONDS) if attack != "noise" else attacker.stdout.readline()
        )
        try:
            pause = FUZZED_PAUSE if attack == "noise" else PAUSE
            talking = talk(ann, over, pause, guests["Ann"].token)
            sent, newcomer = await asyncio.gather(talking, arrive(guests["Zoe"], over))
            said = await over or b""
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await bob.until(sent)
            grown = memory.grown()
            end = await asyncio.to_thread(end_of, server)
        finally:
            attacker.kill()
            said += (await attacker.communicate())[0]
    silence = max(bob.silence(), newcomer)
    return Seen(sent, sent - len(bob.heard), silence, grown, end, said.decode().strip())


@dataclass(frozen=True)
class Guest:
    """Where somebody connects, and the token that shows who it is where one is needed."""

    url: str
    token: str = ""

    def headers(self) -> list[str]:
        """For a handshake."""
        return [f"Authorization: Bearer {self.token}"] if self.token else []


async def let_in(port: int, names: list[str]) -> dict[str, Guest]:
    """Log everybody in where the server asks for it, as the door does."""
    guests = {}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        for name in names:
            url = f"ws://127.0.0.1:{port}/ws?room=lobby&name={name}"
            pair = base64.b64encode(f"{name}:{PASSWORD}".encode()).decode()
            async with session.get("/login", headers={"Authorization": f"Basic {pair}"}) as answer:
                login = await answer.json(content_type=None) if answer.status == 200 else {}
            guests[name] = Guest(url, login.get("token", ""))
    return guests


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
async def member(guest: Guest) -> AsyncIterator[Honest]:
    """Join."""
    connection = await connect(
        guest.url,
        additional_headers=[tuple(header.split(": ")) for header in guest.headers()],  # type: ignore[misc]
        proxy=None,
        compression=None,
        ping_interval=None,
        close_timeout=0.2,
    )
    try:
        yield Honest(connection)
    finally:
        connection.transport.abort()


async def talk(ann: Honest, over: asyncio.Task[Any], pause: float, token: str) -> int:
    """Say something again and again, until it is over; return how often."""
    for number in itertools.count():
        if over.done():
            return number
        text = f"#{number}#"
        if token:
            text = json.dumps({"type": "say", "room": "lobby", "text": text})
        with contextlib.suppress(ConnectionClosed):
            await ann.connection.send(text)
        await asyncio.sleep(pause)
    raise AssertionError


async def arrive(guest: Guest, over: asyncio.Task[Any]) -> float:
    """Join while the others are attacked, again and again; return the longest that it took, in seconds."""
    longest = 0.0
    while not over.done():
        begin = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE), member(guest):
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


def serve_door(port: int) -> None:
    """Serve the door, with everybody in the lobby."""
    limits.ADDRESS_CONNECTIONS = 1000  # here the attacker has the address of everybody else
    people.COST = {"n": 2, "r": 8, "p": 1}
    everybody = people.People()
    for name in [*(f"Q{number}" for number in range(QUIET_MEMBERS)), "Ann", "Bob", "Zoe", "Eve"]:
        everybody.add(name, PASSWORD, {"lobby": people.Right.WRITE})
    asyncio.run(Door(everybody).run("127.0.0.1", port))


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
    if which == "bare":
        asyncio.run(serve_bare(port))
    else:
        {"room": serve_room, "door": serve_door}[which](port)


if __name__ == "__main__":
    main()
