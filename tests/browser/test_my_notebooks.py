"""The reader's copy of the chapters in JupyterLab: it opens with nothing to save, and links stay in it."""

from __future__ import annotations

from pathlib import Path

from extras import needs
from working_copy import WorkingCopy

from driver.lab import JupyterLab
from driver.notebook_page import NotebookPage

needs("playwright")
from playwright.sync_api import expect

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
NEXT = "my_notebooks/01_compare_http_and_websocket.ipynb"
OPEN = "path => [...jupyterapp.shell.widgets('main')].some(widget => widget.context?.path === path)"


def test_a_chapter_opens_with_nothing_to_save_and_links_to_the_next_of_the_copy(
    lab: JupyterLab, page: NotebookPage
) -> None:
    WorkingCopy(NOTEBOOKS, lab.root / "my_notebooks").update()
    page.open("my_notebooks/00_start_here.ipynb")
    page.wait_for_idle()
    expect(page.page.locator(".jp-mod-dirty")).to_have_count(0)
    expect(page.page.locator(".jp-OutputArea-child")).to_have_count(0)
    page.cell(0).get_by_role("link", name="Compare HTTP and WebSocket").click()
    page.page.wait_for_function(OPEN, arg=NEXT)
    page.leave()
    page.open(NEXT)  # which the fixture leaves
