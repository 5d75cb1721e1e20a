"""The page of the film in real browsers: two watch, one hears and changes the background; it comes back."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from extras import needs
from PIL import Image

from helpers.background.process import BackgroundProcess

needs("playwright")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FilePayload, Page

ROOT = Path(__file__).resolve().parents[2]
AGE = re.compile(r"^[\d,]+ ms$")
PIXEL = (
    """([x, y]) => [...document.getElementById("screen").getContext("2d").getImageData(x, y, 1, 1).data]"""
)


@pytest.fixture
def server() -> Iterator[BackgroundProcess]:
    command = [sys.executable, "-m", "apps.video", "--port", "{port}"]
    with BackgroundProcess(command, ready="Video at", folder=ROOT, name="video") as server:
        yield server


@pytest.fixture
def pages(browser: Browser) -> Iterator[list[Page]]:
    """Two, one as wide as a phone; what a console says fails the test, but for a server that is gone."""
    said: list[str] = []
    contexts = [
        browser.new_context(viewport={"width": width, "height": 800}, color_scheme="dark")
        for width in (900, 390)
    ]
    pages = [context.new_page() for context in contexts]
    for page in pages:
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
    yield pages
    for context in contexts:
        context.close()
    assert not [text for text in said if "WebSocket connection to" not in text]


def moves(page: Page) -> None:
    """The picture changes, and the page says how old it is."""
    screen = page.locator("#screen")
    expect(screen).to_have_attribute("aria-label", re.compile(r"^picture \d+, \w+, -?\d+ ms old$"))
    before = screen.evaluate("screen => screen.toDataURL()")
    page.wait_for_function("before => document.getElementById('screen').toDataURL() !== before", arg=before)
    expect(page.locator("#age")).to_have_text(AGE)
    expect(page.locator("#rate")).to_have_text(re.compile(r"^[1-9]\d*$"))


def test_two_watch_one_hears_and_changes_the_background(server: BackgroundProcess, pages: list[Page]) -> None:
    for page in pages:
        page.goto(server.url)
    for page in pages:
        expect(page.locator("#state")).to_have_text("live")
        expect(page.locator("#watchers")).to_have_text("2 are watching")
        moves(page)
    one, phone = pages
    assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing is cut off"

    one.keyboard.press("Tab")
    one.keyboard.press("Enter")
    expect(one.get_by_role("button", name="Sound")).to_have_attribute("aria-pressed", "true")
    expect(one.locator("#heard")).to_have_text(re.compile(r"^[1-9]\d* ms, \d+ gaps?$"))
    expect(phone.locator("#heard")).to_have_text("off")

    one.get_by_label("Quality").select_option("tiny")
    expect(one.locator("#quality")).to_have_text("tiny, 160 px")
    file = io.BytesIO()
    Image.new("RGB", (400, 400), (200, 40, 40)).save(file, "PNG")
    picture: FilePayload = {"name": "red.png", "mimeType": "image/png", "buffer": file.getvalue()}
    one.get_by_label("Background").set_input_files(picture)
    expect(one.locator("#said")).to_have_text("it has arrived whole, and is the background now")
    for page in pages:
        page.wait_for_function(f"() => {{ const [r, g] = ({PIXEL})([600, 20]); return r > 150 && g < 90; }}")
    rubbish: FilePayload = {"name": "red.png", "mimeType": "image/png", "buffer": b"rubbish"}
    one.get_by_label("Background").set_input_files(rubbish)
    expect(one.locator("#said")).to_contain_text("it has arrived whole, but this isn't a JPEG")


def test_the_page_comes_back_with_the_server(server: BackgroundProcess, pages: list[Page]) -> None:
    page = pages[0]
    page.goto(server.url)
    moves(page)
    server.stop()
    expect(page.locator("#state")).to_have_text("not connected: trying again")
    server.start()
    expect(page.locator("#state")).to_have_text("live")
    moves(page)
