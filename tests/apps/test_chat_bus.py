"""The chat in two processes on one bus: one room, whoever is killed, ended, restarted or cut off."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial

import pytest
from chat_peers import itself, joined, uvicorn
from shared import open_here, wait_until
from test_bus import RUNS, engine
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from apps.chat.resume import unseen
from apps.chat.room import Event
from helpers import BackgroundProcess, tapped

OFF_THE_LIST = 5.0
"""In seconds: when the members of a dead process are gone, at the latest."""


def server(bus: str, name: str) -> BackgroundProcess:
    return uvicorn(environment={"CHAT_BUS": bus}, name=name)


@pytest.fixture(scope="module", params=["redis", "nats"])
def bus(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BackgroundProcess]:
    with engine(request.param, tmp_path_factory.mktemp("bus")) as running:
        yield running


@pytest.fixture(scope="module")
def two(bus: BackgroundProcess) -> Iterator[list[BackgroundProcess]]:
    """Two servers on one bus. Tests that kill one start it again."""
    servers = [server(bus.url, "first"), server(bus.url, "second")]
    with servers[0], servers[1]:
        yield servers


class Steady:
    """A client that comes back to the next server when its connection ends, and misses nothing.

    What it has said and not heard, it says again after its `welcome`, whose history tells what has arrived.
    """

    def __init__(self, name: str, room: str, urls: list[str]) -> None:
        self.name, self.room, self.urls = name, room, itertools.cycle(urls)
        self.said: list[Event] = []
        self.unheard: list[str] = []
        self.connections = 0
        self.more = asyncio.Event()

    async def live(self) -> None:
        for url in self.urls:
            where = f"{url.replace('http', 'ws', 1)}/ws?name={self.name}&room={self.room}"
            with contextlib.suppress(OSError, InvalidHandshake, ConnectionClosed):
                async with connect(where, proxy=None, compression=None, close_timeout=1) as self.connection:
                    async for text in self.connection:
                        await self.came(json.loads(text))
            await asyncio.sleep(0.2)  # as long as a real one waits at least

    async def came(self, event: Event) -> None:
        if event["type"] == "welcome":
            self.connections += 1
            self.said += unseen(self.said, event["history"]) if self.said else event["history"]
            mine = [said["text"] for said in self.said]
            self.unheard = [text for text in self.unheard if text not in mine]
            for text in self.unheard:
                await self.connection.send(text)
        elif event["type"] == "said":
            self.said.append(event)
            if event["text"] in self.unheard:
                self.unheard.remove(event["text"])
        self.more.set()

    async def say(self, text: str) -> None:
        self.unheard.append(text)
        with contextlib.suppress(ConnectionClosed):
            await self.connection.send(text)

    async def until(self, condition: Callable[[], object], seconds: float = 10) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                self.more.clear()
                await self.more.wait()

    def is_in(self) -> bool:
        return self.connections > 0

    def has(self, texts: list[str]) -> bool:
        return set(texts) <= set(self.texts())

    def texts(self) -> list[str]:
        return [event["text"] for event in self.said]


@contextlib.asynccontextmanager
async def steady(room: str, *homes: list[BackgroundProcess]) -> AsyncIterator[list[Steady]]:
    """Clients who begin at the first of their servers and go to the next when it is gone."""
    clients = [Steady(f"S{n}", room, [one.url for one in home]) for n, home in enumerate(homes)]
    tasks = [asyncio.create_task(client.live()) for client in clients]
    for client in clients:
        await client.until(client.is_in)
    yield clients
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def all_hear_all(clients: list[Steady], texts: list[str], seconds: float = 10) -> None:
    """Wait until everybody has each text, and see that nobody has one twice."""
    for client in clients:
        await client.until(partial(client.has, texts), seconds)
        assert sorted(client.texts()) == sorted(texts)


async def talk(clients: list[Steady], rounds: int, what: Callable[[int], object]) -> list[str]:
    """Everybody says something in each round, 50 rounds a second; `what` happens in the meantime."""
    texts = []
    for number in range(rounds):
        for client in clients:
            texts.append(f"{client.name} {number}")
            await client.say(texts[-1])
        await asyncio.to_thread(what, number)
        await asyncio.sleep(0.02)
    return texts


@pytest.mark.parametrize("run", RUNS)
def test_when_a_process_is_killed_nobody_misses_anything_or_hears_it_twice(
    two: list[BackgroundProcess], run: int
) -> None:
    first, second = two

    async def scene() -> None:
        room = f"kill{run}"
        async with steady(room, [first, second], [first, second], [second], [second]) as clients:
            texts = await talk(clients, 6, lambda number: first.kill() if number == 3 else None)
            killed = time.monotonic()
            await all_hear_all(clients, texts)
            assert [client.connections for client in clients] == [2, 2, 1, 1]
            while len(listed(second.url, room)) > 4:  # those of the dead process are still on the list
                assert time.monotonic() - killed < OFF_THE_LIST
                await asyncio.sleep(0.05)
            assert len(listed(second.url, room)) == 4

    try:
        asyncio.run(scene())
    finally:
        first.start()


def listed(url: str, room: str) -> list[str]:
    with open_here(f"{url}/health", timeout=5) as answer:
        rooms: dict[str, list[str]] = json.load(answer)
        return rooms.get(room, [])


@pytest.mark.parametrize("run", RUNS)
def test_when_a_process_is_told_to_end_nobody_misses_anything(two: list[BackgroundProcess], run: int) -> None:
    first, second = two

    async def scene() -> None:
        async with steady(f"term{run}", [first, second], [first, second], [second]) as clients:
            end = itself(first)
            texts = await talk(clients, 6, lambda number: number == 3 and end.send_signal(signal.SIGTERM))
            await all_hear_all(clients, texts)
            assert [client.connections for client in clients] == [2, 2, 1]
            assert len(listed(second.url, f"term{run}")) == 3
            await asyncio.to_thread(wait_until, lambda: not first.running)

    try:
        asyncio.run(scene())
    finally:
        first.start()


@pytest.mark.parametrize("run", RUNS)
def test_when_the_engine_is_killed_and_starts_again_nobody_misses_anything(
    bus: BackgroundProcess, two: list[BackgroundProcess], run: int
) -> None:
    def happen(number: int) -> None:
        if number == 2:
            bus.kill()
        elif number == 4:
            bus.start()

    async def scene() -> None:
        async with steady(f"engine{run}", [two[0]], [two[1]]) as clients:
            texts = await talk(clients, 6, happen)
            await all_hear_all(clients, texts, seconds=5)
            assert [client.connections for client in clients] == [1, 1]

    asyncio.run(scene())


def test_it_is_one_room_for_names_lists_history_whispers_and_notices(two: list[BackgroundProcess]) -> None:
    first, second = two

    async def scene() -> None:
        async with joined(first.url, "Ann", room="one") as (ann,):
            await ann.until("welcome")
            await ann.say("hi")
            await ann.until("said")
            async with joined(second.url, "ann", room="One") as (bob,):
                said = {"type": "said", "who": "Ann", "text": "hi"}
                assert await bob.until("welcome") == {
                    "type": "welcome",
                    "name": "ann-2",
                    "room": "one",
                    "members": ["Ann", "ann-2"],
                    "history": [said],
                }
                await bob.say("/typing")
                await bob.say("/to Ann psst")
                await ann.until({"type": "told", "who": "ann-2", "to": "Ann", "text": "psst"})
                assert ann.types() == ["welcome", "said", "joined", "typing", "told"]
                assert listed(first.url, "one") == listed(second.url, "one") == ["Ann", "ann-2"]
                notice = json.dumps({"text": "the shop closes", "room": "one"}).encode()
                with open_here(f"{second.url}/tell", notice, timeout=5) as answer:
                    assert json.load(answer) == {"members": 2}
                await ann.until({"type": "said", "who": "server", "text": "the shop closes"})
            await ann.until({"type": "left", "who": "ann-2"})

    asyncio.run(scene())


def test_a_process_that_is_cut_off_from_the_engine_loses_its_members_and_comes_back(
    bus: BackgroundProcess, two: list[BackgroundProcess]
) -> None:
    async def scene(url: str, stall: Callable[[], None], resume: Callable[[], None]) -> None:
        async with joined(two[0].url, "Ann", room="cut") as (ann,):
            async with joined(url, "Bob", room="cut") as (bob,):
                await ann.until("joined")
                stall()
                begin = time.monotonic()
                await bob.say("can you hear me?")
                await ann.until({"type": "left", "who": "Bob"})
                assert time.monotonic() - begin < OFF_THE_LIST + 1
                resume()
                assert (await bob.closed())[1] == 1012
                await ann.until({"type": "said", "who": "Bob", "text": "can you hear me?"})
            async with joined(url, "Bob", room="cut") as (bob,):
                assert (await bob.until("welcome"))["members"] == ["Ann", "Bob"]

    scheme, _, where = bus.url.partition("://")
    with tapped(f"http://{where}") as tap, server(f"{scheme}://127.0.0.1:{tap.port}", "cut off") as third:
        asyncio.run(scene(third.url, tap.stall, tap.resume))


def test_without_an_engine_the_server_starts_and_asks_everybody_to_try_later() -> None:
    async def scene(url: str) -> None:
        async with joined(url, "Ann") as (ann,):
            assert (await ann.closed())[1:] == (
                1013,
                "the server can't reach the others yet: try again in a moment",
            )

    with server("redis://127.0.0.1:1", "alone") as alone:
        asyncio.run(scene(alone.url))
