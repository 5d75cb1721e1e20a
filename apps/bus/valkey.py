"""The bus on Valkey or Redis: each channel is a stream. Source: https://valkey.io/topics/streams-intro/"""

from collections.abc import AsyncGenerator
from typing import Any

import redis.asyncio as redis

from apps.bus.bus import KEPT, Bus


class Valkey(Bus):
    """Entries have the ids 0-1, 0-2, 0-3 …: `0-*` has the engine count them."""

    errors = (redis.RedisError, *Bus.errors)

    def __init__(self, url: str, keep: int) -> None:
        super().__init__(url, keep)
        self._db: Any = redis.from_url(url, decode_responses=True, protocol=2, retry=None, socket_timeout=2)

    async def _append(self, channel: str, entry: str) -> int:
        return int((await self._db.xadd(channel, {"": entry}, id="0-*", maxlen=KEPT))[2:])

    async def _last(self, channel: str) -> int:
        return sum(int(name[2:]) for name, _ in await self._db.xrevrange(channel, count=1))

    async def _follow(self, channel: str, position: int) -> AsyncGenerator[tuple[int, str]]:
        while found := await self._db.xread({channel: f"0-{position}"}, count=100, block=1000):
            for name, fields in found[0][1]:
                yield (position := int(name[2:])), fields[""]

    async def _close(self) -> None:
        await self._db.aclose()
