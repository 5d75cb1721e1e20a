"""The exercises of `05_broadcast_to_a_room`: right answers, and what is said to the wrong ones."""

from __future__ import annotations

import asyncio
import collections
from typing import Any, ClassVar

from battery import Computation, Handler
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
        (
            """
            places = {"all": set()}

            async def by_room(connection):
                places["all"].add(connection)
                try:
                    async for text in connection:
                        broadcast(places["all"], text)
                finally:
                    places["all"].remove(connection)
            """,
            "Cem heard `'tea is ready'`",
            "set of its own",
        ),
        (
            """
            async def by_room(connection):
                room = connection.request.path
                members = places.setdefault(room, set())
                members.add(connection)
                try:
                    async for text in connection:
                        for member in members:
                            await member.send(text)
                finally:
                    members.remove(connection)
                    if not members:
                        del places[room]
            """,
            "reads nothing",
            "nothing came",
            "`broadcast(members, text)`",
        ),
        (
            """
            async def by_room(connection):
                room = connection.request.path
                members = places.setdefault(room, set())
                members.add(connection)
                async for text in connection:
                    broadcast(members, text)
                members.remove(connection)
                if not members:
                    del places[room]
            """,
            "all have left the kitchen",
            "`['/garden', '/kitchen']`",
            "`finally`",
        ),
        (
            """
            async def by_room(connection):
                members = places.setdefault(connection.request.path, set())
                members.add(connection)
                try:
                    async for text in connection:
                        broadcast(members, text)
                finally:
                    members.remove(connection)
            """,
            "all have left the kitchen",
            "`del places[room]`",
        ),
        (
            """
            async def by_room(connection):
                room = connection.request.path
                members = places.setdefault(room, set())
                members.add(connection)
                try:
                    async for text in connection:
                        broadcast(members - {connection}, text)
                finally:
                    members.remove(connection)
                    if not members:
                        del places[room]
            """,
            "at Ann's",
            "nothing came",
            "the speaker's as well",
        ),
        (
            """
            async def by_room(connection):
                room = connection.request.path
                members = places.setdefault(room, set())
                members.add(connection)
                try:
                    async for text in connection:
                        await broadcast(members, text)
                finally:
                    members.remove(connection)
                    if not members:
                        del places[room]
            """,
            "TypeError",
            "await broadcast(members, text)",
        ),
        (
            """
            rooms = {}
            places = None

            async def by_room(connection):
                room = connection.request.path
                members = rooms.setdefault(room, set())
                members.add(connection)
                try:
                    async for text in connection:
                        broadcast(members, text)
                finally:
                    members.remove(connection)
            """,
            "there is no dict `places`",
        ),
        (
            """
            async def by_room(connection):
                members = places.setdefault(connection.request.path, set())
                members.add(connection)
                broadcast(members, await connection.recv())
                members.remove(connection)
            """,
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
            """
            def offer(queue, message):
                if queue.full():
                    return 1
                queue.put_nowait(message)
                return 0
            """,
            "offered message 4",
            "`queue.get_nowait()`",
        ),
        (
            """
            def offer(queue, message):
                queue.put_nowait(message)
                return 0
            """,
            "QueueFull",
            "queue.put_nowait(message)",
        ),
        (
            """
            def offer(queue, message):
                if queue.full():
                    queue.get_nowait()
                queue.put_nowait(message)
            """,
            "offered message 1",
            "`None`",
            "0 or 1",
        ),
        (
            """
            def offer(queue, message):
                full = queue.full()
                if full:
                    queue.get_nowait()
                queue.put_nowait(message)
                return full
            """,
            "`False`",
            "0 or 1",
        ),
        (
            """
            def offer(queue, message):
                lost = queue.qsize()
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(message)
                return lost
            """,
            "offered message 2",
            "`['message 1', 'message 2']`",
        ),
    ]
