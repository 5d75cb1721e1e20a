"""The pages of the door and the sensors in hasty hands: submitted twice, or used without a connection."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from extras import needs

from helpers.background.process import BackgroundProcess

needs("playwright")
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[2]
DOOR = """
import asyncio, sys
from apps.door.people import People, Right
from apps.door.server import Door
people = People()
people.add("ann", "sesame", {"lobby": Right.OWN})
asyncio.run(Door(people).run("127.0.0.1", int(sys.argv[1])))
"""


def test_who_logs_in_twice_is_in_once_and_what_cannot_be_sent_stays(browser: Browser) -> None:
    command = [sys.executable, "-c", DOOR, "{port}"]
    with BackgroundProcess(command, ready="Door at", folder=ROOT, name="door") as server:
        page = browser.new_page()
        sockets: list[object] = []
        page.on("websocket", lambda opened: sockets.append(opened))
        page.goto(server.url)
        page.get_by_label("Name").fill("ann")
        page.get_by_label("Password").fill("sesame")
        page.evaluate("for (let i = 0; i < 3; i += 1) document.getElementById('login').requestSubmit()")
        expect(page.get_by_role("status")).to_have_text("ann is in")
        say = page.get_by_label("To say")
        for words in ("one", "two"):
            say.fill(words)
            say.press("Enter")
        expect(page.get_by_role("log").get_by_role("listitem")).to_have_text(
            ["lobby ann: one", "lobby ann: two"]
        )
        assert len(sockets) == 1
        say.fill("three")
        submit = "document.getElementById('talk').requestSubmit()"
        said = page.evaluate(f"socket.close(); {submit}; document.getElementById('error').textContent")
        assert said == "not sent: there is no connection"
        expect(page.locator("#text")).to_have_value("three")
        page.close()


def test_an_alarm_that_was_set_while_the_collector_was_away_is_set_when_it_is_back(browser: Browser) -> None:
    command = [sys.executable, "-m", "apps.sensors", "--port", "{port}", "--count", "1"]
    with BackgroundProcess(command, ready="Ctrl", folder=ROOT, name="sensors") as server:
        page = browser.new_page()
        page.goto(server.url)
        state, alarm = page.locator("#state"), page.get_by_label("Alarm from")
        expect(state).to_have_text("live")
        server.kill()
        expect(state).to_have_text(re.compile("away"))
        alarm.fill("25")
        alarm.blur()
        server.start()
        expect(state).to_have_text("live")
        expect(alarm).to_have_value("25")
        page.close()
