"""Every notebook of the book runs from its first cell to its last in JupyterLab, in a real browser.

Then some of them are under a person's hands: who clicks and types after *Run All*.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from extras import needs

from driver.lab import JupyterLab
from driver.notebook_page import NotebookPage

needs("playwright")
needs("streamlit")
from playwright.sync_api import Locator, expect

from driver.chat_tab import Tab
from driver.narrow_window import tables_fit_a_narrow_window

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
START = "00_start_here.ipynb"
NAMES = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))

KILLS = {"07_collect_sensor_data.ipynb", "08_edit_together.ipynb"}
"""Notebooks that kill the server of a page which may just be loading; it is loaded again afterwards."""

AT_NIGHT = {"01_compare_http_and_websocket.ipynb", "14_scale_out.ipynb"}
"""Notebooks that measure much, and have little that only a browser shows: 01's race and widest table are in
`test_race.py`, 14's models below. nbval runs them each time."""

BY_HAND: dict[str, Callable[[NotebookPage], None]] = {}
"""What a person does with a notebook after it ran, by the notebook's name."""


def by_hand(name: str) -> Callable[[Callable[[NotebookPage], None]], None]:
    def keep(work: Callable[[NotebookPage], None]) -> None:
        BY_HAND[name] = work

    return keep


def test_there_are_notebooks() -> None:
    assert NAMES, f"no notebook in {NOTEBOOKS}"
    assert set(BY_HAND) <= set(NAMES)


@pytest.fixture
def lab_without_a_path() -> Iterator[JupyterLab]:
    """A JupyterLab as `run.py lab` starts it; the one for all tests has a path, as on Binder."""
    with JupyterLab([NOTEBOOKS / START]) as lab:
        yield lab


def test_run_all_of_the_start(lab_without_a_path: JupyterLab, new_page: Callable[..., NotebookPage]) -> None:
    page = new_page(lab_without_a_path)
    page.open(START)
    page.run_all()
    page.wait_for_idle()
    BY_HAND[START](page)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.nightly] if name in AT_NIGHT else [])
        for name in NAMES
        if name != START
    ],
)
def test_run_all(name: str, page: NotebookPage) -> None:
    page.open(name)
    page.run_all()
    page.wait_for_idle()
    tables_fit_a_narrow_window(page)
    if name in KILLS:
        page.forget_console_errors(r"(status of 5\d\d |Refused to apply style ).*/proxy/\d+/")
    if name in BY_HAND:
        BY_HAND[name](page)


def test_the_models_of_scale_out(page: NotebookPage) -> None:
    """What a browser shows of a chapter that runs in it at night."""
    page.open("14_scale_out.ipynb")
    page.run_cell(page.find_cell("from ipywidgets import"))
    page.run_code("kib, message, delivery = 40, 250e-6, 25e-6  # about what is measured")
    model = ("def plan(", "sliders = [", "VBox([*sliders")
    for cell in (*model, "def restart(", "guess_handshakes = ", "waves = ", "first_two = "):
        page.run_cell(page.find_cell(cell))
    tables_fit_a_narrow_window(page)
    BY_HAND["14_scale_out.ipynb"](page)


def panel(page: NotebookPage, name: str) -> Locator:
    return page.page.get_by_role("group", name=f"WebSocket client {name}").first


def say(page: NotebookPage, who: str, words: str) -> None:
    panel(page, who).get_by_label(f"{who}: message to send").fill(words)
    page.page.keyboard.press("Enter")


@by_hand(START)
def after_run_all_three_peers_talk_until_the_button_is_pressed(page: NotebookPage) -> None:
    peers = ("Ann", "Bob", "Your browser")
    for who in peers:
        expect(panel(page, who).locator(".wsbook-state")).to_have_text("open")
        say(page, who, f"this is {who}, typed")
        for other in peers:
            expect(panel(page, other).locator(".wsbook-log")).to_contain_text(f"this is {who}, typed")
    page.page.get_by_role("button", name="Stop the server").click()
    expect(page.page.get_by_role("button", name="Stopped")).to_be_visible()
    expect(panel(page, "Ann").locator(".wsbook-state")).to_contain_text("closed: 1001 (server stopped)")
    expect(panel(page, "Your browser").locator(".wsbook-state")).to_contain_text("closed")
    # The server's cell again, and no other: the browser's panel further down leads to the new server
    page.run_cell(page.find_cell("server = BackgroundServer"))
    expect(panel(page, "Ann").locator(".wsbook-state")).to_have_text("closed: not connected yet")
    for who in ("Ann", "Your browser"):
        panel(page, who).get_by_role("button", name="Connect", exact=True).click()
        expect(panel(page, who).locator(".wsbook-state")).to_have_text("open")
    say(page, "Your browser", "here again")
    expect(panel(page, "Ann").locator(".wsbook-log")).to_contain_text("here again")


@by_hand("01_compare_http_and_websocket.ipynb")
def claims_and_the_race(page: NotebookPage) -> None:
    table = page.cell(page.find_cell("used = thousand")).locator("table")
    expect(table).to_contain_text("1 for 1,000")
    race = page.cell(page.find_cell("race = Race"))  # run by the cell below it; `test_race.py` clicks
    expect(race).to_contain_text("20 of 20")
    expect(race.get_by_role("button", name="Again")).to_be_enabled()


@by_hand("02_watch_the_handshake.ipynb")
def an_arrow_of_the_timeline_opens_and_shows_its_header(page: NotebookPage) -> None:
    say(page, "Ann", "Hi")
    timeline = page.page.get_by_role("group", name="Timeline of the wire").first
    up = timeline.locator(".wsbook-wire-row[data-kind=text]").filter(has_text='"Hi"').first
    up.get_by_role("button").first.click()
    detail = up.locator(".wsbook-wire-detail")
    expect(detail).to_contain_text("opcode")
    expect(detail).to_contain_text("masked, as a client's payload must be")
    expect(detail.locator(".wsbook-wire-mask")).to_contain_text("48")
    up.get_by_role("button").first.click()
    expect(detail).to_have_count(0)

    # On a screen of 1440 by 900 what one types and the arrow that it becomes are seen together
    page.page.set_viewport_size({"width": 1440, "height": 900})
    page.cell(page.find_cell("timeline = WireTimeline")).evaluate("cell => cell.scrollIntoView()")
    say(page, "Ann", "seen at once")
    field = panel(page, "Ann").get_by_label("Ann: message to send")
    for seen in (field, timeline.locator(".wsbook-wire-row").filter(has_text="seen at once").last):
        expect(seen).to_be_in_viewport(ratio=1)


@by_hand("06_push_live_updates.ipynb")
def a_sector_is_chosen_in_the_page_and_the_notebook_hears_of_it(page: NotebookPage) -> None:
    app = page.cell(page.find_cell("AppPage(prices")).frame_locator("iframe")
    acme = app.locator("tr[data-symbol=ACME]")
    expect(acme.locator(".followers")).to_have_text("2")
    price = acme.locator(".price")
    expect(price).not_to_have_text(price.inner_text())
    log = page.cell(page.find_cell('ann = ClientPanel("Ann", prices')).locator(".wsbook-log")
    expect(log).to_contain_text('"clients":2')
    app.get_by_role("button", name="Energy").click()
    expect(log).to_contain_text('"symbols":{"ACME":1,"AMPR":1')
    say(page, "Ann", '{"type": "subscribe", "symbols": ["BOLT"]}')
    expect(app.locator("tr[data-symbol=BOLT] .followers")).to_have_text("2")


@by_hand("07_collect_sensor_data.ipynb")
def the_alarm_is_set_on_the_page_and_heard_in_a_cell(page: NotebookPage) -> None:
    frame = page.cell(page.find_cell("AppPage(collector")).frame_locator("iframe")
    expect(frame.get_by_role("button", name=re.compile("^sensor-"))).to_have_count(20)
    frame.get_by_label("Find").fill("sensor-07")
    expect(frame.get_by_role("button", name=re.compile("^sensor-"))).to_have_count(1)
    frame.get_by_label("Alarm from").fill("12.5")
    frame.get_by_label("Alarm from").press("Enter")
    watching = page.find_cell('state["alarm"]')
    page.run_cell(watching)
    expect(page.cell(watching)).to_contain_text("alarm from 12.5 °C")


@by_hand("08_edit_together.ipynb")
def letters_cross_between_the_page_the_panel_and_a_cell(page: NotebookPage) -> None:
    app = page.cell(page.find_cell("AppPage(app")).frame_locator("iframe")
    expect(app.get_by_role("status")).to_have_text("saved")
    field = app.get_by_label("The text")
    panel = page.cell(page.find_cell("panel = Textarea")).locator("textarea")
    field.press("Control+End")
    field.press_sequentially("from the page\n")
    expect(panel).to_have_value(re.compile("from the page\n$"))
    panel.press("Control+End")
    panel.press_sequentially("from the panel")
    expect(field).to_have_value(re.compile("from the page\nfrom the panel$"))
    expect(app.get_by_role("list", name="Others who are here")).to_contain_text("Notebook")
    slide = page.cell(page.find_cell("slider = IntSlider"))
    expect(slide.locator("pre").last).to_have_text("Look! The black cat sat")


@by_hand("09_play_together.ipynb")
def somebody_plays_in_the_page_and_a_cell_slows_it_down(page: NotebookPage) -> None:
    game = page.cell(page.find_cell("AppPage(tap")).frame_locator("iframe")
    expect(game.get_by_label("Your name")).to_have_value("You")
    game.get_by_role("button", name="Play", exact=True).click()
    expect(game.get_by_role("status")).to_have_text("playing")
    arena = game.locator("#arena")
    arena.press("ArrowUp", delay=1000)  # held down
    expect(arena).to_have_attribute("data-at", re.compile(r"^\d+,\d+$"))
    expect(game.locator("#scores tr")).to_have_count(4)
    expect(game.locator("#figures")).to_contain_text(re.compile(r"ping (1[5-9]|[2-9]\d)\d ms"))
    game.get_by_label("shows where").check()
    expect(arena).to_be_focused()

    cell = page.find_cell("AppPage(tap")
    page.cell(cell).locator(".jp-Editor").click()
    expect(game.get_by_role("status")).to_contain_text("not playing")
    page.run_cell(cell)  # a new frame, whose page goes on with the game, and leaves the keyboard where it is
    expect(game.get_by_role("status")).to_contain_text("not playing")
    assert page.page.evaluate("document.activeElement.tagName") != "IFRAME"
    game.get_by_role("button", name="Click here").click()
    expect(game.get_by_role("status")).to_have_text("playing")


@by_hand("10_stream_video.ipynb")
def the_film_moves_is_heard_and_follows_a_link_that_a_cell_makes_slow(page: NotebookPage) -> None:
    bar = page.cell(page.find_cell("bar = IntProgress")).locator("[role=progressbar], .widget-hprogress")
    expect(bar.first).to_be_visible()
    expect(page.cell(page.find_cell("\nhear(0)")).locator("audio")).to_be_visible()
    app = page.cell(page.find_cell('AppPage(tap, title="Live')).frame_locator("iframe")
    age = app.locator("#screen")
    expect(age).to_have_attribute("aria-label", re.compile(r"^picture \d+, \w+, -?\d+ ms old$"))
    before = age.get_attribute("aria-label") or ""
    expect(age).not_to_have_attribute("aria-label", before)
    app.get_by_role("button", name="Sound").click()
    expect(app.locator("#heard")).to_have_text(re.compile(r"^[1-9]\d* ms, \d+ gaps?$"))
    app.get_by_label("Quality").select_option("fair")
    expect(app.locator("#quality")).to_have_text("fair, 640 px")
    app.get_by_label("Background").set_input_files(
        {"name": "hills.png", "mimeType": "image/png", "buffer": b"no picture"}
    )
    expect(app.locator("#said")).to_contain_text("it has arrived whole, but this isn't a JPEG")
    slow = page.find_cell("tap.shape(rate=120_000")
    app.get_by_label("Quality").select_option("follows the link")
    page.run_cell(slow)
    expect(app.locator("#quality")).to_have_text(re.compile("^(low|tiny), "))


@by_hand("12_lock_the_door.ipynb")
def the_kittens_page_gets_in_until_the_origin_is_looked_at_and_the_door_shows_no_html(
    page: NotebookPage,
) -> None:
    addresses = page.cell(page.find_cell('print("1. the mailbox:"')).get_by_role("link")
    expect(addresses).to_have_count(2)
    mailbox, kittens = addresses.all_inner_texts()
    tab = page.page.context.new_page()
    tab.goto(mailbox)
    for host, words in (("127.0.0.1", "got in, and reads: Ann, your balance"), ("localhost", "who are you?")):
        tab.goto(kittens.replace("//127.0.0.1", f"//{host}", 1))
        expect(tab.locator("#socket")).to_contain_text(words)
        expect(tab.locator("#fetch")).to_contain_text("may not read the answer")
    tab.close()

    door = page.cell(page.find_cell("AppPage(door")).frame_locator("iframe")
    printed = page.cell(page.find_cell("print(passwords)")).locator(".jp-OutputArea-output")
    expect(printed).to_contain_text("'eve'")
    passwords = dict(re.findall(r"'(\w+)': '([^']+)'", printed.inner_text()))
    eve = page.page.context.new_page()  # the same browser: only the host's name keeps her cookie apart
    eve.goto(printed.get_by_role("link").inner_text())
    for name, at in (("ann", door), ("eve", eve)):
        at.get_by_label("Name").fill(name)
        at.get_by_label("Password").fill(passwords[name])
        at.get_by_label("Password").press("Enter")
        expect(at.get_by_role("status")).to_have_text(f"{name} is in")
    door.get_by_label("To say").fill("<img src=x onerror='window.hacked = 1'><b>bold</b>")
    door.get_by_label("To say").press("Enter")
    for at in (door, eve):
        expect(at.get_by_role("log")).to_contain_text("<b>bold</b>")
    for name, where, words in (
        ("Eve", "#error", "there is no Eve here"),
        ("eve", "#log", "eve may no longer use the lobby"),
    ):
        door.get_by_label("Take away the rights of").fill(name)
        door.get_by_label("Take away the rights of").press("Enter")
        expect(door.locator(where)).to_contain_text(words)
    expect(eve.get_by_role("log")).to_contain_text("you were expelled from the lobby")
    expect(eve.get_by_label("Rooms")).to_have_text("no room is open to you")
    expect(eve.get_by_role("status")).to_have_text("eve is in")
    door.get_by_role("button", name="Log out").click()
    expect(door.get_by_role("status")).to_contain_text("you have logged out")
    page.page.get_by_role("button", name="Stop the servers").click()
    expect(eve.get_by_role("status")).to_have_text("not connected: the server has stopped")
    eve.close()


@by_hand("04_talk_both_ways.ipynb")
def the_browser_is_served_while_the_kernel_is_busy(page: NotebookPage) -> None:
    blocking = page.find_cell("display(HBox([ann, web]))")
    for index in range(page.find_cell("async def tick("), blocking):
        page.run_cell(index)

    def the_browser_is_quick(words: str) -> None:
        page.run_cell(blocking, wait=False)
        again = page.cell(blocking)
        ann, web = again.locator(".wsbook-log").nth(0), again.locator(".wsbook-log").nth(1)
        back = again.locator(".jp-OutputArea-output").get_by_text("the kernel is back")
        for name in ("Ann", "Your browser"):
            field = again.get_by_label(f"{name}: message to send")
            field.fill(f"{name} {words}")
            field.press("Enter")
        expect(web).to_contain_text(f"you said Your browser {words}", timeout=5000)
        expect(again).to_contain_text("waiting: the kernel is busy")
        expect(ann).not_to_contain_text(f"you said Ann {words}")
        expect(back).to_have_count(0)
        expect(back).to_be_visible(timeout=15_000)
        expect(ann).to_contain_text(f"you said Ann {words}")

    the_browser_is_quick("is connected by a cell")
    ann = page.cell(page.find_cell("\nHBox([ann, web])")).get_by_role("group", name="WebSocket client Ann")
    ann.get_by_role("button", name="Disconnect").click()
    ann.get_by_role("button", name="Connect", exact=True).click()
    expect(ann.locator(".wsbook-log")).to_contain_text("tick 1")
    the_browser_is_quick("is connected by a click")


@by_hand("05_broadcast_to_a_room.ipynb")
def three_peers_in_a_room_and_one_who_sends_markup(page: NotebookPage) -> None:
    room = page.cell(page.find_cell("HBox([ann, bob, web])"))
    web = room.get_by_role("group", name="WebSocket client Your browser")
    web.get_by_role("button", name="Connect", exact=True).click()
    log = web.locator(".wsbook-log")
    expect(log).to_contain_text('"type": "welcome", "name": "You"')
    expect(log).to_contain_text("has anybody seen my umbrella?")  # the history
    hostile = "<img src=x onerror='window.hacked = 1'><b>bold</b>"
    field = web.get_by_label("Your browser: message to send")
    field.fill(hostile)
    field.press("Enter")
    for who in ("Ann", "Bob", "Your browser"):
        its_log = room.get_by_role("group", name=f"WebSocket client {who}").locator(".wsbook-log")
        expect(its_log).to_contain_text("<b>bold</b>")
    assert page.page.evaluate("window.hacked") is None
    field.fill("/to Ann psst")
    field.press("Enter")
    ann = room.get_by_role("group", name="WebSocket client Ann")
    expect(ann.locator(".wsbook-log")).to_contain_text("psst")
    expect(log).to_contain_text("psst")
    bob = room.get_by_role("group", name="WebSocket client Bob")
    expect(bob.locator(".wsbook-log")).not_to_contain_text("psst")
    web.get_by_role("button", name="Disconnect", exact=True).click()
    expect(bob.locator(".wsbook-log")).to_contain_text('{"type": "left", "who": "You"}')


@by_hand("11_survive_failures.ipynb")
def a_page_notices_a_dead_line_and_a_browser_tells_its_close_codes(page: NotebookPage) -> None:
    heart = page.cell(page.find_cell("AppPage(artery")).frame_locator("iframe").get_by_role("status")
    expect(heart).to_have_text("♥ alive")
    page.run_cell(page.find_cell("artery.stall()"))
    expect(heart).to_have_text("no heartbeat: this line is dead")
    page.run_cell(page.find_cell("artery.resume()"))
    expect(heart).to_have_text("♥ alive")

    def printed(words: str) -> str:
        output = page.cell(page.find_cell(words)).locator(".jp-OutputArea-output").first
        expect(output).to_contain_text(re.compile("1000|http"))
        return output.text_content() or ""

    table = printed("for code, (received")
    told = {line.split()[0]: line.split()[-1] for line in table.splitlines() if line[:4].isdigit()}
    assert len(told) == 13
    tab = page.page.context.new_page()
    tab.goto(printed("codes = BackgroundServer").strip())
    expect(tab.locator("td", has_text="clean")).to_have_count(13)
    rows = [row.split() for row in tab.locator("tr").all_inner_texts()]
    assert {code: number for code, number, *_ in rows} == told
    assert [code for code, _, *clean in rows if clean != ["clean"]] == ["1006"]
    tab.close()


@by_hand("13_ship_with_fastapi_and_streamlit.ipynb")
def the_small_chat_then_two_pages_a_panel_and_the_browser_in_one_room(page: NotebookPage) -> None:
    small = page.page.get_by_role("group", name="Page: Your chat").frame_locator("iframe")
    small.get_by_label("Your name").fill("Pat")
    small.get_by_label("Your name").press("Enter")
    pia = page.cell(page.find_cell("small = uvicorn")).locator(".wsbook-log")
    expect(pia).to_contain_text("Pat has joined")
    small.get_by_placeholder("Message").fill("it works")
    small.get_by_placeholder("Message").press("Enter")
    expect(pia).to_contain_text("Pat: it works")
    expect(small.get_by_text("Pat: it works")).to_be_visible()

    panels = page.cell(page.find_cell("HBox([ann, web])"))
    ann = panels.get_by_role("group", name="WebSocket client Ann")
    web = panels.get_by_role("group", name="WebSocket client Your browser")
    app = page.page.get_by_role("group", name="Page: The chat's page")
    app.evaluate("node => node.scrollIntoView()")
    one = Tab(app.frame_locator("iframe")).join("Tab")
    with page.page.context.expect_page() as opened:
        app.get_by_role("link", name="Open in a tab").click()
    two = Tab(opened.value)
    two.button("Join").click()
    two.is_in("Tab-2")
    web.get_by_role("button", name="Connect", exact=True).click()
    one.here("Ann", "Tab", "Tab-2", "Web")

    def all_hear(words: str) -> None:
        for log in (one.log, two.log, ann.locator(".wsbook-log"), web.locator(".wsbook-log")):
            expect(log).to_contain_text(words)

    one.say("this is the first tab")
    all_hear("this is the first tab")
    for who, panel in (("Ann", ann), ("Your browser", web)):
        field = panel.get_by_label(f"{who}: message to send")
        field.fill(f"this is {who}, typed")
        field.press("Enter")
        all_hear(f"this is {who}, typed")

    page.run_cell(page.find_cell("server.stop()"))
    for panel in (ann, web):
        expect(panel.locator(".wsbook-state")).to_contain_text("closed")
    expect(one.members).to_have_text([re.compile("^Tab(-2)?$")] * 2, timeout=20_000)
    ann.get_by_role("button", name="Connect", exact=True).click()
    two.say("found it again")
    for log in (one.log, ann.locator(".wsbook-log")):
        expect(log).to_contain_text("found it again")
    opened.value.close()
    expect(ann.locator(".wsbook-log")).to_contain_text('"type": "left"')


@by_hand("14_scale_out.ipynb")
def a_slider_is_moved_and_the_plan_changes(page: NotebookPage) -> None:
    model = page.cell(page.find_cell("VBox([*sliders"))
    plan = model.locator(".widget-html").last
    expect(plan).to_contain_text("1,000,000 users")
    before = plan.text_content() or ""
    people = model.get_by_role("slider").first
    people.press("Home")
    expect(plan).to_contain_text("1,000 users")
    people.press("End")
    expect(plan).to_have_text(before)
    model.get_by_role("slider").nth(1).press("End")  # larger rooms
    expect(plan).to_contain_text(re.compile(r"1,000,000 users need \d{3,}\.\d cores"))
    expect(plan).not_to_have_text(before)
