"""The panels under a person's hands: real clicks and keys in JupyterLab."""

from __future__ import annotations

import queue
import re
from collections.abc import Callable
from typing import cast

import pytest
from extras import needs
from websockets.asyncio.server import ServerConnection

from driver.lab import JupyterLab
from driver.notebook_page import NotebookPage, Theme
from helpers import BackgroundServer

needs("playwright")
from playwright.sync_api import Locator, expect

SERVER = """\
import threading
from helpers import BackgroundServer, BrowserClient, ClientPanel
from websockets.asyncio.server import broadcast
from ipywidgets import HBox

everybody, release = set(), threading.Event()

async def relay(connection):
    everybody.add(connection)
    try:
        async for message in connection:
            command, _, rest = str(message).partition(" ")
            if command == "/bye":
                await connection.close(4001, "bye")
            elif command == "/release":
                release.set()
            elif command == "/flood":
                for number in range(int(rest) + 1):
                    await connection.send(f"{number} of {rest}")
            else:
                broadcast(everybody, message)
    finally:
        everybody.discard(connection)

server = BackgroundServer(relay, compression=None).start()"""

PANELS = """\
ann, bob = ClientPanel("Ann", server.url, compression=None), ClientPanel("Bob", server.url)
HBox([ann, bob])"""
WEB = """\
web = BrowserClient("Browser", server.url)
web"""
DIRECT = """\
direct = BrowserClient("Direct", server.url, mode="direct")
direct"""
CELLS = {
    "server": SERVER,
    "panels": PANELS,
    "web": WEB,
    "direct": DIRECT,
    "awaits": 'print("waits", flush=True)\nawait bob.received("while it waits", timeout=60)',
    "blocks": "print('blocks', flush=True)\nassert release.wait(60)",
    "connect": "for panel in (ann, bob, web):\n    await panel.connect()",
    "counts": "print(ann.received_count, web.received_count, web.state, web.detail, web.route, sep=' | ')",
    "again": "await web.connect()\nweb.send('once')\nprint(len(everybody), web.state)",
    "refuses": """refuses = BackgroundServer(relay, name="refuses", origins=["https://elsewhere.example"]).start()
web._address = refuses.url""",
    "stop": "server.stop()",
}
AT = {name: index for index, name in enumerate(CELLS)}

# The longest time between two animation frames since `gaps(true)`, in milliseconds, and frames per second.
GAPS = """() => {
  window.frames_seen = { longest: 0, count: 0, since: performance.now(), last: performance.now() };
  const seen = window.frames_seen;
  const frame = (now) => {
    if (window.frames_seen !== seen) return;
    seen.longest = Math.max(seen.longest, now - seen.last);
    seen.last = now;
    seen.count += 1;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}"""
LONGEST = """() => ({ longest: frames_seen.longest,
  fps: frames_seen.count / (performance.now() - frames_seen.since) * 1000 })"""
# Pixels below what is seen of a log, after the frame in which its size has changed.
BELOW = """log => new Promise((tell) => requestAnimationFrame(() => requestAnimationFrame(() =>
  tell(log.scrollHeight - log.scrollTop - log.clientHeight))))"""
LONGEST_GAP = (
    1000  # milliseconds; it is about 30 on a machine at rest, and seconds where each message is drawn
)

# Text and the ground that it stands on, after the formula of WCAG 2.2 ("relative luminance").
CONTRAST = """(node) => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const luminance = () => {
    const [R, G, B] = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3)
      .map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * R + 0.7152 * G + 0.0722 * B;
  };
  const grounds = [];
  for (let at = node; at; at = at.parentElement) grounds.unshift(getComputedStyle(at).backgroundColor);
  const paint = (colour) => { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); };
  grounds.forEach(paint);
  const ground = luminance();
  paint(getComputedStyle(node).color);
  const text = luminance();
  return (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
}"""


TEXTS = """.wsbook-name, .wsbook-state, .wsbook-counts, .wsbook-route, .wsbook-address, .wsbook-text, button,
  .wsbook-line time, .wsbook-arrow, .wsbook-text-of"""


@pytest.fixture
def page(page: NotebookPage, lab: JupyterLab) -> NotebookPage:
    lab.add("panels.ipynb", CELLS.values())
    page.open("panels.ipynb")
    page.run_cell(AT["server"])
    return page


class Panel:
    """One panel on the page, as a person (or a screen reader) finds it."""

    def __init__(self, page: NotebookPage, name: str) -> None:
        self.page = page
        self.whole = page.page.get_by_role("group", name=f"WebSocket client {name}", exact=True)
        self.state = self.whole.get_by_role("status")
        self.log = self.whole.get_by_role("log", name=f"{name}: messages", exact=True)
        self.text = self.whole.get_by_label(f"{name}: message to send", exact=True)
        self.address = self.whole.get_by_label(f"{name}: address of the server", exact=True)
        self.send = self.button("Send")
        self.counts = self.whole.locator(".wsbook-counts")
        self.lines = self.log.locator(".wsbook-line")
        self.route = self.whole.locator(".wsbook-route")

    def button(self, words: str) -> Locator:
        return self.whole.get_by_role("button", name=words, exact=True)

    def connect(self) -> None:
        self.button("Connect").click()
        expect(self.state).to_have_text("open")

    def say(self, words: str) -> None:
        self.text.fill(words)
        self.text.press("Enter")


def contrasts(*panels: Panel) -> dict[str, float]:
    """The poorest contrast of text against its ground, for each kind of text in the panels."""
    poorest: dict[str, float] = {}
    for panel in panels:
        for node in panel.whole.locator(TEXTS).all():
            kind, contrast = node.evaluate(f"node => [node.className || node.tagName, ({CONTRAST})(node)]")
            poorest[kind] = min(contrast, poorest.get(kind, contrast))
    assert len(poorest) > 8
    return poorest


def longest_gap(page: NotebookPage, what: str) -> float:
    seen = cast("dict[str, float]", page.page.evaluate(LONGEST))
    print(f"{what}: longest gap {seen['longest']:.0f} ms, {seen['fps']:.0f} frames a second")
    return seen["longest"]


def test_people_talk_with_mouse_and_keys(page: NotebookPage) -> None:
    page.run_cell(AT["panels"])
    page.run_cell(AT["web"])
    keyboard = page.page.keyboard
    ann, bob, web = Panel(page, "Ann"), Panel(page, "Bob"), Panel(page, "Browser")

    expect(ann.state).to_have_text("closed: not connected yet")
    expect(ann.log).to_have_text("No messages yet.")
    expect(ann.send).to_be_disabled()
    for panel in (ann, web):
        panel.say("kept")
        expect(panel.lines.last).to_contain_text("not connected (closed)")
        expect(panel.lines.last).to_contain_text("press Connect")
        expect(panel.text).to_have_value("kept")
    web.text.fill("")
    for panel in (ann, bob, web):
        panel.connect()
    expect(web.route).to_have_text("Connected by this page, through Jupyter's proxy.")

    # Keys that JupyterLab would take for commands, among them "dd", which deletes a cell
    ann.text.fill("")
    ann.text.press_sequentially("dd ab m 00")
    keyboard.press("Enter")
    for panel in (ann, bob, web):
        expect(panel.lines.last).to_contain_text("received: dd ab m 00")
    expect(ann.text).to_have_value("")
    expect(ann.counts).to_have_text("1 sent, 1 received")
    expect(bob.counts).to_have_text("0 sent, 1 received")

    bob.text.fill("<img src=x onerror=alert(1)><b>bold</b>")
    bob.send.click()
    for panel in (ann, bob, web):
        expect(panel.lines.last).to_contain_text("<img src=x onerror=alert(1)><b>bold</b>")
        expect(panel.log.locator("img, b")).to_have_count(0)

    # The keyboard alone: through all fields in order, Enter and the space bar on buttons
    web.address.focus()
    order = [web.button("Disconnect"), web.log, web.text, web.send]
    for field in order:
        keyboard.press("Tab")
        expect(field).to_be_focused()
    keyboard.press("Shift+Tab")
    keyboard.type("typed")
    keyboard.press("Tab")
    keyboard.press("Enter")
    expect(ann.lines.last).to_contain_text("received: typed")
    expect(web.counts).to_have_text("1 sent, 3 received")
    web.button("Disconnect").focus()
    keyboard.press("Enter")
    expect(web.state).to_contain_text("closed")
    expect(web.button("Connect")).to_be_focused()
    keyboard.press("Space")
    expect(web.state).to_have_text("open")
    web.button("Disconnect").focus()
    keyboard.press("Shift+Enter")  # is meant for a cell
    ann.button("Disconnect").click()
    expect(ann.state).to_have_text("closed: 1000")
    expect(web.state).to_have_text("open")
    ann.address.fill("ws://127.0.0.1:1")
    ann.address.press("Enter")
    expect(ann.state).to_have_text(
        "closed: nothing is listening at ws://127.0.0.1:1: start the server, or correct the address"
    )
    ann.address.press("Escape")
    expect(page.page.locator(".jp-Notebook .jp-Cell:focus").filter(has=ann.whole)).to_have_count(1)
    assert [cell["source"] for cell in page._cells()] == list(CELLS.values())

    grounds = []
    themes: tuple[Theme, ...] = ("JupyterLab Light", "JupyterLab Dark")
    for theme in themes:
        page.set_theme(theme)
        assert {what: contrast for what, contrast in contrasts(ann, bob, web).items() if contrast < 4.5} == {}
        grounds.append(ann.whole.evaluate("node => getComputedStyle(node).backgroundColor"))
    assert grounds[0] != grounds[1]


def test_a_cell_that_blocks_and_a_cell_that_waits(page: NotebookPage) -> None:
    page.run_cell(AT["panels"])
    page.run_cell(AT["web"])
    ann, bob, web = Panel(page, "Ann"), Panel(page, "Bob"), Panel(page, "Browser")

    # Connected by a cell, the clicks below wait for the kernel's main thread. ipykernel 7.4 hands a comm's
    # messages to the thread that published on it last, which after a click may be a subshell: they don't.
    page.run_cell(AT["connect"])
    page.run_cell(AT["blocks"], wait=False)
    expect(page.cell(AT["blocks"]).locator(".jp-OutputArea-output")).to_have_text("blocks")
    web.say("one")
    for panel in (ann, bob, web):
        expect(panel.lines.last).to_contain_text("received: one")
    ann.say("a whole sentence")
    expect(ann.text).to_have_value("")
    expect(ann.state).to_have_text("waiting: the kernel is busy")
    web.say("two")
    expect(ann.lines.last).to_contain_text("received: two")
    expect(ann.state).to_have_text("waiting: the kernel is busy")
    expect(web.state).to_have_text("open")
    web.say("/release")
    expect(bob.lines.last).to_contain_text("received: a whole sentence")
    expect(ann.state).to_have_text("open")
    expect(ann.counts).to_have_text("1 sent, 3 received")
    page.wait_for_idle()

    page.run_cell(AT["awaits"], wait=False)
    expect(page.cell(AT["awaits"]).locator(".jp-OutputArea-output")).to_have_text("waits")
    for panel in (ann, web):
        panel.button("Disconnect").click()
        expect(panel.state).to_contain_text("closed")
        panel.connect()
    ann.say("while it waits")
    expect(bob.lines.last).to_contain_text("received: while it waits")
    page.wait_for_idle()
    assert page.output_text(AT["awaits"]) == "waits\n\n'while it waits'"


def test_floods(page: NotebookPage) -> None:
    page.run_cell(AT["panels"])
    page.run_cell(AT["web"])
    ann, web = Panel(page, "Ann"), Panel(page, "Browser")
    page.run_cell(AT["connect"])
    for panel, count in ((ann, 20_000), (web, 10_000)):
        panel.text.fill(f"/flood {count}")
        page.page.evaluate(GAPS)
        panel.text.press("Enter")
        expect(panel.lines.last).to_contain_text(f"{count} of {count}", timeout=30_000)
        assert longest_gap(page, f"flood of {count:,}") <= LONGEST_GAP
        expect(panel.counts).to_have_text(f"1 sent, {count + 1:,} received")
        expect(panel.lines).to_have_count(200)
        assert panel.log.evaluate("log => log.scrollHeight - log.scrollTop - log.clientHeight") < 2
    page.run_cell(AT["counts"])
    page.page.wait_for_timeout(200)
    page.run_cell(AT["counts"])
    assert page.output_text(AT["counts"]).startswith("20001 | 10001 | open | ")

    # Who has scrolled up stays there; who is at the end follows
    ann.log.evaluate("log => { log.scrollTop = 500; }")
    place = ann.lines.filter(has_text="of 20000").nth(40)
    words = place.inner_text()
    ann.say("another line")
    expect(ann.lines.last).to_contain_text("another line")
    assert ann.log.evaluate("log => log.scrollHeight - log.scrollTop - log.clientHeight") > 1000
    expect(web.lines.last).to_contain_text("another line")
    assert web.log.evaluate("log => log.scrollHeight - log.scrollTop - log.clientHeight") < 2
    assert words


def test_a_log_whose_size_changes(page: NotebookPage) -> None:
    page.run_cell(AT["web"])
    web = Panel(page, "Browser")
    web.connect()
    for number in range(1, 11):
        web.say(f"{number} " + "words " * 60)
    expect(web.counts).to_have_text("10 sent, 10 received")
    size = page.page.viewport_size
    assert size is not None

    def widen(by: int) -> int:
        """Change the window's width until the log's has changed; return the pixels below what is seen."""
        before = web.log.evaluate("log => log.clientWidth")
        size["width"] += by
        page.page.set_viewport_size(size)
        page.page.wait_for_function(
            "([log, before]) => Math.abs(log.clientWidth - before) > 100",
            arg=[web.log.element_handle(), before],
        )
        return cast(int, web.log.evaluate(BELOW))

    # Who is at the end sees the end, whether lines are wrapped anew or as before
    long = web.log.evaluate("log => log.scrollHeight")
    assert widen(-500) < 2
    assert web.log.evaluate("log => log.scrollHeight") > long + 200
    assert widen(500) < 2

    # Who has scrolled up stays there
    web.log.evaluate("log => { log.scrollTop = 60; }")
    assert web.log.evaluate(BELOW) > 200
    assert widen(-500) > 200
    assert widen(500) > 200


def test_directly_a_reload_and_the_end(page: NotebookPage) -> None:
    page.run_cell(AT["web"])
    page.run_cell(AT["direct"])
    web, direct = Panel(page, "Browser"), Panel(page, "Direct")
    web.connect()
    direct.connect()
    expect(direct.route).to_have_text("Connected by this page, directly.")
    web.say("/bye")
    expect(web.state).to_have_text("closed: 1005")
    direct.say("/bye")
    expect(direct.state).to_have_text("closed: 4001 (bye)")
    web.connect()
    web.say("before")
    expect(web.counts).to_have_text("2 sent, 1 received")

    page.page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    page.open("panels.ipynb")
    expect(web.state).to_contain_text("closed")
    expect(web.log).to_contain_text("received: before")
    expect(web.counts).to_have_text("2 sent, 1 received")
    page.run_cell(AT["web"])
    web.connect()
    web.say("through")  # "open" says that the proxy has answered, not yet the server
    expect(web.log).to_contain_text("received: through")
    direct.connect()
    page.run_cell(AT["stop"])
    expect(direct.state).to_have_text("closed: 1001 (server stopped)")
    expect(web.state).to_have_text("closed: 1005")


def test_many_cookies_and_why_there_is_no_connection(page: NotebookPage) -> None:
    context = page.page.context
    many = [(f"username-localhost-{8800 + number}", "c" * 260) for number in range(36)]
    context.add_cookies([{"name": name, "value": value, "url": page.page.url} for name, value in many])
    page.run_cell(AT["web"])
    web = Panel(page, "Browser")
    web.connect()
    web.say("hi")
    expect(web.log).to_contain_text("received: hi")

    web.button("Disconnect").click()
    page.run_cell(AT["refuses"])
    web.button("Connect").click()
    said = (
        "closed: 1006: 'refuses' says: a peer did not complete the handshake (403 Forbidden): InvalidOrigin"
    )
    expect(web.state).to_contain_text(said)
    web.address.fill("ws://127.0.0.1:1")
    web.button("Connect").click()
    expect(web.state).to_contain_text(
        "closed: 1006: nothing is listening at ws://127.0.0.1:1: start the server"
    )
    context.clear_cookies(name=re.compile("username-localhost-88"))


def test_two_tabs(page: NotebookPage, new_page: Callable[..., NotebookPage]) -> None:
    page.run_cell(AT["panels"])
    page.run_cell(AT["web"])
    desk, ann = Panel(page, "Browser"), Panel(page, "Ann")
    desk.connect()
    ann.connect()
    desk.say("one")
    expect(desk.counts).to_have_text("1 sent, 1 received")
    page.page.evaluate("jupyterapp.commands.execute('docmanager:save')")

    second = new_page()
    second.open("panels.ipynb")
    projector, there = Panel(second, "Browser"), Panel(second, "Ann")
    expect(projector.state).to_have_text("open in another tab")
    expect(projector.log).to_contain_text("received: one")
    expect(projector.send).to_be_disabled()
    expect(there.state).to_have_text("open")
    page.run_cell(AT["again"])
    assert page.output_text(AT["again"]) == "2 open"
    for panel in (desk, projector):
        expect(panel.counts).to_have_text("2 sent, 2 received")
        expect(panel.log.get_by_text("once")).to_have_count(2)
    there.say("from the projector")
    for panel in (ann, there):
        expect(panel.counts).to_have_text("1 sent, 3 received")
        expect(panel.text).to_have_value("")
        expect(panel.state).to_have_text("open")

    projector.button("Connect here").click()
    expect(projector.state).to_have_text("open")
    expect(desk.state).to_have_text("open in another tab")
    projector.say("two")
    for panel in (desk, projector):
        expect(panel.log).to_contain_text("received: two")
        expect(panel.counts).to_have_text("3 sent, 4 received")
    second.page.close()
    second.name = ""  # its kernel is the other page's
    expect(desk.state).to_have_text("closed: the page was closed or reloaded")
    desk.connect()  # to Jupyter's proxy, that is; the server may not know of it yet
    desk.say("back")
    expect(desk.log).to_contain_text("received: back")
    page.run_cell(AT["again"])
    assert page.output_text(AT["again"]) == "2 open"


def test_a_restarted_kernel(page: NotebookPage) -> None:
    gone = "closed: the kernel was restarted or has ended: run all cells again"
    ann, web, direct = (Panel(page, name) for name in ("Ann", "Browser", "Direct"))
    for cell in ("panels", "web", "direct"):
        page.run_cell(AT[cell])
    for panel in (ann, web):
        panel.connect()
    page.restart_kernel()
    for panel in (ann, web, direct):
        expect(panel.state).to_have_text(gone)
        expect(panel.state).to_have_attribute("data-state", "failed")
        panel.say("kept")
        for button in ("Send", "Connect"):
            panel.button(button).click(force=True)  # they look disabled, and a person may try
        expect(panel.text).to_have_value("kept")
        expect(panel.state).to_have_text(gone)
        expect(panel.log).not_to_contain_text("kept")

    for cell in ("server", "panels", "web"):
        page.run_cell(AT[cell])
    for panel in (ann, web):
        panel.connect()
    web.say("after")
    expect(ann.log).to_contain_text("received: after")


def test_a_browsers_connection_to_elsewhere_ends_with_its_kernel(page: NotebookPage) -> None:
    ends: queue.Queue[int | None] = queue.Queue()

    async def elsewhere(connection: ServerConnection) -> None:
        await connection.wait_closed()
        ends.put(connection.close_code)

    page.run_cell(AT["direct"])
    direct = Panel(page, "Direct")
    with BackgroundServer(elsewhere) as server:
        direct.address.fill(server.url)
        direct.connect()
        page.restart_kernel()
        assert ends.get(timeout=60) == 1000
    expect(direct.state).to_have_text("closed: the kernel was restarted or has ended: run all cells again")


def test_a_kernel_that_has_ended_is_found_out_by_the_next_wish(page: NotebookPage) -> None:
    page.run_cell(AT["panels"])
    page.run_cell(AT["direct"])
    page.page.evaluate("jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    for panel in (Panel(page, "Ann"), Panel(page, "Direct")):
        panel.button("Connect").click()
        expect(panel.state).to_have_text("closed: the kernel was restarted or has ended: run all cells again")


def test_a_connection_to_the_kernel_that_comes_back(page: NotebookPage) -> None:
    page.run_cell(AT["panels"])
    page.run_cell(AT["direct"])
    ann, direct = Panel(page, "Ann"), Panel(page, "Direct")
    ann.connect()
    direct.connect()
    page.page.evaluate("jupyterapp.shell.currentWidget.sessionContext.session.kernel.reconnect()")
    direct.say("still here")
    expect(ann.log).to_contain_text("received: still here")
    ann.say("so am I")
    expect(direct.log).to_contain_text("received: so am I")
    expect(ann.state).to_have_text("open")
