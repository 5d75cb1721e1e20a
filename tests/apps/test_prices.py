"""The price server: a market that can be replayed, and what each client is told, whatever the others do."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect

from apps.prices import server as prices
from apps.prices.feed import COMPANIES, KEPT, Market
from apps.prices.follower import Follower
from apps.prices.messages import changes_message
from apps.prices.server import PriceServer


def moved(seed: int, steps: int, seconds: float = 0) -> Market:
    market = Market(seed)
    for step in range(steps):
        market.step(step * seconds)
    return market


def test_the_same_seed_gives_the_same_prices_at_any_rate() -> None:
    def prices_of(market: Market) -> list[tuple[int, float]]:
        return [(newest.number, newest.price) for newest in market.newest.values()]

    assert prices_of(moved(7, 500, 0.001)) == prices_of(moved(7, 500, 1))
    assert prices_of(moved(7, 500)) != prices_of(moved(8, 500))
    assert prices_of(moved(7, 1))[0] == (1, 78.29), "the same in every version of Python"
    assert len(COMPANIES) == 40


def test_the_market_remembers_the_last_changes() -> None:
    market = moved(1, 20_000)
    newest = market.newest["ACME"].number
    assert newest > KEPT
    assert market.since("ACME", newest) == []
    assert [change.number for change in market.since("ACME", newest - 3) or []] == [
        newest - 2,
        newest - 1,
        newest,
    ]
    assert len(market.since("ACME", newest - KEPT) or []) == KEPT
    assert market.since("ACME", newest - KEPT - 1) is None
    assert market.since("ACME", newest + 1) is None


def step_until(market: Market, symbol: str, count: int) -> None:
    wanted = market.newest[symbol].number + count
    while market.newest[symbol].number < wanted:
        market.step(0)


def numbers(late: list[tuple[Any, int]]) -> list[tuple[int, int]]:
    return [(change.number, after) for change, after in late]


def test_a_follower_gets_a_snapshot_then_what_it_missed_or_only_the_newest() -> None:
    market = Market()
    follower = Follower(market)
    follower.subscribe(["ACME"])
    snapshots, late = follower.catch_up()
    assert ([change.symbol for change in snapshots], late) == (["ACME"], [])
    assert follower.in_step

    follower.fall_behind()
    step_until(market, "ACME", 3)
    follower.fall_behind()
    assert numbers(follower.catch_up()[1]) == [(4, 1)], "conflated"

    step_until(market, "ACME", 2)
    follower.subscribe(["ACME"], {"ACME": 3})
    step_until(market, "ACME", 1)
    assert numbers(follower.catch_up()[1]) == [(4, 3), (5, 4), (6, 5), (7, 6)], "nothing missed"

    follower.subscribe(["ACME"], {"ACME": 99})
    assert [change.number for change in follower.catch_up()[0]] == [7]


def test_one_who_follows_one_more_loses_nothing_of_the_others() -> None:
    market = Market()
    follower = Follower(market)
    follower.subscribe(["ACME"])
    follower.catch_up()
    follower.subscribe(["BOLT"])
    step_until(market, "ACME", 2)
    snapshots, late = follower.catch_up()
    assert [change.symbol for change in snapshots] == ["BOLT"]
    assert numbers(late) == [(2, 1), (3, 2)]
    follower.unsubscribe(["ACME"])
    assert follower.symbols == {"BOLT"}


@asynccontextmanager
async def serving(rate: float = 2000) -> AsyncIterator[tuple[PriceServer, str]]:
    server = PriceServer(Market(), rate=rate)
    async with serving_address(server) as url:
        yield server, url.replace("http", "ws")


def serving_address(server: PriceServer) -> Any:
    return server.serving("127.0.0.1", 0)


async def hear(connection: ClientConnection, kind: str) -> Any:
    async with asyncio.timeout(10):
        while True:
            message = json.loads(await connection.recv())
            if message["type"] == kind:
                return message


def request(kind: str, *symbols: str, **more: Any) -> str:
    return json.dumps({"type": kind, "symbols": symbols, **more})


def test_subscribe_and_hear_a_snapshot_and_changes_without_a_gap() -> None:
    async def follows() -> None:
        async with serving() as (_, url), connect(url, proxy=None) as ann:
            assert (await hear(ann, "hello"))["companies"]["ACME"] == ["Acme Anvils", "Workshop"]
            await ann.send(request("subscribe", "ACME", "BOLT"))
            snapshot = await hear(ann, "snapshot")
            known = {price["symbol"]: price["number"] for price in snapshot["prices"]}
            assert set(known) == {"ACME", "BOLT"}
            assert (await hear(ann, "audience")) == {
                "type": "audience",
                "clients": 1,
                "symbols": {"ACME": 1, "BOLT": 1},
            }
            for _ in range(5):
                for change in (await hear(ann, "changes"))["changes"]:
                    assert (change["number"], change["after"]) == (
                        known[change["symbol"]] + 1,
                        known[change["symbol"]],
                    )
                    known[change["symbol"]] += 1
            await ann.send(request("unsubscribe", "ACME"))
            while (await hear(ann, "audience"))["symbols"] != {"BOLT": 1}:
                pass
            assert {change["symbol"] for change in (await hear(ann, "changes"))["changes"]} == {"BOLT"}

    asyncio.run(follows())


def test_who_comes_back_gets_what_it_missed_and_after_a_restart_a_snapshot() -> None:
    async def comes_back() -> None:
        async with serving(rate=400) as (_, url):
            async with connect(url, proxy=None) as ann:
                run = (await hear(ann, "hello"))["run"]
                await ann.send(request("subscribe", "ACME"))
                number = (await hear(ann, "snapshot"))["prices"][0]["number"]
            async with connect(url, proxy=None) as bob:
                await bob.send(request("subscribe", "ACME"))
                while (await hear(bob, "changes"))["changes"][-1]["number"] < number + 3:
                    pass
            async with connect(url, proxy=None) as ann:
                await ann.send(request("subscribe", "ACME", after={"ACME": number}, run=run))
                missed = (await hear(ann, "changes"))["changes"]
                expected = [(number + 1, number), (number + 2, number + 1), (number + 3, number + 2)]
                assert [(change["number"], change["after"]) for change in missed[:3]] == expected
                await ann.send(request("subscribe", "ACME", after={"ACME": number}, run="an older one"))
                assert (await hear(ann, "snapshot"))["prices"][0]["number"] > number + 2

    asyncio.run(comes_back())


BAD: dict[str, tuple[str | bytes, str]] = {
    "no JSON": ("hello", "this isn't JSON"),
    "bytes": (b"\x00\x01", "text messages, not binary"),
    "no object": ("[1, 2]", "this isn't a request"),
    "an unknown type": (request("buy", "ACME"), "'buy'"),
    "no symbols": ('{"type": "subscribe"}', "`symbols`"),
    "a number for symbols": ('{"type": "subscribe", "symbols": 3}', "Expected `array`"),
    "a number in symbols": ('{"type": "subscribe", "symbols": [3]}', "Expected `str`"),
    "an unknown symbol": (request("subscribe", "ACNE"), "no symbol 'ACNE'; they are: ACME"),
    "too many symbols": (request("subscribe", *["ACME"] * 41), "length <= 40"),
    "a huge message": (request("subscribe", "A" * 10_000), "at most 8,192 characters"),
    "a deep one": ("[" * 8000, "this isn't a request"),
    "a negative number": (request("subscribe", "ACME", after={"ACME": -1}), ">= 0"),
    "not a number": ('{"type": "subscribe", "symbols": ["ACME"], "after": {"ACME": NaN}}', "isn't JSON"),
    "a number of another": (request("subscribe", "ACME", after={"BOLT": 1}), "`after` has 'BOLT'"),
    "one field too many": (request("subscribe", "ACME", admin=True), "admin"),
}


def test_each_bad_request_gets_a_clear_error_and_stops_nobody() -> None:
    async def asks() -> None:
        async with serving() as (_, url), connect(url, proxy=None) as ann, connect(url, proxy=None) as bad:
            await ann.send(request("subscribe", "ACME"))
            for name, (message, words) in BAD.items():
                await bad.send(message)
                text = (await hear(bad, "error"))["text"]
                assert words in text, f"{name}: {text}"
            await bad.send(request("subscribe", "BOLT"))
            assert (await hear(bad, "snapshot"))["prices"][0]["symbol"] == "BOLT"
            await hear(ann, "changes")

    asyncio.run(asks())


async def narrow(url: str) -> ClientConnection:
    """A client for which hardly anything can wait on its way."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    host, port = url.removeprefix("ws://").split(":")
    sock.connect((host, int(port)))
    return await connect(url, sock=sock, proxy=None, max_queue=1)


def test_one_who_never_reads_costs_little_and_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [0]

    def measured(entries: Iterable[bytes]) -> bytes:
        message = changes_message(entries)
        sizes.append(len(message))
        return message

    monkeypatch.setattr(prices, "PATIENCE", 1.0)
    monkeypatch.setattr(prices, "changes_message", measured)

    async def watches() -> None:
        async with serving(rate=20_000) as (server, url), connect(url, proxy=None) as ann:
            mute = await narrow(url)
            await mute.send(request("subscribe", *COMPANIES))
            await ann.send(request("subscribe", "ACME"))
            most = 0
            while (await hear(ann, "audience"))["clients"] != 2:
                pass
            async with asyncio.timeout(10):
                while len(server.clients) == 2:
                    await hear(ann, "changes")
                    waiting = [c.connection.transport.get_write_buffer_size() for c in server.clients]
                    most = max(most, *waiting)
            bound = prices.MOST_WAITING + max(sizes)  # of messages, the longest of which a stall makes
            assert 0 < most < bound + 1024, "20,000 changes a second are 1.7 MB"
            mute.transport.abort()

    asyncio.run(watches())


def test_a_slow_reader_gets_new_prices_and_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It handles each message in 60 ms, and there are 20 a second: each second it would be 200 ms later."""
    monkeypatch.setattr(prices, "CHECK_SECONDS", 0.1)

    async def reads() -> tuple[list[float], list[float]]:
        async with serving(rate=4000) as (_, url):
            slow = await narrow(url)
            await slow.send(request("subscribe", *COMPANIES))
            before: list[float] = []
            after: list[float] = []
            while len(after) < 12:
                changes = (await hear(slow, "changes"))["changes"]
                conflated = any(change["number"] > change["after"] + 1 for change in changes)
                assert not (conflated and len(changes) > len(COMPANIES))
                age = time.time() - max(change["time"] for change in changes)
                (after if conflated else before).append(age)
                await asyncio.sleep(0.06)
            slow.transport.abort()
            return before, after

    before, after = asyncio.run(reads())
    assert len(before) > 3, "until it fell behind, it got each change"
    assert sorted(after[4:])[4] < 0.3


def test_a_foreign_client_and_server_sent_events_get_the_same() -> None:
    async def hears() -> None:
        async with (
            serving_address(PriceServer(Market(), rate=1000)) as url,
            aiohttp.ClientSession() as session,
        ):
            async with session.ws_connect(url) as ann, session.get(f"{url}/events?symbols=ACME") as events:
                assert events.content_type == "text/event-stream"
                assert (await ann.receive_json())["type"] == "hello"
                await ann.send_json({"type": "subscribe", "symbols": ["ACME"]})

                async def streamed() -> AsyncIterator[Any]:
                    async for line in events.content:
                        if line.startswith(b"data: "):
                            yield json.loads(line[6:])

                stream = streamed()
                by_number: dict[int, Any] = {}
                assert (await anext(stream))["type"] == "snapshot"
                while len(by_number) < 5:
                    for change in (await anext(stream))["changes"]:
                        by_number[change["number"]] = change
                while True:
                    message = await ann.receive_json()
                    if message["type"] == "changes":
                        change = message["changes"][-1]
                        if change["number"] in by_number:
                            break
                        for later in (await anext(stream))["changes"]:
                            by_number[later["number"]] = later
                assert change == by_number[change["number"]]
            answer = await session.get(f"{url}/events?symbols=ACNE")
            assert answer.status == 400
            assert "no symbol 'ACNE'" in await answer.text()
            async with asyncio.timeout(10), session.head(f"{url}/events") as answer:
                assert answer.status == 405, "or it would be a body without end"
            for path, status in (("/", 200), ("/page.js", 200), ("/../server.py", 404), ("/no", 404)):
                assert (await session.get(url + path)).status == status

    asyncio.run(hears())


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_from_a_terminal_it_ends_in_time_whoever_is_there() -> None:
    program = subprocess.Popen(
        [sys.executable, "-m", "apps.prices", "--port", "0", "--rate", "500"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert program.stdout is not None
    url = program.stdout.readline().split()[-1]

    async def ends() -> str:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/events"):
            mute = await narrow(url.replace("http", "ws"))
            mute.transport.pause_reading()
            async with connect(url.replace("http", "ws"), proxy=None) as ann:
                await hear(ann, "hello")
                program.send_signal(signal.SIGTERM)
                await ann.wait_closed()
                mute.transport.abort()
                return f"{ann.close_code} {ann.close_reason}"

    assert asyncio.run(ends()) == "1001 the server is going down"
    assert program.communicate(timeout=5)[0] == ""
    assert program.returncode == 0


def test_the_server_ends_when_the_market_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices, "stopped_by_signals", asyncio.Event)

    class Broken(Market):
        def step(self, time: float) -> NoReturn:
            raise ArithmeticError("the market has crashed")

    async def serve() -> None:
        async with asyncio.timeout(10):
            await PriceServer(Broken(), rate=100).run("127.0.0.1", 0)

    with pytest.raises(ArithmeticError, match="crashed"):
        asyncio.run(serve())
