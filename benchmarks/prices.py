"""The price server: page and chart at 1,000 changes a second, a slow reader, the server's processor time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

from apps.prices.feed import COMPANIES, Market
from apps.prices.server import PERIOD, PriceServer
from helpers.background.process import BackgroundProcess

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[1]
RATE = 1000
CLIENTS = 100

LIVE_CHART = f"""
import threading, time
from helpers import LiveChart

chart = LiveChart("now")

def feed():
    end = time.monotonic() + 6
    while time.monotonic() < end:
        for line in ("one", "two", "three", "four"):
            chart.add(line, time.time() % 100)
        time.sleep(4 / {RATE})
"""
SHOWN = {
    "page": "() => newest",
    "chart": """() => {
      const shown = [...document.querySelectorAll(".wsbook-chart span b")].at(-1).textContent;
      const since = (Date.now() / 1000 - parseFloat(shown) + 100) % 100;
      return Date.now() - 1000 * since;
    }""",
}
WATCH_AGES = """(shown) => {
  window.ages = [];
  const look = () => { window.ages.push(Date.now() - eval(shown)()); requestAnimationFrame(look); };
  look();
}"""


@contextlib.contextmanager
def app(rate: float) -> Iterator[str]:
    """The price server in a process of its own, and its page's address."""
    command = [sys.executable, "-m", "apps.prices", "--port", "{port}", "--rate", str(rate)]
    with BackgroundProcess(command, ready="Prices at", folder=ROOT, name="prices") as server:
        yield server.url


def in_a_page(rounds: int) -> list[str]:
    """The app's page and the notebook's chart: the longest gap between frames."""
    from playwright.sync_api import sync_playwright

    from driver.browsers import launch
    from driver.flooded import frame_gaps
    from driver.lab import JupyterLab
    from driver.notebook_page import NotebookPage

    figures: dict[str, list[tuple[float, float]]] = {"page": [], "chart": []}

    def watch(page: Page, what: str) -> None:
        page.wait_for_timeout(1500)
        page.evaluate(WATCH_AGES, SHOWN[what])
        with frame_gaps(page) as gaps:
            page.wait_for_timeout(3000)
        figures[what].append((max(gaps), float(page.evaluate("Math.max(...ages)"))))

    with sync_playwright() as playwright, JupyterLab() as lab, app(RATE) as url:
        browser = launch(playwright)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(url)
        page.locator("#state[data-open]").wait_for()
        for _ in range(rounds):
            watch(page, "page")
        page.close()
        lab.add(
            "chart.ipynb", [LIVE_CHART, "chart", "thread = threading.Thread(target=feed); thread.start()"]
        )
        notebook = NotebookPage(browser.new_page(viewport={"width": 1440, "height": 900}), lab)
        notebook.open("chart.ipynb")
        notebook.run_cell(0)
        notebook.run_cell(1)
        for _ in range(rounds):
            notebook.run_cell(2)
            watch(notebook.page, "chart")
            notebook.page.wait_for_timeout(2500)
        notebook.close()
        browser.close()
    names = {"page": "the app's page", "chart": "LiveChart in JupyterLab"}
    return [
        f"{names[what]} at {RATE:,} changes/s: longest gap between frames "
        f"{statistics.median(gap for gap, _ in seen):.0f} ms (≤ 50), oldest newest price "
        f"{statistics.median(age for _, age in seen):.0f} ms (≤ 200)   "
        f"[{', '.join(f'{gap:.0f}/{age:.0f}' for gap, age in seen)}]"
        for what, seen in figures.items()
    ]


async def ages_of(url: str, seconds: float, handling: float) -> list[float]:
    """How old the newest price of each message is when it has been handled.

    Args:
        url: the server's.
        seconds: for how long.
        handling: what the client takes for each message, in seconds.
    """
    ages = []
    async with connect(url, proxy=None, compression=None, max_queue=1, close_timeout=0.1) as client:
        await client.send(json.dumps({"type": "subscribe", "symbols": list(COMPANIES)}))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            message = json.loads(await client.recv())
            await asyncio.sleep(handling)
            if message["type"] == "changes":
                ages.append(time.time() - max(change["time"] for change in message["changes"]))
    return ages


async def slow_against_fast() -> tuple[float, float]:
    """The median ages of a client that is 20 % too slow, after it was noticed, and of one that isn't."""
    with app(RATE) as url:
        address = url.replace("http", "ws")
        slow, fast = await asyncio.gather(
            ages_of(address, 25, 1.2 * PERIOD), ages_of(address, 25, 0.8 * PERIOD)
        )
    return statistics.median(slow[-100:]), statistics.median(fast[-100:])


async def without_conflation() -> list[float]:
    """The ages, one after another, for the same slow client of a server that keeps every change for it."""

    async def handler(connection: ServerConnection) -> None:
        await connection.recv()  # the subscription
        waiting: asyncio.Queue[str] = asyncio.Queue()

        async def make_changes() -> None:
            while True:
                changes = [{"time": time.time(), "price": 1.0}] * int(RATE * PERIOD)
                waiting.put_nowait(json.dumps({"type": "changes", "changes": changes}))
                await asyncio.sleep(PERIOD)

        making = asyncio.create_task(make_changes())
        with contextlib.suppress(ConnectionClosed):
            while True:
                await connection.send(await waiting.get())
        making.cancel()

    async with serve(handler, "127.0.0.1", 0, compression=None) as server:
        address = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return await ages_of(address, 15, 1.2 * PERIOD)


async def processor_seconds(ours: bool, seconds: float) -> float:
    """Processor time of a server for each 1,000 changes made, with CLIENTS that follow all of them.

    Args:
        ours: the price server; otherwise bare `broadcast` of as many bytes, while the market moves as well.
        seconds: for how long.
    """
    counted = 0.0
    if ours:
        served = PriceServer(Market(), rate=RATE).serving("127.0.0.1", 0)
        async with served as url, following(url.replace("http", "ws")):
            begin = time.process_time()
            await asyncio.sleep(seconds)
            counted = time.process_time() - begin
    else:
        connections: set[ServerConnection] = set()

        async def handler(connection: ServerConnection) -> None:
            connections.add(connection)
            await connection.wait_closed()

        market = Market()
        message = b"x" * int(RATE * PERIOD * 85)
        async with serve(handler, "127.0.0.1", 0, compression=None) as server:  # noqa: SIM117
            async with following(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"):
                begin = time.process_time()
                for _ in range(int(seconds / PERIOD)):
                    for _ in range(int(RATE * PERIOD)):
                        market.step(0)
                    broadcast(connections, message, text=True)
                    await asyncio.sleep(PERIOD)
                counted = time.process_time() - begin
    return counted / seconds * 1000 / RATE


FOLLOW = """
import asyncio, json, sys
from websockets.asyncio.client import connect

async def follow(url):
    async with connect(url, proxy=None, compression=None) as client:
        await client.send(json.dumps({"type": "subscribe", "symbols": json.loads(sys.argv[3])}))
        print("here", flush=True)
        async for _ in client:
            pass

async def main():
    await asyncio.gather(*(follow(sys.argv[1]) for _ in range(int(sys.argv[2]))))

asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def following(url: str) -> AsyncIterator[None]:
    """Clients in a process of their own that follow everything."""
    arguments = ["-c", FOLLOW, url, str(CLIENTS), json.dumps(list(COMPANIES))]
    clients = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert clients.stdout
    for _ in range(CLIENTS):
        await clients.stdout.readline()
    await asyncio.sleep(1)
    try:
        yield
    finally:
        clients.kill()
        await clients.wait()


def run(rounds: int) -> list[str]:
    """The three comparisons, a line for each figure."""
    slow, fast = asyncio.run(slow_against_fast())
    growing = asyncio.run(without_conflation())
    third, last = growing[len(growing) // 3], growing[-1]
    pairs = [
        (asyncio.run(processor_seconds(True, 4)), asyncio.run(processor_seconds(False, 4)))
        for _ in range(rounds)
    ]
    ratios = [ours / bare for ours, bare in pairs]
    return [
        f"a reader that is 20 % too slow / a fast one, age of the price: {slow / fast:.2f} (≤ 2)   "
        f"[{1000 * slow:.0f} ms, {1000 * fast:.0f} ms]",
        f"the same slow reader without conflation: {1000 * third:,.0f} ms after 5 s, {1000 * last:,.0f} ms "
        f"after 15 s ({'grows' if last > 1.5 * third else 'does not grow'})",
        f"server's processor time, {CLIENTS} clients follow everything / bare broadcast() of as many bytes: "
        f"{statistics.median(ratios):.2f} (≤ 1.50)   [{', '.join(f'{ratio:.2f}' for ratio in ratios)}]",
        *in_a_page(min(rounds, 3)),
    ]
