"""The exercises of `05_broadcast_to_a_room`: right answers, and what is said to the wrong ones."""

from __future__ import annotations

import asyncio
import collections
from typing import Any, ClassVar

from battery import Computation, Handler
from changes import but
from websockets.asyncio.server import broadcast
from websockets.exceptions import ConnectionClosed

GIVEN = {
    "asyncio": asyncio,
    "collections": collections,
    "broadcast": broadcast,
    "ConnectionClosed": ConnectionClosed,
    "places": {},
}


class TestByRoom(Handler):
    name = "by_room"
    given: ClassVar[dict[str, Any]] = GIVEN
    right: ClassVar = [
        """
        places = collections.defaultdict(list)

        async def by_room(connection):
            room = places[connection.request.path]
            room.append(connection)
            try:
                while True:
                    broadcast(room, await connection.recv())
            except ConnectionClosed:
                pass
            finally:
                room.remove(connection)
                if not room:
                    places.pop(connection.request.path)
        """,
        """
        places = {}

        async def tell(connection, text):
            try:
                async with asyncio.timeout(0.1):
                    await connection.send(text)
            except (TimeoutError, ConnectionClosed):
                connection.transport.abort()

        async def by_room(connection):
            room = connection.request.path
            places.setdefault(room, set()).add(connection)
            try:
                async for text in connection:
                    async with asyncio.TaskGroup() as group:
                        for member in list(places[room]):
                            group.create_task(tell(member, text))
            finally:
                places[room].discard(connection)
                if not places[room]:
                    del places[room]
        """,
        """
        class Places:
            def __init__(self):
                self.places = {}

            async def __call__(self, connection):
                members = self.places.setdefault(connection.request.path, [])
                members.append(connection)
                try:
                    async for text in connection:
                        broadcast(members, text)
                finally:
                    members.remove(connection)
                    if not members:
                        del self.places[connection.request.path]

        by_room = Places()
        """,
        """
        import functools

        async def room(connection, *, places):
            name = connection.request.path.strip("/")
            places[name] = places.get(name, frozenset()) | {connection}
            try:
                async for text in connection:
                    broadcast(places[name], text)
            except ConnectionClosed: ...
            finally:
                places[name] -= {connection}
                if not places[name]:
                    del places[name]

        by_room = functools.partial(room, places={})
        """,
        """
        places = {}

        async def by_room(connection):
            queue = asyncio.Queue(100)
            members = places.setdefault(connection.request.path, {})
            members[connection] = queue

            async def write():
                while True:
                    await connection.send(await queue.get())

            writing = asyncio.create_task(write())
            try:
                async for text in connection:
                    for other in list(members.values()):
                        if other.full():
                            other.get_nowait()
                        other.put_nowait(text)
            finally:
                writing.cancel()
                del members[connection]
                if not members:
                    del places[connection.request.path]
        """,
    ]
    wrong: ClassVar = [
        (but("broadcast(members, text)", "broadcast(members, text.strip())"), "'two\\nlines'", "as it came"),
        (
            but("broadcast(members, text)", "if text:\n                broadcast(members, text)"),
            "said `''`",
            "an empty string",
        ),
        (but("connection.request.path", '"all"'), "Cem heard `'tea is ready'`", "set of its own"),
        (
            but(
                "broadcast(members, text)", "for member in members:\n                await member.send(text)"
            ),
            "reads nothing",
            "nothing came",
            "`broadcast(members, text)`",
        ),
        (
            but("try:", "if True:", "finally:", "if True:"),
            "all have left `/",
            "in `places` there are",
            "`finally`",
        ),
        (
            but("        if not members:\n            del places[room]\n", ""),
            "all have left `/",
            "`del places[room]`",
        ),
        (
            but("broadcast(members, text)", "broadcast(members - {connection}, text)"),
            "; Ann",
            "nothing came",
            "the speaker's as well",
        ),
        (
            but("broadcast(members", "await broadcast(members"),
            "TypeError",
            "await broadcast(members, text)",
            "leave out the `await`",
        ),
        (
            but(
                "places = {}",
                "rooms = {}\nplaces = None",
                "places.setdefault",
                "rooms.setdefault",
                "del places[room]",
                "del rooms[room]",
            ),
            "there is no dict `places`",
        ),
        (
            but(
                "async for text in connection:\n            broadcast(members, text)",
                "broadcast(members, await connection.recv())",
            ),
            "the connection was closed",
        ),
        (
            but("        if not members:\n            del places[room]", "        places.pop(room, None)"),
            "Bob has left, Ann has stayed, Eve has come",
            "nothing came",
            "only an empty room may go",
        ),
        (
            but("broadcast(members, text)", "broadcast(members, text)\n            broadcast(members, text)"),
            "heard `'tea is ready'` twice",
            "send each message once",
        ),
        (
            but("broadcast(members, text)", "broadcast(members, text)\n            break"),
            "the connection was closed",
            "keep reading",
        ),
        (
            but("broadcast(members, text)", 'broadcast(members, f"someone: {text}")'),
            "heard `'someone: tea is ready'`",
            "as it came",
        ),
        (
            but("broadcast(members, text)", "broadcast(members, text.upper())"),
            "heard `'TEA IS READY'`",
        ),
        (
            but("places.setdefault(room, set())", "places[room] = set()"),
            "Ann said `'tea is ready'`",
            "nothing came",
            "keep those who came before",
        ),
        (
            but("places.setdefault(room, set())", "places.get(room, set())"),
            "nothing came",
        ),
        (
            but(
                "    try:",
                "    async def beat():\n"
                "        while True:\n"
                "            await asyncio.sleep(0.05)\n\n"
                "    beats.append(asyncio.create_task(beat()))\n"
                "    try:",
                "places = {}",
                "places, beats = {}, []",
            ),
            "it is over, and `beat` is still running",
        ),
    ]


class TestOffer(Computation):
    name = "offer"
    arguments = "queue, message"
    given: ClassVar[dict[str, Any]] = GIVEN
    right: ClassVar = [
        """
        def offer(queue, message):
            try:
                queue.put_nowait(message)
            except asyncio.QueueFull:
                queue.get_nowait()
                queue.put_nowait(message)
                return 1
            return 0
        """,
        """
        def offer(queue, message):
            lost = [queue.get_nowait() for _ in range(queue.qsize() + 1 - queue.maxsize)]
            queue.put_nowait(message)
            return len(lost)
        """,
        """
        def offer(queue, message):
            full = queue.full()
            if full:
                queue.get_nowait()
            queue.put_nowait(message)
            return full
        """,
        """
        import contextlib

        def offer(queue, message):
            lost = 0
            while True:
                with contextlib.suppress(asyncio.QueueFull):
                    queue.put_nowait(message)
                    return lost
                queue.get_nowait()
                lost += 1
        """,
        """
        def offer(queue, message):
            try:
                queue.put_nowait(message)
            except asyncio.QueueFull: ...
            else:
                return 0
            queue.get_nowait()
            return 1 + offer(queue, message)
        """,
    ]
    wrong: ClassVar = [
        (
            but("queue.get_nowait()\n        thrown_away = 1", "thrown_away = int(queue.get_nowait() != '')"),
            "you returned `0`; expected `1`",
        ),
        (
            but("queue.get_nowait()\n        thrown_away = 1", "return 1"),
            "as number 4",
            "`queue.get_nowait()`",
        ),
        (
            but("    if queue.full():\n        queue.get_nowait()\n        thrown_away = 1\n", ""),
            "QueueFull",
            "make room first",
        ),
        (but("    return thrown_away\n", ""), "offered `'message 1'`", "`None`", "0 or 1"),
        (
            but("if queue.full():", "while not queue.empty():", "thrown_away = 1", "thrown_away += 1"),
            "offered `''`",
            "`['message 1', '']`",
        ),
        (but("queue.full()", "queue.qsize() >= 3"), "a queue of size 1", "QueueFull"),
        (
            but("queue.get_nowait()\n        thrown_away = 1", "queue._queue.pop()\n        thrown_away = 1"),
            "it holds",
        ),
        (but("queue.full()", "not queue.full()"), "offered `'message 1'`", "QueueEmpty"),
        (but("return thrown_away", "return queue.qsize()"), "you returned `1`; expected `0`", "0 or 1"),
        (
            but(
                "def offer",
                "lost = [0]\n\n\ndef offer",
                "thrown_away = 1",
                "lost[0] += 1",
                "return thrown_away",
                "return lost[0]",
            ),
            "you returned `2`; expected `1`",
        ),
        (but("queue.put_nowait(message)", "queue.put(message)"), "offered `'message 1'`", "it holds `[]`"),
        (but("queue.full()", "queue.qsize() + 1 >= queue.maxsize"), "there was room"),
    ]
