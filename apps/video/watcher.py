"""One who watches: gets the newest picture whenever there is room for it."""

from __future__ import annotations

import asyncio
import time

from websockets.asyncio.server import ServerConnection

from apps.video.messages import Want, probe_message
from apps.video.pace import Pace
from apps.video.studio import Studio

PATIENCE = 30.0
"""Seconds; who hasn't shown a picture for so long is cut off."""

LATE = 0.5
"""Seconds; while a picture takes longer, the sound doesn't make it worse."""


class Watcher:
    """A connection that pictures are sent to.

    Args:
        connection: its WebSocket.
        studio: where the pictures come from.

    Attributes:
        want: what it has asked for.
        pace: what its link can take.
    """

    def __init__(self, connection: ServerConnection, studio: Studio) -> None:
        self.connection = connection
        self.want = Want(pictures=False)  # until it says what it wants
        self.pace = Pace(studio.rate)
        self._studio = studio
        self._change = asyncio.Event()

    @property
    def hears(self) -> bool:
        """Whether a block of sound is for it."""
        return self.want.sound and self.pace.waiting(time.monotonic()) < LATE

    def shown(self, number: int) -> None:
        """Note which picture is on its screen."""
        self.pace.shown(number, time.monotonic())
        self._change.set()

    def answered(self, number: int) -> None:
        """Note that it has answered a probe."""
        self.pace.answered(number, time.monotonic())
        self._change.set()

    def wants(self, want: Want) -> None:
        """Note what it wants from now on."""
        self.want = want
        self._change.set()

    async def show(self) -> None:
        """Send pictures, each the newest that there is when it is sent; the rest are left out.

        Raises:
            ConnectionClosed: it has gone.
            TimeoutError: it has shown nothing for PATIENCE.
        """
        last = 0
        while True:
            await self._room()
            shot = await self._studio.after(last)
            quality = self.pace.quality if self.want.quality is None else self.want.quality
            message = await shot.message(quality, self._studio.pool)
            async with asyncio.timeout(PATIENCE):
                if self.pace.is_probe_due(time.monotonic()):
                    self.pace.probed(shot.number, time.monotonic())
                    await self.connection.send(probe_message(shot.number))
                self.pace.sent(shot.number, quality, time.monotonic())
                await self.connection.send(message)
            last = shot.number

    async def _room(self) -> None:
        """Wait until a picture is wanted, and there is room for it."""
        while not (self.want.pictures and self.pace.has_room(time.monotonic())):
            self._change.clear()
            waits = self.pace.waiting(time.monotonic())
            async with asyncio.timeout(PATIENCE - waits if waits else None):
                await self._change.wait()
