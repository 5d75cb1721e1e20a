"""5,000 frames into a timeline, an echo through the tap on the shared loop, and what recording costs."""

from __future__ import annotations

import asyncio
import json
import statistics
import tracemalloc
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECORDED = 100_000

ECHO = """
import asyncio, json, statistics, time
from helpers import BackgroundServer, tapped
from helpers.clients.client import Client

async def echo(connection):
    async for message in connection:
        await connection.send(message)

async def median(client, count=1500):
    times = []
    for _ in range(count):
        begin = time.perf_counter()
        client.send("x" * 64)
        await client.received()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)

async def measure(client):
    return await asyncio.wrap_future(client.loop.submit(median(client)))

with BackgroundServer(echo, compression=None) as server, tapped(server) as tap:
    direct = Client("direct", server.url, compression=None)
    through = Client("through the tap", tap.url, compression=None)
    await direct.connect()
    await through.connect()
    await measure(direct), await measure(through)
    pairs = [(await measure(direct), await measure(through)) for _ in range(ROUNDS)]
    await direct.disconnect()
    await through.disconnect()
print(json.dumps(pairs))
"""


def in_a_page(rounds: int) -> str:
    """The flood in JupyterLab: the longest gap between frames."""
    from playwright.sync_api import sync_playwright

    from driver.browsers import launch
    from driver.flooded import FLOOD, FRAMES, SERVE_AND_TAP, longest_gap
    from driver.lab import JupyterLab
    from driver.notebook_page import NotebookPage

    with sync_playwright() as playwright, JupyterLab() as lab:
        lab.add("timeline.ipynb", [SERVE_AND_TAP, "timeline", FLOOD])
        browser = launch(playwright)
        page = NotebookPage(browser.new_page(), lab)
        page.open("timeline.ipynb")
        page.run_cell(0)
        page.run_cell(1)
        longest = [longest_gap(page, 2, FRAMES * number) for number in range(1, rounds + 1)]
        page.page.wait_for_timeout(500)
        rows = page.page.locator(".wsbook-wire-row").count()
        page.close()
        browser.close()
    each = ", ".join(f"{gap:.0f}" for gap in longest)
    return (
        f"timeline, {FRAMES:,} frames in the page: longest gap between frames "
        f"{statistics.median(longest):.0f} ms (≤ 100), {rows} rows drawn, all counted   [{each}]"
    )


async def through_the_tap(rounds: int) -> str:
    """Median time of an echo through a tap against direct, in turn: both ends and the tap on one loop."""
    from helpers import ChildKernel

    async with ChildKernel() as kernel:
        outcome = await kernel.run(ECHO.replace("ROUNDS", str(rounds)), timeout=120)
    if outcome.error:
        raise RuntimeError(outcome.error)
    ratios = [through / direct for direct, through in json.loads(outcome.printed)]
    each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    return (
        f"echo through the tap / direct, all on the shared loop: p50 {statistics.median(ratios):.2f} (≤ 1.50)"
        f"   [{each}]"
    )


async def recording() -> str:
    """Most memory that a tap and a timeline hold while 100,000 frames go by."""
    from helpers import BackgroundServer, WireTimeline, tapped

    async def news(connection):  # type: ignore[no-untyped-def]
        for number in range(RECORDED):
            await connection.send(f"message {number:6} of the flood, about fifty bytes long")
            if number % 100 == 0:
                await asyncio.sleep(0)  # a send that need not wait gives nobody else a turn

    from websockets.asyncio.client import connect

    with BackgroundServer(news, compression=None) as server, tapped(server) as tap:
        tracemalloc.start()
        timeline = WireTimeline(tap)
        async with connect(tap.url, proxy=None, compression=None) as connection:
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(RECORDED):
                await connection.recv()
            timeline.table()
            _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        kept = len(timeline.events)
    return (
        f"recording {RECORDED:,} frames: at most {(most - before) / 2**20:.0f} MiB more, "
        f"{kept:,} events kept by the timeline, {tap.stats.dropped:,} dropped by the tap"
    )


def run(rounds: int) -> list[str]:
    """All three, a line each."""
    return [asyncio.run(through_the_tap(rounds)), asyncio.run(recording()), in_a_page(rounds)]
