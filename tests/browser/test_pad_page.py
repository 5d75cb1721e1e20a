"""The pad's page in real browsers: letters, cursors and names cross; a cut, undo, haste."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from extras import needs

from helpers.background.process import BackgroundProcess

needs("playwright")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[BackgroundProcess]:
    command = [sys.executable, "-m", "apps.pad", "--port", "{port}", "--file", str(tmp_path / "pad.sqlite")]
    with BackgroundProcess(command, ready="The pad is at", folder=ROOT, name="pad") as server:
        yield server


@pytest.fixture
def visit(browser: Browser, server: BackgroundProcess) -> Iterator[Callable[[str], Page]]:
    """Opens the pad for somebody, in a browser of their own; what its console says fails the test."""
    said: list[str] = []
    contexts = []

    def open_page(name: str, **options: object) -> Page:
        contexts.append(browser.new_context(viewport={"width": 900, "height": 700}, **options))  # type: ignore[arg-type]
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"{server.url}?room=plans&name={name}")
        expect(page.get_by_role("status")).to_have_text("saved")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not [text for text in said if "WebSocket connection to" not in text]


def text(page: Page) -> Locator:
    return page.get_by_label("The text")


def same(pages: list[Page], expected: str | re.Pattern[str]) -> None:
    for page in pages:
        expect(text(page)).to_have_value(expected)


def test_letters_cursors_and_names_cross(visit: Callable[[str], Page]) -> None:
    ann, bob = visit("Ann"), visit("Bob")
    text(ann).press_sequentially("Dear Bob,")
    same([ann, bob], "Dear Bob,")
    expect(bob.get_by_role("list", name="Others who are here")).to_have_text("Ann, line 1")
    expect(bob.locator("#mirror b")).to_have_text("Ann")

    text(bob).focus()
    bob.keyboard.press("Control+End")
    bob.keyboard.type("\n😀 hé")
    same([ann, bob], "Dear Bob,\n😀 hé")
    expect(ann.get_by_role("list", name="Others who are here")).to_have_text("Bob, line 2")
    ann.keyboard.press("Control+Home")
    for letter in "My ":
        ann.keyboard.type(letter)
        bob.keyboard.type("!")
    same([ann, bob], "My Dear Bob,\n😀 hé!!!")
    bob.keyboard.press("Backspace")
    bob.keyboard.press("Shift+Control+Home")
    expect(ann.locator("#mirror span").first).to_be_attached()
    same([ann, bob], "My Dear Bob,\n😀 hé!!")

    ann.get_by_label("Your name").fill("Anna <b>")
    ann.get_by_label("Your name").press("Enter")
    expect(bob.get_by_role("list", name="Others who are here")).to_have_text("Anna <b>")
    bob.close()
    expect(ann.get_by_role("list", name="Others who are here")).to_have_text("nobody else is here")


def test_undo_takes_back_only_one_s_own(visit: Callable[[str], Page]) -> None:
    ann, bob = visit("Ann"), visit("Bob")
    text(ann).press_sequentially("one")
    same([bob], "one")
    text(bob).focus()
    bob.keyboard.press("Control+End")
    bob.keyboard.type(" two")
    same([ann, bob], "one two")
    ann.keyboard.press("Control+z")
    same([ann, bob], " two")
    ann.get_by_role("button", name="Redo").click()
    same([ann, bob], "one two")


def test_undo_is_offered_while_there_is_something_to_undo(
    visit: Callable[[str], Page], server: BackgroundProcess
) -> None:
    ann = visit("Ann")
    undo, redo = ann.get_by_role("button", name="Undo"), ann.get_by_role("button", name="Redo")
    expect(undo).to_be_disabled()
    text(ann).press_sequentially("one")
    expect(redo).to_be_disabled()
    undo.click()
    expect(redo).to_be_enabled()
    expect(undo).to_be_disabled()
    redo.click()
    expect(undo).to_be_enabled()
    expect(redo).to_be_disabled()
    server.kill()
    expect(ann.get_by_role("status")).to_have_text(re.compile("^not connected"))
    server.start()
    expect(ann.get_by_role("status")).to_have_text("saved")
    expect(undo).to_be_disabled()
    expect(redo).to_be_disabled()


def test_what_has_no_room_stays_on_the_page_and_goes_with_the_next_edit(browser: Browser) -> None:
    small = (
        "import sys; from apps.pad import room, server; room.LARGEST = 1000; del sys.argv[0]; "
        "from apps.pad.__main__ import main; main()"
    )
    command = [sys.executable, "-c", small, "pad", "--port", "{port}"]
    with BackgroundProcess(command, ready="The pad is at", folder=ROOT, name="small pad") as server:
        page = browser.new_page()
        page.goto(server.url)
        state = page.get_by_role("status")
        expect(state).to_have_text("saved")
        text(page).press_sequentially("short")
        text(page).fill("x" * 2000)
        expect(state).to_have_text("this text can't get any larger")
        text(page).evaluate(  # without the focus: when the caret moves, the page tries again by itself
            "area => { area.blur(); area.value = 'shorter'; area.dispatchEvent(new Event('input')); }"
        )
        expect(state).to_have_text("saved", timeout=10_000)
        page.reload()
        same([page], "shorter")
        page.close()


def test_each_of_the_others_has_a_colour_of_their_own(visit: Callable[[str], Page]) -> None:
    pages = [visit(name) for name in ("Ann", "Bob", "Cat", "Dan", "Eve")]
    listed = pages[0].get_by_role("list", name="Others who are here").get_by_role("listitem")
    expect(listed).to_have_class([f"colour c{number}" for number in (1, 2, 3, 4)])


def test_a_page_that_was_cut_off_merges_what_was_typed_meanwhile(
    visit: Callable[[str], Page], server: BackgroundProcess
) -> None:
    ann, bob = visit("Ann"), visit("Bob")
    text(ann).press_sequentially("the middle")
    same([ann, bob], "the middle")
    server.stop()
    for page in (ann, bob):
        expect(page.get_by_role("status")).to_have_text(re.compile("^not connected"))
    text(ann).focus()
    ann.keyboard.press("Control+End")
    ann.keyboard.type(" and the end")
    text(bob).focus()
    bob.keyboard.press("Control+Home")
    bob.keyboard.type("The beginning, ")
    server.start()
    same([ann, bob], "The beginning, the middle and the end")
    expect(ann.get_by_role("status")).to_have_text("saved")


def test_much_is_typed_at_the_same_place_at_once(visit: Callable[[str], Page]) -> None:
    ann, bob = visit("Ann"), visit("Bob")
    for page, letter in ((ann, "a"), (bob, "b")):
        page.evaluate(
            """([letter]) => {
              const area = document.getElementById("text");
              window.typed = new Promise((done) => {
                let left = 100;
                const timer = setInterval(() => {
                  area.setRangeText(letter, area.selectionStart, area.selectionEnd, "end");
                  area.dispatchEvent(new InputEvent("input"));
                  left -= 1;
                  if (!left) { clearInterval(timer); done(); }
                }, 3);
              });
            }""",
            [letter],
        )
    for page in (ann, bob):
        page.evaluate("window.typed")
    same([ann, bob], re.compile("^[ab]{200}$"))
    assert sorted(text(ann).input_value()) == ["a"] * 100 + ["b"] * 100
    expect(text(bob)).to_have_value(text(ann).input_value())
