"""What a client of the chat sees of uvicorn: refusals, two workers, and a reload."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
from chat_peers import ROOT, Peer, joined, uvicorn
from shared import wait_until
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidStatus


def test_who_is_refused_sees_http_403_before_accept_and_code_and_reason_after_it() -> None:
    why = "names have 1 to 32 printable characters"

    async def refused(url: str, **options: Any) -> tuple[int, bytes]:
        with pytest.raises(InvalidStatus) as caught:
            await connect(url, proxy=None, **options)
        return caught.value.response.status_code, bytes(caught.value.response.body)

    async def ask(url: str) -> None:
        assert await refused(f"{url}/ws?token=x") == (403, b"")
        assert await refused(f"{url}/ws?token=t", origin="https://evil.example") == (403, b"")
        async with connect(f"{url}/ws?token=t&name={'x' * 33}", proxy=None) as connection:
            assert json.loads(await connection.recv()) == {"type": "bye", "text": why}
            await connection.wait_closed()
            assert (connection.close_code, connection.close_reason) == (1008, why)

    with uvicorn(environment={"CHAT_TOKEN": "t"}) as server:
        asyncio.run(ask(server.url.replace("http", "ws", 1)))


def test_with_two_workers_half_of_the_clients_miss_a_message() -> None:
    async def chat(url: str) -> None:
        async with contextlib.AsyncExitStack() as stack:
            here, there = await five_on_each_worker(url, stack)
            await here[0].say("hi")
            await there[0].say("anybody else?")
            for group, text in ((here, "hi"), (there, "anybody else?")):
                for peer in group:
                    await peer.until("said")
                    assert peer.said() == [text]

    with uvicorn("--workers", "2") as server:
        wait_until(lambda: listens(server.port))
        asyncio.run(chat(server.url))


def listens(port: int) -> bool:
    """With `--workers` and `--reload`, uvicorn says "running" before a process of its own listens."""
    with socket.socket() as knock:
        return knock.connect_ex(("127.0.0.1", port)) == 0


async def five_on_each_worker(url: str, stack: contextlib.AsyncExitStack) -> tuple[list[Peer], list[Peer]]:
    """Connect until there are; those on one worker have the first client's name in their welcome."""
    here: list[Peer] = []
    there: list[Peer] = []
    async with asyncio.timeout(60):  # the second process may be slow to start
        for number in itertools.count():
            arrival = contextlib.AsyncExitStack()
            (peer,) = await arrival.enter_async_context(joined(url, f"P{number}"))
            group = here if "P0" in (await peer.until("welcome"))["members"] else there
            if len(group) == 5:
                await arrival.aclose()
                continue
            await stack.enter_async_context(arrival)
            group.append(peer)
            if len(here) == len(there) == 5:
                break
    return here, there


def test_a_reload_closes_every_connection_and_empties_the_room(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "apps", tmp_path / "apps")

    async def chat(url: str) -> None:
        async with joined(url, "Ann", "Bob") as (ann, bob):
            await ann.say("hi")
            await bob.until({"type": "said", "who": "Ann", "text": "hi"})
            with (tmp_path / "apps" / "chat" / "server.py").open("a") as file:
                file.write("# changed\n")
            for peer in (ann, bob):
                code, reason = (await peer.closed())[1:]
                assert code == 1012
                assert peer.got[-2] == {"type": "bye", "text": reason}
        async with asyncio.timeout(30):
            assert await first_welcome(url) == {
                "type": "welcome",
                "name": "Ann",
                "room": "lobby",
                "members": ["Ann"],
                "history": [],
            }

    with uvicorn("--reload", folder=tmp_path, environment={"PYTHONPATH": ""}) as server:
        wait_until(lambda: listens(server.port))
        asyncio.run(chat(server.url))
        assert any("detected changes in" in line for line in server.output)


async def first_welcome(url: str) -> dict[str, Any]:
    """Connect until the new server says welcome: the old one may say `bye`, or end in the handshake."""
    while True:
        with contextlib.suppress(InvalidHandshake, ConnectionError):
            async with joined(url, "Ann") as (ann,):
                first = await ann.anything()
                if isinstance(first, dict) and first["type"] == "welcome":
                    return first
