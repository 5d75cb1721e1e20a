"""50,000 messages into a panel: what the view costs the kernel, and what a page sees of it."""

from __future__ import annotations

import asyncio
import json
import statistics
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MESSAGES = 50_000

SERVE_AND_FLOOD = f"""
import asyncio, json, time
from helpers import BackgroundServer, ClientPanel
from helpers.clients.client import Client

async def flood(connection):
    async for count in connection:
        for number in range(int(count)):
            await connection.send(f"message number {{number:6}} of the flood, about fifty bytes")

async def seconds(client, count={MESSAGES}):
    last = f"message number {{count - 1:6}} of the flood, about fifty bytes"
    begin = time.perf_counter()
    client.send(str(count))
    await client.received(last, timeout=60)
    return time.perf_counter() - begin

server = BackgroundServer(flood, compression=None).start()
"""

COMPARE = """
panel = ClientPanel("with a view", server.url, compression=None)
bare = Client("without", server.url, compression=None)
await panel.connect()
await bare.connect()
await seconds(panel), await seconds(bare)
pairs = [(await seconds(panel), await seconds(bare)) for _ in range(ROUNDS)]
print(json.dumps([pairs, panel.received_count]))
server.stop()
"""


async def view_against_none(rounds: int) -> str:
    """The same flood into a `ClientPanel` and into its client without a view, in turn, in a kernel."""
    from helpers import ChildKernel

    async with ChildKernel() as kernel:
        await kernel.run(SERVE_AND_FLOOD)
        outcome = await kernel.run(COMPARE.replace("ROUNDS", str(rounds)), timeout=300)
    if outcome.error:
        raise RuntimeError(outcome.error)
    pairs, received = json.loads(outcome.printed)
    ratios = [panel / bare for panel, bare in pairs]
    lost = MESSAGES * (rounds + 1) - received
    each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    return (
        f"flood of {MESSAGES:,} into a panel / without a view: "
        f"time {statistics.median(ratios):.2f} (≤ 1.10), {lost} lost   [{each}]"
    )


def in_a_page(rounds: int) -> str:
    """The flood in JupyterLab: the longest gap between frames, and what stands there in the end."""
    from playwright.sync_api import sync_playwright

    from driver.browsers import launch
    from driver.flooded import frame_gaps
    from driver.lab import JupyterLab
    from driver.notebook_page import NotebookPage

    cells = [
        SERVE_AND_FLOOD,
        'panel = ClientPanel("Ann", server.url, compression=None)\npanel',
        "await panel.connect()",
        "await seconds(panel)",
    ]
    longest, rates, complete = [], [], True
    with sync_playwright() as playwright, JupyterLab() as lab:
        lab.add("flood.ipynb", cells)
        browser = launch(playwright)
        page = NotebookPage(browser.new_page(), lab)
        page.open("flood.ipynb")
        for index in range(3):
            page.run_cell(index)
        for number in range(1, rounds + 1):
            with frame_gaps(page.page) as gaps:
                page.run_cell(3)
                counted = f"{number} sent, {number * MESSAGES:,} received"
                page.page.get_by_text(counted).wait_for(timeout=5000)
            longest.append(max(gaps))
            rates.append(1000 * len(gaps) / sum(gaps))
            shown = page.page.locator(".wsbook-line").last.inner_text()
            complete = complete and f"{MESSAGES - 1:6} of the flood" in shown
        page.close()
        browser.close()
    each = ", ".join(f"{gap:.0f}" for gap in longest)
    return (
        f"flood of {MESSAGES:,} in the page: longest gap between frames {statistics.median(longest):.0f} ms "
        f"(≤ 50), {statistics.median(rates):.0f} frames a second, "
        f"last line shown and all counted: {complete}   [{each}]"
    )


def run(rounds: int) -> list[str]:
    """Both comparisons, a line each."""
    return [asyncio.run(view_against_none(rounds)), in_a_page(rounds)]
