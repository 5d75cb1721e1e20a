"""The game's page in real browsers: keys in one, a finger on the other, and each sees what both do."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from extras import needs

from apps.game.messages import body
from apps.game.world import RULES, Input, Player, move
from helpers.background.process import BackgroundProcess

needs("playwright")
from playwright.sync_api import Locator, expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parents[2]
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 760}, "has_touch": True, "is_mobile": True}
LAPTOP: dict[str, Any] = {"viewport": {"width": 900, "height": 800}, "color_scheme": "dark"}
Visit = Callable[..., "Page"]


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[BackgroundProcess]:
    """The game, with the options that a test gives as its parameter."""
    command = [sys.executable, "-m", "apps.game", "--port", "{port}", "--seed", "3"]
    command += getattr(request, "param", [])
    with BackgroundProcess(command, ready="Game at", folder=ROOT, name="game") as server:
        yield server


@pytest.fixture
def visit(browser: Browser, server: BackgroundProcess) -> Iterator[Visit]:
    """Open the page in a browser's context of its own; what its console says fails the test."""
    contexts, said = [], []

    def open_page(query: str = "", **options: Any) -> Page:
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"{server.url}/{query}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    expected = re.compile(
        "ERR_CONNECTION_REFUSED|WebSocket|status of 403"
    )  # the server is away, or wants a code
    assert not [text for text in said if not expected.search(text)]


def play(page: Page, name: str) -> None:
    page.get_by_label("Your name").fill(name)
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.get_by_role("status")).to_have_text("playing")


def at(player: Locator) -> list[int]:
    """Where a page shows a player, by its row among the scores."""
    expect(player).to_have_attribute("data-at", re.compile(r"\d+,\d+"))
    return [int(each) for each in (player.get_attribute("data-at") or "").split(",")]


def row(page: Page, name: str) -> Locator:
    return page.locator(f"#scores tr[data-name={name}]")


def arrives(player: Locator, *place: str) -> None:
    expect(player).to_have_attribute("data-at", re.compile(f"^{','.join(place)}$"))


def test_keys_in_one_browser_a_finger_in_another_and_each_sees_the_other(visit: Visit) -> None:
    ann, bob = visit(**LAPTOP), visit(**PHONE)
    play(ann, "Ann")
    play(bob, "Bob")
    expect(ann.get_by_role("log")).to_contain_text("magpie")

    ann.keyboard.down("ArrowUp")
    arrives(row(bob, "Ann"), r"\d+", "26")  # the upper edge of the arena
    ann.keyboard.up("ArrowUp")
    arrives(ann.locator("#arena"), r"\d+", "26")

    touch = bob.context.new_cdp_session(bob)
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": 190, "y": 300}]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": 110, "y": 380}]})
    arrives(row(ann, "Bob"), "26", "974")  # along the walls, to the lower left corner
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    arrives(bob.locator("#arena"), "26", "974")
    expect(bob.get_by_role("button", name="Dash")).to_be_visible()

    bob.get_by_role("button", name="Stop playing").click()
    expect(row(ann, "Bob")).to_have_count(0)


def test_a_reload_and_a_new_start_of_the_server_cost_nobody_their_page(
    visit: Visit, server: BackgroundProcess
) -> None:
    ann, eve = visit("?name=Ann"), visit()
    ann.get_by_label("Your name").press("Enter")
    expect(ann.get_by_role("status")).to_have_text("playing")
    ann.keyboard.down("KeyD")
    arrives(row(eve, "Ann"), "1574", r"\d+")
    place = at(row(eve, "Ann"))
    ann.keyboard.up("KeyD")
    ann.reload()
    expect(ann.get_by_role("status")).to_have_text("playing")
    assert at(row(ann, "Ann")) == place
    expect(row(ann, "Ann")).to_have_count(1)
    server.stop()
    expect(ann.get_by_role("status")).to_contain_text("trying again")
    server.start()
    expect(ann.get_by_role("status")).to_have_text("playing")
    expect(eve.get_by_role("status")).to_have_text("watching")


def test_who_presses_play_before_the_page_is_connected_plays_as_soon_as_it_is(
    browser: Browser, server: BackgroundProcess
) -> None:
    with browser.new_context() as context:
        page, asked, sockets = context.new_page(), [], []
        page.on("websocket", lambda socket: sockets.append(socket))
        page.route(
            "**/gate*", lambda route: asked.append(route)
        )  # they wait at the gate until somebody lets them pass
        page.goto(f"{server.url}/?name=Ann")
        for _ in range(2):
            page.get_by_role("button", name="Play", exact=True).click()
        for route in asked:
            route.continue_()
        expect(page.get_by_role("status")).to_have_text("playing")
        assert (len(asked), len(sockets)) == (1, 1)


@pytest.mark.parametrize("server", [["--lan"]], indirect=True, ids=["--lan"])
def test_the_page_asks_for_the_join_code_and_a_link_with_the_code_needs_no_more(
    visit: Visit, server: BackgroundProcess
) -> None:
    (invitation,) = [line for line in server.output if line.startswith("Game at ")]
    code = invitation.rpartition("=")[2]
    ann = visit()
    ann.get_by_label("Join code").fill("WRONG2")
    ann.get_by_label("Your name").fill("Ann")
    ann.get_by_role("button", name="Play", exact=True).click()
    expect(ann.locator("#why")).to_have_text("the join code is wrong")
    ann.get_by_label("Join code").fill(code.lower())
    ann.get_by_role("button", name="Play", exact=True).click()
    expect(ann.get_by_role("status")).to_have_text("playing")
    bob = visit(f"?code={code}")
    play(bob, "Bob")
    expect(row(ann, "Bob")).to_be_visible()


def test_the_page_foresees_the_moves_that_the_server_makes(visit: Visit) -> None:
    chance = random.Random(1)
    player = Player(1, "Ann", 300, 300)
    inputs = [Input(chance.choice((-1, 0, 1)), chance.choice((-1, 0, 1)), i % 7 == 0) for i in range(400)]
    inputs = [each for each in inputs for _ in range(9)]
    places = []
    begin = body(player)
    for number, wanted in enumerate(inputs):
        if number % 100 == 0:
            player.magpie, player.stunned = not player.magpie, number % 3
            places.append(body(player))
        move(player, wanted)
        places.append(body(player))
    calculated = visit().evaluate(
        """async ([body, inputs, rules]) => {
          const { move } = await import("./world.js");
          const places = [];
          for (const [number, [x, y, dash]] of inputs.entries()) {
            if (number % 100 === 0) {
              body = { ...body, magpie: !body.magpie, stunned: number % 3 };
              places.push(body);
            }
            body = move(body, { x, y, dash }, rules);
            places.push(body);
          }
          return places;
        }""",
        [begin, inputs, RULES],
    )
    assert len(calculated) == len(places) > 3000
    assert calculated == places
