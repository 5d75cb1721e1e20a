"""Two pages in a real browser, each on a process of the chat of its own, with one engine between them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from chat_peers import uvicorn
from extras import needs
from test_bus import engine

from helpers import BackgroundProcess

needs("playwright")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

JOIN = """name => {
  document.body.innerHTML = '<ol role="log"></ol>';
  const log = document.querySelector("ol");
  window.socket = new WebSocket(`${location.origin.replace("http", "ws")}/ws?name=${name}`);
  socket.onmessage = ({data}) => {
    const {type, who, text, members} = JSON.parse(data);
    log.append(Object.assign(document.createElement("li"), {
      textContent: [type, who, text, members].filter(Boolean).join(" "),
    }));
  };
}"""


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[list[BackgroundProcess]]:
    with engine("redis", tmp_path) as bus:
        options: dict[str, Any] = {"environment": {"CHAT_BUS": bus.url}}
        with uvicorn(**options, name="first") as first, uvicorn(**options, name="second") as second:
            yield [first, second]


def test_two_pages_on_two_workers_hear_each_other(browser: Browser, workers: list[BackgroundProcess]) -> None:
    def join(name: str, worker: BackgroundProcess) -> Page:
        page = context.new_page()
        page.goto(f"{worker.url}/health")  # a page from this worker, so that the browser's origin is right
        page.evaluate(JOIN, name)
        expect(page.get_by_role("log")).to_contain_text("welcome")
        return page

    with browser.new_context() as context:
        ann, bob = join("Ann", workers[0]), join("Bob", workers[1])
        pages = ann, bob
        lines = (["welcome Ann", "joined Bob"], ["welcome Ann,Bob"])
        for page, name in ((ann, "Ann"), (bob, "Bob")):
            page.evaluate("name => socket.send(`this is ${name}`)", name)
            for one, its_lines in zip(pages, lines, strict=True):
                its_lines.append(f"said {name} this is {name}")
                expect(one.get_by_role("listitem")).to_have_text(its_lines)
        bob.close()
        expect(ann.get_by_role("listitem")).to_have_text([*lines[0], "left Bob"])
