"""A fleet of sensors in one process: each measures, keeps what wasn't acknowledged, and sends it again.

    python -m apps.sensors.device --url ws://127.0.0.1:8000 --count 200 --rate 10

The values are made up, from a seed. When the collector is away, the devices go on measuring, try to connect
again after a pause that grows, and then send what has piled up.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import random
import time
from collections.abc import Iterator

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from apps.options import between
from apps.sensors.outbox import Outbox
from apps.sensors.readings import DEVICE_NAME, NOT_JSON, as_ack, as_json

SENDS_PER_SECOND = 2
"""A device sends what it has measured since, in one message: ten small messages cost ten times as much."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
"""Seconds between two attempts to connect; they double, and each is drawn at random from 50 to 100 %."""
STEADY = 5.0
"""A connection that lasted so many seconds was good: the next pause is a short one again."""


def values(seed: str) -> Iterator[float]:
    """Made-up temperatures in °C: a slow wave and a random walk around 21, the same for the same seed."""
    chance = random.Random(seed)
    phase, drift = chance.uniform(0, math.tau), 0.0
    for step in range(10**12):
        drift = 0.98 * drift + chance.gauss(0, 0.25)
        yield round(21 + 4 * math.sin(phase + step / 400) + drift, 2)


class Device:
    """A sensor with a name, which survives whatever happens to its connection.

    Args:
        name: of the device; its values follow from it and from the seed.
        url: of the collector, such as `ws://127.0.0.1:8000`.
        rate: readings per second.
        seed: for the values.
        limit: how many readings it can keep.
    """

    def __init__(self, name: str, url: str, *, rate: float = 1, seed: int = 1, limit: int = 10_000) -> None:
        self.name = name
        self.outbox: Outbox | None = None  # until the collector has said where to go on
        self.connected = False
        self.trouble = ""  # why it last failed to connect, or was disconnected
        self._url = f"{url.rstrip('/')}/device?name={name}"
        self._every = 1 / rate
        self._values = values(f"{seed} {name}")
        self._limit = limit
        self._enough = False
        self._all_stored = asyncio.Event()
        self._chance = random.Random(f"pauses {seed} {name}")

    async def run(self) -> None:
        """Measure and send until cancelled; after a connection, or the attempt at one, pause."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._measure())
            waits = pauses(self._chance)
            while True:
                begun = time.monotonic()
                try:
                    async with connect(
                        self._url, proxy=None, compression=None, close_timeout=1
                    ) as connection:
                        await self._talk(connection)
                except (
                    OSError,
                    InvalidHandshake,
                    ConnectionClosed,
                    *NOT_JSON,
                ) as error:  # or no collector at all
                    self.trouble = f"{type(error).__name__}: {error}"
                self.connected = False
                if time.monotonic() - begun > STEADY:
                    waits = pauses(self._chance)
                await asyncio.sleep(next(waits))

    async def finish(self) -> int:
        """Measure no more, wait until everything is stored, and return the last reading's number."""
        self._enough = True
        await self._all_stored.wait()
        return 0 if self.outbox is None else self.outbox.last

    async def _measure(self) -> None:
        due = time.monotonic()
        while not self._enough:
            due += self._every
            await asyncio.sleep(due - time.monotonic())
            value = next(self._values)
            if self.outbox is not None and not self._enough:
                self.outbox.add(time.time(), value)
                self._all_stored.clear()

    async def _talk(self, connection: ClientConnection) -> None:
        stored = as_ack(await connection.recv()).ack or 0
        if self.outbox is None:
            self.outbox = Outbox(stored, limit=self._limit)
        self.outbox.connected(stored)
        self._look(self.outbox)
        self.connected = True
        sending = asyncio.create_task(self._send(connection, self.outbox))
        try:
            async for message in connection:
                answer = as_ack(message)
                if answer.ack is not None:
                    self.outbox.acknowledged(answer.ack)
                if answer.error is not None:
                    self.outbox.refused(answer.number)
                self._look(self.outbox)
        finally:
            sending.cancel()
            await asyncio.wait([sending])

    def _look(self, outbox: Outbox) -> None:
        if not len(outbox):
            self._all_stored.set()

    async def _send(self, connection: ClientConnection, outbox: Outbox) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                while readings := outbox.take():
                    await connection.send(as_json(readings).decode())
                await asyncio.sleep(1 / SENDS_PER_SECOND)


def pauses(chance: random.Random) -> Iterator[float]:
    """Seconds to wait before each attempt: they double, with jitter, so that a fleet doesn't come at once."""
    pause = FIRST_PAUSE
    while True:
        yield pause * chance.uniform(0.5, 1)
        pause = min(2 * pause, LONGEST_PAUSE)


def fleet(url: str, count: int, rate: float, *, name: str = "sensor", seed: int = 1) -> list[Device]:
    """So many devices: `sensor-001`, `sensor-002` …"""
    digits = len(str(count))
    return [Device(f"{name}-{n:0{digits}}", url, rate=rate, seed=seed) for n in range(1, count + 1)]


async def run(devices: list[Device]) -> None:
    """Run a fleet until cancelled, and say twice a minute how it is."""
    async with asyncio.TaskGroup() as tasks:
        for device in devices:
            tasks.create_task(device.run())
        while True:
            await asyncio.sleep(30)
            boxes = [device.outbox for device in devices if device.outbox]
            connected, waiting = sum(device.connected for device in devices), sum(map(len, boxes))
            lost = sum(box.lost for box in boxes)
            troubles = {device.trouble for device in devices if not device.connected}
            print(f"{connected} connected, {waiting:,} readings wait, {lost:,} lost", *troubles, flush=True)


def name(text: str) -> str:
    """What the devices' names begin with, from the command line."""
    if not DEVICE_NAME.fullmatch(f"{text}-10000"):
        raise argparse.ArgumentTypeError(f"{text!a} won't do: a-z, 0-9 and -, at most 26, a letter first")
    return text


def main() -> None:
    """Read the command line, and measure."""
    parser = argparse.ArgumentParser("python -m apps.sensors.device", description="A fleet of sensors.")
    parser.add_argument("--url", default="ws://127.0.0.1:8000", help="of the collector (%(default)s)")
    parser.add_argument("--count", type=between(0, 10_000), default=1, help="how many devices (%(default)s)")
    parser.add_argument(
        "--rate", type=between(0.001, 1_000.0), default=1, help="readings per second of each (%(default)s)"
    )
    parser.add_argument(
        "--name", type=name, default="sensor", help="what their names begin with (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="for the values (%(default)s)")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(fleet(given.url, given.count, given.rate, name=given.name, seed=given.seed)))


if __name__ == "__main__":
    main()
