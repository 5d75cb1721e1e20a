"""Take the README's pictures: the chapters in JupyterLab, in a headless browser.

Usage: `.venv/bin/python -m tools.pictures`, with a browser as the browser tests need it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import sync_playwright

from driver.browsers import launch
from driver.lab import JupyterLab
from driver.notebook_page import NotebookPage

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "images"
WIDTH, HEIGHT = 1240, 1500


def start_here(notebook: NotebookPage) -> None:
    """Ann, Bob and the browser in one room."""
    notebook.open("00_start_here.ipynb")
    page = notebook.page
    page.evaluate("jupyterapp.commands.execute('application:toggle-left-area')")
    notebook.run_all()
    for who, words in (
        ("Bob", "Hello Ann! Who is the third one?"),
        ("Your browser", "It is me, a page in a browser"),
        ("Ann", "Nobody asked, and everybody hears it"),
    ):
        page.get_by_label(f"{who}: message to send").fill(words)
        page.keyboard.press("Enter")
        for panel in page.locator(".wsbook-log").all():
            panel.get_by_text(words).wait_for()
    page.evaluate("document.activeElement.blur()")
    _from(notebook, "room = set()", "server = BackgroundServer(relay)", "start_here.png")


def comparison(notebook: NotebookPage) -> None:
    """The ways of HTTP and WebSocket side by side, as chapter 01 measures them."""
    notebook.open("01_compare_http_and_websocket.ipynb")
    page = notebook.page
    page.evaluate("jupyterapp.commands.execute('application:toggle-left-area')")
    notebook.run_all()
    cell = "ways = await compare_requests"
    _from(notebook, cell, cell, "comparison.png")


def timeline(notebook: NotebookPage) -> None:
    """The wire timeline of chapter 02, with an arrow opened."""
    notebook.open("02_watch_the_handshake.ipynb")
    page = notebook.page
    page.evaluate("jupyterapp.commands.execute('application:toggle-left-area')")
    for index in range(notebook.find_cell("timeline.clear()")):
        notebook.run_cell(index)
    wire = page.get_by_role("group", name="Timeline of the wire").first
    row = wire.locator(".wsbook-wire-row[data-kind=text]").first
    row.get_by_role("button").first.click()
    row.locator(".wsbook-wire-detail").wait_for()
    unmasking = "(node) => Promise.all(node.getAnimations({ subtree: true }).map((part) => part.finished))"
    row.evaluate(unmasking)
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur()")
    wire.screenshot(path=IMAGES / "timeline.png")


def _from(notebook: NotebookPage, first: str, last: str, name: str) -> None:
    """A picture from the cell that contains `first` to the one that contains `last`."""
    page = notebook.page
    cells = [notebook.cell(notebook.find_cell(text)) for text in (first, last)]
    cells[0].scroll_into_view_if_needed()
    top, bottom = (cell.bounding_box() for cell in cells)
    assert top is not None
    assert bottom is not None
    page.mouse.move(0, 0)
    page.screenshot(
        path=IMAGES / name,
        clip={
            "x": top["x"],
            "y": top["y"],
            "width": top["width"],
            "height": bottom["y"] + bottom["height"] - top["y"],
        },
    )


PICTURES: list[Callable[[NotebookPage], None]] = [start_here, comparison, timeline]


def main() -> None:
    """Take every picture."""
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright, JupyterLab((ROOT / "notebooks").glob("*.ipynb")) as lab:
        browser = launch(playwright)
        for picture in PICTURES:
            page = NotebookPage(browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}), lab)
            picture(page)
            page.close()
            print(f"{picture.__name__}: taken")
        browser.close()


if __name__ == "__main__":
    main()
