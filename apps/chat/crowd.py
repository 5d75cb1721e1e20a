"""People who talk while something happens to their servers, and what they missed.

with contextlib.closing(Crowd("ws://127.0.0.1:8080/ws")) as crowd:
    await crowd.settled()
    print(await crowd.talk_during(deploy()))
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import secrets
from collections.abc import Coroutine
from typing import NamedTuple

from apps.chat.client import ChatClient
from apps.chat.room import Event

A_DAY = 86_400.0
"""In seconds: how long the crowd stays if nobody looks at it."""


class Report(NamedTuple):
    """What a crowd has been through."""

    lost: int
    """How many messages are missing, added up over all people."""
    twice: int
    """How many came again, likewise."""
    disconnected: collections.Counter[int]
    """How many people got to another server never, once, twice …"""


class Crowd:
    """People in rooms, each with a client that comes back by itself.

    Args:
        url: the server's address, up to its path.
        people: how many.
        rooms: over how many rooms they are spread. In each of them one speaks.
    """

    def __init__(self, url: str, people: int = 200, rooms: int = 10) -> None:
        where = f"{url}?room=crowd-{secrets.token_hex(4)}"
        self._events: dict[ChatClient, list[Event]] = {
            ChatClient(f"{where}-{number % rooms}&name=P{number}", forgotten_after=A_DAY): []
            for number in range(people)
        }
        self._speakers = list(self._events)[:rooms]
        self._said: list[str] = []

    async def talk_during(self, work: Coroutine[None, None, object]) -> Report:
        """Say ten numbers in each room while `work` is running; return when all is `settled`."""
        task = asyncio.create_task(work)
        for _ in range(10):
            self._said.append(str(len(self._said) + 1))
            for speaker in self._speakers:
                speaker.send(self._said[-1])
            await asyncio.wait([task], timeout=0.05)
        await task
        return await self.settled()

    async def settled(self, seconds: float = 40) -> Report:
        """Wait until everybody is connected and has everything, or the time is up. Report what happened.

        Raises:
            TimeoutError: somebody isn't connected.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    report = self._report()
                    if not report.lost and not self._away():
                        return report
                    await asyncio.sleep(0.05)
        if away := self._away():
            raise TimeoutError(f"{len(away)} people aren't connected. {away[0].state.text}")
        return self._report()

    def close(self) -> None:
        """Have everybody leave."""
        for one in self._events:
            one.close()

    def _away(self) -> list[ChatClient]:
        return [one for one in self._events if one.state.name != "open" or one.waiting]

    def _report(self) -> Report:
        lost, twice, disconnected = 0, 0, collections.Counter[int]()
        for client, events in self._events.items():
            events += (event for _, event in client.drain() if event["type"] in ("welcome", "said"))
            texts: list[str] = []
            for event in events:
                said = event["history"] if event["type"] == "welcome" else [event]
                texts += (one["text"] for one in said)
            lost += len(set(self._said) - set(texts))
            twice += len(texts) - len(set(texts))
            disconnected[sum(event["type"] == "welcome" for event in events) - 1] += 1
        return Report(lost, twice, disconnected)
