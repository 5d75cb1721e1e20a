"""The page of the prices in a real browser: keys, sectors, a gap that heals, a server that restarts."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from extras import needs

from helpers.background.process import BackgroundProcess

needs("playwright")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, WebSocketRoute

ROOT = Path(__file__).resolve().parents[2]
ROWS = "#rows tr:visible"


@pytest.fixture
def server() -> Iterator[BackgroundProcess]:
    command = [sys.executable, "-m", "apps.prices", "--port", "{port}", "--rate", "400"]
    with BackgroundProcess(command, ready="Prices at", folder=ROOT, name="prices") as server:
        yield server


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of its own; what its console says fails the test, but for a server that is gone."""
    with browser.new_context(viewport={"width": 900, "height": 900}, color_scheme="dark") as context:
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        yield page
        assert not [text for text in said if "WebSocket connection to" not in text]


def losing_one(socket: WebSocketRoute) -> None:
    """Let everything pass but the third message with changes."""
    to_server = socket.connect_to_server()
    changes = 0

    def passes(message: str | bytes) -> None:
        nonlocal changes
        changes += json.loads(message)["type"] == "changes"
        if changes != 3 or json.loads(message)["type"] != "changes":
            socket.send(message)

    to_server.on_message(passes)


def test_a_gap_heals_keys_choose_and_a_sector_is_followed(server: BackgroundProcess, page: Page) -> None:
    page.route_web_socket("**/*", losing_one)
    page.goto(server.url)
    expect(page.get_by_role("status")).to_have_text("live")
    expect(page.locator("#figures")).to_contain_text(re.compile(r"[1-9]\d* gaps? healed"))
    expect(page.locator(ROWS)).to_have_count(40)
    expect(page.locator("#rows td.price[data-flash]").first).to_be_visible()

    page.get_by_role("button", name="Workshop").click()
    expect(page.locator(ROWS)).to_have_count(8)
    expect(page.get_by_role("heading", name="ACME · Acme Anvils")).to_be_visible()
    expect(page.locator("tr[data-symbol=ACME] .followers")).to_have_text("1")
    expect(page.locator("tr[data-symbol=BOLT] .followers")).to_have_text("0")
    page.keyboard.press("Tab")  # to "Leisure", and on to the table's chosen row
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("heading", name="BRSH · Brush & Broom")).to_be_visible()
    page.keyboard.press("End")
    expect(page.locator("tr[data-symbol=TOOL]")).to_be_focused()
    expect(page.get_by_role("img", name=re.compile("Toolbox: from .* now"))).to_be_visible()


def test_the_page_comes_back_with_the_server(server: BackgroundProcess, page: Page) -> None:
    page.goto(f"{server.url}?sector=Energy")
    expect(page.locator(ROWS)).to_have_count(8)
    server.stop()
    expect(page.get_by_role("status")).to_have_text("not connected: trying again")
    server.start()
    expect(page.get_by_role("status")).to_have_text("live")
    expect(page.locator("#figures")).to_contain_text(re.compile(r"^[1-9]\d* changes/s"))
    expect(page.get_by_role("button", name="Energy")).to_have_attribute("aria-pressed", "true")
