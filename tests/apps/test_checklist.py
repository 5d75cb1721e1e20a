"""Each server of the book, gone through with a checklist.

After OWASP's WebSocket Security Cheat Sheet:
https://cheatsheetseries.owasp.org/cheatsheets/WebSocket_Security_Cheat_Sheet.html

A new app is on the list by itself. `apps.chat.naive_server` isn't: chapter 13 shows what is wrong with it.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import re
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import psutil
import pytest
from chat_peers import itself

from apps.door import attacks
from apps.game.game import Game
from apps.game.server import GameServer
from apps.pad.server import PadServer
from apps.prices.feed import Market
from apps.prices.server import PriceServer
from apps.video.server import VideoServer
from helpers.background.process import BackgroundProcess

ROOT = Path(__file__).resolve().parents[2]
APPS = ROOT / "apps"
COMMANDS = {"chat": ["apps.chat.server"], "sensors": ["apps.sensors", "--count", "0"]}
"""How a server is started, where that isn't `python -m apps.NAME`."""
PATHS = {"chat": "/ws?name=Ann", "news": "/websocket", "pad": "/start", "sensors": "/watch"}
"""Where its WebSocket is, if not at /."""
NAMES = sorted({path.parent.name for path in APPS.glob("*/server.py")} | {"sensors"})

AS_HTML = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|srcdoc|unsafe_allow_html")


def test_the_list_is_whole() -> None:
    assert {"chat", "door", "news", "prices", "sensors"} <= set(NAMES)


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, BackgroundProcess]]:
    """All of them, started at once."""
    found = {}
    for name in NAMES:
        command = [sys.executable, "-m", *COMMANDS.get(name, [f"apps.{name}"]), "--port", "{port}"]
        found[name] = BackgroundProcess(command, ready="http://", folder=ROOT, name=name)
    with ThreadPoolExecutor(len(found)) as pool:
        list(pool.map(BackgroundProcess.start, found.values()))
        try:
            yield found
        finally:
            list(pool.map(lambda server: server.halt(hurry=True), found.values()))


def address(server: BackgroundProcess, name: str) -> str:
    return f"ws://127.0.0.1:{server.port}{PATHS.get(name, '/')}"


@pytest.mark.parametrize("name", NAMES)
def test_only_this_machine_can_reach_it(name: str, servers: dict[str, BackgroundProcess]) -> None:
    program = itself(servers[name])
    listening = [
        found.laddr.ip
        for process in [program, *program.children(recursive=True)]
        for found in process.net_connections()
        if found.status == psutil.CONN_LISTEN
    ]
    assert set(listening) == {"127.0.0.1"}


@pytest.mark.parametrize("name", NAMES)
def test_no_page_from_elsewhere_gets_in(name: str, servers: dict[str, BackgroundProcess]) -> None:
    url = address(servers[name], name)

    def status(*origin: str) -> int:
        with attacks.enter(url, *origin) as (_, status):
            return status

    assert status() == 101, f"a program gets in at {url}"
    assert status(f"Origin: http://127.0.0.1:{servers[name].port}") == 101, "so does its own page"
    for origin in ("https://evil.example", f"http://127.0.0.1.evil.example:{servers[name].port}", "null"):
        assert status(f"Origin: {origin}") == 403, origin


@pytest.mark.parametrize("name", NAMES)
def test_a_message_has_an_end(name: str, servers: dict[str, BackgroundProcess]) -> None:
    """Whole, and in pieces that are never the last."""
    for last in (True, False):
        with attacks.enter(address(servers[name], name)) as (sock, _):
            sock.settimeout(10)
            with contextlib.suppress(OSError):
                for _ in range(5):
                    sock.sendall(attacks.frame(attacks.TEXT, b"x" * 2**20, last=last))
            with contextlib.suppress(ConnectionError):
                while sock.recv(2**16):
                    pass


@pytest.mark.parametrize("name", NAMES)
def test_no_stranger_writes_a_traceback_into_its_log(
    name: str, servers: dict[str, BackgroundProcess]
) -> None:
    url = address(servers[name], name)
    bare = url.partition("?")[0].rstrip("/")
    attacks.come_in(f"ws://127.0.0.1:{servers[name].port}//[oops")
    attacks.come_in(f"{bare}?" + "&".join(f"a{number}=%00" for number in range(500)))
    attacks.fuzz(url, 60, seed=7)
    with attacks.enter(url) as (_, status):
        assert status == 101, "it is still there"
    assert not [line for line in servers[name].output if "Traceback" in line]


@pytest.mark.parametrize("name", NAMES)
def test_each_limit_is_named(name: str) -> None:
    """No server with `websockets` or aiohttp takes the defaults for what it reads, or none at all."""
    ours = ["max_size", "create_connection", "process_response"]  # the last two as in `apps/visitors.py`
    wanted = {"serve": ours, "WebSocketResponse": ["max_msg_size"]}
    for path in (APPS / name).glob("*.py"):
        text = path.read_text("utf-8")
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.Call) or "naive" in path.name:
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called == "serve" and "from websockets.asyncio.server import" not in text:
                continue  # a `serve` of its own
            if called in wanted:
                limits = {word.arg: ast.unparse(word.value) for word in node.keywords}
                for option in wanted[called]:
                    where = f"{option} in {path.name}, line {node.lineno}"
                    assert limits.get(option, "None") != "None", where


def test_nothing_of_a_peer_becomes_html() -> None:
    for path in APPS.rglob("*"):
        if path.suffix in (".html", ".js", ".py"):
            assert not AS_HTML.search(path.read_text("utf-8")), path


IN_PROCESS: dict[str, Callable[[Path], Any]] = {
    "game": lambda folder: GameServer(Game()),
    "pad": lambda folder: PadServer(folder / "pad.sqlite"),
    "prices": lambda folder: PriceServer(Market(), rate=10),
    "video": lambda folder: VideoServer(rate=5),
}


@pytest.mark.parametrize("name", IN_PROCESS)
def test_an_unfinished_handshake_does_not_hold_up_the_end(name: str, tmp_path: Path) -> None:
    async def end() -> float:
        async with IN_PROCESS[name](tmp_path).serving("127.0.0.1", 0) as url:
            _, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
            writer.write(b"GET / HTTP/1.1\r\nHost: slow\r\n")
            async with aiohttp.ClientSession() as session, session.get(url) as page:
                assert page.status == 200  # so the slow one is known by now
            began = time.monotonic()
        writer.close()
        return time.monotonic() - began

    assert asyncio.run(end()) < 6  # the handshake would have 10 s
