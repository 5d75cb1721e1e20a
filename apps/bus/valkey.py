"""The bus on Valkey or Redis: each channel is a stream. Source: https://valkey.io/topics/streams-intro/"""

from collections.abc import AsyncGenerator
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from apps.bus.bus import ANSWER_SECONDS, KEPT, Bus


class RedisBus(Bus):
    """Entries have the ids 0-1, 0-2, 0-3 …: `0-*` has the engine count them."""

    errors = (RedisError, OSError, TimeoutError)

    def __init__(self, url: str, keep: int) -> None:
        super().__init__(url, keep)
        options: dict[str, Any] = {"decode_responses": True, "protocol": 2, "retry": Retry(NoBackoff(), 0)}
        self._redis: Any = Redis.from_url(url, **options, socket_timeout=2 * ANSWER_SECONDS)

    async def _append(self, channel: str, entry: str) -> int:
        return number(await self._redis.xadd(channel, {"": entry}, id="0-*", maxlen=KEPT))

    async def _last(self, channel: str) -> int:
        return number(*(name for name, _ in await self._redis.xrevrange(channel, count=1)))

    async def _follow(self, channel: str, position: int) -> AsyncGenerator[tuple[int, str]]:
        options = {"count": 100, "block": int(ANSWER_SECONDS * 1000)}
        while found := await self._redis.xread({channel: f"0-{position}"}, **options):
            for name, fields in found[0][1]:
                yield (position := number(name)), fields[""]

    async def _close(self) -> None:
        await self._redis.aclose()


def number(name: str = "0-0") -> int:
    """The number of an entry, by its id."""
    return int(name.partition("-")[2])
