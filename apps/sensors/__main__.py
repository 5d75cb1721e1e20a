"""A collector and a fleet of sensors, started and ended together:

    python -m apps.sensors

prints the address of the page. Ctrl+C ends both. `--count 0` starts no sensors of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

from apps.options import between
from apps.sensors import device
from apps.sensors.collector import Collector, serve_until
from apps.sensors.store import Store
from apps.signals import stopped_by_signals


async def run(path: Path, port: int, start: Callable[[str], asyncio.Task[None]]) -> None:
    """Collect, with a fleet that `start` begins at the collector's address, until a signal comes."""
    sensors: list[asyncio.Task[None]] = []

    def ready(port: int) -> None:
        print(f"the page      http://127.0.0.1:{port}\nthe readings  {path}\nCtrl+C ends both.", flush=True)
        sensors.append(start(f"ws://127.0.0.1:{port}"))

    with contextlib.closing(Store(path)) as store:
        await serve_until(stopped_by_signals(), Collector(store), "127.0.0.1", port, ready)
        for task in sensors:
            task.cancel()
        await asyncio.wait(sensors)


def main() -> None:
    """Read the command line, and run both."""
    parser = argparse.ArgumentParser("python -m apps.sensors", description="A collector and its sensors.")
    parser.add_argument("--port", type=int, default=8000, help="0 chooses a free one (%(default)s)")
    parser.add_argument(
        "--count", type=between(0, 10_000), default=200, help="how many sensors (%(default)s)"
    )
    parser.add_argument(
        "--rate", type=between(0.001, 1_000.0), default=10, help="readings per second of each (%(default)s)"
    )
    parser.add_argument("--file", type=Path, help="where the readings go; by default away at the end")
    given = parser.parse_args()
    logging.basicConfig(format="%(message)s")

    def start(url: str) -> asyncio.Task[None]:
        return asyncio.create_task(device.run(device.fleet(url, given.count, given.rate)))

    with tempfile.TemporaryDirectory(prefix="sensors-") as folder:
        path = given.file or Path(folder, "readings.sqlite")
        try:
            asyncio.run(run(path, given.port, start))
        except (
            OSError,
            OverflowError,
            sqlite3.Error,
        ) as error:  # the port is taken, the folder isn't there …
            parser.exit(1, f"can't collect: {error}\n")


if __name__ == "__main__":
    main()
