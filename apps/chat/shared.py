"""The chat in several processes: each keeps a copy of all rooms, and all copies read the same log.

    async with SharedRooms("redis://127.0.0.1:6379").open() as rooms:
        room = rooms.find("Ann", "lobby")
        room.join(ann)  # ann gets her `welcome` when the log has brought it back

What a client does isn't done at once: it is written into a log on the bus. Every process reads that log, and
does what is in it to its `Replica`, in the same order; so all agree who came first and which name is taken.
Each brings the events that follow to the clients that it has itself.

- A process that starts reads the log from its beginning, or from the newest state that somebody has written
  into it: whoever writes entry number 1,000, 2,000, … adds the state.
- Each process says twice a second that it is there. One that is silent for GONE_SECONDS is written off in the
  log, and its members leave every room. If it reads that about itself, it sends its clients away.
- While the engine is down, what clients do waits, within bounds. Beyond them, clients are told that.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from itertools import count

from apps.bus.bus import BusDown, MessagesLost, connect
from apps.chat.names import as_name
from apps.chat.replica import Replica, seats
from apps.chat.room import POLICY, RESTART, TEXT_CHARACTERS, TRY_LATER, Event, Member, Refused, Room, as_text

LOG, PULSE = "chat-log", "chat-pulse"
STATE_EVERY = 1000
"""Entries from one state in the log to the next; it keeps 10,000."""
BEAT_SECONDS = 0.5
"""Between two signs of life."""
GONE_SECONDS = 4.0
"""Of silence, after which a process counts as dead; its members are off the lists within 5 s."""
WELCOME_SECONDS = 5.0
"""A client may wait for its welcome."""
READY_SECONDS = 3.0
"""The server waits at its start for the log; without it, clients are asked to try later."""
GOODBYE_SECONDS = 1.0
"""To write down at the end what has not been written yet."""
RETRY_SECONDS = 0.2
WAITING = 2000
"""What clients do may wait for the engine; more is refused."""
BATCH_CHARACTERS = 100_000
"""About so much of it makes one entry; NATS takes up to 1 MiB."""

LOST_TOUCH = "the server has lost touch with the others: connect again"
NOT_YET = "the server can't reach the others yet: try again in a moment"
TOO_MUCH = "not said: the server can't reach the others just now"

log = logging.getLogger("uvicorn.chat")


class SharedRoom:
    """What a client of this process sees of a room: it asks, and the log brings what comes of it."""

    def __init__(self, rooms: SharedRooms, name: str) -> None:
        self.name = name
        self._rooms = rooms

    @property
    def members(self) -> dict[str, Member]:
        """All that are in the room: those of this process, and the seats of the others."""
        room = self._rooms.replica.rooms.named(self.name)
        return {seat.name: seat.client or seat for seat in seats(room)} if room else {}

    def join(self, client: Member) -> None:
        """Ask to be let in; the `welcome` follows, or a `bye`."""
        if client not in self._rooms.keys:
            key, session = self._rooms.register(client), getattr(client, "id", "")
            self._rooms.write(
                {"do": "join", "key": key, "name": client.name, "room": self.name, "session": session}
            )

    def leave(self, client: Member) -> None:
        """Go; a second time does nothing."""
        if key := self._rooms.forget(client):
            self._rooms.write({"do": "leave", "key": key})

    def drop(self, client: Member, code: int, why: str) -> None:
        """Hang up on a client of this process."""
        client.close(code, why)
        self.leave(client)

    def hear(self, client: Member, text: str | None, id: str = "") -> None:
        """Pass on what a client sends; what isn't allowed in any room ends here."""
        key = self._rooms.keys.get(client)
        if text is None or len(text) > TEXT_CHARACTERS:
            Room("nowhere").hear(client, text)
            self.leave(client)
        elif self._rooms.full():
            self.send(client, {"type": "error", "text": TOO_MUCH})
        elif key:
            self._rooms.write({"do": "hear", "key": key, "text": text, "id": id})

    def when_heard(self, tell: Callable[[], None]) -> None:
        """Call a function as soon as the engine has what was heard so far."""
        self._rooms.when_written(tell)

    def say(self, who: str, text: str) -> None:
        """Say something from outside."""
        self._rooms.write({"do": "say", "who": who, "room": self.name, "text": text})

    def send(self, client: Member, event: Event) -> None:
        """Bring an event to a client of this process."""
        if not client.put(as_text(event)):
            self.drop(client, TRY_LATER, "you read too slowly")

    def welcome(self, name: str) -> Event:
        """Return the first event that a member gets."""
        return (self._rooms.replica.rooms.named(self.name) or Room(self.name)).welcome(name)

    def lags(self) -> bool:
        """Whether those who talk should wait a little."""
        room = self._rooms.replica.rooms.named(self.name)
        return self._rooms.full(0.5) or (room is not None and room.lags())


class SharedRooms:
    """The rooms of all processes, by what the log says. It has what the server uses of `Rooms`.

    Args:
        url: of the bus, as for `apps.bus.bus.connect`.
    """

    def __init__(self, url: str) -> None:
        self.replica = Replica()
        self.keys: dict[Member, str] = {}
        self._url = url
        self._id = secrets.token_hex(4)
        self._worker = secrets.token_hex(4)
        self._numbers = count(1)
        self._position = 0
        self._ready = asyncio.Event()
        self._waiting: deque[str | Callable[[], None]] = deque()
        self._batches = count(1)
        self._written, self._idle = asyncio.Event(), asyncio.Event()
        self._heard: dict[str, float] = {}
        self._echo = 0.0

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[SharedRooms]:
        """Read the log, write to it and give signs of life. At the end, all clients here have left."""
        self._bus, self._pulse = connect(self._url), connect(self._url)
        tasks = [
            asyncio.create_task(job) for job in (self._read(), self._write(), self._beat(), self._listen())
        ]
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ready.wait(), READY_SECONDS)
            yield self
        finally:
            self.write({"do": "gone", "worker": self._worker})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), GOODBYE_SECONDS)
            await self._bus.close()
            await self._pulse.close()
            left = set(tasks)
            while left:  # a client of an engine may miss being cancelled while it connects
                for task in left:
                    task.cancel()
                _, left = await asyncio.wait(left, timeout=0.2)

    def find(self, name: str, room_name: str) -> SharedRoom:
        """Return the room that somebody wants to join.

        Raises:
            Refused: one of the names won't do, or the log can't be reached.
        """
        try:
            as_name(name)
            room = SharedRoom(self, as_name(room_name))
        except ValueError as problem:
            raise Refused(POLICY, str(problem)) from None
        if not self._ready.is_set() or self.full():
            raise Refused(TRY_LATER, NOT_YET)
        return room

    def named(self, room_name: str) -> SharedRoom | None:
        """Return the room of that name, if there is one."""
        room = self.replica.rooms.named(room_name)
        return SharedRoom(self, room.name) if room else None

    def values(self) -> Iterable[Room]:
        """Return this process's copies."""
        return self.replica.rooms.values()

    def full(self, share: float = 1) -> bool:
        """Whether that much waits for the engine."""
        return len(self._waiting) >= share * WAITING

    def write(self, action: Event) -> None:
        """Put something into the log, as soon as the engine takes it."""
        self._waiting.append(as_text(action))
        self._idle.clear()
        self._written.set()

    def when_written(self, tell: Callable[[], None]) -> None:
        """Call a function when the engine has confirmed what was written before."""
        self._waiting.append(tell)
        self._idle.clear()
        self._written.set()

    def register(self, client: Member) -> str:
        """Give a client its key, under which the log knows it."""
        key = self.keys[client] = f"{self._worker}/{next(self._numbers)}"
        self.replica.clients[key] = client
        asyncio.get_running_loop().call_later(WELCOME_SECONDS, self._welcomed, key)
        return key

    def forget(self, client: Member) -> str | None:
        """Return the key of a client that leaves, once."""
        key = self.keys.pop(client, None)
        if key:
            del self.replica.clients[key]
        return key

    def _welcomed(self, key: str) -> None:
        if key in self.replica.clients and key not in self.replica.seats:
            self.replica.clients[key].close(TRY_LATER, NOT_YET)

    def _send_away(self) -> None:
        """Ask all clients here to connect again, to whichever process: this one begins again as another."""
        self.write({"do": "gone", "worker": self._worker})
        self._worker = secrets.token_hex(4)
        for client in self.keys:
            client.close(RESTART, LOST_TOUCH)
        self.keys.clear()
        self.replica.clients.clear()

    async def _write(self) -> None:
        """Bring what waits to the log, as much at once as has come meanwhile."""
        while await self._written.wait():
            self._written.clear()
            while self._waiting:
                size, batch = 0, []
                for one in self._waiting:
                    batch.append(one)
                    size += len(one) if isinstance(one, str) else 0
                    if size > BATCH_CHARACTERS:
                        break
                await self._write_down([one for one in batch if isinstance(one, str)])
                for one in batch:
                    self._waiting.popleft()
                    if callable(one):
                        one()
            self._idle.set()

    async def _write_down(self, actions: list[str]) -> None:
        """Write an entry, again and again until the engine confirms it: by its number it counts once."""
        head = f'"by": "{self._id}", "number": {next(self._batches)}'
        while actions:
            try:
                await self._bus.publish(LOG, f'{{{head}, "all": [{",".join(actions)}]}}')
                return
            except BusDown as down:
                log.warning("the log of all rooms: %s", down)
                await asyncio.sleep(RETRY_SECONDS)

    async def _read(self) -> None:
        """Do what is in the log; where it has a gap, begin again with the newest state."""
        while True:
            try:
                await self._catch_up()
                async with contextlib.aclosing(await self._bus.subscribe(LOG, self._position)) as entries:
                    async for position, text in entries:
                        self._do(position, json.loads(text))
            except MessagesLost as lost:
                log.warning("the rooms are read again: %s", lost)
            self._ready.clear()
            self._send_away()

    async def _catch_up(self) -> None:
        start = {"do": "start", "key": secrets.token_hex(8)}
        self.write(start)
        entries: dict[int, Event] = {}
        async with contextlib.aclosing(await self._bus.subscribe(LOG, 0)) as messages:
            async for position, text in messages:
                entries[position] = json.loads(text)
                if start in entries[position]["all"]:
                    break
        at, state = newest_state(entries)
        self.replica.take(state)
        for position in sorted(position for position in entries if position > at):
            self._do(position, entries[position])
        self._ready.set()

    def _do(self, position: int, entry: Event) -> None:
        self._position = position
        if not self.replica.is_new(entry):
            return
        for action in entry["all"]:
            self.replica.do(action)
            if action == {"do": "gone", "worker": self._worker}:
                self._send_away()
        if position % STATE_EVERY == 0 and entry["by"] == self._id:
            pieces = self.replica.state()
            for piece in pieces:
                self.write({"do": "state", "at": position, "of": len(pieces), **piece})

    async def _beat(self) -> None:
        while True:
            try:
                await self._pulse.publish(PULSE, self._worker)
            except BusDown as down:
                log.info("no sign of life could be given: %s", down)
            await asyncio.sleep(BEAT_SECONDS)

    async def _listen(self) -> None:
        while True:
            try:
                signs = await self._pulse.subscribe(PULSE)
            except BusDown:
                await asyncio.sleep(BEAT_SECONDS)
                continue
            async with contextlib.aclosing(signs):
                async for _, worker in signs:
                    self._heard[worker] = time.monotonic()
                    if worker == self._worker:
                        self._judge()

    def _judge(self) -> None:
        """Write off whoever was silent, but not after a silence of the engine, in which nobody is heard."""
        now = time.monotonic()
        if now - self._echo > GONE_SECONDS / 2:
            self._heard.clear()
        self._echo = now
        for worker in self.replica.workers:
            if now - self._heard.setdefault(worker, now) > GONE_SECONDS:
                self.write({"do": "gone", "worker": worker})
        self._heard = {worker: at for worker, at in self._heard.items() if now - at < 10 * GONE_SECONDS}


def newest_state(entries: dict[int, Event]) -> tuple[int, list[Event]]:
    """Return the newest state in the log that is whole, and the position it holds for."""
    states: dict[tuple[int, str], list[Event]] = {(0, ""): []}
    for entry in entries.values():
        for action in entry["all"]:
            if action["do"] == "state":
                states.setdefault((action["at"], entry["by"]), []).append(action)
    whole = {
        at: pieces for (at, _), pieces in states.items() if len(pieces) == (pieces[0]["of"] if at else 0)
    }
    return max(whole.items())
