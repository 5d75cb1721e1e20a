"""The exercises of `07_collect_sensor_data`."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import random
import sqlite3
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from helpers.checks.answer import Answer
from helpers.checks.patience import in_time
from helpers.checks.peers import serving
from helpers.checks.trial import try_function
from helpers.checks.verdict import NotYet, Verdict, shown
from helpers.checks.whose import check

TABLE = """CREATE TABLE reading (
    device TEXT NOT NULL, number INTEGER NOT NULL, value REAL NOT NULL, PRIMARY KEY (device, number)
)"""

Row = tuple[str, int, float | None]

COUNT_NEW = "`db.total_changes` counts the rows that were really added, before and after"
ONE_TRANSACTION = "put the whole batch into one `with db:`, so that it is all or nothing"
NAME_THE_CONFLICT = (
    "`OR IGNORE` and `OR REPLACE` apply to every conflict; `ON CONFLICT (device, number) DO NOTHING` to one"
)
LET_IT_OUT = (
    "don't catch the error, and don't have SQLite ignore it (`OR IGNORE`): the caller must hear of it"
)
NEXT_AFTER_EACH_ACK = "each ack makes room for one more: `recv` one, then `send` the next"
ALL_ACKS = "after the last `send`, `recv` the acks that are still to come"
GREEDY = "count how many readings each sensor has in the queue; the oldest reading of the largest must go"


@check
def store_once(function: Any) -> Verdict:
    """Check `def store_once(db, rows)`, which stores a batch once and returns how many rows were new."""
    chance = random.Random(7)
    known: list[Row] = [("attic", number, round(chance.uniform(10, 30), 1)) for number in range(1, 4)]
    others: list[Row] = [(device, chance.randrange(1, 99), 20.0) for device in ("cellar", "roof")]

    async def scenario(answer: Answer) -> str:
        with contextlib.closing(sqlite3.connect(":memory:", check_same_thread=False)) as db:
            db.execute(TABLE)
            await _stores(answer, db, known, 3, "three new readings")
            changed: list[Row] = [("attic", 2, -40.0), others[0]]
            await _stores(answer, db, changed, 1, "one new reading, and number 2 again with another value")
            await _stores(answer, db, known, 0, "the first three again")
            await _stores(answer, db, [others[1], others[1]], 1, "a batch in which one reading is twice")
            await _stores(answer, db, [], 0, "an empty batch")
            for wrong, what in (
                (("attic", 5, None), "one whose value is `None`"),
                ((None, 5, 20.0), "one whose device is `None`"),
                (("attic", 5, [20.0]), "one whose value is a list"),
            ):
                await _refuses(answer, db, [("attic", 4, 20.0), wrong], f"a good reading, and {what}")
            await _stores(answer, db, [("attic", 4, 20.0)], 1, "the good reading of that batch, alone")
        return (
            "each reading is there once, as it first came; a batch with a missing value left nothing behind"
        )

    return try_function(function, scenario, arguments="db, rows", coroutine=False)


async def _stores(answer: Answer, db: sqlite3.Connection, rows: list[Row], new: int, what: str) -> None:
    held = _held(db)
    wanted = {row[:2]: row for row in reversed([*held, *rows])}
    returned = await answer(db, rows)
    if db.in_transaction:
        raise NotYet(f"{what}: the transaction is still open", ONE_TRANSACTION, sure=True)
    if _held(db) != sorted(wanted.values()):
        now = f"the table holds `{_held(db)}`, expected `{sorted(wanted.values())}`"
        raise NotYet(f"{what}: {now}", NAME_THE_CONFLICT, sure=True)
    if returned != new or isinstance(returned, bool):
        raise NotYet(f"{what}: you returned {shown(returned)}, expected `{new}`", COUNT_NEW, sure=True)


async def _refuses(answer: Answer, db: sqlite3.Connection, rows: list[Any], what: str) -> None:
    held = _held(db)
    try:
        await answer(db, rows)
    except NotYet:
        if answer.error is None:
            raise
        answer.error = None
    else:
        raise NotYet(f"{what}: no error came out of `store_once`", LET_IT_OUT, sure=True)
    if db.in_transaction or _held(db) != held:
        still = (
            "the transaction is still open"
            if db.in_transaction
            else "the good reading is stored nevertheless"
        )
        raise NotYet(f"{what}: the error came, and {still}", ONE_TRANSACTION, sure=True)


def _held(db: sqlite3.Connection) -> list[Row]:
    return db.execute("SELECT device, number, value FROM reading ORDER BY device, number").fetchall()


@check
def send_window(function: Any) -> Verdict:
    """Check a client, `async def send_window(url, readings, most)`, with at most so many without an ack."""

    async def scenario(answer: Answer) -> str:
        for readings, most in ((7, 3), (4, 1), (2, 5), (3, 3), (0, 2)):
            await _in_a_window(answer, [f"reading {number}" for number in range(1, readings + 1)], most)
        return "never too many were on their way, never too few, and all of them were acknowledged"

    return try_function(function, scenario, arguments="url, readings, most")


async def _in_a_window(answer: Answer, readings: list[str], most: int) -> None:
    when = f"{len(readings)} readings, `most={most}`"
    came: list[str | bytes] = []
    seen: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def collector(connection: ServerConnection) -> None:
        try:
            await _answer_slowly(connection, came, readings, most, when)
        except NotYet as not_yet:
            if not seen.done():
                seen.set_exception(not_yet)
        else:
            if not seen.done():
                seen.set_result(None)

    async with serving(collector) as url:
        calling = asyncio.ensure_future(answer(url, readings, most, within=2.5))
        await asyncio.wait([calling, seen], return_when=asyncio.FIRST_COMPLETED)
        if seen.done() and (wrong := seen.exception()):
            calling.cancel()
            await asyncio.wait([calling])
            raise wrong
        await calling
        if came != readings:
            raise NotYet(
                f"{when}: the collector received {shown(came)}", "send them all, in order", sure=True
            )
        await in_time(seen, 1)


async def _answer_slowly(
    connection: ServerConnection, came: list[str | bytes], readings: list[str], most: int, when: str
) -> None:
    """Acknowledge a reading only when the window is full, and see that no further one comes before."""
    acked = 0
    while acked < len(readings):
        wanted = min(acked + most, len(readings))
        while len(came) < wanted:
            came.append(await _next(connection, f"{when}: {len(came)} were sent, {acked} acknowledged"))
        if await _one_more(connection, f"{when}: {acked} were acknowledged"):
            said = f"{when}: {len(came) + 1} were sent when {acked} were acknowledged"
            raise NotYet(said, "wait for an ack before you send more", sure=True)
        acked += 1
        await connection.send(f"ack {acked}")
    with contextlib.suppress(ConnectionClosed):
        came.append(await connection.recv())


async def _one_more(connection: ServerConnection, when: str) -> bool:
    try:
        async with asyncio.timeout(0.03):
            await connection.recv()
            return True
    except TimeoutError:
        return False
    except ConnectionClosed:
        raise NotYet(f"{when}; then the connection was closed", ALL_ACKS, sure=True) from None


async def _next(connection: ServerConnection, when: str) -> str | bytes:
    try:
        return await in_time(connection.recv(), 0.6)
    except TimeoutError:
        raise NotYet(
            f"{when}; no more came, although there was room", NEXT_AFTER_EACH_ACK, sure=True
        ) from None
    except ConnectionClosed:
        raise NotYet(f"{when}; then the connection was closed", ALL_ACKS, sure=True) from None


@check
def put_fairly(function: Any) -> Verdict:
    """Check `def put_fairly(queue, reading, limit)`, which drops the oldest of who has the most."""
    chance = random.Random(7)
    scenes = [("a", 3), ("aab", 3), ("aab", 4), ("abab", 4), ("baab", 4), ("abbbc", 5), ("a", 1), ("ab", 2)]
    scenes += [("".join(chance.choices("abcd", k=8)), 8) for _ in range(5)]

    async def scenario(answer: Answer) -> str:
        for sensors, limit in scenes:
            for newcomer in "az":
                await _puts(answer, sensors, newcomer, limit)
        return "the greedy lost their oldest readings, the quiet kept theirs, and the newest was there"

    return try_function(function, scenario, arguments="queue, reading, limit", coroutine=False)


async def _puts(answer: Answer, sensors: str, newcomer: str, limit: int) -> None:
    queue: collections.deque[dict[str, Any]] = collections.deque(
        {"sensor": sensor, "number": number} for number, sensor in enumerate(sensors, 1)
    )
    reading = {"sensor": newcomer, "number": len(sensors) + 1}
    right = [*queue, reading]
    if len(sensors) >= limit:
        most = max(sensors.count(sensor) for sensor in sensors)
        right.remove(next(each for each in right if sensors.count(each["sensor"]) == most))
    await answer(queue, reading, limit)
    if list(queue) != right:
        names = " ".join(sensors)
        held = " ".join(f"{each['sensor']}{each['number']}" for each in queue)
        expected = " ".join(f"{each['sensor']}{each['number']}" for each in right)
        when = f"the sensors in the queue are `{names}`, the limit is {limit}, and one of `{newcomer}` comes"
        raise NotYet(f"{when}: it then holds `{held}`, expected `{expected}`", GREEDY, sure=True)
