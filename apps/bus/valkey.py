"""The bus on Valkey or Redis: each channel is a stream. Source: https://valkey.io/topics/streams-intro/"""

from collections.abc import AsyncGenerator
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from apps.bus.bus import ANSWER_SECONDS, KEPT, Bus


class Valkey(Bus):
    """Entries have the ids 0-1, 0-2, 0-3 …: `0-*` has the engine count them."""

    errors = (RedisError, *Bus.errors)

    def __init__(self, url: str, keep: int) -> None:
        super().__init__(url, keep)
        options: dict[str, Any] = {"decode_responses": True, "protocol": 2, "retry": None}
        self._redis: Any = Redis.from_url(url, **options, socket_timeout=2 * ANSWER_SECONDS)

    async def _append(self, channel: str, entry: str) -> int:
        return int((await self._redis.xadd(channel, {"": entry}, id="0-*", maxlen=KEPT))[2:])

    async def _last(self, channel: str) -> int:
        return sum(int(name[2:]) for name, _ in await self._redis.xrevrange(channel, count=1))

    async def _follow(self, channel: str, position: int) -> AsyncGenerator[tuple[int, str]]:
        while found := await self._redis.xread({channel: f"0-{position}"}, count=100, block=1000):
            for name, fields in found[0][1]:
                yield (position := int(name[2:])), fields[""]

    async def _close(self) -> None:
        await self._redis.aclose()
