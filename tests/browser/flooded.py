"""A notebook that floods a timeline, and how fluid the page stays; for the tests and the benchmark."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from notebook_page import NotebookPage

FRAMES = 5000

SERVE_AND_TAP = """
from helpers import BackgroundServer, WireTimeline, tapped
from helpers.widgets import Client

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


def longest_gap(page: NotebookPage, cell: int, frames: int) -> float:
    """Run the cell that floods, and wait until the page counts so many frames.

    Returns:
        The longest gap between two frames of the page, in milliseconds.
    """
    page.page.evaluate(WATCH_FRAMES)
    page.run_cell(cell)
    page.page.get_by_text(f"{frames:,} frames").wait_for(timeout=10_000)
    page.page.evaluate("cancelAnimationFrame(window.looking)")
    return float(max(page.page.evaluate("window.gaps")))
