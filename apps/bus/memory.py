"""The bus inside one process: buses with the same address share their channels."""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncGenerator

from apps.bus.bus import KEPT, Bus

LOGS: defaultdict[tuple[str, str], deque[tuple[int, str]]] = defaultdict(lambda: deque(maxlen=KEPT))
WAITING: set[asyncio.Event] = set()


class MemoryBus(Bus):
    """Each channel is a deque."""

    async def _append(self, channel: str, entry: str) -> int:
        position = await self._last(channel) + 1
        LOGS[self.url, channel].append((position, entry))
        await self._close()
        await asyncio.sleep(0)  # their turn
        return position

    async def _last(self, channel: str) -> int:
        entries = LOGS[self.url, channel]
        return entries[-1][0] if entries else 0

    async def _follow(self, channel: str, position: int) -> AsyncGenerator[tuple[int, str]]:
        entries = LOGS[self.url, channel]
        while not self.closed:
            if entries and entries[-1][0] > position:
                position, entry = entries[max(position - entries[-1][0], -len(entries))]
                yield position, entry
            else:
                WAITING.add(more := asyncio.Event())
                await more.wait()

    async def _close(self) -> None:
        while WAITING:
            WAITING.pop().set()
