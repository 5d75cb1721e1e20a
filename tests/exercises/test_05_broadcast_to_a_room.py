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
    ]
    wrong: ClassVar = [
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
            "all have left the kitchen",
            "`['/garden', '/kitchen']`",
            "`finally`",
        ),
        (
            but("        if not members:\n            del places[room]\n", ""),
            "all have left the kitchen",
            "`del places[room]`",
        ),
        (
            but("broadcast(members, text)", "broadcast(members - {connection}, text)"),
            "; Ann",
            "nothing came",
            "the speaker's as well",
        ),
        (but("broadcast(members", "await broadcast(members"), "TypeError", "await broadcast(members, text)"),
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
    ]
    wrong: ClassVar = [
        (
            but("queue.get_nowait()\n        thrown_away = 1", "return 1"),
            "offered message 4",
            "`queue.get_nowait()`",
        ),
        (
            but("    if queue.full():\n        queue.get_nowait()\n        thrown_away = 1\n", ""),
            "QueueFull",
            "make room first",
        ),
        (but("    return thrown_away\n", ""), "offered message 1", "`None`", "0 or 1"),
        (
            but("if queue.full():", "while not queue.empty():", "thrown_away = 1", "thrown_away += 1"),
            "offered message 2",
            "`['message 1', 'message 2']`",
        ),
        (but("queue.full()", "queue.qsize() >= 3"), "a queue of size 1", "QueueFull"),
    ]
