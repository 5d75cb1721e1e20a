"""A replica in a program, connected with y-websocket's protocol; it may be edited while it isn't connected.

    python -m apps.pad.client ws://127.0.0.1:8000/plans

shows the text whenever it changes, and appends each line that you type.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable
from typing import Any

from pycrdt import UndoManager, merge_updates
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from apps.pad.document import AWARENESS, NOTHING, STEP_1, STEP_2, UPDATE, Document, Splice, read, write
from apps.pad.presence import EXPIRES, Presence

OWN = "own"


class PadClient:
    """Text that is edited here and elsewhere.

        ann = PadClient("Ann")
        await ann.connect("ws://127.0.0.1:8000/plans")
        ann.insert(0, "Dear Bob,")
        await ann.synced()

    Args:
        name: what others see.
        client: the replica's number, by default a random one.
    """

    def __init__(self, name: str = "somebody", client: int | None = None) -> None:
        self.name = name
        self.document = Document(client)
        self.presence = Presence()
        self.on_change: Callable[[], object] = lambda: None
        self._state: dict[str, Any] = {"user": {"name": name}}
        self._undo = UndoManager(scopes=[self.document.text], capture_timeout_millis=0)
        self._undo.include_origin(OWN)
        self._outbox: list[bytes] = []
        self._due = asyncio.Event()
        self._asked = asyncio.Event()  # the server has said what it has, and gets what it lacks
        self._answers: list[asyncio.Future[None]] = []
        self._connection: ClientConnection | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Condition()

    @property
    def text(self) -> str:
        """The text as it is here."""
        return str(self.document)

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None

    # --- edits

    def edit(self, *splices: Splice) -> None:
        """Change the text here, and send the change, now or when there is a connection."""
        self._send(self.document.edit(splices, OWN))

    def insert(self, at: int, text: str) -> None:
        """Insert some text."""
        self.edit((at, 0, text))

    def delete(self, at: int, length: int) -> None:
        """Delete some characters."""
        self.edit((at, length, ""))

    def undo(self) -> None:
        """Undo the last edit that was made here, whatever others have done since."""
        self._send(self.document.change(self._undo.undo))

    def redo(self) -> None:
        """Do again what was undone last."""
        self._send(self.document.change(self._undo.redo))

    def select(self, anchor: int, head: int | None = None) -> None:
        """Put the cursor somewhere, or select some text, for others to see."""
        ends = {"anchor": anchor, "head": anchor if head is None else head}
        self._state["cursor"] = {end: self.document.mark(at) for end, at in ends.items()}
        self._say()

    @property
    def people(self) -> dict[str, int | None]:
        """Where the cursors of the others are, by their names."""
        return {
            str(state.get("user", {}).get("name")): self.document.find(state.get("cursor", {}).get("head"))
            for client, state in self.presence.states.items()
            if client != self.document.client
        }

    # --- the connection

    async def connect(self, url: str) -> None:
        """Connect, and have what is missing sent both ways.

        Raises:
            OSError, InvalidHandshake: there is no such server.
        """
        await self.disconnect()
        self._connection = await connect(url, proxy=None, compression=None, max_size=None)
        self._outbox.clear()  # the server asks for what it lacks
        self._asked.clear()
        reading = asyncio.create_task(self._read(self._connection))
        self._tasks = [reading, asyncio.create_task(self._write(self._connection))]
        self._say()
        await self.synced()

    async def disconnect(self) -> None:
        """Close the connection; the text stays, and may be edited."""
        if self._connection:
            await self._connection.close()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def synced(self, timeout: float = 10) -> None:
        """Wait until all that was changed here is on the server's disk, and what it had is here.

        Raises:
            ConnectionError: there is no connection, or it broke meanwhile.
            TimeoutError: it took too long.
        """
        if self._connection is None:
            raise ConnectionError("not connected")
        async with asyncio.timeout(timeout):
            await self._asked.wait()
            answer = asyncio.get_running_loop().create_future()
            self._answers.append(answer)
            self._outbox.append(write(STEP_1, self.document.state()))
            self._due.set()
            await answer

    async def until(self, condition: Callable[[], object], timeout: float = 10) -> None:
        """Wait until something is true of the text or of the people.

        Raises:
            TimeoutError: it took too long.
        """
        async with asyncio.timeout(timeout), self._changed:
            await self._changed.wait_for(lambda: bool(condition()))

    def _send(self, update: bytes) -> None:
        if update == NOTHING:
            return
        self._outbox.append(write(UPDATE, update))
        self._due.set()

    def _say(self) -> None:
        said = self.presence.say(self.document.client, self._state, time.monotonic())
        self._outbox.append(write(AWARENESS, said))
        self._due.set()

    async def _write(self, connection: ClientConnection) -> None:
        """Send what is in the outbox; updates that wait together travel together."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                try:
                    await asyncio.wait_for(self._due.wait(), EXPIRES / 2)
                except TimeoutError:
                    self._say()
                self._due.clear()
                messages, self._outbox = self._outbox, []
                updates: list[bytes] = []
                for message in messages:
                    kind, data = read(message)
                    if kind == UPDATE:
                        updates.append(data)
                        continue
                    if updates:
                        await connection.send(write(UPDATE, merge_updates(*updates)))
                        updates = []
                    await connection.send(message)
                if updates:
                    await connection.send(write(UPDATE, merge_updates(*updates)))

    async def _read(self, connection: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                kind, data = read(message if isinstance(message, bytes) else message.encode())
                if kind == STEP_1:
                    self._outbox.append(write(STEP_2, self.document.missing(data)))
                    self._due.set()
                    self._asked.set()
                elif kind == AWARENESS:
                    self.presence.hear(data, time.monotonic())
                elif kind in (STEP_2, UPDATE):
                    self.document.apply(data)
                    if kind == STEP_2 and self._answers and not (answer := self._answers.pop(0)).done():
                        answer.set_result(None)
                await self._tell()
        self._connection = None
        self._tasks[-1].cancel()
        for answer in self._answers:
            if not answer.done():
                answer.set_exception(ConnectionError("the connection broke"))
        self._answers.clear()
        self.presence.keep([self.document.client])
        await self._tell()

    async def _tell(self) -> None:
        self.on_change()
        async with self._changed:
            self._changed.notify_all()


async def main(url: str) -> None:
    """Show the text, and append what is typed."""
    pad = PadClient("a terminal")
    pad.on_change = lambda: print(f"\n--- {pad.connected=}\n{pad.text}", flush=True)
    await pad.connect(url)
    while line := await asyncio.to_thread(sys.stdin.readline):
        pad.insert(len(pad.text), line)
        await pad.synced()
    await pad.disconnect()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
