"""The film: how old a picture is on a link with half the rate that it needs; and how fluid its page is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from apps.video.messages import PICTURE, pack, unpack
from apps.video.source import QUALITIES, Film, encode
from helpers.background.process import BackgroundProcess
from helpers.wire.tap import Tap

ROOT = Path(__file__).resolve().parents[1]
RATE = 30
DELAY = 0.02
"""One way, in seconds."""

SECONDS = 8
SETTLES = 3
"""Seconds until the quality has followed the link; they don't count."""


@contextlib.contextmanager
def app() -> Iterator[str]:
    """The video server in a process of its own, and its page's address."""
    command = [sys.executable, "-m", "apps.video", "--port", "{port}", "--rate", str(RATE)]
    with BackgroundProcess(command, ready="Video at", folder=ROOT, name="video") as server:
        yield server.url


def needed() -> float:
    """Bytes per second of the film in its best quality."""
    film = Film()
    sizes = [len(encode(film.picture(number, time.time()), QUALITIES[0])) for number in range(1, 6)]
    return RATE * statistics.mean(sizes)


async def watched(url: str) -> list[tuple[float, float]]:
    """When each picture came, and how old it was, in seconds."""
    ages: list[tuple[float, float]] = []
    begin = time.monotonic()
    async with connect(url, proxy=None, compression=None, max_queue=None, close_timeout=0.1) as client:
        await client.send('{"type": "want"}')
        while time.monotonic() - begin < SECONDS:
            message = await client.recv()
            if isinstance(message, str):
                if json.loads(message)["type"] == "probe":
                    await client.send(message)
                continue
            part = unpack(message)
            ages.append((time.monotonic() - begin, time.time() - part.at))
            await client.send(json.dumps({"type": "shown", "number": part.number}))
    return ages


async def on_half_the_rate(url: str) -> list[tuple[float, float]]:
    """Watch the film over a link that carries half of what its best quality needs."""
    async with Tap.before(url, rate=needed() / 2, delay=DELAY) as tap:
        return await watched(tap.url.replace("http", "ws"))


async def queued() -> list[tuple[float, float]]:
    """The same link, and a server that sends each picture in the best quality, in a loop."""

    async def film(connection: ServerConnection) -> None:
        film, begin = Film(), time.monotonic()
        for number in range(1, RATE * SECONDS):
            await asyncio.sleep(begin + number / RATE - time.monotonic())
            at = time.time()
            content = encode(film.picture(number, at), QUALITIES[0])
            with contextlib.suppress(ConnectionClosed):
                await connection.send(pack(PICTURE, 0, number, at, content))

    async with serve(film, "127.0.0.1", 0, compression=None, close_timeout=0.1) as server:
        return await on_half_the_rate(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")


def in_a_page(rounds: int) -> str:
    """The longest gap between two of the page's frames while it shows 30 pictures per second."""
    from playwright.sync_api import sync_playwright

    from driver.browsers import launch
    from driver.flooded import frame_gaps

    longest, shown = [], []
    with sync_playwright() as playwright, app() as url:
        browser = launch(playwright)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(url)
        page.locator("#state[data-open]").wait_for()
        for _ in range(rounds):
            page.wait_for_timeout(2000)
            with frame_gaps(page) as gaps:
                page.wait_for_timeout(3000)
            longest.append(max(gaps))
            shown.append(page.locator("#rate").inner_text())
        browser.close()
    each = ", ".join(f"{gap:.0f}" for gap in longest)
    return (
        f"the page at {RATE} pictures/s: longest gap between frames "
        f"{statistics.median(longest):.0f} ms (≤ 50)   [{each}; shown per second: {', '.join(shown)}]"
    )


def run(rounds: int) -> Iterator[str]:
    """A line for each figure, with its goal."""
    frames, oldest = [], []
    for _ in range(min(rounds, 3)):
        with app() as url:
            ages = asyncio.run(on_half_the_rate(url))
        settled = [age for at, age in ages if at > SETTLES]
        frames.append((statistics.median(settled) - DELAY) * RATE)
        oldest.append(max(settled))
    queue = asyncio.run(queued())
    yield (
        f"age of the picture on a link with half the rate, beyond the link's delay: "
        f"{statistics.median(frames):.2f} frame times (≤ 2)   "
        f"[{', '.join(f'{each:.2f}' for each in frames)}; oldest {1000 * max(oldest):.0f} ms]"
    )
    half = [age for at, age in queue if at > SECONDS / 2]
    yield (
        f"the same link and a queue: the age grows from {1000 * queue[0][1]:.0f} ms "
        f"to {1000 * queue[-1][1]:,.0f} ms in {SECONDS} s, "
        f"to {half[-1] / half[0]:.1f} times as much in the second half (> 1)"
    )
    yield in_a_page(min(rounds, 3))
