"""Nothing local goes through a proxy: programs that the helpers start, and those that the chapters start."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from helpers import BackgroundProcess

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


@pytest.fixture(autouse=True)
def behind_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)


@pytest.mark.parametrize(
    ("listed", "direct"),
    [(None, [1, 1, 0, 0]), ("a.example", [1, 1, 1, 0]), ("*", [1, 1, 1, 1])],
)
def test_a_program_reaches_what_is_local_and_what_was_listed_directly(
    listed: str | None, direct: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    if listed:
        monkeypatch.setenv("NO_PROXY", listed)
    program = (
        "import time, urllib.request as request\n"
        "hosts = ['127.0.0.1', 'localhost', 'a.example', 'b.example']\n"
        "print([int(bool(request.proxy_bypass(host))) for host in hosts]); time.sleep(3600)"
    )
    with BackgroundProcess([sys.executable, "-c", program], ready=r"\]", name="program") as process:
        assert process.output == [str(direct)]


@pytest.mark.parametrize(
    ("chapter", "cell", "name"),
    [("05_broadcast_to_a_room", "6b5f2b8f", "kim"), ("06_push_live_updates", "p6-zoe", "zoe")],
)
def test_the_client_of_the_terminal_connects(chapter: str, cell: str, name: str) -> None:
    cells = json.loads((NOTEBOOKS / f"{chapter}.ipynb").read_text("utf-8"))["cells"]
    source = next("".join(each["source"]) for each in cells if each["id"] == cell)

    async def run() -> object:
        came: asyncio.Queue[Any] = asyncio.Queue()

        async def keep(connection: ServerConnection) -> None:
            async for message in connection:
                came.put_nowait(message)
            came.put_nowait("the end")

        async def received(match: object, timeout: float) -> Any:
            return await asyncio.wait_for(came.get(), timeout)

        async with serve(keep, "127.0.0.1", 0) as server:
            host, port = server.sockets[0].getsockname()
            names: dict[str, Any] = {
                **{"asyncio": asyncio, "os": os, "sys": sys, "two_follow": None},
                **{"lobby": f"ws://{host}:{port}/?room=lobby", "event": SimpleNamespace},
                **{"prices": SimpleNamespace(url=f"http://{host}:{port}")},
                "ann": SimpleNamespace(received=received),
            }
            await eval(compile(source, cell, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
            return await names[name].wait()

    assert asyncio.run(run()) == 0
