"""Collect readings from devices, and acknowledge them when they are on disk:

    python -m apps.sensors.collector --port 8000 --file readings.sqlite

    ws://…/device?name=attic-1   send lists of readings; get `{"ack": number}` and `{"error": …}`
    ws://…/watch                 get the state once a second; send `{"alarm": 28}` or `{"show": "attic-1"}`
    http://…/                    a page that watches

Everything is bounded: a message, what waits for the disk, what waits for a device that doesn't read. When the
disk is slow the queue fills, the handlers stop reading, TCP stops the devices, and the readings wait in their
outboxes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import sqlite3
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from apps.origins import objection
from apps.sensors.readings import (
    DEVICE_NAME,
    LONGEST_MESSAGE,
    NOT_JSON,
    Ack,
    Reading,
    Refused,
    as_json,
    checked,
)
from apps.sensors.store import Row, Store
from apps.signals import stopped_by_signals
from apps.visitors import Visitor, wants_websocket, without_body

PAGE = Path(__file__).with_name("page.html")
DEVICES = 10_000
WAITING_MESSAGES = 100
"""How many messages may wait for the disk, of up to a hundred readings each."""
ROWS_IN_A_BATCH = 1_000
"""A transaction takes no more, so that no acknowledgement waits long."""
UNREAD = 2**16
"""Bytes that may wait for somebody who doesn't read."""
ERRORS = 20
"""After so many refused readings, a device is disconnected."""
WATCHERS = 100
"""So many may watch."""
NEWS_PAUSE = 0.1
"""Seconds from one state to the next, however often the alarm is set."""
DISK_PAUSE = 1.0
"""Seconds until a batch is tried again that couldn't be stored."""
TIME_TO_DRAIN = 5.0
"""Seconds that what was received may take to be stored when the collector ends."""
TRY_AGAIN, POLICY, RESTART = 1013, 1008, 1012

log = logging.getLogger("sensors")


class Device:
    """What the collector knows of a device: whether it is connected, and its last reading.

    Attributes:
        turn: held by the one connection that is listened to.
        number: the highest that was received, on disk or not.
    """

    def __init__(self) -> None:
        self.connection: ServerConnection | None = None
        self.turn = asyncio.Lock()
        self.number = 0
        self.at = self.value = 0.0


class Question(msgspec.Struct, forbid_unknown_fields=True):
    """What somebody who watches may send.

    Args:
        alarm: from which value on a reading is an alarm, for everybody who watches; in °C.
        show: a device whose last minute is wanted.
    """

    alarm: float | None = None
    show: str | None = None


class Collector:
    """Stores what devices send, and then acknowledges it.

    Args:
        store: where the readings go; only the collector's own thread uses it, until `close`.
        slow: seconds that the disk takes longer for each batch, to see what happens then.
    """

    def __init__(self, store: Store, *, slow: float = 0.0) -> None:
        self.slow = slow
        self.alarm = 30.0
        self.stored = self.refused = 0
        self._store = store
        self._disk = ThreadPoolExecutor(1, "disk")
        self._queue: asyncio.Queue[tuple[ServerConnection, str, list[Reading]]] = asyncio.Queue(
            WAITING_MESSAGES
        )
        self._devices: dict[str, Device] = {}
        self._kept = asyncio.Event()
        self._watchers: set[ServerConnection] = set()
        self._news = asyncio.Event()
        self._rates: deque[int] = deque(maxlen=60)
        self._clock, self._ticks = time.time(), time.monotonic()
        self.tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._tell())]

    async def handle(self, connection: ServerConnection) -> None:
        """Serve one connection, a device or somebody who watches."""
        url = urlsplit("/" + (connection.request.path.lstrip("/") if connection.request else ""))
        with contextlib.suppress(ConnectionClosed):  # whoever it was has gone
            if url.path.endswith("/watch"):
                await self._watch(connection)
            else:
                await self._collect(connection, parse_qs(url.query)["name"][0])

    def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Before a handshake: serve the page, and turn away who can't be served."""
        if why := objection(request.headers):
            return connection.respond(HTTPStatus.FORBIDDEN, f"{why}\n")
        url = urlsplit("/" + request.path.lstrip("/"))
        if not wants_websocket(request.headers):
            if url.path != "/":
                return connection.respond(HTTPStatus.NOT_FOUND, "there is only one page: /\n")
            response = connection.respond(HTTPStatus.OK, PAGE.read_text("utf-8"))
            del response.headers["Content-Type"]  # it says text/plain
            response.headers["Content-Type"] = "text/html; charset=utf-8"
            return response
        if url.path.endswith("/watch"):
            full = len(self._watchers) >= WATCHERS
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "too many watch\n") if full else None
        name = parse_qs(url.query).get("name", [""])[0]
        if not DEVICE_NAME.fullmatch(name):
            why = "give the device a name: /device?name=attic-1 (a-z, 0-9 and -, at most 32)\n"
            return connection.respond(HTTPStatus.FORBIDDEN, why)
        if name not in self._devices and len(self._devices) == DEVICES:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, f"there are {DEVICES:,} devices\n")
        return None

    def now(self) -> float:
        """The time in seconds since 1970. It never goes back: honest readings would be from the future."""
        before, self._ticks = self._ticks, time.monotonic()
        self._clock = max(time.time(), self._clock + self._ticks - before)
        return self._clock

    def waiting(self) -> int:
        """How many messages wait for the disk."""
        return self._queue.qsize()

    async def close(self) -> None:
        """Store what was received, and acknowledge it; raises what went wrong in the meantime."""
        stored = asyncio.create_task(self._queue.join())
        await asyncio.wait([stored, *self.tasks], timeout=TIME_TO_DRAIN, return_when=asyncio.FIRST_COMPLETED)
        for task in (stored, *self.tasks):
            task.cancel()
        ended = await asyncio.gather(*self.tasks, return_exceptions=True)
        self._disk.shutdown()
        for error in ended:
            if isinstance(error, Exception):
                raise error

    # --- devices

    async def _collect(self, connection: ServerConnection, name: str) -> None:
        device = self._devices.setdefault(name, Device())
        if device.connection:  # perhaps it lost that connection, and we have not noticed yet
            device.connection.transport.abort()
        device.connection = connection
        try:
            async with device.turn:  # what came through the older connection has been received by then
                number = await self._last(name, device)
                await connection.send(as_json(Ack(number)).decode())
                await self._receive(connection, name, device)
        finally:
            if device.connection is connection:
                device.connection = None
                if not device.number:  # it has sent nothing: anybody can think of 10,000 names
                    del self._devices[name]

    async def _last(self, name: str, device: Device) -> int:
        """The number of a device's last reading, once it is on disk: no new one may get it again."""
        while True:
            kept = self._kept
            number = int(await self._on_disk(self._store.last, name))
            if number >= device.number:
                return number
            await kept.wait()

    async def _receive(self, connection: ServerConnection, name: str, device: Device) -> None:
        last, errors = 0, 0
        async for message in connection:
            readings = []
            for result in checked(message, after=last, now=self.now()):
                if isinstance(result, Refused):
                    errors += 1
                    self.refused += 1
                    await connection.send(as_json(Ack(error=str(result), number=result.number)).decode())
                else:
                    last, device.at, device.value = result.number, result.at, result.value
                    readings.append(result)
            if readings:
                device.number = max(device.number, last)
                await self._queue.put((connection, name, readings))  # waits while the queue is full
            if errors > ERRORS:
                await connection.close(POLICY, f"more than {ERRORS} readings were wrong")

    async def _write(self) -> None:
        """Store what has arrived, in batches of whatever came in the meantime; then acknowledge it."""
        while True:
            batch = [await self._queue.get()]
            rows = rows_of(batch[0])
            while not self._queue.empty() and len(rows) < ROWS_IN_A_BATCH:
                batch.append(self._queue.get_nowait())
                rows += rows_of(batch[-1])
            await self._keep(rows)
            stored = {connection: readings[-1].number for connection, _, readings in batch}
            for connection, number in stored.items():
                tell([connection], as_json(Ack(number)).decode())
            for _ in batch:
                self._queue.task_done()

    async def _keep(self, rows: list[Row]) -> None:
        await asyncio.sleep(self.slow)
        while True:
            try:
                self.stored += await self._on_disk(self._store.add, rows)
                break
            except sqlite3.Error as error:  # the disk is full, say: nothing is acknowledged, everybody waits
                log.error("can't store %d readings, trying again: %s", len(rows), error)
                await asyncio.sleep(DISK_PAUSE)
        self._kept.set()
        self._kept = asyncio.Event()

    async def _on_disk(self, function: Any, *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._disk, function, *args)

    # --- those who watch

    async def _watch(self, connection: ServerConnection) -> None:
        self._watchers.add(connection)
        try:
            tell([connection], self._state())
            async for message in connection:
                await asyncio.sleep(0)  # a burst of questions doesn't keep everybody else waiting
                try:
                    question = msgspec.json.decode(message, type=Question)
                except NOT_JSON as error:
                    tell([connection], as_json({"error": str(error)}).decode())
                    continue
                if question.alarm is not None:
                    self.alarm = question.alarm
                    self._news.set()
                if question.show is not None:
                    windows = await self._on_disk(self._store.windows, self.now() - 60, 1, question.show)
                    shown = [[round(window.begin), round(window.mean, 2)] for window in windows]
                    tell([connection], as_json({"show": question.show, "minute": shown}).decode())
        finally:
            self._watchers.discard(connection)

    async def _tell(self) -> None:
        """Tell everybody who watches, once a second and when the alarm was set; count what was stored."""
        before, second = self.stored, time.monotonic() + 1
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), second - time.monotonic())
            self._news.clear()
            if time.monotonic() >= second:
                self._rates.append(self.stored - before)
                before, second = self.stored, time.monotonic() + 1
            if self._watchers:
                tell(self._watchers, self._state())
            await asyncio.sleep(NEWS_PAUSE)

    def _state(self) -> str:
        now = self.now()
        devices = [
            [name, round(device.value, 1), round(now - device.at, 1) if device.at else None]
            for name, device in sorted(self._devices.items())
        ]
        return as_json(
            {
                "alarm": self.alarm,
                "connected": sum(device.connection is not None for device in self._devices.values()),
                "devices": devices,
                "rates": list(self._rates),
                "refused": self.refused,
                "stored": self.stored,
                "waiting": self.waiting(),
            }
        ).decode()


def rows_of(item: tuple[ServerConnection, str, list[Reading]]) -> list[Row]:
    """The readings of a message, as they are stored."""
    _, name, readings = item
    return [(name, reading.number, reading.at, reading.value) for reading in readings]


def tell(connections: Any, text: str) -> None:
    """Send without waiting for anybody; who lets too much pile up is cut off."""
    broadcast(connections, text)
    for connection in list(connections):
        if connection.transport.get_write_buffer_size() > UNREAD + len(text):  # the state may be long itself
            connection.transport.abort()


async def serve_until(stop: asyncio.Event, collector: Collector, host: str, port: int, ready: Any) -> None:
    """Serve until told to stop; then receive nothing more, store, acknowledge, and close with 1012.

    Args:
        stop: is set when it is time.
        collector: what to serve; it is closed at the end.
        host: the address to listen on.
        port: 0 chooses a free one.
        ready: is called with the port.
    """
    async with serve(
        collector.handle,
        host,
        port,
        process_request=collector.answer,
        process_response=without_body,
        create_connection=Visitor,
        max_size=LONGEST_MESSAGE,
        compression=None,  # with it, a small frame could grow large before `max_size` sees it
        close_timeout=1,
    ) as server:
        ready(server.sockets[0].getsockname()[1])
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait([stopped, *collector.tasks], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        server.close(close_connections=False)
        for connection in server.connections:
            connection.transport.pause_reading()
        try:
            await collector.close()
        finally:
            await hang_up(server)


async def hang_up(server: Server) -> None:
    """Close all connections with 1012: the devices come back, and send again what wasn't acknowledged."""
    for connection in server.connections:
        connection.transport.resume_reading()  # to hear their close frames
    await asyncio.gather(*(connection.close(RESTART, "restarting") for connection in server.connections))
    for handler in server.handler_tasks:
        handler.cancel()  # it may still wait for a place in the queue


async def run(path: str, host: str, port: int, slow: float) -> None:
    """Collect until a signal comes."""
    store = Store(path)
    try:
        collector = Collector(store, slow=slow)
        where = f"http://{host}"
        await serve_until(
            stopped_by_signals(),
            collector,
            host,
            port,
            lambda port: print(f"collecting into {path} at {where}:{port}", flush=True),
        )
    finally:
        store.close()


def main() -> None:
    """Read the command line, and collect."""
    parser = argparse.ArgumentParser("python -m apps.sensors.collector", description="Collect readings.")
    parser.add_argument("--port", type=int, default=8000, help="0 chooses a free one (%(default)s)")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--file", default="readings.sqlite", help="where the readings go (%(default)s)")
    parser.add_argument("--slow", type=float, default=0, help="seconds that each batch takes longer")
    given = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    try:
        asyncio.run(run(given.file, given.host, given.port, given.slow))
    except (OSError, OverflowError, sqlite3.Error) as error:  # the port is taken, the folder isn't there …
        parser.exit(1, f"can't collect: {error}\n")


if __name__ == "__main__":
    main()
