"""The chat's Streamlit page, and the exhibit beside it, in a real browser against a server that counts."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from extras import needs
from shared import wait_until

needs("playwright")
needs("streamlit")
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Locator, Page, WebSocketRoute, expect
from small_room import SmallRoom
from websockets.sync.client import ClientConnection, connect

from driver.chat_tab import Tab
from helpers import BackgroundProcess
from helpers.background.lifetime import Background

ROOT = Path(__file__).parents[2]
FAILURES = Path(__file__).parent / "failures"

STREAMLIT = str(Path(sys.executable).with_name("streamlit"))
DEADLINE = 10.0  # seconds from closing a tab until it has left the room; it is about 0.1
# What Streamlit's page says by itself when its own connection is cut while a fragment is due.
HARMLESS = "Cannot send rerun backMessage when disconnected from server"
SHOWS = "text => document.querySelector('.st-key-log').innerText.includes(text)"  # looked up at every frame
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
    if not the_room.server.running:
        the_room.server.start()
    assert the_room.members == {}
    yield the_room
    wait_until(lambda: the_room.members == {}, DEADLINE, f"leaving, by {list(the_room.members)}")


@pytest.fixture
def open_tab(
    request: pytest.FixtureRequest, browser: Browser, room: SmallRoom
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

    def open_tab(url: str, **options: Any) -> Page:
        size = {"width": 900, "height": 800}
        tab = browser.new_context(viewport=size, locale="en-US", **options).new_page()  # type: ignore[arg-type]
        tab.on("console", note)
        tab.on("pageerror", lambda error: errors.append(f"uncaught: {error}"))
        tab.on("dialog", dismiss)
        tabs.append(tab)
        tab.goto(url)
        return tab

    failed_before = request.session.testsfailed
    yield open_tab
    for number, tab in enumerate(tabs):
        if not tab.is_closed() and (errors or request.session.testsfailed > failed_before):
            FAILURES.mkdir(exist_ok=True)
            tab.screenshot(path=FAILURES / f"{request.node.name}-{number}.png")
        tab.context.close()
    assert errors == []


@pytest.fixture
def join(open_tab: Callable[..., Page], chat_page: BackgroundProcess) -> Callable[..., Tab]:
    def join(name: str, **options: Any) -> Tab:
        return Tab(open_tab(f"{chat_page.url}/?name={name}", **options)).join(name)

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


@contextmanager
def typing(peer: ClientConnection) -> Iterator[None]:
    """Say once a second that it is typing: the page forgets it after three, however busy the machine is."""
    enough = threading.Event()

    def go_on() -> None:
        while True:
            peer.send("/typing")
            if enough.wait(1):
                return

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


def test_two_tabs_and_a_third_see_each_other(join: Callable[..., Tab], room: SmallRoom) -> None:
    ann, bob = join("Ann"), join("Bob")
    ann.shows("2 here: Ann, Bob")
    with visitor(room, "Zoe") as zoe:
        ann.say("hello")
        expect(bob.log).to_contain_text("hello")
        bob.say("/to Ann psst")
        expect(ann.log).to_contain_text("psst")
        zoe.send("from outside")
        for tab, lines in (
            (ann, ["Bob has joined.", "Zoe has joined.", "Ann", "hello", "Bob, to Ann alone", "psst"]),
            (bob, ["Zoe has joined.", "Ann", "hello", "Bob, to Ann alone", "psst"]),
        ):
            expect(tab.log).to_contain_text("from outside")
            assert tab.lines() == [*lines, "Zoe", "from outside"]
            tab.shows("3 here: Ann, Bob, Zoe")
        with typing(zoe):
            ann.shows("typing: Zoe")
        took = []
        for number in range(10):
            begin = time.monotonic()
            zoe.send(f"number {number}")
            ann.page.wait_for_function(SHOWS, arg=f"number {number}")
            took.append(time.monotonic() - begin)
            ann.page.wait_for_timeout(70 * number)  # another place in the page's half second
        print(f"from send to visible: {min(took):.2f} to {max(took):.2f} s, median {sorted(took)[5]:.2f} s")


SLOW_PAGE = """
import time
import streamlit as st
from streamlit.runtime.scriptrunner.script_runner import ScriptRunner

if not hasattr(ScriptRunner, "finish"):
    ScriptRunner.finish = ScriptRunner._on_script_finished
    ScriptRunner._on_script_finished = lambda *seen: [time.sleep(0.3), ScriptRunner.finish(*seen)][1]
    st.ask = st.chat_input
    st.chat_input = lambda *arguments, **options: [time.sleep(0.4), st.ask(*arguments, **options)][1]

print("the whole script runs", flush=True)
exec(compile(open({page!r}).read(), {page!r}, "exec"))
"""  # a run takes its time until it asks what was typed, and to end, as on a busy machine


def test_what_is_typed_while_the_fragment_runs_is_sent(
    open_tab: Callable[..., Page], room: SmallRoom, tmp_path: Path
) -> None:
    """Only by fragments, one after another.

    If the whole script ran, beside a fragment's run on another thread, the latter's end would take back
    what `st.chat_input` is about to return; and the fragment's clock would be stopped and set anew, by
    messages that a busy session drops.
    """
    script = tmp_path / "slow_page.py"
    script.write_text(SLOW_PAGE.format(page=str(ROOT / "apps" / "chat" / "page.py")))
    with streamlit(str(script), room.url) as page:
        ann = Tab(open_tab(f"{page.url}/?name=Ann")).join("Ann")
        runs = page.output.count("the whole script runs")
        for number in range(6):
            ann.page.wait_for_timeout(100 * number)  # another place in the fragment's turn
            ann.say(f"number {number}")
            wait_until(partial(heard, room, f"number {number}"), 20, f"number {number}")
        assert page.output.count("the whole script runs") == runs > 0
        ann.page.close()


def test_a_closed_tab_leaves_and_the_other_stays(join: Callable[..., Tab], room: SmallRoom) -> None:
    join("Ann")
    bob = join("Bob")
    with visitor(room, "Zoe") as zoe:
        begin = time.monotonic()
        bob.page.close()
        while '"left"' not in (event := zoe.recv(DEADLINE)):
            pass
        print(f"from closing the tab to `left`: {time.monotonic() - begin:.2f} s")
        assert event == '{"type": "left", "who": "Bob"}'
        room.wait_for("Ann", "Zoe")


def test_a_reload_keeps_the_form_and_the_history(join: Callable[..., Tab], room: SmallRoom) -> None:
    ann = join("Ann")
    ann.say("before")
    expect(ann.log).to_contain_text("before")
    ann.page.reload()
    expect(ann.name).to_have_value("Ann")
    room.wait_for()
    ann.join("Ann")
    expect(ann.log).to_contain_text("before")
    assert ann.lines() == ["Ann", "before"]


def test_a_restarted_server_is_found_again(join: Callable[..., Tab], room: SmallRoom) -> None:
    ann = join("Ann")
    ann.say("before")
    expect(ann.log).to_contain_text("before")
    room.server.stop()
    ann.shows(re.compile(r"Reconnecting: the server can't be reached\. Next try in \d s\."), timeout=10_000)
    ann.say("meanwhile")
    ann.shows(re.compile("Reconnecting: .* Messages waiting: 1."))
    ann.shows("Last seen here: Ann")
    room.server.start()
    ann.shows("Connected as Ann.", timeout=10_000)
    ann.shows("1 here: Ann")
    expect(ann.log).to_contain_text("meanwhile")
    assert ann.lines() == ["Ann", "before", "meanwhile"]
    with visitor(room, "Zoe") as zoe:
        zoe.send("after")
        expect(ann.log).to_contain_text("after")


def test_streamlits_own_connection_is_cut(
    join: Callable[..., Tab], open_tab: Callable[..., Page], chat_page: BackgroundProcess, room: SmallRoom
) -> None:
    """Streamlit's page comes back to its session, which has lost its client and gets another."""
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
    arrivals = len(room.came_at)
    cables[-1].close(code=1001)
    wait_on(page, lambda: len(room.came_at) == arrivals + 1, "coming back")
    ann.shows("Connected as Ann.")
    ann.say("after")
    expect(ann.log).to_contain_text("after")
    assert ann.lines() == ["Ann", "before", "after"]
    assert list(room.members) == ["Ann"]


def test_a_flood_leaves_the_page_usable(join: Callable[..., Tab], room: SmallRoom) -> None:
    ann = join("Ann")
    for start in range(0, 2_000, 50):
        room.tell(
            *[{"type": "said", "who": "Bob", "text": f"{n} of 2000"} for n in range(start + 1, start + 51)]
        )
        if start == 1_000:
            ann.say("in between")
        ann.page.wait_for_timeout(40)
    wait_on(ann.page, lambda: "in between" in room.heard, "being heard")
    expect(ann.log).to_contain_text("2000 of 2000")
    numbered = [line for line in ann.lines() if line not in ("Bob", "Ann", "in between")]
    assert numbered == [f"{n} of 2000" for n in range(2001 - len(numbered), 2001)]
    assert len(numbered) in (99, 100)  # her own line comes when it comes, and may be one of the hundred
    expect(ann.page.get_by_text("came faster")).to_have_count(0)
    expect(ann.log.get_by_text("2000 of 2000")).to_be_in_viewport()

    room.tell(*[{"type": "said", "who": "Bob", "text": f"burst {n}"} for n in range(1, 5_001)])
    expect(ann.log).to_contain_text("burst 5000")
    ann.shows(re.compile(r"[1-4],?\d{3} events came faster than this page could show them\."))
    ann.say("still here")
    expect(ann.log).to_contain_text("still here")


def test_what_others_write_is_shown_as_text(join: Callable[..., Tab], room: SmallRoom) -> None:
    name = "<b>Zoe</b>**x**:smile:$x$"
    ann = join("Ann")
    with connect(f"{room.url}?name={name.replace('$', '%24')}", proxy=None) as zoe:
        for text in HOSTILE:
            zoe.send(text)
        with typing(zoe):
            ann.shows(f"typing: {name}")
        ann.shows(f"2 here: Ann, {name}")
        expect(ann.log).to_contain_text("two")
        shown = ann.log.get_by_test_id("stText").all_inner_texts()
        assert shown == [f"{name} has joined.", name, "\n".join(HOSTILE)]
        assert ann.page.get_by_test_id("stMain").locator("img, .katex, strong, em, code, a, b").count() == 0
        room.tell({"type": "bye", "text": "**bye** <b>"})
        expect(ann.log).to_contain_text("**bye** <b>")
    room.tell({"type": "bye", "text": "**why** <b> $x$ :smile:"})
    room.server.stop()
    ann.shows(re.compile(r"Reconnecting: (\*\*why\*\* <b> \$x\$ :smile:|.* can't be reached)\. .*"))
    room.server.start()
    ann.shows("Connected as Ann.", timeout=10_000)


def test_the_keyboard_is_enough(
    open_tab: Callable[..., Page], chat_page: BackgroundProcess, room: SmallRoom
) -> None:
    page = open_tab(chat_page.url)
    ann, keyboard = Tab(page), page.keyboard

    def tab_to(wanted: Locator, key: str = "Tab") -> None:
        expect(wanted).to_be_visible()
        for _ in range(15):
            if wanted.evaluate("node => node === document.activeElement"):
                return
            keyboard.press(key)
        raise AssertionError("not reached by 15 presses of Tab")

    tab_to(ann.name)
    keyboard.type("Ann")
    tab_to(page.get_by_label("Room"))
    keyboard.press("ControlOrMeta+A")
    keyboard.type("kitchen")
    tab_to(ann.button("Join"))
    keyboard.press("Enter")
    ann.shows("kitchen")
    ann.shows("Connected as Ann.")
    assert page.url.endswith("/?name=Ann&room=kitchen")
    tab_to(ann.input)
    keyboard.type("typed")
    keyboard.press("Enter")
    expect(ann.log).to_contain_text("typed")
    tab_to(ann.button("Leave"))
    keyboard.press("Enter")
    expect(ann.name).to_have_value("Ann")
    room.wait_for()


def test_leaving_is_for_this_tab_alone(join: Callable[..., Tab], room: SmallRoom) -> None:
    ann, bob = join("Ann"), join("Bob")
    ann.button("Leave").click()
    expect(ann.button("Join")).to_be_visible()
    room.wait_for("Bob")
    expect(bob.log).to_contain_text("Ann has left.")
    bob.shows("1 here: Bob")
    ann.join("Ann")
    room.wait_for("Bob", "Ann")
    assert ann.lines() == []


def test_a_refusal_is_shown(
    join: Callable[..., Tab], room: SmallRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = join("Ann")

    async def refuse(connection: Any, name: str) -> None:
        await connection.close(1008, "**no** <b>")

    monkeypatch.setattr(room, "greet", refuse)
    ann.button("Leave").click()
    ann.button("Join").click()
    ann.shows("The server has ended it: **no** <b>.")
    ann.say("hello?")
    ann.shows("Not sent. The server has ended it: **no** <b>.")
    monkeypatch.undo()
    ann.button("Leave").click()
    ann.join("Ann")


def test_it_works_with_our_server(open_tab: Callable[..., Page]) -> None:
    """Both commands of the README, from the repository's root."""
    uvicorn = [sys.executable, "-m", "uvicorn", "apps.chat.server:app", "--port={port}"]
    with (
        BackgroundProcess(uvicorn, ready="running on", folder=ROOT, scheme="ws") as server,
        streamlit("apps/chat/page.py", f"{server.url}/ws") as page,
    ):
        ann, bob = (Tab(open_tab(f"{page.url}/?name={name}")).join(name) for name in ("Ann", "Bob"))
        ann.say("hello")
        expect(bob.log).to_contain_text("hello")
        server.stop()
        ann.shows(re.compile(r"Reconnecting: .*"), timeout=10_000)
        server.start()
        ann.shows("Connected as Ann.", timeout=10_000)
        bob.shows("Connected as Bob.", timeout=10_000)
        bob.say("/to Ann psst")
        expect(ann.log).to_contain_text("psst")
        bob.page.close()
        expect(ann.log).to_contain_text("Bob has left.")
        ann.page.close()


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
