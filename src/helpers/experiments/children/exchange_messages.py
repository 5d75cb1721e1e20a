"""The client's side of `compare_requests`: the same messages there and back, each way."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from helpers.background.parent import Parent
from helpers.experiments.children.http_client import HttpClient
from helpers.experiments.children.http_headers import HeaderSet
from helpers.figures.table import overtaken

Exchange = Callable[[str], Awaitable[str]]
SIX = 6
"""So many connections does a browser open to one host (`kMaxSocketsPerGroup` in Chromium's
net/socket/client_socket_pool_manager.cc)."""


@asynccontextmanager
async def _post(url: str, headers: HeaderSet, *, force_close: bool = False) -> AsyncIterator[Exchange]:
    peer = HttpClient(url, headers, force_close=force_close)
    yield lambda message: peer.post("/echo", message)
    await peer.close()


@asynccontextmanager
async def _long_polling(url: str, headers: HeaderSet) -> AsyncIterator[Exchange]:
    peer = HttpClient(url, headers)
    seen = 0

    async def exchange(message: str) -> str:
        nonlocal seen
        waiting = asyncio.create_task(peer.get(f"/long-poll?channel=long&after={seen}"))
        await asyncio.sleep(0)  # so that the poll goes first
        _, reply = await asyncio.gather(peer.post("/say?channel=long", message), waiting)
        seen += 1
        return reply

    yield exchange
    await peer.close()


@asynccontextmanager
async def _events(url: str, headers: HeaderSet) -> AsyncIterator[Exchange]:
    peer = HttpClient(url, headers)
    async with peer.events("/events?channel=sse") as events:

        async def exchange(message: str) -> str:
            _, reply = await asyncio.gather(peer.post("/say?channel=sse", message), anext(events))
            return reply

        yield exchange
    await peer.close()


@asynccontextmanager
async def _websocket(url: str, headers: HeaderSet) -> AsyncIterator[Exchange]:
    peer = HttpClient(url, headers)
    async with peer.websocket("/echo") as websocket:

        async def exchange(message: str) -> str:
            await websocket.send_str(message)
            return str(await websocket.receive_str())

        yield exchange
    await peer.close()


ONE_AT_A_TIME: dict[str, Callable[[str, HeaderSet], AbstractAsyncContextManager[Exchange]]] = {
    "new connection": partial(_post, force_close=True),
    "keep-alive": _post,
    "long polling": _long_polling,
    "SSE": _events,
    "WebSocket": _websocket,
}
"""Ways in which a message waits for the reply to the one before."""


class Timings:
    """What was measured of one way."""

    def __init__(self) -> None:
        self.opening = 0.0
        self.first = 0.0
        self.times: list[float] = []
        self.wall = 0.0
        self.replies: list[str] = []

    def measured(self, texts: list[str]) -> dict[str, Any]:
        place = {text: number for number, text in enumerate(texts)}
        return {
            "first": self.opening + self.first,
            "times": tuple(self.times),
            "wall": self.wall,
            "lost": (Counter(texts) - Counter(self.replies)).total(),
            "overtaken": overtaken([place.get(reply, -1) for reply in self.replies]),
        }


def message_text(number: int, size: int) -> str:
    """A message: its number, and x up to the size in bytes."""
    return f"{number:06d}"[-size:].ljust(size, "x")


async def exchange_messages(
    parent: Parent, messages: int, size: int, headers: HeaderSet
) -> dict[str, dict[str, Any]]:
    """Exchange messages in turn over all ways, and then in a crowd over those that can.

    In turn, so that whatever else the machine does disturbs all ways alike.

    Args:
        parent: gives the address of each way; is told `"opened"` (all connections that need an opening have
            theirs), how far it is, and `"done"`. An order is awaited after `"opened"` and after `"done"`.
        messages: how many in each way.
        size: bytes of each.
        headers: what the client sends along.

    Returns:
        For each way the time of the first reply from nothing, the times of the others, in seconds,
        the time for all of them together, how many replies were lost or came after a later one.
    """
    urls, _ = await asyncio.wrap_future(parent.order())
    texts = [message_text(number, size) for number in range(messages)]
    by_way = {way: Timings() for way in urls}
    single = [way for way in urls if way in ONE_AT_A_TIME]
    async with AsyncExitStack() as stack:
        exchanges: dict[str, Exchange] = {}
        for way in single:
            begin = time.perf_counter()
            exchanges[way] = await stack.enter_async_context(ONE_AT_A_TIME[way](urls[way], headers))
            by_way[way].opening = time.perf_counter() - begin
        crowd: Any = None
        six = HttpClient(urls.get("six connections", ""), headers, connections=SIX)
        stack.push_async_callback(six.close)
        if "pipelined" in urls:
            peer = HttpClient(urls["pipelined"], headers)
            stack.push_async_callback(peer.close)
            begin = time.perf_counter()
            crowd = await stack.enter_async_context(peer.websocket("/echo"))
            by_way["pipelined"].opening = time.perf_counter() - begin
        parent.report("opened")
        await asyncio.wrap_future(parent.order())
        shown = 0.0
        for number, text in enumerate(texts):
            for way in single:
                begin = time.perf_counter()
                by_way[way].replies.append(await exchanges[way](text))
                took = time.perf_counter() - begin
                if number:
                    by_way[way].times.append(took)
                    by_way[way].wall += took
                else:
                    by_way[way].first = took
            if time.perf_counter() - shown > 0.05:
                shown = time.perf_counter()
                parent.report((number + 1) / len(texts))
        if "six connections" in urls:
            await _six_connections(six, texts, by_way["six connections"])
        if crowd is not None:
            await _pipelined(crowd, texts, by_way["pipelined"])
        parent.report("done")
        await asyncio.wrap_future(parent.order())
    return {way: timings.measured(texts) for way, timings in by_way.items()}


async def _six_connections(peer: HttpClient, texts: list[str], timings: Timings) -> None:
    begin = time.perf_counter()
    timings.replies += await asyncio.gather(*(peer.post("/echo", text) for text in texts[:SIX]))
    timings.first = time.perf_counter() - begin
    waiting = iter(texts[SIX:])

    async def worker() -> None:
        for text in waiting:
            begin = time.perf_counter()
            timings.replies.append(await peer.post("/echo", text))
            timings.times.append(time.perf_counter() - begin)

    begin = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(SIX)))
    timings.wall = time.perf_counter() - begin


async def _pipelined(websocket: Any, texts: list[str], timings: Timings) -> None:
    begin = time.perf_counter()
    await websocket.send_str(texts[0])
    timings.replies.append(await websocket.receive_str())
    timings.first = time.perf_counter() - begin
    sent: list[float] = []

    async def receive() -> None:
        for number in range(len(texts) - 1):
            timings.replies.append(await websocket.receive_str())
            timings.times.append(time.perf_counter() - sent[number])

    begin = time.perf_counter()
    receiving = asyncio.create_task(receive())
    for text in texts[1:]:
        sent.append(time.perf_counter())
        await websocket.send_str(text)
    await receiving
    timings.wall = time.perf_counter() - begin
