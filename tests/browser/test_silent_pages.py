"""Pages whose connection is open, and nothing comes any more: a dead line, or a server that hangs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from extras import needs

from apps.game.messages import hello
from apps.prices.messages import hello_message as prices_hello
from apps.video.messages import clock_message
from apps.video.messages import hello_message as video_hello

needs("playwright")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route, WebSocketRoute

APPS = Path(__file__).resolve().parents[2] / "apps"
STATE = {"alarm": 30, "connected": 0, "devices": [], "rates": [], "refused": 0, "stored": 0, "waiting": 0}


def answer_clock(socket: WebSocketRoute, request: dict[str, Any]) -> None:
    if request["type"] == "clock":
        socket.send(clock_message(request["mine"], request["mine"]))


PAGES: dict[str, tuple[str, Callable[[WebSocketRoute, dict[str, Any]], None], str]] = {
    "game": (hello().decode(), lambda socket, request: None, "watching"),
    "prices": (prices_hello("run").decode(), lambda socket, request: None, "live"),
    "sensors": (json.dumps(STATE), lambda socket, request: None, "live"),
    "video": (video_hello(30), answer_clock, "live"),
}
"""What each server says first, what it answers, and what the page makes of it."""


@pytest.mark.parametrize("name", PAGES)
def test_a_page_that_hears_nothing_says_so_until_something_comes(name: str, browser: Browser) -> None:
    first, answer, state = PAGES[name]
    sockets: list[WebSocketRoute] = []

    def serve(route: Route) -> None:
        path = APPS / name / (route.request.url.rpartition("/")[2] or "page.html")
        route.fulfill(path=path) if path.is_file() else route.fulfill(body="come in\n")

    def speak(socket: WebSocketRoute) -> None:
        sockets.append(socket)
        socket.on_message(lambda text: answer(socket, json.loads(text)) if len(sockets) < 2 else None)
        socket.send(first)

    with browser.new_context() as context:
        page = context.new_page()
        page.clock.install()
        page.route("**/*", serve)
        page.route_web_socket("**/*", speak)
        page.goto("http://page.test/")
        shown = page.locator("#state")
        expect(shown).to_have_text(state)
        sockets.append(sockets[0])  # from here on it answers nothing
        page.clock.fast_forward(9000)
        expect(shown).to_contain_text(re.compile(r"nothing heard for \d+ s"))
        sockets[0].send(first)
        expect(shown).to_have_text(state)
