"""Readings stored per second by the collector of `apps/sensors`, against bare inserts of the same batches."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from websockets.asyncio.client import connect

from apps.sensors.collector import ROWS_IN_A_BATCH
from apps.sensors.readings import READINGS_IN_A_MESSAGE
from apps.sensors.store import INSERT, SCHEMA, Row
from helpers.background.process import BackgroundProcess

DEVICES = 10
MESSAGES = 200
"""Of each device, a hundred readings each."""


def rows(device: int) -> Iterator[Row]:
    """A device's readings, as they are stored."""
    begin = time.time() - 60
    for number in range(1, MESSAGES * READINGS_IN_A_MESSAGE + 1):
        yield f"d{device}", number, begin + number / 1000, 20.0


def bare(path: Path) -> float:
    """Insert all of it, in batches as the collector's largest, and return the readings per second."""
    everything = [row for device in range(DEVICES) for row in rows(device)]
    db = sqlite3.connect(path)
    db.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; {SCHEMA}")
    begin = time.perf_counter()
    for first in range(0, len(everything), ROWS_IN_A_BATCH):
        with db:
            db.executemany(INSERT, everything[first : first + ROWS_IN_A_BATCH])
    rate = len(everything) / (time.perf_counter() - begin)
    db.close()
    return rate


async def collected(path: Path) -> float:
    """Send all of it to a collector, and return the readings per second, until the last is acknowledged."""
    command = [sys.executable, "-m", "apps.sensors.collector", "--port={port}", f"--file={path}"]
    with BackgroundProcess(command, ready="collecting", scheme="ws", name="collector") as collector:
        texts = [messages(device) for device in range(DEVICES)]
        begin = time.perf_counter()
        await asyncio.gather(*(send(collector.url, device, texts[device]) for device in range(DEVICES)))
        return DEVICES * MESSAGES * READINGS_IN_A_MESSAGE / (time.perf_counter() - begin)


def messages(device: int) -> list[str]:
    """A device's readings, as they are sent."""
    readings = [{"number": number, "at": at, "value": value} for _, number, at, value in rows(device)]
    step = READINGS_IN_A_MESSAGE
    return [json.dumps(readings[first : first + step]) for first in range(0, len(readings), step)]


async def send(url: str, device: int, texts: list[str]) -> None:
    """Send, and read acknowledgements until the last one has come."""
    async with connect(f"{url}/device?name=d{device}", proxy=None, compression=None) as connection:

        async def hear() -> None:
            last = MESSAGES * READINGS_IN_A_MESSAGE
            while json.loads(await connection.recv()).get("ack") != last:
                pass

        hearing = asyncio.create_task(hear())
        for text in texts:
            await connection.send(text)
        await hearing


def run(rounds: int) -> Iterator[str]:
    """A line with the ratio and its goal."""
    ratios, rates = [], []
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            alone = bare(Path(folder, f"bare-{number}.sqlite"))
            rates.append(asyncio.run(collected(Path(folder, f"collected-{number}.sqlite"))))
        ratios.append(rates[-1] / alone)
    each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    yield (
        f"readings stored per second, collector / bare inserts: {statistics.median(ratios):.2f} (≥ 0.50), "
        f"{statistics.median(rates):,.0f} per second   [{each}]"
    )
