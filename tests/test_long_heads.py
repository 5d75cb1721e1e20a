"""Cookies and addresses as long as Jupyter's server takes them: whatever stands behind it takes them, too."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest
from conversations import only
from shared import PLACES, Place, echo, run
from test_background_app import app
from websockets import http11
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from helpers.background.app import BackgroundApp
from helpers.background.server import BackgroundServer
from helpers.background.tap import tapped
from helpers.clients.conversation import NotConnectedError
from helpers.sockets import LONGEST_HEAD, raise_line_limit
from helpers.widgets.panel import ClientPanel
from helpers.wire import events

LONG = LONGEST_HEAD - 1000  # the rest of the head has its room
COOKIE = {"Cookie": "c=" + "a" * LONG}


@pytest.fixture(autouse=True)
def the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what other tests have imported: the chat has a limit of its own."""
    monkeypatch.setattr(http11, "MAX_LINE_LENGTH", LONGEST_HEAD)


async def answers(url: str) -> bool:
    """Whether a server takes a long cookie, and a long address."""
    for address, headers in ((url, COOKIE), (f"{url}?a={'a' * LONG}", {})):
        async with connect(address, additional_headers=headers, proxy=None, compression=None) as connection:
            await connection.send("hi")
            if await asyncio.wait_for(connection.recv(), 5) != "hi":
                return False
    return True


@pytest.mark.parametrize("where", PLACES)
def test_servers(where: Place) -> None:
    with BackgroundServer(echo, where=where) as server:
        assert run(answers(server.url))


def test_apps() -> None:
    with BackgroundApp(app) as server:
        assert run(answers(server.url.replace("http", "ws") + "/"))


def test_taps_and_what_they_decode() -> None:
    with BackgroundServer(echo) as server, tapped(server) as tap:
        assert run(answers(tap.url))
        seen = tap.events()
    assert [request.header("cookie") or request.target for request in only(events.HttpRequest, seen)] == [
        COOKIE["Cookie"],
        f"/?a={'a' * LONG}",
    ]
    assert len([frame for frame in only(events.Frame, seen) if frame.payload == b"hi"]) == 4


def test_a_panel_and_what_it_says_where_even_this_is_too_long() -> None:
    async def main(url: str) -> None:
        ann = ClientPanel("Ann", url, additional_headers=COOKIE)
        await ann.connect()
        await ann.disconnect()
        bob = ClientPanel("Bob", url, additional_headers={"Cookie": "c=" + "a" * (LONGEST_HEAD + 1)})
        with pytest.raises(NotConnectedError, match=r"HTTP 431.*expected no more than 65536 bytes"):
            await bob.connect()

    with BackgroundServer(echo) as server:
        run(main(server.url))


def test_more_is_refused_at_once() -> None:
    async def main(url: str) -> int:
        with pytest.raises(InvalidStatus) as refused:
            await connect(url, additional_headers={"Cookie": "c" * (LONGEST_HEAD + 1)}, proxy=None)
        return refused.value.response.status_code

    with BackgroundServer(echo) as server:
        assert run(asyncio.wait_for(main(server.url), 2)) == 431


@pytest.mark.parametrize(
    ("environment", "length"), [({}, LONGEST_HEAD), ({"WEBSOCKETS_MAX_LINE_LENGTH": "9000"}, 9000)]
)
def test_it_does_not_matter_what_is_imported_first(environment: dict[str, str], length: int) -> None:
    shown = "print(websockets.http11.MAX_LINE_LENGTH)"
    for code in (
        f"import websockets.http11, helpers; {shown}",
        f"import helpers, websockets.http11; {shown}",
    ):
        own = {name: value for name, value in os.environ.items() if not name.startswith("WEBSOCKETS_")}
        done = subprocess.run(
            [sys.executable, "-c", code], env=own | environment, capture_output=True, text=True, check=True
        )
        assert done.stdout == f"{length}\n"


def test_a_limit_that_is_higher_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http11, "MAX_LINE_LENGTH", 2**20)
    raise_line_limit()
    assert http11.MAX_LINE_LENGTH == 2**20
