"""The race in a real browser: it starts by its button, its dots arrive, and it reads well in both themes."""

from __future__ import annotations

from pathlib import Path

import pytest

from driver.lab import JupyterLab
from driver.notebook_page import NotebookPage, Theme

pytest.importorskip("playwright")
from playwright.sync_api import expect

from driver.narrow_window import tables_fit_a_narrow_window

CELLS = [
    "from helpers import Race, compare_requests\nrace = Race(8, gap=0.15, poll_every=0.5, seed=1)\nrace",
    "result = await race.run()\nresult.counts()",
    "await compare_requests(10, round_trip=0.02)",
]


@pytest.fixture(autouse=True)
def notebook(lab: JupyterLab) -> None:
    lab.add("race.ipynb", CELLS)


def test_the_race_is_started_watched_and_run_again(page: NotebookPage, tmp_path: Path) -> None:
    page.open("race.ipynb")
    page.run_cell(0)
    race = page.page.locator(".wsbook-race")
    start = race.locator(".wsbook-race-start")
    dots = race.locator(".wsbook-race-dot")
    expect(start).to_have_text("Start")
    expect(race.locator(".wsbook-race-name")).to_have_text(["polling", "long polling", "SSE", "WebSocket"])
    expect(dots).to_have_count(0)
    start.press("Enter")
    expect(start).to_be_disabled()
    expect(race.locator(".wsbook-race-cursor")).to_be_visible()
    expect(race.get_by_role("status")).to_have_text("done: no events lost, none out of order", timeout=20_000)
    expect(dots).to_have_count(4 * 8)
    expect(race.locator(".wsbook-race-tick")).to_have_count(8)
    expect(race.get_by_role("img", name="WebSocket: 8 of 8, median")).to_be_visible()
    expect(start).to_have_text("Again")
    page.run_cell(1)  # runs it once more, and the dots of the first race go
    expect(dots).to_have_count(4 * 8)
    assert page.output_text(1).count("0") >= 12
    page.run_cell(2)
    assert "keep-alive" in page.output_text(2)
    assert page.page.locator(".widget-hprogress").count() == 0
    tables_fit_a_narrow_window(page)
    themes: tuple[Theme, ...] = ("JupyterLab Dark", "JupyterLab Light")
    for theme in themes:
        page.set_theme(theme)
        page.screenshot(tmp_path / f"{theme}.png", whole=True)
        ink, ground = race.evaluate(
            "node => [getComputedStyle(node).color, getComputedStyle(node).backgroundColor]"
        )
        assert ink != ground
    page.restart_kernel()
    start.press("Enter")
    expect(race.get_by_role("status")).to_have_text(
        "the kernel was restarted or has ended: run all cells again"
    )
    expect(start).to_be_disabled()
