"""The client's side of `compare_push` and of the race: the same events, heard in four ways at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp

from helpers.experiments.client_process import Orders, Report
from helpers.experiments.client_session import FAILURES, Peer
from helpers.experiments.plan import NUMBER, PATIENCE, STAMP
from helpers.readers_code import in_words

__all__ = ["FAILURES", "run"]


class Ear:
    """What one way has heard: the events' numbers, when they were published and when they came."""

    def __init__(self, way: str, events: int) -> None:
        self.way = way
        self.heard: list[tuple[int, float, float]] = []
        self.fresh: list[tuple[int, float, float]] = []
        self.broken = ""
        self._missing = set(range(events))

    @property
    def seen(self) -> int:
        return len(self.heard)

    @property
    def finished(self) -> bool:
        return not self._missing

    def hear(self, text: str) -> None:
        arrived = time.perf_counter()
        number, published = text.split(" ", 2)[:2]
        arrival = int(number), float(published), arrived
        self.heard.append(arrival)
        self.fresh.append(arrival)
        self._missing.discard(arrival[0])


async def _polling(peer: Peer, ear: Ear, every: float) -> None:
    due = time.perf_counter()
    while not ear.finished:
        for text in (await peer.get(f"/poll?after={ear.seen}")).splitlines():
            ear.hear(text)
        due = max(due + every, time.perf_counter())
        await asyncio.sleep(due - time.perf_counter())


async def _long_polling(peer: Peer, ear: Ear) -> None:
    while not ear.finished:
        for text in (await peer.get(f"/long-poll?after={ear.seen}")).splitlines():
            ear.hear(text)


async def _events(events: Any, ear: Ear) -> None:
    async for text in events:
        ear.hear(text)
        if ear.finished:
            return


async def _websocket(websocket: Any, ear: Ear) -> None:
    while not ear.finished:
        ear.hear(await websocket.receive_str())


async def run(plan: dict[str, Any], report: Report, orders: Orders) -> dict[str, Any]:
    """Hear the events in all ways at once, until all have come or nothing more can.

    Args:
        plan: `ways` (their URLs), `server` (the server's own URL), `moments` of publication (seconds),
            `size` (bytes), `poll_every` (seconds), `headers`.
        report: is told `opened`, `arrivals` (twenty times a second) and `done`.
        orders: an order is awaited after `opened`, and one after `done`.

    Returns:
        For each way, in words, why it heard no more; empty if it heard all.
    """
    urls, moments = plan["ways"], plan["moments"]
    ears = {way: Ear(way, len(moments)) for way in urls}
    async with AsyncExitStack() as stack:
        peers = {way: Peer(url, plan["headers"]) for way, url in urls.items()}
        for peer in peers.values():
            stack.push_async_callback(peer.close)
        hear: dict[str, Callable[[], Awaitable[None]]] = {}
        for way, peer in peers.items():
            ear = ears[way]
            if way == "SSE":
                events = await stack.enter_async_context(peer.events("/events"))
                hear[way] = lambda events=events, ear=ear: _events(events, ear)  # type: ignore[misc]
            elif way == "WebSocket":
                websocket = await stack.enter_async_context(peer.websocket("/websocket"))
                hear[way] = lambda websocket=websocket, ear=ear: _websocket(websocket, ear)  # type: ignore[misc]
            elif way == "polling":
                hear[way] = lambda peer=peer, ear=ear: _polling(peer, ear, plan["poll_every"])  # type: ignore[misc]
            else:
                hear[way] = lambda peer=peer, ear=ear: _long_polling(peer, ear)  # type: ignore[misc]
        report("opened", None)
        await asyncio.to_thread(orders.next)
        publisher = Peer(plan["server"], "least")
        stack.push_async_callback(publisher.close)
        telling = asyncio.create_task(_tell(ears, report))
        tasks = [asyncio.create_task(_until_broken(hear[way], ears[way])) for way in urls]
        await _publish(publisher, moments, plan["size"])
        _, late = await asyncio.wait(tasks, timeout=plan["poll_every"] + PATIENCE)
        for task in late:
            task.cancel()
        telling.cancel()
        _tell_once(ears, report)
        report("done", None)
        await asyncio.to_thread(orders.next)
    return {way: ear.broken or ("" if ear.finished else "no more came") for way, ear in ears.items()}


async def _publish(server: Peer, moments: list[float], size: int) -> None:
    """Publish events at these moments, from now on: each says its number and when it was published."""
    begin = time.perf_counter()
    for number, moment in enumerate(moments):
        await asyncio.sleep(begin + moment - time.perf_counter())
        text = f"{number:0{NUMBER}d} {time.perf_counter():0{STAMP}.6f} "
        await server.post("/say", text.ljust(size, "x"))


async def _until_broken(hear: Callable[[], Awaitable[None]], ear: Ear) -> None:
    try:
        await hear()
    except (aiohttp.ClientError, aiohttp.WSMessageTypeError, OSError) as error:
        ear.broken = in_words(error)


async def _tell(ears: dict[str, Ear], report: Report) -> None:
    while True:
        await asyncio.sleep(0.05)
        _tell_once(ears, report)


def _tell_once(ears: dict[str, Ear], report: Report) -> None:
    fresh = {way: ear.fresh for way, ear in ears.items() if ear.fresh}
    for ear in ears.values():
        ear.fresh = []
    report("arrivals", {"now": time.perf_counter(), "ways": fresh})
