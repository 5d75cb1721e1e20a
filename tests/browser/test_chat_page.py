"""The chat's Streamlit page, and the exhibit beside it, in a real browser against a server that counts."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil
import pytest
from extras import needs
from shared import wait_until

needs("playwright")
needs("streamlit")
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Locator,
    Page,
    WebSocketRoute,
    expect,
)
from small_room import SmallRoom
from websockets.sync.client import ClientConnection, connect

from driver.chat_tab import Tab
from helpers import BackgroundProcess
from helpers.background.lifetime import Background

ROOT = Path(__file__).parents[2]
FAILURES = Path(__file__).parent / "failures"

STREAMLIT = str(Path(sys.executable).with_name("streamlit"))
DEADLINE = 10.0  # seconds from closing a tab until it has left the room; it is about 5
# What Streamlit's page says by itself when its own connection is cut while a fragment is due.
HARMLESS = "Cannot send rerun backMessage when disconnected from server"
HOSTILE = [
    "<img src=x onerror=alert(1)><script>alert(2)</script>",
    "**bold** _slanted_ `code` # title",
    ":smile: :material/home: :red[red] $x^2$",
    "[link](javascript:alert(3)) http://127.0.0.1/",
    "two\n  lines &amp; <b>",
]


def streamlit(script: str, chat_url: str) -> BackgroundProcess:
    """The command of the README, on a free port and without opening a browser."""
    command = [STREAMLIT, "run", script, "--server.headless=true", "--server.port={port}"]
    environment = {"CHAT_URL": chat_url}
    return BackgroundProcess(
        command, ready=r"URL: http://127\.0\.0\.1:", environment=environment, folder=ROOT
    )


@pytest.fixture(autouse=True)
def background_is_stopped() -> Iterator[None]:
    """In place of the one for all tests: server and page of this module stay until its end."""
    before = set(Background._running.values())
    yield
    assert set(Background._running.values()) <= before


@pytest.fixture(scope="module")
def the_room() -> Iterator[SmallRoom]:
    with SmallRoom() as room:
        yield room


@pytest.fixture(scope="module")
def chat_page(the_room: SmallRoom) -> Iterator[BackgroundProcess]:
    with streamlit("apps/chat/page.py", the_room.url) as page:
        yield page


@pytest.fixture(scope="module")
def naive_page(the_room: SmallRoom) -> Iterator[BackgroundProcess]:
    with streamlit("apps/chat/naive_page.py", the_room.url) as page:
        yield page


@pytest.fixture
def room(the_room: SmallRoom) -> Iterator[SmallRoom]:
    """The room, empty; and when all tabs are closed it must be empty again."""
    the_room.history.clear()
    the_room.heard.clear()
    the_room.came_at.clear()
    if not the_room.server.running:
        the_room.server.start()
    assert the_room.members == {}
    yield the_room
    wait_until(lambda: the_room.members == {}, DEADLINE, f"leaving, by {list(the_room.members)}")


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One for all tabs, because Streamlit's files take a second to load, and are loaded once."""
    with browser.new_context(viewport={"width": 900, "height": 800}, locale="en-US") as context:
        yield context


@pytest.fixture
def open_tab(
    request: pytest.FixtureRequest, context: BrowserContext, room: SmallRoom
) -> Iterator[Callable[..., Page]]:
    """Opens tabs; console errors in them fail the test at its end."""
    tabs: list[Page] = []
    errors: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and HARMLESS not in message.text:
            errors.append(f"{message.text} {message.location}")

    def dismiss(dialog: Dialog) -> None:
        errors.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def open_tab(url: str) -> Page:
        tab = context.new_page()
        tab.on("console", note)
        tab.on("pageerror", lambda error: errors.append(f"uncaught: {error}"))
        tab.on("dialog", dismiss)
        tabs.append(tab)
        tab.goto(url)
        return tab

    failed_before = request.session.testsfailed
    yield open_tab
    still_open = [tab for tab in tabs if not tab.is_closed()]
    for tab in still_open:  # whoever only closes the tab is waited for
        if (leave := tab.get_by_role("button", name="Leave", exact=True)).is_visible():
            leave.click()
    if still_open and request.session.testsfailed == failed_before:
        wait_on(still_open[0], lambda: not room.members, "leaving")
    for number, tab in enumerate(tabs):
        if not tab.is_closed() and (errors or request.session.testsfailed > failed_before):
            FAILURES.mkdir(exist_ok=True)
            tab.screenshot(path=FAILURES / f"{request.node.name}-{number}.png")
        tab.close()
    assert errors == []


@pytest.fixture
def join(open_tab: Callable[..., Page], chat_page: BackgroundProcess) -> Callable[..., Tab]:
    def join(name: str, room: str = "lobby") -> Tab:
        return Tab(open_tab(f"{chat_page.url}/?{urlencode({'name': name, 'room': room})}")).join(name)

    return join


def heard(room: SmallRoom, words: str) -> bool:
    return words in str(room.history)


def wait_on(page: Page, condition: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds, while the page goes on: what a test routes needs its turns."""

    def holds() -> bool:
        page.wait_for_timeout(20)
        return condition()

    wait_until(holds, 15, what)


def visitor(room: SmallRoom, name: str) -> ClientConnection:
    return connect(f"{room.url}?name={name}", proxy=None, compression=None)


def said(who: str, text: str) -> dict[str, str]:
    return {"type": "said", "who": who, "text": text}


def test_two_tabs_and_a_third_see_each_other(join: Callable[..., Tab], room: SmallRoom) -> None:
    ann, bob = join("Ann"), join("Bob")
    ann.here("Ann", "Bob")
    with visitor(room, "Zoe") as zoe:
        ann.say("hello")
        expect(bob.log).to_contain_text("hello")
        bob.say("/to Ann psst")
        expect(ann.log).to_contain_text("psst")
        zoe.send("from outside")
        for tab, lines in (
            (ann, ["Bob has joined.", "Zoe has joined.", "Ann: hello", "Bob to you alone: psst"]),
            (bob, ["Zoe has joined.", "Ann: hello", "Bob to Ann alone: psst"]),
        ):
            expect(tab.log).to_contain_text("from outside")
            assert tab.lines()[1:] == [*lines, "Zoe: from outside"]
            tab.here("Ann", "Bob", "Zoe")
        expect(ann.page.locator(".own .text")).to_have_text(["hello"])
        zoe.send("/typing")
        expect(ann.typing).to_contain_text("Zoe")
        ann.input.press_sequentially("I w")
        expect(bob.typing).to_contain_text("Ann")
        room.heard.clear()
        ann.button("Bob").click()
        ann.page.keyboard.type("too")
        expect(ann.page.get_by_text("Only Bob will read this.")).to_be_visible()
        ann.input.press("Enter")
        expect(bob.log).to_contain_text("I wtoo")
        expect(ann.log).to_contain_text("I wtoo")
        assert ann.said()[-1] == "Ann to Bob alone: I wtoo"


def test_thirty_messages_typed_at_once_all_arrive_in_their_order(
    join: Callable[..., Tab], room: SmallRoom
) -> None:
    ann, numbers = join("Ann"), [str(number) for number in range(30)]
    for number in numbers:
        ann.page.keyboard.type(number)
        ann.page.keyboard.press("Enter")
    expect(ann.page.locator(".lines .text")).to_have_text(numbers)
    assert [text for text in room.heard if text != "/typing"] == numbers
    expect(ann.page.locator(".mine .text")).to_have_count(0)


def test_nothing_that_was_typed_disappears_without_a_word(join: Callable[..., Tab], room: SmallRoom) -> None:
    ann = join("Ann")
    ann.input.fill("x" * 4097)
    ann.input.press("Enter")
    expect(ann.page.get_by_text("Too long to send: 4,097 characters")).to_be_visible()
    expect(ann.button("Send")).to_be_disabled()
    assert len(ann.input.input_value()) == 4097
    ann.input.fill("two")
    ann.input.press("Shift+Enter")
    ann.page.keyboard.type("lines")
    assert ann.input.input_value() == "two\nlines"
    ann.say("  /to Ann a secret")
    expect(ann.log).to_contain_text("a secret")
    assert [text for text in room.heard if text != "/typing"] == ["/to Ann a secret"]

    ann.say("/what")
    expect(ann.page.locator(".lines .failed")).to_contain_text("Not sent: no such command.")
    ann.button("Edit and send again").click()
    expect(ann.input).to_have_value("/what")


def test_a_reload_keeps_ones_place(join: Callable[..., Tab], room: SmallRoom) -> None:
    ann = join("Ann", room=" two  words ")
    with visitor(room, "Zoe") as zoe:
        zoe.send("/to Ann psst")
        expect(ann.log).to_contain_text("psst")
        ann.say("before")
        expect(ann.page.locator(".lines .own")).to_have_count(1)
        ann.input.fill("half a")
        lines, arrivals = ann.lines(), len(room.came_at)
        ann.page.keyboard.type(" word")
        ann.page.reload()
        ann.is_in("Ann")
        assert ann.lines() == lines
        expect(ann.input).to_have_value("half a word")
        ann.say("sent, and away")
        ann.page.reload()
        ann.is_in("Ann")
        expect(ann.page.locator(".lines .own .text")).to_have_text(["before", "sent, and away"])
        assert len(room.came_at) == arrivals
        expect(ann.page.get_by_role("heading", name="two words")).to_be_visible()


def test_a_restarted_server_is_found_again(join: Callable[..., Tab], room: SmallRoom) -> None:
    ann = join("Ann")
    ann.say("before")
    expect(ann.log).to_contain_text("before")
    room.server.stop()
    expect(ann.state).to_have_text(
        re.compile(r"Reconnecting: the server can't be reached\. Next try in \d s\.")
    )
    ann.say("meanwhile")
    expect(ann.page.locator(".mine .bubble")).to_have_text("meanwhilewaits for the connection")
    expect(ann.button("Last seen here")).to_be_hidden()  # the list is beside the log, in so wide a window
    room.server.start()
    ann.is_in("Ann")
    expect(ann.page.locator(".lines .own .text")).to_have_text(["before", "meanwhile"])
    expect(ann.page.locator(".mine .text")).to_have_count(0)
    with visitor(room, "Zoe") as zoe:
        zoe.send("after")
        expect(ann.log).to_contain_text("after")


def test_streamlits_own_connection_is_cut(
    open_tab: Callable[..., Page], chat_page: BackgroundProcess, room: SmallRoom
) -> None:
    """Streamlit's page comes back to its session, and finds its seat kept."""
    cables: list[WebSocketRoute] = []

    def plug_in(cable: WebSocketRoute) -> None:
        cables.append(cable)
        cable.connect_to_server()

    page = open_tab("about:blank")
    page.route_web_socket(re.compile("_stcore/stream"), plug_in)
    page.goto(f"{chat_page.url}/?name=Ann")
    ann = Tab(page).join("Ann")
    ann.say("before")
    expect(ann.log).to_contain_text("before")
    cables[-1].close(code=1001)
    ann.say("meanwhile")
    wait_on(page, lambda: heard(room, "meanwhile"), "what was typed meanwhile")
    expect(ann.page.locator(".lines .own .text")).to_have_text(["before", "meanwhile"])
    assert len(cables) > 1
    assert len(room.came_at) == 1


def test_a_flood_leaves_the_page_usable(join: Callable[..., Tab], room: SmallRoom) -> None:
    ann = join("Ann")
    for start in range(0, 1_000, 50):
        room.tell(*[said("Bob", f"{n} of 1000") for n in range(start + 1, start + 51)])
    ann.say("in between")
    expect(ann.log).to_contain_text("in between")
    expect(ann.log).to_contain_text("1000 of 1000")
    shown = ann.log.get_by_text("1000 of 1000")
    expect(shown).to_be_in_viewport()
    ann.scroll.evaluate("log => { log.scrollTop = 0 }")
    room.tell(*[said("Bob", f"burst {n}") for n in range(1, 4_001)])
    chip = ann.button(re.compile(r"\d+ new messages ↓"))
    expect(chip).to_be_visible()
    expect(ann.log).to_contain_text("burst 4000")
    expect(ann.log.get_by_text(re.compile("came faster than this page could show")).first).to_be_attached()
    assert ann.scroll.evaluate("log => log.scrollTop") < 100
    chip.click()
    expect(ann.log.get_by_text("burst 4000")).to_be_in_viewport()
    expect(chip).to_be_hidden()


def test_what_others_write_is_shown_as_text(join: Callable[..., Tab], room: SmallRoom) -> None:
    name = "<b>Zoe</b>**x**:smile:$x$"
    ann = join("Ann")
    with connect(f"{room.url}?name={name.replace('$', '%24')}", proxy=None) as zoe:
        for text in HOSTILE:
            zoe.send(text)
        zoe.send("/typing")
        expect(ann.typing).to_have_text(f"{name} is typing …")
        ann.here("Ann", name)
        expect(ann.log).to_contain_text("two")
        assert ann.lines()[1:] == [f"{name} has joined.", *(f"{name}: {text}" for text in HOSTILE)]
        assert (
            ann.page.locator(".lines, .members").locator("img, .katex, strong, em, code, a, b b").count() == 0
        )
        room.tell({"type": "bye", "text": "**bye** <b>"})
        expect(ann.log).to_contain_text("**bye** <b>")
    with visitor(room, "👩‍🚀 Una"):
        expect(ann.page.locator(".member .face").last).to_have_text("👩‍🚀")


def test_the_keyboard_is_enough(
    open_tab: Callable[..., Page], chat_page: BackgroundProcess, room: SmallRoom
) -> None:
    page = open_tab(chat_page.url)
    ann, keyboard = Tab(page), page.keyboard

    def tab_to(wanted: Locator) -> None:
        expect(wanted).to_be_visible()
        for _ in range(15):
            if wanted.evaluate("node => node.matches(':focus')"):
                return
            keyboard.press("Tab")
        raise AssertionError("not reached by 15 presses of Tab")

    tab_to(ann.name)
    keyboard.type("  Ann ")
    tab_to(page.get_by_label("Room"))
    keyboard.press("ControlOrMeta+A")
    keyboard.type("kitchen")
    keyboard.press("Enter")
    ann.is_in("Ann")
    expect(page).to_have_url(re.compile(r"/\?name=Ann&room=kitchen$"))
    keyboard.type("typed")  # the message is where one is at first
    keyboard.press("Enter")
    expect(ann.log).to_contain_text("typed")
    tab_to(ann.button("Leave"))
    keyboard.press("Enter")
    room.wait_for()
    ann.join("Ann")
    expect(page.locator(".lines .text")).to_have_text(["typed"])  # from the history
    assert ann.said() == ["Ann: typed"]


def test_a_tab_that_was_copied_takes_the_seat(
    join: Callable[..., Tab], open_tab: Callable[..., Page], room: SmallRoom
) -> None:
    ann = join("Ann")
    key, value = ann.page.evaluate("Object.entries(sessionStorage).find(([key]) => key.startsWith('chat'))")
    copy = open_tab("about:blank")
    copy.add_init_script(f"sessionStorage.setItem({json.dumps(key)}, {json.dumps(value)})")
    copy.goto(ann.page.url)
    Tab(copy).is_in("Ann")
    expect(ann.page.get_by_text("This chat goes on in another tab.")).to_be_visible()
    Tab(copy).button("Leave").click()
    room.wait_for()
    ann.button("Join again here").click()
    ann.is_in("Ann")


def test_a_refusal_is_shown(
    join: Callable[..., Tab], room: SmallRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = join("Ann")

    async def refuse(connection: Any, name: str) -> None:
        await connection.close(1008, "**no** <b>")

    monkeypatch.setattr(room, "greet", refuse)
    room.server.stop()
    room.server.start()
    ann.say("hello?")
    expect(ann.banner).to_contain_text("The server has ended it: **no** <b>.")
    expect(ann.page.locator(".mine")).to_contain_text("hello?")
    monkeypatch.undo()
    ann.button("Try again").click()
    ann.is_in("Ann")
    expect(ann.page.locator(".lines .own .text")).to_have_text(["hello?"])


def test_a_phone_with_its_keyboard_open(open_tab: Callable[..., Page], chat_page: BackgroundProcess) -> None:
    page = open_tab(f"{chat_page.url}/?name=Ann")
    page.set_viewport_size({"width": 390, "height": 780})
    ann = Tab(page).join("Ann")
    for number in range(20):
        ann.say(f"line {number}")
    page.set_viewport_size({"width": 390, "height": 400})
    for what in (ann.input, ann.button("Leave"), ann.log.get_by_text("line 19", exact=True)):
        expect(what).to_be_in_viewport(ratio=1)
    ann.button("1 here").click()
    expect(ann.members).to_be_in_viewport()
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390


def test_it_works_with_our_server_and_a_token(open_tab: Callable[..., Page]) -> None:
    """The command of the README, from the repository's root."""
    chat = [sys.executable, "-m", "apps.chat", "--port={port}", "--server-port=0"]
    environment = {"CHAT_TOKEN": "sesame"}
    with BackgroundProcess(chat, ready="Ctrl-C ends", environment=environment, folder=ROOT) as page:
        address = next(line for line in page.output if line.startswith("the page")).split()[-1]
        assert address.endswith("/?token=sesame")
        ann = Tab(open_tab(address))
        ann.name.fill("Ann")
        ann.button("Join").click()
        ann.is_in("Ann")
        assert "token" not in ann.page.url
        bob = Tab(open_tab(f"{page.url}/?name=Bob"))
        bob.button("Join").click()
        expect(bob.banner).to_contain_text(
            "This chat is behind a token: ask whoever runs it, and type it here."
        )
        bob.banner.get_by_label("Token").fill("sesame")
        bob.button("Try again").click()
        bob.is_in("Bob")
        bob.say("/to Ann psst")
        expect(ann.log).to_contain_text("psst")
        bob.button("Leave").click()
        expect(ann.log).to_contain_text("Bob has left.")
        ann.page.close()
        bob.page.close()


# The exhibit


class NaiveTab:
    def __init__(self, page: Page) -> None:
        self.page = page
        self.text = page.get_by_label("Message", exact=True)
        self.app = page.get_by_test_id("stApp")
        self.stop = page.get_by_test_id("stStatusWidget").get_by_role("button", name="Stop")

    def button(self, words: str) -> Locator:
        return self.page.get_by_test_id("stMain").get_by_role("button", name=words, exact=True)

    def is_running(self) -> None:
        expect(self.app).to_have_attribute("data-test-script-state", "running")

    def has_ended(self) -> None:
        expect(self.app).to_have_attribute("data-test-script-state", "notRunning")


@pytest.fixture
def naive(
    open_tab: Callable[..., Page],
    naive_page: BackgroundProcess,
    room: SmallRoom,
    monkeypatch: pytest.MonkeyPatch,
) -> NaiveTab:
    """The exhibit on a server that says nothing by itself, not even who comes."""

    async def serve(connection: Any) -> None:
        room.members[connection.id] = connection
        try:
            async for message in connection:
                room.heard.append(message)
                room._send(message)
        finally:
            del room.members[connection.id]

    monkeypatch.setattr(room.server, "handler", serve)
    room.server.stop()
    room.server.start()
    return NaiveTab(open_tab(naive_page.url))


def threads(page: BackgroundProcess) -> int:
    assert page._process is not None
    program = psutil.Process(page._process.pid).children()[0]
    return int(program.num_threads())


@pytest.mark.nightly
def test_naive_any_touch_ends_the_listening(naive: NaiveTab, room: SmallRoom) -> None:
    naive.button("Connect").click()
    wait_until(lambda: len(room.members) == 1)
    room.tell("one", "two", "three")
    expect(naive.page.get_by_text("three", exact=True)).to_be_visible()
    naive.is_running()
    expect(naive.stop).to_be_visible()

    naive.text.fill("hello")
    naive.text.press("Enter")
    naive.has_ended()
    expect(naive.page.get_by_text("three", exact=True)).to_have_count(0)
    expect(naive.stop).to_have_count(0)
    assert len(room.members) == 1  # the abandoned one

    naive.button("Send").click()
    wait_until(lambda: room.heard == ["hello"])
    naive.has_ended()
    wait_until(lambda: room.members == {})  # the echo has ended the abandoned one
    expect(naive.page.get_by_text("hello", exact=True)).to_have_count(0)
    assert naive.text.input_value() == "hello"


@pytest.mark.nightly
def test_naive_five_clicks_leave_five_connections(
    naive: NaiveTab, naive_page: BackgroundProcess, room: SmallRoom
) -> None:
    expect(naive.button("Connect")).to_be_visible()
    naive.has_ended()
    before = threads(naive_page)
    for clicks in range(1, 6):
        naive.button("Connect").click()
        wait_until(lambda clicks=clicks: len(room.members) == clicks)  # type: ignore[misc]
    expect(naive.stop).to_be_visible()
    assert threads(naive_page) >= before + 5
    naive.stop.click()
    expect(naive.stop).to_have_count(0)
    naive.page.wait_for_timeout(1_000)
    expect(naive.app).to_have_attribute("data-test-script-state", "stopRequested")
    assert len(room.members) == 5
    naive.page.close()
    time.sleep(2)
    assert len(room.members) == 5
    room.tell("at last")
    wait_until(lambda: room.members == {})
    wait_until(lambda: threads(naive_page) <= before)
