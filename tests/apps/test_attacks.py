"""The attacks of chapter 12: each gets into a server without the fix, and not into one with it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from typing import Any

import psutil
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection

from apps.door import attacks, limits, people
from apps.door.server import Door
from helpers.background.apart import apart
from helpers.background.server import BackgroundServer

INPUTS = 10_000


async def repeat(connection: ServerConnection) -> None:
    async for text in connection:
        await connection.send(f"{len(text):,} characters" if len(text) > 1000 else text)


async def greet(connection: ServerConnection) -> None:
    await connection.send(f"hello {connection.request and connection.request.headers.get('Cookie')}")
    await connection.wait_closed()


async def hurried(connection: ServerConnection) -> None:
    try:
        async with asyncio.timeout(0.2):
            await repeat(connection)
    except TimeoutError:
        await connection.close(1008, "too slow")


async def few(connection: ServerConnection) -> None:
    for _ in range(20):
        await connection.send(await connection.recv())
    await connection.close(1008, "too fast")


EVIL = ("Origin: https://evil.example", "Cookie: session=7")
CASES: dict[str, tuple[Any, tuple[Any, ...], Any, dict[str, Any], Any, dict[str, Any], str]] = {
    "come_in": (attacks.come_in, EVIL, greet, {}, greet, {"origins": [None]}, "HTTP 403"),
    "bomb": (attacks.bomb, (20,), repeat, {"max_size": None}, repeat, {}, "closed: 1009"),
    "half_open": (attacks.half_open, (20, 0.6), repeat, {}, repeat, {"open_timeout": 0.2}, "20 of 20"),
    "keep_silent": (attacks.keep_silent, (0.5,), repeat, {}, hurried, {}, "1008 too slow"),
    "flood": (attacks.flood, (500,), repeat, {}, few, {}, "480 of 500 messages; closed: 1008 too fast"),
}
"""The attack, its arguments; handler and options before the fix, the same after it; and what is said then."""


@pytest.mark.parametrize("name", CASES)
def test_an_attack_gets_in_before_the_fix_and_not_after_it(name: str) -> None:
    attack, arguments, open_handler, open_options, handler, options, words = CASES[name]
    with BackgroundServer(open_handler, name="before", **open_options) as before:
        got_in = attack(before.url, *arguments)
    assert repr(got_in).startswith("got in: "), got_in
    with BackgroundServer(handler, name="after", **options) as after:
        refused = attack(after.url, *arguments)
    assert not refused.got_in
    assert words in repr(refused)
    assert repr(refused).startswith("was refused: ")


def test_a_bomb_costs_what_it_becomes_and_nothing_where_it_is_refused() -> None:
    async def throw(**options: Any) -> float:
        with BackgroundServer(repeat, where="process", **options) as server:
            return (await apart(attacks.bomb, server.url, 60)).cost or 0.0

    if sys.platform == "linux":  # elsewhere the server's process may not be known
        assert asyncio.run(throw(max_size=None)) > 50
    assert asyncio.run(throw()) < 20


def test_the_process_behind_a_port() -> None:
    with BackgroundServer(repeat) as server:
        found = attacks.listening_process(server.port)
        assert found
        assert found.pid == os.getpid()
    with BackgroundServer(repeat, where="process") as server:
        assert attacks.listening_process(server.port) in psutil.Process().children()
        port = server.port
    assert attacks.listening_process(port) is None


def test_the_process_behind_a_port_where_the_system_tells_only_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(kind: str) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", refuse)
    test_the_process_behind_a_port()


def attack(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["attacks", *arguments])
    attacks.main()


def test_an_attack_from_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with BackgroundServer(greet) as server:
        attack(monkeypatch, "come_in", server.url, "Cookie: session=7")
        assert capsys.readouterr().out == "got in: reads 'hello session=7'\n"
        attack(monkeypatch, "keep_silent", "--seconds", "0.2", server.url.replace("127.0.0.1", "localhost"))
        assert capsys.readouterr().out == "got in: still there after 0.2 s\n"
        gone = server.url
    with pytest.raises(SystemExit, match="1"):
        attack(monkeypatch, "crowd", gone)
    assert f"can't attack {gone}: " in capsys.readouterr().err


WRONG = {
    "ws://example.org/": "isn't an address of this machine, without TLS",
    "ws://127.0.0.1.example.org/": "isn't an address of this machine, without TLS",
    "wss://127.0.0.1:8000/": "isn't an address of this machine, without TLS",
    "ws://127.0.0.1:port/": "isn't an address of this machine, without TLS",
    "--megabytes=5000": "5000 isn't between 1 and 1,000",
    "--count=3": "unrecognized arguments: --count=3",
}


@pytest.mark.parametrize("argument", WRONG)
def test_what_the_command_does_not_take(
    argument: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(socket, "create_connection", None)
    url = [] if "//" in argument else ["ws://127.0.0.1:9/"]
    with pytest.raises(SystemExit, match="2"):
        attack(monkeypatch, "bomb", argument, *url)
    assert WRONG[argument] in capsys.readouterr().err


def test_hostile_inputs_can_be_sent_again() -> None:
    one, again, other = (list(attacks.hostile_inputs("ws://127.0.0.1:1", 100, seed)) for seed in (1, 1, 2))
    assert one == again != other
    assert len(one) == 100


@pytest.fixture
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "COST", {"n": 2, "r": 8, "p": 1})
    monkeypatch.setattr(limits, "MESSAGES_PER_SECOND", 1000)


@pytest.mark.usefixtures("cheap_passwords")
def test_the_door_answers_everybody_during_10000_hostile_inputs() -> None:
    async def talk() -> None:
        everybody = people.People()
        everybody.add("ann", "x", {"lobby": people.Right.OWN})
        door = Door(everybody)
        async with door.serving("127.0.0.1", 0) as url:
            url = url.replace("http", "ws")
            ticket = door.passes.text(door.passes.ticket(door.passes.session("ann", 600)))
            async with connect(f"{url}/?ticket={ticket}", proxy=None) as ann:
                await ann.recv()  # welcome
                fuzzing = asyncio.create_task(apart(attacks.fuzz, url, INPUTS))
                longest = answered = 0.0
                clock = asyncio.get_running_loop().time
                while not fuzzing.done():
                    begin, text = clock(), f"message {answered}"
                    await ann.send(json.dumps({"type": "say", "room": "lobby", "text": text}))
                    assert json.loads(await asyncio.wait_for(ann.recv(), 10))["text"] == text
                    longest, answered = max(longest, clock() - begin), answered + 1
                    await asyncio.sleep(0.05)
                assert (await fuzzing).how == "all 10,000 hostile inputs"
            assert answered > 20
            assert longest < 5, "0.3 on a quiet machine"
        assert not door.guests
        assert not door.addresses

    asyncio.run(talk())
