"""Receives uploads in chunks, keeps what has come when the connection breaks, and checks the whole.

ws://…/upload?size=123456&sha256=…       the file is known by its checksum: no names, no paths

server  {"type": "have", "bytes": 65536}      how much is on disk; the chunks after that are missing
client  binary messages, one chunk each
server  {"type": "have", …}                   after each chunk
server  {"type": "done", "text": "…"}         whole, and the checksum is right
server  {"type": "error", "text": "…"}        and the connection is closed: trying again is no use
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

from websockets.asyncio.server import ServerConnection

MOST_BYTES = 16 * 2**20
"""Of a file."""

MOST_CHUNK = 2**16

NAME = re.compile(r"[0-9a-f]{64}-[0-9]{1,12}")
"""Of a file in the folder: checksum and size. What else is in it isn't ours to count, or to delete."""

MOST_FILES = 20
"""Files in the folder, whole or not; when there are more, the one that was untouched longest goes."""

CHUNK_SECONDS = 30
"""How long a chunk may take to come, or an answer to be taken."""

LEAST_RATE, GRACE_SECONDS = 16_384, 2.0
"""Bytes per second; one that is slower, after a moment, makes way when MOST_FILES are being sent."""


class Refused(ValueError):
    """An upload that can't be taken; the message is for whoever sends it."""


@dataclass(eq=False)
class Sender:
    """Somebody who sends a file, since when, and how much has come."""

    connection: ServerConnection
    since: float
    bytes: int = 0

    def rate(self, now: float) -> float:
        """Bytes per second; nothing can be said of one that has just begun."""
        passed = now - self.since
        return self.bytes / passed if passed > GRACE_SECONDS else math.inf


class Inbox:
    """A folder for uploads.

    Args:
        folder: where they are kept; what was there before a restart is continued.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._busy: dict[Path, Sender] = {}
        self._locks: WeakValueDictionary[Path, asyncio.Lock] = WeakValueDictionary()

    async def receive(self, connection: ServerConnection, asked: Mapping[str, str]) -> Path:
        """Receive what is missing of a file.

        Args:
            connection: its chunks come through it. An older connection with the same file is cut off.
            asked: the query of its URL: `size` and `sha256`.

        Returns:
            The whole file; the checksum is right.

        Raises:
            Refused: it isn't what was announced.
            ConnectionClosed: it was closed before all had come; what has come is kept.
            TimeoutError: nothing came for CHUNK_SECONDS.
        """
        size, checksum = announced(asked)
        path = self._folder / f"{checksum}-{size}"
        if older := self._busy.get(path):
            older.connection.transport.abort()
        elif len(self._busy) >= MOST_FILES:
            self._end_the_slowest()
        self._busy[path] = sender = Sender(connection, time.monotonic())
        async with self._locks.setdefault(path, asyncio.Lock()):
            try:
                if self._busy.get(path) is not sender:
                    raise Refused("the same file is being sent on a newer connection")
                self._make_room(path)
                await self._fill(sender, path, size)
                await asyncio.to_thread(_check, path, checksum)
            finally:
                if self._busy.get(path) is sender:
                    del self._busy[path]
        return path

    def _end_the_slowest(self) -> None:
        """Cut one off that hardly sends anything: what it has sent is kept, and it may come back."""
        now = time.monotonic()
        path = min(self._busy, key=lambda path: self._busy[path].rate(now))
        if self._busy[path].rate(now) >= LEAST_RATE:
            raise Refused(f"{MOST_FILES} files are being sent: try again later")
        self._busy.pop(path).connection.transport.abort()

    async def _fill(self, sender: Sender, path: Path, size: int) -> None:
        """Append chunks until the file is as large as it should be."""
        connection = sender.connection
        have = await asyncio.to_thread(_begin, path)
        await _say(connection, {"type": "have", "bytes": have})
        while have < size:
            async with asyncio.timeout(CHUNK_SECONDS):
                chunk = await connection.recv()
            if isinstance(chunk, str) or not chunk:
                raise Refused("a chunk is a binary message with something in it")
            if have + len(chunk) > size:
                raise Refused(f"this is more than the {size:,} bytes that were announced")
            await asyncio.to_thread(_append, path, chunk)
            have += len(chunk)
            sender.bytes += len(chunk)
            await _say(connection, {"type": "have", "bytes": have})

    def _make_room(self, wanted: Path) -> None:
        ours = [path for path in self._folder.iterdir() if NAME.fullmatch(path.name)]
        others = [path for path in ours if path != wanted and path not in self._busy]
        others.sort(key=lambda path: path.stat().st_mtime)
        for path in others[: max(0, len(others) + 1 - MOST_FILES)]:
            path.unlink()


def announced(asked: Mapping[str, str]) -> tuple[int, str]:
    """Size and checksum of a file, from the query of a URL.

    Raises:
        Refused: they are missing, or they are nothing of the kind.
    """
    size, checksum = asked.get("size", ""), asked.get("sha256", "").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", checksum) or not re.fullmatch(r"[0-9]{1,12}", size):
        raise Refused("announce the file: /upload?size=BYTES&sha256=CHECKSUM, in hexadecimal digits")
    if not 1 <= int(size) <= MOST_BYTES:
        raise Refused(f"a file has 1 to {MOST_BYTES:,} bytes")
    return int(size), checksum


def _begin(path: Path) -> int:
    """Have a file that chunks can be appended to, and say how much of it is there."""
    path.touch()
    return path.stat().st_size


def _append(path: Path, chunk: bytes) -> None:
    with path.open("ab") as file:
        file.write(chunk)


def _check(path: Path, checksum: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != checksum:
        path.unlink()  # nobody knows which byte is wrong
        raise Refused("the checksum is wrong: send the file again, from its beginning")


async def _say(connection: ServerConnection, message: Mapping[str, object]) -> None:
    async with asyncio.timeout(CHUNK_SECONDS):
        await connection.send(json.dumps(message))
