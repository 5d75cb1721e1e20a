"""Publish and subscribe, whatever engine carries the messages.

    bus = connect("redis://127.0.0.1:6379")
    async for position, text in await bus.subscribe("lobby"):
        print(position, text)

A channel is a log: its messages are numbered 1, 2, 3 …, and the newest KEPT of them can be read again.
"""

import asyncio
import os
import pkgutil
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing, suppress

KEPT, ANSWER_SECONDS, RETRY_SECONDS = 10_000, 1.0, 0.2
ENGINES = {"memory": "bus:Bus", "redis": "valkey:Valkey", "rediss": "valkey:Valkey", "nats": "jetstream:Nats"}
PORTS = {"redis": 6379, "rediss": 6379, "nats": 4222}
LOGS: defaultdict[tuple[str, str], deque[tuple[int, str]]] = defaultdict(lambda: deque([(0, "")], KEPT))
WAITING: set[asyncio.Event] = set()


class BusDown(ConnectionError):
    """The engine didn't confirm in time. What was published may have arrived nevertheless."""


class MessagesLost(Exception):
    """What comes next is no longer kept: too old, or the engine has lost its log."""


class Bus:
    """What all engines have in common: deadlines, coming back, and nothing twice.

    By itself it is the bus inside one process: those with the same address share their channels. An engine
    is a subclass with four methods of its own, which may raise `errors`, or wait for too long.
    """

    errors: tuple[type[Exception], ...] = (OSError, TimeoutError)

    def __init__(self, url: str, keep: int) -> None:
        self.url, self.keep, self.closed = url, keep, False
        self._kept: deque[tuple[str, str]] = deque()
        self._flushing: asyncio.Task[None] | None = None

    async def publish(self, channel: str, text: str) -> int:
        """Return the message's position, or 0 if it is kept. Raises BusDown within ANSWER_SECONDS."""
        entry = f"{os.urandom(16).hex()} {text}"
        if not self._kept:
            with suppress(*[BusDown] if self.keep else []):
                return await self._in_time(self._append(channel, entry))
        if len(self._kept) >= self.keep:
            raise BusDown(f"{self.keep} messages already wait for the engine")
        self._kept.append((channel, entry))
        if len(self._kept) == 1:
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
                last = await self._in_time(self._last(channel))
                if last < position and strict:
                    raise MessagesLost(f"{channel}: the engine has lost what came after {position}")
                async with aclosing(self._follow(channel, position if position <= last else 0)) as entries:
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

    async def _in_time(self, asked: Coroutine[None, None, int]) -> int:
        try:
            return await asyncio.wait_for(asked, ANSWER_SECONDS)
        except self.errors as error:
            raise BusDown(f"{self.url.rpartition('@')[2]}: {str(error) or 'no answer'}") from error

    async def _append(self, channel: str, entry: str) -> int:
        """Write an entry, and return its position."""
        position = await self._last(channel) + 1
        LOGS[self.url, channel].append((position, entry))
        await self._close()
        await asyncio.sleep(0)  # their turn
        return position

    async def _last(self, channel: str) -> int:
        """Return the position of the newest entry, or 0."""
        return LOGS[self.url, channel][-1][0]

    async def _follow(self, channel: str, position: int) -> AsyncGenerator[tuple[int, str]]:
        """Give the entries after a position, and wait for more; it may end, and is asked again."""
        entries = LOGS[self.url, channel]
        while new := entries[-1][0] - position:
            position, entry = entries[max(-new, -len(entries))]
            yield position, entry
        WAITING.add(more := asyncio.Event())
        if not self.closed:
            await more.wait()

    async def _close(self) -> None:
        """Hang up; in memory: wake those who wait."""
        while WAITING:
            WAITING.pop().set()


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
    url = url if rest else os.environ.get(f"{scheme.upper()}_URL") or f"{url}127.0.0.1:{PORTS.get(scheme)}"
    engine: type[Bus] = pkgutil.resolve_name(f"apps.bus.{ENGINES[scheme]}")
    return engine(url, keep)
