"""The clients of `one_never_reads`: some that talk, one that is mute, and a look at the server's process."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import time
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import psutil
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from apps.door.attacks import listening_process
from helpers.background.lifetime import BackgroundError
from helpers.background.parent import Parent
from helpers.clients.mute import mute
from helpers.clients.raw_client import named
from helpers.experiments.children.reach_everybody import LONGEST_SILENCE, WARM_UPS
from helpers.readers_code import in_words

STALLED = 1.5
"""Seconds without a message, though some are due, after which the healthy clients of a room hear nothing."""

_LOOK_EVERY = 0.05


class HealthyClient:
    """A healthy client, and when it got which message."""

    def __init__(self, connection: ClientConnection, pattern: re.Pattern[str]) -> None:
        self.connection = connection
        self.arrivals: dict[int, float] = {}
        self.gone = ""
        self._pattern = pattern
        self._came = asyncio.Event()

    async def listen(self) -> None:
        try:
            while True:
                message = await self.connection.recv()
                text = message if isinstance(message, str) else message.decode(errors="replace")
                match = self._pattern.search(text)
                if match:
                    self.arrivals.setdefault(int(match[1]), time.perf_counter())
                    self._came.set()
        except ConnectionClosed as error:
            self.gone = in_words(error)
            self._came.set()

    async def has(self, number: int) -> None:
        """Wait until it has got this message, or is gone."""
        while number not in self.arrivals and not self.gone:
            self._came.clear()
            await self._came.wait()


class ServerProcess:
    """The server's process from outside: its memory, and whether it still holds the mute one's connection.

    Args:
        server: the server's port.
    """

    def __init__(self, server: int) -> None:
        self._process = listening_process(server)
        self._server = server
        self._before = self._most = self._memory()
        self.cut_at: float | None = None

    @property
    def grown(self) -> int | None:
        """By how many bytes the process has grown; None where it isn't known."""
        return None if self._process is None else self._most - self._before

    async def watch(self, client: int) -> None:
        """Look now and then, until it is cancelled.

        Args:
            client: the mute one's port.
        """
        while self._process is not None:
            try:
                self._most = max(self._most, self._memory())
                if self.cut_at is None and not self._holds(client):
                    self.cut_at = time.perf_counter()
            except psutil.NoSuchProcess:
                return
            await asyncio.sleep(_LOOK_EVERY)

    def _memory(self) -> int:
        return 0 if self._process is None else int(self._process.memory_info().rss)

    def _holds(self, client: int) -> bool:
        assert self._process is not None
        return any(
            each.status == psutil.CONN_ESTABLISHED
            and each.laddr.port == self._server
            and each.raddr.port == client
            for each in self._process.net_connections("tcp")
            if each.raddr
        )


class Talk:
    """What the first of the healthy clients says.

    Args:
        peers: the healthy clients.
        size: bytes of each message.
    """

    def __init__(self, peers: list[HealthyClient], size: int, token: str) -> None:
        self._peers = peers
        self._size = size
        self._token = token
        self.sent = 0

    async def warm_up(self) -> None:
        """Make sure that all healthy clients get what is said.

        Raises:
            BackgroundError: they don't.
        """
        lost = 0
        for number in range(-1, -WARM_UPS - 10, -1):
            await self._say(number)
            if await self.all_have(number, LONGEST_SILENCE):
                continue
            lost += 1
            if lost == WARM_UPS:
                got = sum(number in peer.arrivals for peer in self._peers)
                gone = "".join(
                    {f"; the server closed a connection: {peer.gone}" for peer in self._peers if peer.gone}
                )
                raise BackgroundError(
                    f"{got} of {len(self._peers)} healthy clients got what one of them said, {self._size:,} "
                    "characters, with nobody mute: does the server send each message to all of them, and "
                    f"does it take messages of this size{gone}?"
                )

    async def go_on(self, rate: float, seconds: float) -> None:
        """Say so many messages a second, as far as the server takes them."""
        begin = time.perf_counter()
        for number in range(round(rate * seconds)):
            await asyncio.sleep(begin + number / rate - time.perf_counter())
            await self._say(number)
            self.sent = number + 1

    async def last_arrives(self) -> bool:
        """Wait for the last message while any come; whether all healthy clients have got it."""
        begin = time.perf_counter()
        while any(self.sent - 1 not in peer.arrivals for peer in self._peers):
            latest = max(moment for peer in self._peers for moment in peer.arrivals.values())
            if time.perf_counter() > max(begin, latest) + STALLED:
                return False
            await asyncio.sleep(0.05)
        return True

    async def all_have(self, number: int, seconds: float) -> bool:
        """Wait so long until all healthy clients have a message; whether they have."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(peer.has(number) for peer in self._peers))
        return all(number in peer.arrivals for peer in self._peers)

    async def _say(self, number: int) -> None:
        with contextlib.suppress(ConnectionClosed):  # its `gone` says so
            await self._peers[0].connection.send(f"{self._token}-{number}-".ljust(self._size, "."))


async def watch_one_mute(
    parent: Parent, healthy: int, size: int, rate: float, seconds: float
) -> dict[str, Any]:
    """Connect clients, one of them mute, have the first of the others talk, and see who hears it.

    Args:
        parent: gives the server's address, by a name; is told how far it is, and `"done"`; its next order
            lets the clients leave.
        healthy: how many clients read.
        size: bytes of each message.
        rate: messages a second.
        seconds: how long the talk goes on.

    Returns:
        The attributes of `NeverReads`.

    Raises:
        BackgroundError: the healthy clients don't hear each other even without a mute one.
        OSError: nobody listens there.
        WebSocketException: a connection could not be opened.
    """
    (url,) = (await asyncio.wrap_future(parent.order())).values()
    port = urlsplit(url).port or 80
    token = secrets.token_hex(4)
    pattern = re.compile(rf"{token}-(-?\d+)-")
    async with contextlib.AsyncExitStack() as stack:
        peers: list[HealthyClient] = []
        for number in range(healthy):
            connecting = connect(
                named(url, f"healthy-{number + 1}"), proxy=None, compression=None, close_timeout=0.3
            )
            peers.append(HealthyClient(await stack.enter_async_context(connecting), pattern))
            stack.callback(asyncio.create_task(peers[-1].listen()).cancel)
        talk = Talk(peers, size, token)
        await talk.warm_up()
        process = ServerProcess(port)
        dumb = await stack.enter_async_context(mute(url))
        stack.callback(asyncio.create_task(process.watch(dumb.getsockname()[1])).cancel)
        begin = time.perf_counter()
        talking = asyncio.create_task(talk.go_on(rate, seconds))
        stack.callback(talking.cancel)
        while time.perf_counter() < begin + seconds:
            await asyncio.sleep(0.1)
            parent.report(min(1.0, (time.perf_counter() - begin) / seconds))
        talking.cancel()
        stalled = not await talk.last_arrives()
        end = time.perf_counter() if stalled else begin + seconds
        result = {
            "watched": end - begin,
            "stalled": stalled,
            "sent": talk.sent,
            "got": tuple(sum(0 <= number < talk.sent for number in peer.arrivals) for peer in peers),
            "silence": max(longest_silence(peer, begin, end) for peer in peers),
            "gone": tuple(peer.gone for peer in peers if peer.gone),
            "cut_after": None if process.cut_at is None else process.cut_at - begin,
            "grown": process.grown,
        }
        parent.report("done")
        await asyncio.wrap_future(parent.order())
    return result


def longest_silence(peer: HealthyClient, begin: float, end: float) -> float:
    """The longest time without a message between two moments, in seconds."""
    moments = [begin, *sorted(moment for moment in peer.arrivals.values() if begin < moment < end), end]
    return max(later - before for before, later in pairwise(moments))
