"""The game's server with 16 bots: its share of one core, and its longest tick, with a busy cell alongside."""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil

from apps.game.world import TICKS
from helpers.background.process import BackgroundProcess

ROOT = Path(__file__).resolve().parents[1]
BOTS = 16
SECONDS = 10
BUSY = "while True: pass"


@contextlib.contextmanager
def running(*command: str) -> Iterator[None]:
    """Run Python in a process of its own meanwhile."""
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def figures(url: str) -> dict[str, float]:
    """What the server counts; its longest tick begins again with each question."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{url}/figures") as answer:
        counted: dict[str, float] = json.load(answer)
        return counted


def measure(busy: bool) -> tuple[float, float, float]:
    """The server's share of one core, its longest tick in ms, and its ticks per second."""
    command = [sys.executable, "-m", "apps.game", "--port", "{port}", "--seed", "1"]
    with contextlib.ExitStack() as stack:
        game = BackgroundProcess(command, ready="Game at", folder=ROOT, name="game")
        url = stack.enter_context(game).url
        (wrapper,) = psutil.Process().children()
        server = max([wrapper, *wrapper.children(recursive=True)], key=lambda each: each.create_time())
        stack.enter_context(running("-m", "apps.game.bots", url, "--count", str(BOTS)))
        while figures(url)["players"] < BOTS:
            time.sleep(0.1)
        if busy:
            stack.enter_context(running("-c", BUSY))
        time.sleep(1)
        before, spent, begin = figures(url), sum(server.cpu_times()[:2]), time.monotonic()
        time.sleep(SECONDS)
        after, spent = figures(url), sum(server.cpu_times()[:2]) - spent
        seconds = time.monotonic() - begin
    return spent / seconds, after["longest_ms"], (after["tick"] - before["tick"]) / seconds


def run(rounds: int) -> Iterator[str]:
    """A line with a busy cell in its own process alongside, and one without."""
    for busy in (False, True):
        shares, longest, ticks = zip(*(measure(busy) for _ in range(min(rounds, 3))), strict=True)
        each = ", ".join(f"{share:.2f}/{most:.0f}" for share, most in zip(shares, longest, strict=True))
        yield (
            f"game, {BOTS} bots{', a busy cell alongside' if busy else ''}: share of one core "
            f"{statistics.median(shares):.2f} (≤ 0.25), longest tick {statistics.median(longest):.1f} ms "
            f"(≤ 25), {statistics.median(ticks):.1f} ticks per second ({TICKS})   [{each}]"
        )
