"""An ASGI application beside the kernel."""

from __future__ import annotations

import asyncio
import socket
import urllib.error
from functools import partial
from typing import Any

import pytest
from shared import echo, nothing_left, open_here, says, takes_at_most, talk, tcp, wait_until, ws_by_hand
from websockets import http11
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake

from helpers.background.app import BackgroundApp
from helpers.background.lifetime import BackgroundError
from helpers.background.server import BackgroundServer


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "http":
        if scope["path"] == "/raises":
            raise ValueError(f"no such page of {scope['query_string'].decode()}")
        if scope["path"] == "/waits":
            await asyncio.sleep(3600)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"page"})
    else:
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": event["text"]})


def page(url: str) -> bytes:
    with open_here(url, timeout=5) as response:
        return bytes(response.read())


def test_it_answers_http_and_websocket_and_leaves_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with BackgroundApp(app) as server:
        page(server.url)
    with nothing_left():
        for _ in range(10):
            with BackgroundApp(app) as server:
                assert server.url == f"http://127.0.0.1:{server.port}"
                assert page(server.url) == b"page"
                assert talk(server.url.replace("http", "ws")) == "hi"
    assert capfd.readouterr() == ("", "")


def test_it_takes_its_place_again() -> None:
    first = BackgroundApp(app).start()
    second = BackgroundApp(app).start()
    assert second.port == first.port
    assert not first.running
    assert page(second.url) == b"page"
    second.stop()
    assert page(second.start().url) == b"page"
    second.stop()


def test_it_is_named_after_its_function_or_class() -> None:
    class Api:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...

    assert [BackgroundApp(app).name, BackgroundApp(Api()).name] == ["app", "Api"]


def half_a_request(port: int) -> socket.socket:
    peer = tcp(port)
    peer.sendall(b"GET / HTTP/1.1\r\nHost:")
    return peer


def long_request(port: int) -> socket.socket:
    peer = tcp(port)
    peer.sendall(b"GET /waits HTTP/1.1\r\nHost: a\r\n\r\n")
    return peer


@pytest.mark.parametrize("ws", ["websockets-sansio", "wsproto", "websockets"])
def test_stop_ends_whatever_the_peers_do(ws: str) -> None:
    pytest.importorskip(ws.partition("-")[0])
    with BackgroundApp(app, ws=ws) as server:
        page(server.url)
    with nothing_left():
        server = BackgroundApp(app, ws=ws).start()
        peers = [make(server.port) for make in (ws_by_hand, tcp, half_a_request, long_request)]
        assert page(server.url) == b"page"
        with takes_at_most(3):
            server.stop()
        for peer in peers:
            peer.close()


@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_a_failing_start_up_gives_a_clear_error_and_the_loop_lives(
    error: type[BaseException], capfd: pytest.CaptureFixture[str]
) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise error("no database")

    with BackgroundServer(echo) as other:
        with (
            nothing_left(),
            pytest.raises(BackgroundError, match=r"'broken' ended while it was starting[^$]*no database"),
        ):
            BackgroundApp(broken, lifespan="on").start()
        assert talk(other.url) == "hi"
    assert capfd.readouterr() == ("", "")


def test_an_exit_of_uvicorn_gives_a_clear_error_and_the_loop_lives(capfd: pytest.CaptureFixture[str]) -> None:
    with BackgroundServer(echo) as other:
        with nothing_left(), pytest.raises(BackgroundError, match=r"Error loading ASGI app[^$]*gave up"):
            BackgroundApp("no_such_module:app", name="lost").start()
        assert talk(other.url) == "hi"
    assert capfd.readouterr() == ("", "")


def test_a_taken_port_and_a_wrong_option_leave_nothing() -> None:
    with BackgroundServer(echo, name="mine") as mine, nothing_left():
        with pytest.raises(BackgroundError, match=rf"port {mine.port} .*your own 'mine' holds it"):
            BackgroundApp(app, port=mine.port).start()
        with pytest.raises(TypeError, match="colour"):
            BackgroundApp(app, colour="blue").start()


def test_what_uvicorn_logs_is_an_event_of_the_app_it_speaks_of(capfd: pytest.CaptureFixture[str]) -> None:
    with BackgroundApp(app, name="one") as one, BackgroundApp(app, name="two") as two:
        for server in (one, two):
            with pytest.raises(urllib.error.HTTPError, match="500"):
                page(f"{server.url}/raises?{server.name}")
            wait_until(partial(says, server, f"no such page of {server.name}"))
        assert not says(one, "no such page of two")
        assert not says(two, "no such page of one")
        with tcp(one.port) as peer:
            peer.sendall(b"\x00rubbish\r\n\r\n")
            peer.recv(4096)
        wait_until(lambda: says(one, "Invalid HTTP request"))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"Cookie": "c" * 70_000}, " (431 Request Header Fields Too Large): Failed to open a WebSocket con"),
        ({"Content-Length": "5"}, ": InvalidMessage: did not receive a valid HTTP request: ValueError: "),
        ({"Sec-WebSocket-Version": "12"}, " (400 Bad Request): Failed to open a WebSocket connection: "),
        ({}, " (403 Forbidden)"),
    ],
)
def test_a_refusal_is_answered_at_once_and_told(
    headers: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http11, "MAX_LINE_LENGTH", 65_536)  # the chat, where it was imported, has its own

    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.close"})

    async def asks(url: str) -> None:
        with pytest.raises(InvalidHandshake):
            await asyncio.wait_for(connect(url, additional_headers=headers, proxy=None), 2)

    with BackgroundApp(refuse, lifespan="off") as server:
        asyncio.run(asks(server.url.replace("http", "ws")))
        wait_until(lambda: says(server, f"a peer did not complete the handshake{said}"))
