"""A page and a WebSocket handler on one port."""

from __future__ import annotations

import urllib.error
from pathlib import Path
from typing import Any

import pytest
from shared import PLACES, Place, echo, open_here
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import InvalidStatus
from websockets.http11 import Request, Response
from websockets.sync.client import connect

from helpers.background.server import BackgroundServer

HTML = "<!doctype html><title>Päge</title><p>Hello</p>"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.html"
    path.write_text(HTML, "utf-8")
    return path


def get(server: BackgroundServer, path: str) -> tuple[int, str, str]:
    """Status, content type and text of an answer."""
    try:
        with open_here(server.url.replace("ws", "http", 1) + path, timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


@pytest.mark.parametrize("where", PLACES)
def test_page_and_handler_are_on_one_port(page: Path, where: Place) -> None:
    with BackgroundServer(echo, page=page, where=where) as server:
        assert get(server, "/?name=Ann") == (200, "text/html; charset=utf-8", HTML)
        assert get(server, "/else") == (
            404,
            "text/plain; charset=utf-8",
            "There is no /else here, only / and a WebSocket.\n",
        )
        for path in ("/", "/talk"):
            with connect(server.url + path, proxy=None) as client:
                client.send("hi")
                assert client.recv(timeout=10) == "hi"
    said = [event.text for event in server.log]
    assert said[:3] == ["GET /?name=Ann: 200 OK", "GET /else: 404 Not Found", "connection 1 opened"]


def test_a_page_that_is_changed_is_served_as_it_is_now(page: Path) -> None:
    with BackgroundServer(echo, page=str(page)) as server:
        page.write_text("new", "utf-8")
        assert get(server, "/")[2] == "new"
        page.unlink()
        status, _, text = get(server, "/")
        assert (status, text.startswith("The page can't be read: [Errno 2]")) == (500, True)


@pytest.mark.parametrize("is_coroutine", [False, True])
def test_the_readers_own_process_request_comes_first(page: Path, is_coroutine: bool) -> None:
    def answer(connection: ServerConnection, request: Request) -> Response | None:
        return connection.respond(200, "well\n") if request.path == "/health" else refuse(connection, request)

    def refuse(connection: ServerConnection, request: Request) -> Response | None:
        return connection.respond(403, "no\n") if request.path == "/closed" else None

    async def later(connection: ServerConnection, request: Request) -> Response | None:
        return answer(connection, request)

    options: dict[str, Any] = {"process_request": later if is_coroutine else answer}
    with BackgroundServer(echo, page=page, **options) as server:
        assert get(server, "/health")[2] == "well\n"
        assert get(server, "/")[2] == HTML
        with pytest.raises(InvalidStatus, match="403"), connect(f"{server.url}/closed", proxy=None):
            pass
    assert [event.text for event in server.log] == [
        "GET /health: 200 OK",
        "GET /: 200 OK",
        "a peer did not complete the handshake (403 Forbidden)",
    ]


def test_a_page_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError) as missing:
        BackgroundServer(echo, page="pad.html")
    assert str(missing.value) == f"page= is pad.html, but there is no file {tmp_path / 'pad.html'}"
    with pytest.raises(IsADirectoryError, match="a folder: name the HTML file in it"):
        BackgroundServer(echo, page=tmp_path)
