"""Pads on one port: their page, y-websocket's protocol for replicas, and a simpler one for the page.

    http://…/?room=plans&name=Ann   the page; its WebSocket has the same address
    ws://…/plans                    y-websocket's protocol: Yjs, pycrdt, `python -m apps.pad.client`

`room.py` says what each is told. Here it is stored first and then sent, in batches as large as came while the
disk was busy.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import sqlite3
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from pycrdt import merge_updates
from websockets.asyncio.server import ServerConnection, broadcast
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.protocol import State

from apps import visitors
from apps.bucket import Bucket
from apps.origins import objection
from apps.pad.document import UPDATE, Rubbish, write
from apps.pad.room import LARGEST, Full, Member, Outgoing, Room
from apps.pad.seat import Join, Refused, read_request
from apps.pad.store import Row, Store, reserve
from apps.signals import stopped_by_signals
from apps.visitors import Visitor, wants_websocket

ROOM_NAME = re.compile(r"[a-z0-9-]{1,40}")
MOST_ROOMS = 1000
"""On disk."""
MOST_OPEN = 100
"""In memory; a room that is empty makes place for another."""
MOST_MEMBERS = 100
"""In one room."""
MOST_WAITING = 2000
"""Messages that may wait for the disk, in one room, before its members are no longer read. So is it with
LARGEST bytes: to a question of five bytes, the whole text may be the answer."""
MESSAGES_PER_SECOND, BURST = 200, 1000
"""What one connection may send, and how much of it at once; one that sends more is read more slowly."""
MOST_UNREAD = 2 * LARGEST
"""Bytes that may wait for somebody who doesn't read."""
COMPACT_AFTER = 500
"""Updates that are stored one by one before they are merged."""
ERRORS = 20
"""After so many requests that can't be done, a page is disconnected."""
TIME_TO_DRAIN = 5.0
"""Seconds that what was received may take to be stored when the server ends."""
JOIN_SECONDS = 10.0
"""Seconds in which a page has to say who it is."""
DISK_PAUSE = 1.0
LOOK_PAUSE = 5.0
INVALID, TOO_BIG, POLICY, TRY_AGAIN = 1007, 1009, 1008, 1013

HERE = Path(__file__).parent
FILES = {"/": ("page.html", "text/html"), "/page.css": ("page.css", "text/css")}
FILES |= {name: (name[1:], "text/javascript") for name in ("/page.js", "/splices.js")}

log = logging.getLogger("pad")


class Writer(Visitor):
    """A connection that the whole text may wait for."""

    most_unread = MOST_UNREAD + LARGEST


class PadServer:
    """Serves pads, and keeps their texts in a file.

        async with PadServer("pad.sqlite").serving("127.0.0.1", 0) as url:
            ...

    Args:
        path: of the file; ":memory:" keeps nothing.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = path
        self._rooms: dict[str, Room] = {}
        self._connections: dict[Member, ServerConnection] = {}
        self._opening = asyncio.Lock()
        self._due = asyncio.Event()
        self._written = asyncio.Condition()
        self._disk = ThreadPoolExecutor(1, "disk")

    async def run(self, host: str, port: int) -> None:
        """Serve until Ctrl+C or SIGTERM, and print the address."""
        stop = stopped_by_signals()
        async with self.serving(host, port) as url:
            print(f"The pad is at {url}", flush=True)
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait([stopped, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()

    @contextlib.asynccontextmanager
    async def serving(self, host: str, port: int) -> AsyncIterator[str]:
        """Serve, in an `async with` block, whose value is the address of the page."""
        with contextlib.closing(reserve(self._path)):
            self._store = await self._on_disk(Store, self._path)
            self._tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._look())]
            try:
                async with visitors.serving(
                    self._handle,
                    host,
                    port,
                    process_request=self._answer,
                    create_connection=Writer,
                    compression=None,  # updates are too small for it to save anything
                    max_size=LARGEST + 1024,
                ) as url:
                    yield url
            finally:
                await self._end()

    async def _end(self) -> None:
        self._due.set()
        self._tasks[1].cancel()
        stored = asyncio.create_task(self._all_stored())
        await asyncio.wait(
            [stored, self._tasks[0]], timeout=TIME_TO_DRAIN, return_when=asyncio.FIRST_COMPLETED
        )
        for task in (stored, self._tasks[0]):
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._on_disk(self._store.close)
        self._disk.shutdown()
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def _all_stored(self) -> None:
        async with self._written:
            await self._written.wait_for(lambda: not any(room.unsaved for room in self._rooms.values()))

    # --- who comes in

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a request for a file, and turn away who can't be served; a handshake passes."""
        url = urlsplit("/" + request.path.lstrip("/"))
        if wants_websocket(request.headers):
            if why := objection(request.headers):
                return connection.respond(403, f"{why}\n")
            if not ROOM_NAME.fullmatch(room_name(request.path)):
                return connection.respond(404, "a room's name has a-z, 0-9 and -, at most 40 of them\n")
            return None
        if url.path not in FILES:
            return connection.respond(404, "Here are /, /?room=plans&name=Ann and a WebSocket.\n")
        name, kind = FILES[url.path]
        body = (HERE / name).read_bytes()
        headers = {"Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(body))}
        return Response(200, "OK", Headers(headers, Cache_Control="no-store", Connection="close"), body)

    async def _handle(self, connection: ServerConnection) -> None:
        path = connection.request.path if connection.request else ""
        room = await self._open(room_name(path))
        if room is None or len(room.members) >= MOST_MEMBERS:
            await connection.close(TRY_AGAIN, "there are too many rooms, or too many people in this one")
            return
        member = Member()
        self._connections[member] = connection
        talk = self._talk_to_page if urlsplit("/" + path.lstrip("/")).path == "/" else self._talk_to_replica
        try:
            await talk(connection, room, member)
        except ConnectionClosed:
            pass  # it has gone
        except Rubbish as error:
            await connection.close(INVALID, str(error)[:100])
        except Full as error:
            await connection.close(TOO_BIG, str(error))
        finally:
            del self._connections[member]
            room.leave(member, time.monotonic())
            self._due.set()

    async def _open(self, name: str) -> Room | None:
        async with self._opening:  # so that nobody opens it twice
            if name not in self._rooms:
                arriving = {room_name(one.request.path) for one in self._connections.values() if one.request}
                empty = [
                    each
                    for each, room in self._rooms.items()
                    if not (room.members or room.unsaved or each in arriving)
                ]
                if len(self._rooms) >= MOST_OPEN and not empty:
                    return None
                updates = await self._on_disk(self._store.load, name)
                if not updates and await self._on_disk(self._store.count) >= MOST_ROOMS:
                    return None
                if len(self._rooms) >= MOST_OPEN:
                    del self._rooms[empty[0]]
                self._rooms[name] = Room(name, updates)
        return self._rooms[name]

    async def _talk_to_replica(self, connection: ServerConnection, room: Room, member: Member) -> None:
        room.join(member)
        self._due.set()
        bucket = Bucket(MESSAGES_PER_SECOND, BURST)
        async for message in connection:
            if isinstance(message, str):
                raise Rubbish("y-websocket's messages are binary")
            room.hear(member, message, time.monotonic())
            await self._heard(connection, room, bucket)

    async def _talk_to_page(self, connection: ServerConnection, room: Room, member: Member) -> None:
        errors, bucket = 0, Bucket(MESSAGES_PER_SECOND, BURST)
        hurry = asyncio.get_running_loop().call_later(JOIN_SECONDS, connection.transport.abort)
        async for message in connection:
            request = None
            try:
                request = read_request(message)
                if isinstance(request, Join) and member.seat is None:
                    number = await self._on_disk(self._store.number, request.seat)
                    if len(room.members) >= MOST_MEMBERS:
                        await connection.close(TRY_AGAIN, "there are too many people in this room")
                        return
                    room.sit(member, request, number, time.monotonic())
                    hurry.cancel()
                else:
                    room.do(member, request, time.monotonic())
            except (msgspec.MsgspecError, UnicodeError, Refused, Full) as error:
                errors += 1
                said = {"type": "error", "text": str(error), "number": getattr(request, "number", None)}
                await connection.send(msgspec.json.encode(said), text=True)
                if errors > ERRORS:
                    await connection.close(POLICY, f"more than {ERRORS} requests couldn't be done")
            await self._heard(connection, room, bucket)

    async def _heard(self, connection: ServerConnection, room: Room, bucket: Bucket) -> None:
        """Have it written; give others their turn, and wait while too much waits or it comes too fast."""
        self._due.set()
        await asyncio.sleep(0)
        while connection.state is State.OPEN and not bucket.take():  # noqa: ASYNC110 (it fills with time)
            await asyncio.sleep(1 / MESSAGES_PER_SECOND)
        if len(room.unsaved) + len(room.outgoing) > MOST_WAITING or room.outgoing_size > LARGEST:
            async with self._written:
                await self._written.wait()

    # --- what goes out

    async def _write(self) -> None:
        """Store what is unsaved, then send what is outgoing, again and again."""
        while True:
            await self._due.wait()
            self._due.clear()
            rooms = [room for room in self._rooms.values() if room.outgoing]
            rows = [row for room in rooms for row in room.unsaved]
            batches = [(room, room.outgoing) for room in rooms]
            for room in rooms:
                room.outgoing, room.outgoing_size = [], 0
            if rows:
                await self._keep(rows)
            for room, batch in batches:
                room.unsaved = room.unsaved[sum(row.room == room.name for row in rows) :]
                self._send(room, batch)
                if room.rows > COMPACT_AFTER:
                    await self._compact(room)
            async with self._written:
                self._written.notify_all()

    async def _keep(self, rows: list[Row]) -> None:
        while True:
            try:
                await self._on_disk(self._store.add, rows)
                break
            except sqlite3.Error as error:  # the disk is full, say: nobody is told anything, everybody waits
                log.error("can't store %d changes, trying again: %s", len(rows), error)
                await asyncio.sleep(DISK_PAUSE)

    async def _compact(self, room: Room) -> None:
        """Merge what is stored of a room. That can wait: without it, nothing is lost."""
        try:
            await self._on_disk(self._store.replace, room.name, room.compact())
        except sqlite3.Error as error:
            log.error("can't merge the changes of %s, trying again later: %s", room.name, error)

    async def _on_disk(self, function: Any, *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._disk, function, *args)

    def _send(self, room: Room, batch: list[Outgoing]) -> None:
        made = [(each.message, each.maker) for each in batch if each.member is None]
        merged: dict[Member | None, bytes] = {}
        for member in room.members if made else ():
            if member.seat:
                continue
            maker = member if any(member is who for _, who in made) else None
            if maker not in merged:
                theirs = [bytes(update) for update, who in made if who is None or who is not maker]  # type: ignore[arg-type]
                merged[maker] = write(UPDATE, merge_updates(*theirs)) if theirs else b""
            if merged[maker]:
                self._tell(member, merged[maker])
        for each in batch:
            if each.member:
                self._tell(each.member, each.message)

    def _tell(self, member: Member, message: bytes | str) -> None:
        """Send without waiting; who has left too much unread is cut off, and comes back for what it lacks."""
        connection = self._connections.get(member)
        if connection is None:
            return
        if connection.transport.get_write_buffer_size() > MOST_UNREAD:
            connection.transport.abort()
        else:
            broadcast([connection], message)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_PAUSE)
            for room in self._rooms.values():
                room.look(time.monotonic())
            self._due.set()


def room_name(path: str) -> str:
    """The room that an address names: `/plans`, or `/?room=plans` for the page."""
    url = urlsplit("/" + path.lstrip("/"))
    return url.path[1:] or parse_qs(url.query).get("room", ["start"])[0]
