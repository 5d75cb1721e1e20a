"""One browser tab with the chat's Streamlit page, as a person finds it."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Locator, Page, expect


class Tab:
    """One tab with our page, as a person finds it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.name = page.get_by_label("Your name", exact=True)
        self.log = page.locator(".st-key-log")
        self.input = page.get_by_placeholder("Say something, or /to Bob something")

    def button(self, words: str) -> Locator:
        return self.page.get_by_role("button", name=words, exact=True)

    def join(self, name: str) -> Tab:
        expect(self.name).to_have_value(name)
        self.button("Join").click()
        self.shows(f"Connected as {name}.")
        return self

    def shows(self, words: str | re.Pattern[str], **options: Any) -> None:
        expect(self.page.get_by_test_id("stText").get_by_text(words, exact=True)).to_be_visible(**options)

    def say(self, words: str) -> None:
        self.input.fill(words)
        self.input.press("Enter")
        expect(self.input).to_have_value("")

    def lines(self) -> list[str]:
        """What stands in the log, speakers and texts."""
        return [
            line for text in self.log.get_by_test_id("stText").all_inner_texts() for line in text.split("\n")
        ]
