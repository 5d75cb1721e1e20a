"""The chat's Streamlit page, in a tab of the browser or in a frame, as a person finds it."""

from __future__ import annotations

import re
from typing import cast

from playwright.sync_api import FrameLocator, Locator, Page, expect

LINES = """lines => [...lines.children].map(line => {
    if (line.matches(".note")) return line.textContent;
    const [to, text] = [".to", ".text"].map(css => line.querySelector(css)?.textContent);
    return `${line.dataset.who}${to ? ` ${to}` : ""}: ${text}`;
})"""


class Tab:
    """One tab with our page, as a person finds it. A frame will do, for what doesn't need `page` itself."""

    def __init__(self, page: Page | FrameLocator) -> None:
        self.page = cast("Page", page)
        self.name = page.get_by_label("Your name", exact=True)
        self.scroll = page.get_by_role("log")
        self.log = page.locator(".lines")
        self.input = page.get_by_label("Message", exact=True)
        self.state = page.locator(".room .state")
        self.banner = page.get_by_role("alert")
        self.members = page.locator(".member > span:not(.face)")
        self.typing = page.locator(".typing")

    def button(self, words: str | re.Pattern[str]) -> Locator:
        return self.page.get_by_role("button", name=words, exact=True)

    def join(self, name: str) -> Tab:
        """Press Join, with the name that the form has been given."""
        expect(self.name).to_have_value(name)
        self.button("Join").click()
        return self.is_in(name)

    def is_in(self, name: str) -> Tab:
        expect(self.state).to_have_attribute("title", f"Connected as {name}.")
        expect(self.input).to_be_visible()
        return self

    def here(self, *names: str) -> None:
        expect(self.members).to_have_text(names)

    def say(self, words: str) -> None:
        self.input.fill(words)
        self.input.press("Enter")
        expect(self.input).to_have_value("")

    def lines(self) -> list[str]:
        """What is in the log: notes, and what was said with who said it."""
        lines: list[str] = self.log.evaluate(LINES)
        return lines

    def said(self) -> list[str]:
        """What is in the log, without the notes."""
        return [line for line in self.lines() if ": " in line]
