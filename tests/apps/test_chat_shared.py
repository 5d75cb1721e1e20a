"""Rooms shared over a bus in memory, several processes' worth on one loop: starts, gaps, silence, limits."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest
from test_chat_replica import Client

from apps.bus import bus
from apps.bus.bus import BusDown
from apps.chat import shared
from apps.chat.room import Refused
from apps.chat.shared import SharedRoom, SharedRooms

BUS = "memory://shared"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty bus, and deadlines for tests."""
    bus.LOGS.clear()
    monkeypatch.setattr(shared, "BEAT_SECONDS", 0.03)
    monkeypatch.setattr(shared, "GONE_SECONDS", 0.3)
    monkeypatch.setattr(shared, "WELCOME_SECONDS", 0.3)
    monkeypatch.setattr(shared, "RETRY_SECONDS", 0.02)


async def until(condition: Callable[[], Any], seconds: float = 5) -> None:
    """Wait until something holds that the log brings about."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 a log has no event for it
            await asyncio.sleep(0.005)


class Guest(Client):
    """A client that can be asked what it has heard."""

    def __init__(self, rooms: SharedRooms, name: str, room: str = "lobby", space: int = 10**9) -> None:
        super().__init__(name, space)
        self.room: SharedRoom = rooms.find(name, room)
        self.room.join(self)

    def said(self) -> list[str]:
        return [event["text"] for event in self.got if event["type"] == "said"]

    def has_heard(self, number: int) -> bool:
        return len(self.said()) >= number

    async def until(self, kind: str) -> None:
        await until(lambda: kind in [event["type"] for event in self.got])


@contextlib.asynccontextmanager
async def processes(number: int) -> AsyncIterator[list[SharedRooms]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(SharedRooms(BUS).open()) for _ in range(number)]


def members(rooms: SharedRooms) -> list[str]:
    room = rooms.named("lobby")
    return list(room.members) if room else []


def test_twenty_who_come_at_once_have_twenty_names_and_everybody_hears_all_in_one_order() -> None:
    async def scene() -> None:
        async with processes(3) as them:
            guests = [Guest(them[number % 3], "Ann") for number in range(20)]
            await until(lambda: all(len(members(rooms)) == 20 for rooms in them))
            assert len({guest.name for guest in guests}) == 20
            for guest in guests:
                guest.room.hear(guest, f"I am {guest.name}")
            await until(lambda: all(len(guest.said()) == 20 for guest in guests))
            assert all(guest.said() == guests[0].said() for guest in guests)
            guests[0].room.leave(guests[0])
            guests[0].room.leave(guests[0])
            await until(lambda: all(len(members(rooms)) == 19 for rooms in them))

    asyncio.run(scene())


def test_a_process_that_starts_later_knows_who_is_there_and_what_was_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared, "STATE_EVERY", 7)

    async def scene() -> None:
        async with processes(2) as (first, second):
            ann, bob = Guest(first, "Ann"), Guest(second, "Bob")
            for number in range(60):
                (ann, bob)[number % 2].room.hear((ann, bob)[number % 2], f"{number}")
                await until(partial(ann.has_heard, number + 1))
            log = bus.LOGS[BUS, shared.LOG]
            for _ in range(len(log) - 30):
                log.popleft()  # the engine keeps no more
            async with SharedRooms(BUS).open() as third:
                assert members(third) == members(first) == ["Ann", "Bob"]
                eve = Guest(third, "ann")
                await eve.until("welcome")
                assert eve.name == "ann-2"
                assert [event["text"] for event in eve.got[0]["history"]] == ann.said()[-50:]
            await until(lambda: members(first) == ["Ann", "Bob"])

    asyncio.run(scene())


def test_the_members_of_a_process_that_is_silent_leave_and_if_it_comes_back_its_clients_are_sent_away() -> (
    None
):
    async def scene() -> None:
        async with processes(2) as (first, second):
            ann, bob = Guest(first, "Ann"), Guest(second, "Bob")
            await ann.until("joined")
            publish = second._pulse.publish

            async def in_vain(*_: str) -> int:
                raise BusDown("the line is dead")

            second._pulse.publish = in_vain  # type: ignore[assignment,method-assign]
            await ann.until("left")
            assert members(first) == ["Ann"]
            await until(lambda: bob.closed)
            assert bob.closed == (1012, "the server has lost touch with the others: connect again")
            second._pulse.publish = publish  # type: ignore[method-assign]
            again = Guest(second, "Bob")
            await again.until("welcome")
            await asyncio.sleep(2 * shared.GONE_SECONDS)  # nobody writes it off another time
            assert members(first) == ["Ann", "Bob"]

    asyncio.run(scene())


def test_after_silence_of_the_engine_itself_nobody_is_written_off(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        async with processes(2) as (first, second):
            ann, bob = Guest(first, "Ann"), Guest(second, "Bob")
            await ann.until("joined")

            async def in_vain(*_: str) -> int:
                raise BusDown("the engine is gone")

            with monkeypatch.context() as patch:
                patch.setattr(bus.Bus, "publish", in_vain)
                await asyncio.sleep(2 * shared.GONE_SECONDS)
                ann.room.hear(ann, "are you there?")
            await until(lambda: bob.said() == ["are you there?"])
            await asyncio.sleep(2 * shared.GONE_SECONDS)
            assert members(first) == members(second) == ["Ann", "Bob"]
            assert not ann.closed
            assert not bob.closed

    asyncio.run(scene())


def test_while_the_engine_is_gone_so_much_waits_and_more_is_refused_with_a_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared, "WAITING", 20)

    async def scene() -> None:
        async with processes(1) as (rooms,):
            ann = Guest(rooms, "Ann")
            await ann.until("welcome")

            async def in_vain(*_: str) -> int:
                raise BusDown("the engine is gone")

            with monkeypatch.context() as patch:
                patch.setattr(bus.Bus, "publish", in_vain)
                for number in range(30):
                    ann.room.hear(ann, f"{number}")
                assert ann.room.lags()
                errors = [event["text"] for event in ann.got if event["type"] == "error"]
                assert errors == [shared.TOO_MUCH] * 10
                with pytest.raises(Refused, match="can't reach the others yet"):
                    rooms.find("Bob", "lobby")
            await until(lambda: len(ann.said()) == 20)
            assert ann.said() == [f"{number}" for number in range(20)]

    asyncio.run(scene())


def test_who_gets_no_welcome_in_time_is_asked_to_try_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        async with processes(1) as (rooms,):

            async def in_vain(*_: str) -> int:
                raise BusDown("the engine is gone")

            with monkeypatch.context() as patch:
                patch.setattr(bus.Bus, "publish", in_vain)
                ann = Guest(rooms, "Ann")
                await until(lambda: ann.closed)
            assert ann.closed == (1013, shared.NOT_YET)

    asyncio.run(scene())


def test_when_the_log_is_not_whole_clients_are_sent_away_and_the_rooms_are_read_again() -> None:
    async def scene() -> None:
        async with processes(2) as (first, second):
            ann, bob = Guest(first, "Ann"), Guest(second, "Bob")
            await ann.until("joined")
            log = bus.LOGS[BUS, shared.LOG]
            here = json.dumps(
                {"by": "", "number": 1, "all": [{"do": "say", "who": "x", "room": "lobby", "text": "hi"}]}
            )
            newest = log[-1][0]
            log.clear()
            log.append((newest + 2, f"key {here}"))
            await second._bus._close()  # wakes who waits
            await until(lambda: ann.closed and bob.closed)
            assert ann.closed[0] == bob.closed[0] == 1012  # type: ignore[index]
            await until(lambda: first._ready.is_set() and second._ready.is_set())
            again = [Guest(first, "Ann"), Guest(second, "Bob")]
            await until(lambda: members(first) == members(second) == ["Ann", "Bob"])
            again[0].room.hear(again[0], "again")
            await until(lambda: again[1].said()[-1:] == ["again"])

    asyncio.run(scene())


def test_what_no_room_allows_ends_at_the_door_and_names_are_checked_there() -> None:
    async def scene() -> None:
        async with processes(1) as (rooms,):
            ann, bob = Guest(rooms, "Ann"), Guest(rooms, "Bob")
            await ann.until("joined")
            ann.room.hear(ann, None)
            bob.room.hear(bob, "x" * 5000)
            await until(lambda: members(rooms) == [])
            assert ann.closed == (1003, "send text, not bytes")
            assert bob.closed == (1009, "a message has at most 4,096 characters")
            for name, room in (("", "lobby"), ("Ann", "x" * 33)):
                with pytest.raises(Refused, match="1 to 32"):
                    rooms.find(name, room)

    asyncio.run(scene())


def test_a_slow_client_leaves_for_everybody() -> None:
    async def scene() -> None:
        async with processes(2) as (first, second):
            slow, bob = Guest(first, "Slow", space=5), Guest(second, "Bob")
            await bob.until("welcome")
            for number in range(8):
                bob.room.hear(bob, f"{number}")
            await until(lambda: slow.closed)
            slow.room.leave(slow)  # as the server does when the connection has ended
            await bob.until("left")
            assert members(first) == members(second) == ["Bob"]
            assert len(bob.said()) == 8

    asyncio.run(scene())
