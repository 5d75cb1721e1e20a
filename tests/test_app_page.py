"""An app's page without a browser: where it is, and what has become of its server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from shared import echo

from helpers.background.lifetime import BackgroundError, HandlerFailedError
from helpers.background.server import BackgroundServer
from helpers.background.tap import tapped
from helpers.widgets.app_page import AppPage


@pytest.fixture
def server() -> Iterator[BackgroundServer]:
    server = BackgroundServer(echo).start()
    yield server
    server.newest.stop()


@pytest.fixture(autouse=True)
def no_page_is_left() -> Iterator[None]:
    yield
    AppPage.close_all()
    until(lambda: all(thread.name != "watches the apps' pages" for thread in threading.enumerate()))


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def text(page: AppPage) -> str:
    return str(page._repr_mimebundle_()[0]["text/plain"])


def test_where_a_page_is(server: BackgroundServer) -> None:
    page = AppPage(server, "/pad?name=Ann")
    assert text(page) == repr(page) == f"AppPage: http://127.0.0.1:{server.port}/pad?name=Ann"
    assert page.running
    assert page._title == "echo"


@pytest.mark.parametrize(
    ("url", "path", "address"),
    [
        ("http://example.org", "", "http://example.org/"),
        ("http://example.org/app?a=b", "", "http://example.org/app?a=b"),
        ("http://example.org/app", "/pad", "http://example.org/pad"),
        ("https://example.org/", "?a=b", "https://example.org/?a=b"),
        ("ws://example.org:8000", "draw", "http://example.org:8000/draw"),
        ("wss://example.org", "/", "https://example.org/"),
    ],
)
def test_an_address_of_another_machine_is_not_watched(url: str, path: str, address: str) -> None:
    page = AppPage(url, path)
    assert (page.address, page.running, page._title) == (address, True, address)


def test_what_has_a_url(server: BackgroundServer) -> None:
    class Gateway:
        url = server.url

    page = AppPage(Gateway(), title="The gateway")
    assert (page.address, page._title) == (f"http://127.0.0.1:{server.port}/", "The gateway")
    server.stop()
    until(lambda: not page.running)


def test_a_server_that_stops_and_comes_back(server: BackgroundServer) -> None:
    page = AppPage(server)
    before = page._view
    server.stop()
    until(lambda: not page.running)
    assert repr(page) == f"AppPage: {page.address} (the server has been stopped)"
    server.start()
    until(lambda: page.running)
    assert page._view["since"] > before["since"]


def test_a_newer_server_of_the_same_name_takes_over(server: BackgroundServer) -> None:
    page = AppPage(server)
    before = page._view
    newer = BackgroundServer(echo).start()
    until(lambda: page._view["since"] > before["since"])
    assert page._view == {**before, "since": newer.started_at}
    with BackgroundServer(echo):  # of the same name, but not in its place
        page.look()
        assert page._view["since"] == newer.started_at


def test_a_page_through_a_tap(server: BackgroundServer) -> None:
    with tapped(server) as tap:
        page = AppPage(tap)
        assert page.address == f"http://127.0.0.1:{tap.port}/"
    until(lambda: not page.running)


def test_looking_takes_no_failure_from_the_reader(server: BackgroundServer) -> None:
    page = AppPage(server)
    server._journal.fail(ValueError("of the handler"))
    page.look()
    with pytest.raises(HandlerFailedError, match="of the handler"):
        server.check()


def test_a_server_that_does_not_run() -> None:
    with pytest.raises(BackgroundError, match="run the cell that starts it"):
        AppPage(BackgroundServer(echo))
