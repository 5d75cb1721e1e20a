"""The exercises of `07_collect_sensor_data`: right answers, and what is said to the wrong ones."""

from __future__ import annotations

import asyncio
import collections
import sqlite3
from typing import Any, ClassVar

from battery import Computation, Function
from changes import but
from websockets.asyncio.client import connect

WITH_GREEDY = "greedy = max(counts, key=counts.get)"


class TestStoreOnce(Computation):
    name = "store_once"
    arguments = "db, rows"
    given: ClassVar[dict[str, Any]] = {"sqlite3": sqlite3}
    right: ClassVar = [
        """
        def store_once(db, rows):
            new = 0
            with db:
                for row in rows:
                    cursor = db.execute("INSERT INTO reading VALUES (?, ?, ?) ON CONFLICT DO NOTHING", row)
                    new += cursor.rowcount
            return new
        """,
        """
        def store_once(db, rows):
            count = lambda: db.execute("SELECT count(*) FROM reading").fetchone()[0]
            before = count()
            try:
                for device, number, value in rows:
                    there = db.execute(
                        "SELECT 1 FROM reading WHERE device = ? AND number = ?", (device, number)
                    ).fetchone()
                    if not there:
                        db.execute("INSERT INTO reading VALUES (?, ?, ?)", (device, number, value))
            except sqlite3.Error:
                db.rollback()
                raise
            db.commit()
            return count() - before
        """,
        """
        def store_once(db, rows):
            unique = {}
            for device, number, value in rows:
                unique.setdefault((device, number), value)
            with db:
                cursor = db.executemany(
                    "INSERT INTO reading (device, number, value) VALUES (?, ?, ?) "
                    "ON CONFLICT (device, number) DO NOTHING",
                    [(*key, value) for key, value in unique.items()],
                )
                return max(cursor.rowcount, 0)
        """,
        """
        UPSERT = "INSERT INTO reading VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = value"

        def store_once(db, rows):
            held = {key for key in db.execute("SELECT device, number FROM reading")}
            with db:
                db.executemany(UPSERT, rows)
            return len({row[:2] for row in rows} - held)
        """,
        """
        class StoreOnce:
            sql = "INSERT INTO reading VALUES (?, ?, ?) ON CONFLICT (device, number) DO NOTHING"

            def __call__(self, db, rows):
                before = db.total_changes
                with db:
                    for row in rows:
                        db.execute(self.sql, row)
                return db.total_changes - before

        store_once = StoreOnce()
        """,
    ]
    wrong: ClassVar = [
        (
            but(
                "    with db:\n        db.executemany",
                "    try:\n        db.executemany",
                'DO NOTHING", rows)\n',
                'DO NOTHING", rows)\n'
                "    except sqlite3.IntegrityError:\n        db.rollback()\n        raise\n    db.commit()\n",
            ),
            "value is a list",
            "the transaction is still open",
        ),
        (but(" ON CONFLICT (device, number) DO NOTHING", ""), "IntegrityError", "UNIQUE"),
        (
            but("INSERT INTO", "INSERT OR IGNORE INTO", " ON CONFLICT (device, number) DO NOTHING", ""),
            "no error came out of `store_once`",
            "`OR IGNORE`",
        ),
        (
            but("INSERT INTO", "INSERT OR REPLACE INTO", " ON CONFLICT (device, number) DO NOTHING", ""),
            "number 2 again with another value",
            "-40.0",
        ),
        (but("DO NOTHING", "DO UPDATE SET value = excluded.value"), "another value", "-40.0"),
        (but("with db:", "if True:"), "the transaction is still open", "`with db:`"),
        (but("return db.total_changes - before", "return len(rows)"), "you returned `2`, expected `1`"),
        (but("return db.total_changes - before", "return db.total_changes"), "`db.total_changes`"),
        (but("return db.total_changes - before", ""), "you returned `None`, expected `3`"),
        (but("return db.total_changes - before", "return db.total_changes > before"), "expected `3`"),
        (
            """
            def store_once(db, rows):
                new = 0
                for row in rows:
                    with db:
                        sql = "INSERT INTO reading VALUES (?, ?, ?) ON CONFLICT (device, number) DO NOTHING"
                        new += db.execute(sql, row).rowcount
                return new
            """,
            "the good reading is stored nevertheless",
            "one `with db:`",
        ),
        (
            """
            def store_once(db, rows):
                new = 0
                for row in rows:
                    try:
                        with db:
                            db.execute("INSERT INTO reading VALUES (?, ?, ?)", row)
                            new += 1
                    except sqlite3.IntegrityError:
                        pass
                return new
            """,
            "no error came out",
        ),
        (
            """
            seen = set()

            def store_once(db, rows):
                fresh = [row for row in rows if row[:2] not in seen]
                seen.update(row[:2] for row in fresh)
                with db:
                    db.executemany("INSERT INTO reading VALUES (?, ?, ?)", fresh)
                return len(fresh)
            """,
            "IntegrityError",
        ),
    ]


class TestSendWindow(Function):
    name = "send_window"
    arguments = "url, readings, most"
    given: ClassVar[dict[str, Any]] = {"asyncio": asyncio, "connect": connect}
    right: ClassVar = [
        """
        async def send_window(url, readings, most):
            async with connect(url, proxy=None) as connection:
                on_the_way = 0
                for reading in readings:
                    if on_the_way == most:
                        await connection.recv()
                        on_the_way -= 1
                    await connection.send(reading)
                    on_the_way += 1
                while on_the_way:
                    await connection.recv()
                    on_the_way -= 1
        """,
        """
        async def send_window(url, readings, most):
            room = asyncio.Semaphore(most)
            async with connect(url, proxy=None) as connection:

                async def hear():
                    for _ in readings:
                        await connection.recv()
                        room.release()

                hearing = asyncio.create_task(hear())
                for reading in readings:
                    await room.acquire()
                    await connection.send(reading)
                await hearing
        """,
        """
        async def send_window(url, readings, most):
            connection = await connect(url, proxy=None, compression=None)
            sent = acked = 0
            while acked < len(readings):
                while sent < len(readings) and sent - acked < most:
                    await connection.send(readings[sent])
                    sent += 1
                await connection.recv()
                acked += 1
            await connection.close()
        """,
        """
        async def send_window(url, readings, most):
            async with connect(url, proxy=None) as connection:
                for reading in readings[:most]:
                    await connection.send(reading)
                rest = iter(readings[most:])
                for _ in readings:
                    await connection.recv()
                    if (reading := next(rest, None)) is not None:
                        await connection.send(reading)
        """,
        """
        async def send_window(url, readings, most):
            async with connect(url, proxy=None) as connection, asyncio.TaskGroup() as tasks:
                queue = asyncio.Queue(most)

                async def acks():
                    for _ in readings:
                        await connection.recv()
                        queue.get_nowait()

                tasks.create_task(acks())
                for reading in readings:
                    await queue.put(reading)
                    await connection.send(reading)
        """,
    ]
    wrong: ClassVar = [
        (
            but("if number >= most:", "if number > most:"),
            "4 were sent when 0 were acknowledged",
            "wait for an ack",
        ),
        (
            but("if number >= most:", "if number + 1 >= most:"),
            "2 were sent, 0 acknowledged",
            "there was room",
        ),
        (but("if number >= most:", "if True:"), "0 were sent, 0 acknowledged"),
        (but("if number >= most:", "if False:"), "4 were sent when 0 were acknowledged"),
        (but("if number >= most:", "if number == most:"), "were sent when 1 were acknowledged"),
        (but("if number >= most:", "if number % most == 0 and number:"), "5 were sent when 1"),
        (
            but("for _ in readings[-most:]:", "for _ in []:"),
            "then the connection was closed",
            "still to come",
        ),
        (but("for _ in readings[-most:]:", "for _ in readings:"), "did not return"),
        (but("for _ in readings[-most:]:", "for _ in range(most):"), "did not return"),
        (but("await connection.send(reading)", "connection.send(reading)"), "0 were sent"),
        (but("enumerate(readings)", "enumerate(reversed(readings))"), "send them all, in order"),
        (but("enumerate(readings)", "enumerate(readings[:-1])"), "6 were sent"),
    ]


class TestPutFairly(Computation):
    name = "put_fairly"
    arguments = "queue, reading, limit"
    given: ClassVar[dict[str, Any]] = {"collections": collections}
    right: ClassVar = [
        """
        def put_fairly(queue, reading, limit):
            if len(queue) >= limit:
                names = [other["sensor"] for other in queue]
                victim = max(queue, key=lambda other: names.count(other["sensor"]))
                queue.remove(victim)
            queue.append(reading)
        """,
        """
        def put_fairly(queue, reading, limit):
            if len(queue) >= limit:
                ((greedy, _),) = collections.Counter(other["sensor"] for other in queue).most_common(1)
                for place, other in enumerate(queue):
                    if other["sensor"] == greedy:
                        del queue[place]
                        break
            queue.append(reading)
        """,
        """
        def put_fairly(queue, reading, limit):
            if len(queue) >= limit:
                places = {}
                for place, other in enumerate(queue):
                    places.setdefault(other["sensor"], []).append(place)
                del queue[max(places.values(), key=len)[0]]
            queue.append(reading)
        """,
        """
        def put_fairly(queue, reading, limit):
            kept = list(queue)
            if len(kept) >= limit:
                sizes = collections.Counter(other["sensor"] for other in kept)
                kept.pop(next(i for i, o in enumerate(kept) if sizes[o["sensor"]] == max(sizes.values())))
            queue.clear()
            queue.extend([*kept, reading])
        """,
        """
        put_fairly = lambda queue, reading, limit: (
            len(queue) >= limit
            and queue.remove(
                max(queue, key=lambda one: sum(other["sensor"] == one["sensor"] for other in queue))
            )
        ) or queue.append(reading)
        """,
    ]
    wrong: ClassVar = [
        (
            "def put_fairly(queue, reading, limit):\n"
            "    if len(queue) >= limit:\n"
            "        queue.popleft()\n"
            "    queue.append(reading)",
            "`a b b b c`",
            "it then holds `b2 b3 b4 c5 a6`, expected `a1 b3 b4 c5 a6`",
        ),
        (
            "def put_fairly(queue, reading, limit):\n"
            "    if len(queue) < limit:\n"
            "        queue.append(reading)",
            "the limit is 3",
        ),
        (but("len(queue) >= limit", "len(queue) > limit"), "the limit is 3"),
        (but("len(queue) >= limit", "True"), "expected `a1 a2`"),
        (but(WITH_GREEDY, 'greedy = reading["sensor"]'), "StopIteration"),
        (but(WITH_GREEDY, "greedy = min(counts, key=counts.get)"), "the oldest reading of the largest"),
        (but(WITH_GREEDY, "greedy = max(counts)"), "the oldest reading of the largest"),
        (but(WITH_GREEDY, "greedy = list(counts)[-1]"), "the oldest reading of the largest"),
        (but("    queue.append(reading)", "    queue.appendleft(reading)"), "expected `a1 a2`"),
        (but("    queue.append(reading)", "        queue.append(reading)"), "expected `a1 a2`"),
        (but("del queue[place]", "queue.pop()"), "the oldest reading of the largest"),
        (but("enumerate(queue) if", "reversed(list(enumerate(queue))) if"), "expected `a2 b3 a4`"),
        (but("for other in queue)", "for other in [*queue, reading])"), "the oldest reading of the largest"),
    ]
