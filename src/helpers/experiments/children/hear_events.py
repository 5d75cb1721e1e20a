"""The client's side of `compare_push` and of the race: the same events, heard in four ways at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, NamedTuple

import aiohttp

from helpers.background.parent import Parent
from helpers.experiments.children.http_client import HttpClient
from helpers.experiments.children.http_headers import HeaderSet
from helpers.readers_code import in_words

LATE_BY = 5.0
"""Seconds after the last publication in which an event may still come."""

NUMBER, STAMP = 6, 17
SMALLEST_EVENT = NUMBER + STAMP + 2
"""Bytes: an event carries its number and the moment of its publication."""


class Heard(NamedTuple):
    """An event that came: its number, and when it was published and came, by `time.perf_counter`."""

    number: int
    published: float
    arrived: float


class Arrivals:
    """What one way has heard: the events' numbers, when they were published and when they came."""

    def __init__(self, way: str, events: int) -> None:
        self.way = way
        self.seen = 0
        self.fresh: list[Heard] = []
        self.broken = ""
        self._missing = set(range(events))

    @property
    def finished(self) -> bool:
        return not self._missing

    def note(self, text: str) -> None:
        arrived = time.perf_counter()
        number, published = text.split(" ", 2)[:2]
        self.seen += 1
        self.fresh.append(Heard(int(number), float(published), arrived))
        self._missing.discard(int(number))


async def _polling(peer: HttpClient, got: Arrivals, every: float) -> None:
    due = time.perf_counter()
    while not got.finished:
        for text in (await peer.get(f"/poll?after={got.seen}")).splitlines():
            got.note(text)
        due = max(due + every, time.perf_counter())
        await asyncio.sleep(due - time.perf_counter())


async def _long_polling(peer: HttpClient, got: Arrivals) -> None:
    while not got.finished:
        for text in (await peer.get(f"/long-poll?after={got.seen}")).splitlines():
            got.note(text)


async def _events(events: Any, got: Arrivals) -> None:
    async for text in events:
        got.note(text)
        if got.finished:
            return


async def _websocket(websocket: Any, got: Arrivals) -> None:
    while not got.finished:
        got.note(await websocket.receive_str())


async def hear_events(
    parent: Parent, moments: list[float], size: int, headers: HeaderSet, poll_every: float
) -> dict[str, str]:
    """Publish events, and hear them in all ways at once, until all have come or nothing more can.

    Args:
        parent: gives the address of each way, and of the server itself; is told `"opened"`, twenty times a
            second the moment and what was heard in each way, and `"done"`. An order is awaited after
            `"opened"` and after `"done"`.
        moments: when to publish, in seconds.
        size: bytes of each event.
        headers: what the client sends along.
        poll_every: how often polling asks, in seconds.

    Returns:
        For each way, in words, why it heard no more; empty if it heard all.
    """
    urls, server = await asyncio.wrap_future(parent.order())
    by_way = {way: Arrivals(way, len(moments)) for way in urls}
    async with AsyncExitStack() as stack:
        peers = {way: HttpClient(url, headers) for way, url in urls.items()}
        for peer in peers.values():
            stack.push_async_callback(peer.close)
        hear: dict[str, Callable[[], Awaitable[None]]] = {}
        for way, peer in peers.items():
            if way == "SSE":
                events = await stack.enter_async_context(peer.events("/events"))
                hear[way] = partial(_events, events, by_way[way])
            elif way == "WebSocket":
                websocket = await stack.enter_async_context(peer.websocket("/websocket"))
                hear[way] = partial(_websocket, websocket, by_way[way])
            elif way == "polling":
                hear[way] = partial(_polling, peer, by_way[way], poll_every)
            else:
                hear[way] = partial(_long_polling, peer, by_way[way])
        parent.report("opened")
        await asyncio.wrap_future(parent.order())
        publisher = HttpClient(server, "least")
        stack.push_async_callback(publisher.close)
        telling = asyncio.create_task(_tell(by_way, parent))
        tasks = [asyncio.create_task(_until_broken(hear[way], by_way[way])) for way in urls]
        await _publish(publisher, moments, size)
        _, late = await asyncio.wait(tasks, timeout=poll_every + LATE_BY)
        for task in late:
            task.cancel()
        telling.cancel()
        _tell_once(by_way, parent)
        parent.report("done")
        await asyncio.wrap_future(parent.order())
    return {way: got.broken or ("" if got.finished else "no more came") for way, got in by_way.items()}


async def _publish(server: HttpClient, moments: list[float], size: int) -> None:
    """Publish events at these moments, from now on: each says its number and when it was published."""
    begin = time.perf_counter()
    for number, moment in enumerate(moments):
        await asyncio.sleep(begin + moment - time.perf_counter())
        text = f"{number:0{NUMBER}d} {time.perf_counter():0{STAMP}.6f} "
        await server.post("/say", text.ljust(size, "x"))


async def _until_broken(hear: Callable[[], Awaitable[None]], got: Arrivals) -> None:
    try:
        await hear()
    except (aiohttp.ClientError, aiohttp.WSMessageTypeError, OSError) as error:
        got.broken = in_words(error)


async def _tell(by_way: dict[str, Arrivals], parent: Parent) -> None:
    while True:
        await asyncio.sleep(0.05)
        _tell_once(by_way, parent)


def _tell_once(by_way: dict[str, Arrivals], parent: Parent) -> None:
    fresh = {way: got.fresh for way, got in by_way.items() if got.fresh}
    for got in by_way.values():
        got.fresh = []
    parent.report((time.perf_counter(), fresh))
