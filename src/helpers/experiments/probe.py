"""A client in a child process that asks without pause, and knows how long it ever waited."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

PAUSE = 0.005
"""Between an answer and the next question, in seconds."""


class Probe:
    """Measures round trips to an echo server while the cell does something else.

        async with Probe(server.url) as probe:
            time.sleep(1)
        print(probe.longest)

    The client is a child process, so that nothing in the kernel slows it down.

    Args:
        url: the address of a server that answers every message.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.round_trips: list[float] = []

    @property
    def longest(self) -> float:
        """The longest round-trip time, in seconds."""
        return max(self.round_trips)

    @property
    def median(self) -> float:
        """The median round-trip time, in seconds."""
        return statistics.median(self.round_trips)

    def __repr__(self) -> str:
        count, longest = len(self.round_trips), f"longest {1000 * self.longest:,.1f} ms"
        if count < 3:
            return f"{count} round trip{'s' if count > 1 else ''}, {longest}"
        return f"{count:,} round trips, median {1000 * self.median:,.1f} ms, {longest}"

    async def __aenter__(self) -> Self:
        """Start the client, and return after its first round trip.

        Raises:
            RuntimeError: it could not connect; with what it said.
        """
        await asyncio.to_thread(self._start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        output, said = await asyncio.to_thread(self._process.communicate, timeout=20)
        if self._process.returncode:
            raise RuntimeError(f"the connection to {self.url} broke: {_last_line(said)}")
        self.round_trips = json.loads(output)

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from helpers.experiments.probe import main; main()", self.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            _, said = self._process.communicate()
            raise RuntimeError(f"no round trip to {self.url}: {_last_line(said)}")


def _last_line(said: str) -> str:
    return said.strip().splitlines()[-1] if said.strip() else "it said nothing"


def main() -> None:
    """The client: ask until standard input is closed, then print how long each answer took."""
    from websockets.sync.client import connect

    ended = threading.Event()
    threading.Thread(target=_wait_for_the_end, args=(ended,), daemon=True).start()
    round_trips = []
    with connect(sys.argv[1], proxy=None, compression=None) as connection:
        _ask(connection)
        print("ready", flush=True)
        while not ended.is_set():
            round_trips.append(_ask(connection))
            ended.wait(PAUSE)
    print(json.dumps(round_trips or [0.0]))


def _wait_for_the_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


def _ask(connection: ClientConnection) -> float:
    begin = time.perf_counter()
    connection.send("?")
    connection.recv()
    return time.perf_counter() - begin
