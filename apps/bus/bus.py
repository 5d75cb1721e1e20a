"""Publish and subscribe, whatever engine carries the messages.

    bus = connect("redis://127.0.0.1:6379")
    async for position, text in await bus.subscribe("lobby"):
        print(position, text)

A channel is a log: its messages are numbered 1, 2, 3 …, and the newest KEPT of them can be read again.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import importlib
import os
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Coroutine
from itertools import count
from typing import ClassVar, TypeVar
from urllib.parse import urlsplit

KEPT = 10_000
ANSWER_SECONDS, RETRY_SECONDS = 1.0, 0.2
ENGINES = {
    "memory": ("memory", "MemoryBus", 0),
    "redis": ("valkey", "RedisBus", 6379),
    "rediss": ("valkey", "RedisBus", 6379),
    "nats": ("jetstream", "NatsBus", 4222),
}
T = TypeVar("T")


class BusDown(ConnectionError):
    """The engine didn't confirm in time. What was published may have arrived nevertheless."""


class MessagesLost(Exception):
    """What comes next is no longer kept: too old, or the engine has lost its log."""


def connect(url: str, keep: int = 0) -> Bus:
    """Return a bus; it connects when it is used.

    Args:
        url: `memory://NAME`, `redis://HOST:PORT` or `nats://HOST:PORT`; `redis://` alone means REDIS_URL.
        keep: how many messages may wait while the engine is down; with 0, `publish` raises BusDown.

    Raises:
        ValueError: there is no such engine.
    """
    scheme, _, rest = url.partition("://")
    if scheme not in ENGINES:
        raise ValueError(f"{url!r} isn't a bus; it begins with {', '.join(ENGINES)}")
    module, name, port = ENGINES[scheme]
    url = url if rest else os.environ.get(f"{scheme.upper()}_URL") or f"{scheme}://127.0.0.1:{port}"
    bus: Bus = getattr(importlib.import_module(f"apps.bus.{module}"), name)(url, keep)
    return bus


class Bus(abc.ABC):
    """What all engines have in common: deadlines, coming back, and nothing twice."""

    errors: ClassVar[tuple[type[Exception], ...]] = (OSError, TimeoutError)

    def __init__(self, url: str, keep: int) -> None:
        self.url, self.keep, self.closed = url, keep, False
        self._kept: deque[tuple[str, str]] = deque()
        self._keys = (f"{secrets.token_hex(6)}-{number}" for number in count(1))
        self._flushing: asyncio.Task[None] | None = None

    async def publish(self, channel: str, text: str) -> int:
        """Return the message's position, or 0 if it is kept. Raises BusDown within ANSWER_SECONDS."""
        entry = f"{next(self._keys)} {text}"
        if not self._kept:
            try:
                return await self._in_time(self._append(channel, entry))
            except BusDown:
                if not self.keep:
                    raise
        if len(self._kept) >= self.keep:
            raise BusDown(f"{self.keep} messages already wait for the engine")
        self._kept.append((channel, entry))
        if not self._flushing or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())
        return 0

    async def subscribe(self, channel: str, after: int | None = None) -> AsyncGenerator[tuple[int, str]]:
        """Return the messages from now on, or all after a position, until `close`.

        Raises:
            BusDown: without `after`, the engine can't say where it is.
            MessagesLost: with `after`, while one reads: there is a gap. (After 0 comes the oldest kept.)
        """
        last = await self._in_time(self._last(channel)) if after is None else after
        return self._messages(channel, last, after is not None)

    async def close(self) -> None:
        """End every subscription, when what is kept has been sent or after ANSWER_SECONDS."""
        if self._flushing:
            await asyncio.wait([self._flushing], timeout=ANSWER_SECONDS)
            self._flushing.cancel()
        self.closed = True
        await self._close()

    async def _messages(self, channel: str, position: int, strict: bool) -> AsyncGenerator[tuple[int, str]]:
        seen: dict[str, None] = {}  # a message may arrive twice when its confirmation was lost
        while not self.closed:
            try:
                if await self._in_time(self._last(channel)) < position:
                    if strict:
                        raise MessagesLost(f"{channel}: the engine has lost what came after {position}")
                    position = 0
                async with contextlib.aclosing(self._follow(channel, position)) as entries:
                    async for number, entry in entries:
                        if strict and position and number != position + 1:
                            raise MessagesLost(f"{channel}: what came after {position} is no longer kept")
                        position = number
                        key, _, text = entry.partition(" ")
                        if key not in seen:
                            seen[key] = None
                            if len(seen) > KEPT:
                                del seen[next(iter(seen))]
                            yield position, text
            except self.errors:
                await asyncio.sleep(RETRY_SECONDS)

    async def _flush(self) -> None:
        while self._kept:
            try:
                await self._in_time(self._append(*self._kept[0]))
                self._kept.popleft()
            except BusDown:
                await asyncio.sleep(RETRY_SECONDS)

    async def _in_time(self, asked: Coroutine[None, None, T]) -> T:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await asked
        except self.errors as error:
            where = urlsplit(self.url).netloc.rpartition("@")[2]
            raise BusDown(f"{where}: {str(error) or 'no answer'}") from error

    @abc.abstractmethod
    async def _append(self, channel: str, entry: str) -> int: ...

    @abc.abstractmethod
    async def _last(self, channel: str) -> int: ...

    @abc.abstractmethod
    def _follow(self, channel: str, position: int) -> AsyncGenerator[tuple[int, str]]: ...

    @abc.abstractmethod
    async def _close(self) -> None: ...
