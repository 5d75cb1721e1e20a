"""Arguments are checked where they are given, and the message says in words what is wrong."""

# mypy: disable-error-code="arg-type,list-item,dict-item,call-arg"
from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from shared import echo, sync_connect

import helpers
from helpers import (
    AppPage,
    BackgroundApp,
    BackgroundProcess,
    BackgroundServer,
    Bars,
    BrowserClient,
    ChildKernel,
    Claims,
    ClientPanel,
    Lines,
    LiveChart,
    Probe,
    Race,
    Source,
    StopButton,
    WireTimeline,
    tapped,
)
from helpers.clients.conversation import Conversation

URL = "ws://127.0.0.1:8765"
WRONG: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: BackgroundServer(echo, close_timeout="1"),
        r"close_timeout must be a number, not '1'",
    ),
    (lambda: BackgroundServer(echo, close_timeout=-1), "must be 0 or more, not -1"),
    (lambda: BackgroundServer(echo, ping_timeout="1"), r"ping_timeout must be a number"),
    (lambda: BackgroundServer(echo, max_size="1000"), "max_size must be a whole number, not '1000'"),
    (lambda: BackgroundServer(echo, max_queue=(16, "4")), "max_queue must be a whole number, not '4'"),
    (lambda: BackgroundServer(echo, ssl="cert.pem"), "ssl must be an ssl.SSLContext"),
    (lambda: BackgroundServer(echo, port="8765"), "port must be a whole number, not '8765'"),
    (lambda: BackgroundServer(echo, port=70_000), "port must be 0 to 65,535, not 70000"),
    (lambda: BackgroundServer(echo, origins="https://a.example"), r"write origins=\['https://a.example'\]"),
    (lambda: BackgroundServer(echo, host=8765), "host must be a string, not 8765"),
    (lambda: BackgroundServer(echo, name=5), "name must be a string, not 5"),
    (lambda: BackgroundServer(echo, ping_intervall=5), "has an option 'ping_intervall'"),
    (lambda: BackgroundApp(5), "must be an ASGI application"),
    (lambda: BackgroundProcess([sys.executable, 5], ready="x"), "a string or a path, not 5"),
    (lambda: BackgroundProcess("python -m x", ready="x"), "the command must be a list"),
    (lambda: BackgroundProcess(Path("x"), ready="x"), "the command must be a list"),
    (lambda: BackgroundProcess(5, ready="x"), "the command must be a list"),
    (lambda: BackgroundProcess([], ready="x"), "the command must be a list"),
    (lambda: BackgroundProcess(["x"], ready="x", seconds="1"), "seconds must be a number"),
    (lambda: tapped(8000), "an address like ws://127.0.0.1:8765, or a server, not 8000"),
    (lambda: tapped("localhost:8000"), "a tap needs a ws:// or http:// URL, not 'localhost:8000'"),
    (lambda: tapped("ws://127.0.0.1:99999"), "a tap needs a ws:// or http:// URL"),
    (lambda: Lines("age", 5), "series must be a dict of points by the lines' names, not 5"),
    (lambda: Lines("age", {"a": [1, 2]}), "each point of 'a' must be a time and a value"),
    (lambda: AppPage(URL, height="400"), r"height \(pixels\) must be a whole number, not '400'"),
    (lambda: asyncio.run(helpers.compare_push(ways="SSE")), "ways must be a list of names, not 'SSE'"),
    (
        lambda: asyncio.run(helpers.compare_fan_out({"a": URL}, clients=9)),
        "clients must be a list of numbers",
    ),
    (lambda: tapped(URL, delay="0.1"), r"delay \(seconds\) must be a number, not '0.1'"),
    (lambda: tapped(URL, rate="fast"), r"rate \(bytes per second\) must be a number, not 'fast'"),
    (lambda: tapped(URL, latency=1), "latency"),
    (lambda: Bars({"a": 1.0, "b": {"c": 1.0}}), "not both"),
    (lambda: Bars({1: 1.0}), "a label must be a string, not 1"),
    (lambda: Source(), "name a module"),
    (lambda: Source(5), "a place must be a string"),
    (lambda: Probe(8000), "or a server, not 8000"),
    (lambda: Race(gap="1"), r"gap \(seconds\) must be a number"),
    (lambda: StopButton(5), "stops servers, taps and programs, not 5"),
    (lambda: WireTimeline(BackgroundServer(echo)), "give it tapped"),
    (lambda: LiveChart(5), "title must be a string, not 5"),
    (lambda: LiveChart("age").add("a", "b"), "a: 'b' can't be drawn"),
    (lambda: Claims(5), "a dict from each claim to True or False, not 5"),
    (lambda: asyncio.run(helpers.compare_fan_out(5)), "a dict from names to handlers or addresses, not 5"),
    (lambda: Bars([1, 2]), "Bars takes a dict"),
    (lambda: Bars({"a": math.nan}), "the amount of 'a' must be 0 or more, not nan"),
    (lambda: Bars({"a": -1.0}), "the amount of 'a' must be 0 or more, not -1"),
    (lambda: Bars({"a": "1"}), "the amount of 'a' must be a number, not '1'"),
    (lambda: ClientPanel("A", 8000), "or a server, not 8000"),
    (lambda: BrowserClient("A", 8000), "or a server, not 8000"),
    (lambda: AppPage(8000), "or a server, not 8000"),
    (lambda: Race("20"), "events must be a whole number, not '20'"),
    (lambda: Race(201), "events must be 1 to 200, not 201"),
    (lambda: asyncio.run(helpers.compare_requests("25")), "messages must be a whole number, not '25'"),
    (lambda: asyncio.run(helpers.compare_requests(size="1")), r"size \(bytes\) must be a whole number"),
    (lambda: asyncio.run(helpers.compare_push(round_trip="1")), r"round_trip \(seconds\) must be a number"),
    (
        lambda: asyncio.run(helpers.compare_fan_out({"a": URL}, clients=["9"])),
        "clients must be a whole number",
    ),
    (lambda: asyncio.run(helpers.one_never_reads(URL, seconds="3")), "seconds must be a number, not '3'"),
]


@pytest.mark.parametrize(("make", "words"), WRONG, ids=[words for _, words in WRONG])
def test_a_wrong_argument_is_refused_in_words(make: Callable[[], Any], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        make()


async def is_greeting(message: object) -> bool:
    return message == "hi"


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (is_greeting, "give it a plain function, `def` without `async`"),
    ],
)
@pytest.mark.parametrize("early", [True, False])
def test_received_takes_no_coroutine_function_for_a_match(wanted: Any, words: str, early: bool) -> None:
    async def receive() -> None:
        ann = Conversation("Ann")
        if early:
            ann.came("hi")
        else:
            asyncio.get_running_loop().call_soon(ann.came, "hi")
        with pytest.raises(TypeError, match=words):
            await ann.received(wanted)

    asyncio.run(receive())


def test_a_child_kernel_is_entered_once_at_a_time() -> None:
    async def enter_twice() -> None:
        async with (kernel := ChildKernel()):
            with pytest.raises(RuntimeError, match="is already running"):
                await kernel.__aenter__()
            with pytest.raises(TypeError, match=r"for one cell, write kernel\.run"):
                await kernel.run_all("1 + 1")
            assert (await kernel.run("1 + 1")).result == "2"

    asyncio.run(enter_twice())


def test_a_server_without_a_close_timeout_starts_and_stops() -> None:
    with BackgroundServer(echo, close_timeout=None) as server, sync_connect(server.url) as client:
        client.send("hi")
        assert client.recv(timeout=5) == "hi"


def test_a_panel_takes_the_server_for_its_address() -> None:
    with BackgroundServer(echo) as server:
        assert ClientPanel("Ann", server).client.url == BrowserClient("Bob", server)._address == server.url
