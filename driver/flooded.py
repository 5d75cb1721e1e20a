"""A notebook that floods a timeline, and how fluid a page stays; for the tests and the benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from driver.notebook_page import NotebookPage

FRAMES = 5000

SERVE_AND_TAP = """
from helpers import BackgroundServer, WireTimeline, tapped
from helpers.clients.client import Client

async def echo(connection):
    async for message in connection:
        await connection.send(message)

server = BackgroundServer(echo, compression=None).start()
tap = tapped(server).start()
timeline = WireTimeline(tap)
client = Client("Ann", tap.url, compression=None)
await client.connect()
"""

FLOOD = f"""
for number in range({FRAMES // 2}):
    client.send(f"message {{number}} of the flood, about fifty bytes long")
await client.received(f"message {{{FRAMES // 2} - 1}} of the flood, about fifty bytes long", timeout=20)
"""

WATCH_FRAMES = """() => {
  window.gaps = [];
  let before = null;
  const look = (now) => {
    if (before !== null) window.gaps.push(now - before);
    before = now;
    window.looking = requestAnimationFrame(look);
  };
  window.looking = requestAnimationFrame(look);
}"""


@contextmanager
def frame_gaps(page: Page) -> Iterator[list[float]]:
    """Watch a page: in the end the list holds the time between each two of its frames, in milliseconds."""
    gaps: list[float] = []
    page.evaluate(WATCH_FRAMES)
    yield gaps
    page.evaluate("cancelAnimationFrame(window.looking)")
    gaps += page.evaluate("window.gaps")


def longest_gap(page: NotebookPage, cell: int, frames: int) -> float:
    """Run the cell that floods, and wait until the page counts so many frames.

    Returns:
        The longest gap between two frames of the page, in milliseconds.
    """
    with frame_gaps(page.page) as gaps:
        page.run_cell(cell)
        page.page.get_by_text(f"{frames:,} frames").wait_for(timeout=10_000)
    return max(gaps)
