"""Makes the film while somebody watches: draws each picture once, and encodes it once for each quality."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from apps.video.messages import PICTURE, SOUND, pack
from apps.video.source import BLOCK_SECONDS, QUALITIES, Film, encode, tone

MOST_BLOCKS = 5
"""Blocks of sound that are made at once when the loop was late; what is older is left out."""


class Shot:
    """A picture of the film, which many watchers get.

    Args:
        number: of the picture, from 1 on.
        at: when it was drawn, in seconds since 1970.
        picture: what was drawn.
    """

    def __init__(self, number: int, at: float, picture: Image.Image) -> None:
        self.number = number
        self.at = at
        self._picture = picture
        self._messages: dict[int, asyncio.Future[bytes]] = {}

    async def message(self, quality: int, pool: ThreadPoolExecutor) -> bytes:
        """The picture as a message in one of the qualities; the first call encodes it."""
        if quality not in self._messages:
            loop = asyncio.get_running_loop()
            self._messages[quality] = loop.run_in_executor(pool, self._encoded, quality)
        return await asyncio.shield(self._messages[quality])  # others wait for it, too

    def _encoded(self, quality: int) -> bytes:
        content = encode(self._picture, QUALITIES[quality])
        return pack(PICTURE, quality, self.number, self.at, content)


class Studio:
    """Makes pictures and sound, as long as there is somebody for them.

        async with Studio(rate=30) as studio:
            shot = await studio.after(0)
            message = await shot.message(0, studio.pool)

    Args:
        rate: pictures per second.

    Attributes:
        film: what draws them; it may be replaced while it runs.
        pool: the thread that draws and encodes.
        made: how many pictures were drawn.
        task: ends only when something has failed.
    """

    def __init__(self, *, rate: float) -> None:
        self.rate = rate
        self.film = Film()
        self.pool = ThreadPoolExecutor(1, "studio")
        self.made = 0
        self.newest: Shot | None = None
        self._waiting = 0
        self._news = asyncio.Condition()
        self._wanted = asyncio.Event()
        self._began = time.monotonic()

    async def __aenter__(self) -> Studio:
        self.task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        self.pool.shutdown(wait=False, cancel_futures=True)
        await ended(self.task)

    async def after(self, number: int) -> Shot:
        """The newest picture, as soon as there is a newer one than `number`."""
        if self.newest and self.newest.number > number and self.newest.number >= self._number():
            return self.newest
        before = self.newest
        self._waiting += 1
        self._wanted.set()
        try:
            async with self._news:
                await self._news.wait_for(lambda: self.newest is not before)
        finally:
            self._waiting -= 1
        assert self.newest is not None
        return self.newest

    async def sound(self) -> AsyncIterator[bytes]:
        """Blocks of sound as messages, each when it is time for it."""
        number = self._block()
        while True:
            number = max(number, self._block() - MOST_BLOCKS)
            await asyncio.sleep(self._began + number * BLOCK_SECONDS - time.monotonic())
            at = time.time() - time.monotonic() + self._began + number * BLOCK_SECONDS
            yield pack(SOUND, 0, number, at, tone(number))
            number += 1

    async def _run(self) -> None:
        """Draw a picture per period, if somebody waits for one."""
        loop = asyncio.get_running_loop()
        while True:
            if not self._waiting:
                self._wanted.clear()
                await self._wanted.wait()
            number = self._number() + 1
            await asyncio.sleep(self._began + number / self.rate - time.monotonic())
            at = time.time()
            picture = await loop.run_in_executor(self.pool, self._draw, number, at)
            self.made += 1
            async with self._news:
                self.newest = Shot(number, at, picture)
                self._news.notify_all()

    def _draw(self, number: int, at: float) -> Image.Image:
        return self.film.picture(number, at, rate=self.rate)

    def _number(self) -> int:
        return int((time.monotonic() - self._began) * self.rate)

    def _block(self) -> int:
        return int((time.monotonic() - self._began) / BLOCK_SECONDS)


async def ended(task: asyncio.Task[None]) -> None:
    """Wait for a task that was cancelled, and raise what it has raised before."""
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
