"""A notebook in a narrow window: nothing that it shows may have to be scrolled sideways."""

from __future__ import annotations

import pytest
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from driver.notebook_page import NotebookPage

NARROW = 1150  # pixels; beside the folder's panel the notebook has as many as in a window of 900 without it

SIDEWAYS = """() => [...document.querySelectorAll(".jp-RenderedHTML, .jp-RenderedHTML *")]
  .filter((node) => /auto|scroll/.test(getComputedStyle(node).overflowX))
  .filter((node) => node.scrollWidth > node.clientWidth + 1)
  .map((node) => node.textContent.slice(0, 80))"""
"""What scrolls sideways of the tables and figures."""


def tables_fit_a_narrow_window(page: NotebookPage) -> None:
    before = page.page.viewport_size
    assert before is not None
    page.page.set_viewport_size({"width": NARROW, "height": before["height"]})
    try:
        page.page.wait_for_function(f"() => ({SIDEWAYS})().length === 0", timeout=20_000)  # laid out anew
    except PlaywrightTimeoutError:
        pytest.fail(f"at {NARROW} pixels these scroll sideways: {page.page.evaluate(SIDEWAYS)}")
    page.page.set_viewport_size(before)
