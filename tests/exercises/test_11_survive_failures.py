"""The exercises of `11_survive_failures`: right answers, and what is said to the wrong ones."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any, ClassVar

from battery import Computation, Function
from changes import but
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

RETURN = "return random.uniform(0, min(8, 0.5 * 2 ** min(attempt, 4)))"
SLICE = "return list(kept)[len(kept) - count :]"
RECV = "asyncio.wait_for(connection.recv(), silence)"


class TestPause(Computation):
    name = "pause"
    arguments = "attempt"
    given: ClassVar[dict[str, Any]] = {"random": random}
    right: ClassVar = [
        """
        def pause(attempt):
            limits = [0.5, 1, 2, 4, 8]
            return random.random() * limits[min(attempt, 4)]
        """,
        """
        def pause(attempt):
            limit = 0.5
            for _ in range(min(attempt, 10)):
                limit = min(2 * limit, 8)
            return limit * random.random()
        """,
        """
        def pause(attempt):
            limit = 8 if attempt >= 4 else 2 ** (attempt - 1)
            return random.uniform(limit, 0)
        """,
        """
        def pause(attempt):
            try:
                limit = 0.5 * 2**attempt
            except OverflowError:
                limit = 8
            return random.triangular(0, min(limit, 8))
        """,
        """
        def pause(attempt, chance=random.SystemRandom()):
            return chance.randrange(0, 1 + min(8000, 500 << min(attempt, 9))) / 1000
        """,
    ]
    wrong: ClassVar = [
        (but("min(attempt, 4)", "attempt"), "for attempt 1100, ", "OverflowError", "from which attempt on"),
        (but("random.uniform(0, ", "("), "for attempt 0, all pauses are 0.5 s"),
        (but("min(8, 0.5 * 2 ** min(attempt, 4))", "0.5"), "and the limit is 1 s"),
        (but("min(attempt, 4)", "min(attempt, 3)"), "and the limit is 8 s", "never more than 8"),
        (but("min(8, 0.5 * 2 ** min(attempt, 4))", "0.5 * 2 ** min(attempt, 5)"), "and the limit is 8 s"),
        (but("0.5 * ", ""), "and the limit is 0.5 s"),
        (but("random.uniform(0, ", "random.uniform(0.25, "), "none of them is short"),
        (but("2 ** min(attempt, 4)", "2 * min(attempt, 8)"), "for attempt 0, all pauses are 0 s"),
        (but("random.uniform(0, ", "random.uniform(-0.5, "), "returned -"),
        (but("return random", "random"), "`None`"),
        (but(RETURN, "return min(8, 0.5 * 2 ** min(attempt, 4)) / 2 + random.random() / 9"), "the limit is"),
        (but("min(8, 0.5", "max(8, 0.5"), "and the limit is 0.5 s"),
    ]


class TestMissed(Computation):
    name = "missed"
    arguments = "kept, last, after"
    right: ClassVar = [
        """
        def missed(kept, last, after):
            oldest = last - len(kept) + 1
            if after > last or after + 1 < oldest:
                raise LookupError("snapshot needed")
            return [text for number, text in enumerate(kept, oldest) if number > after]
        """,
        """
        def missed(kept, last, after):
            numbers = range(last - len(kept) + 1, last + 1)
            wanted = range(after + 1, last + 1)
            if after > last or (wanted and wanted[0] not in numbers):
                raise IndexError(after)
            texts = dict(zip(numbers, kept))
            return [texts[number] for number in wanted]
        """,
        """
        def missed(kept, last, after):
            if after > last:
                raise KeyError(after)
            texts = []
            for back in range(last - after, 0, -1):
                if back > len(kept):
                    raise LookupError(back)
                texts.append(kept[-back])
            return texts
        """,
        """
        import itertools

        def missed(kept, last, after):
            skipped = len(kept) - (last - after)
            if skipped < 0 or skipped > len(kept):
                raise LookupError
            return list(itertools.islice(kept, skipped, None))
        """,
        """
        def missed(kept, last, after):
            rest = kept.copy()
            if not last - len(rest) <= after <= last:
                raise LookupError(f"{after} is out of reach")
            for _ in range(after - (last - len(rest))):
                rest.popleft()
            return list(rest)
        """,
    ]
    wrong: ClassVar = [
        (but("list(kept)", "list(dict.fromkeys(kept))"), "you returned", "count from its end"),
        (but("raise LookupError", "raise ValueError"), "raised ValueError", "raise a `LookupError`"),
        (but("<= len(kept):", "<= kept.maxlen:"), "expected a `LookupError`"),
        (but("0 <= count <= len(kept)", "count <= len(kept)"), "expected a `LookupError`", "no such number"),
        (but("0 <= count <= len(kept)", "0 <= count"), "expected a `LookupError`", "more than are kept"),
        (but("count <= len(kept)", "count < len(kept)"), "you raised LookupError", "it's all there"),
        (but("0 <= count", "0 < count"), "you raised LookupError"),
        (but("if not 0 <= count <= len(kept):", "if count > last:"), "expected a `LookupError`"),
        (but(SLICE, "return list(kept)[-count:]"), "the client has number 3: you returned"),
        (but(SLICE, "return list(kept)[after:]"), "count from its end"),
        (but(SLICE, "return kept"), "you returned `deque("),
        (
            but(SLICE, "return list(kept)[len(kept) - count + 1 :]"),
            "expected `['yes', 'yes', 'is it 757?']`",
        ),
        (but(SLICE, "return [kept.pop() for _ in range(count)][::-1]"), "after the call, `kept` holds"),
        (but("raise LookupError(", "raise ValueError("), "ValueError"),
        (but("raise LookupError(", "return print("), "you returned `None`, expected a `LookupError`"),
        (but("count = last - after", "count = last - after + 1"), "you raised LookupError"),
    ]


class TestListen(Function):
    name = "listen"
    arguments = "url, silence"
    at_once = 3
    given: ClassVar[dict[str, Any]] = {
        "asyncio": asyncio,
        "connect": connect,
        "contextlib": contextlib,
        "ConnectionClosed": ConnectionClosed,
    }
    right: ClassVar = [
        """
        async def listen(url, silence):
            heard = []
            connection = await connect(url, proxy=None)
            try:
                while True:
                    async with asyncio.timeout(silence):
                        heard.append(await connection.recv())
            except (TimeoutError, ConnectionClosed):
                connection.transport.abort()
                return heard
        """,
        """
        async def listen(url, silence):
            heard = []
            async with connect(url, proxy=None) as connection:
                loop = asyncio.get_running_loop()
                try:
                    async with asyncio.timeout(silence) as clock:
                        async for message in connection:
                            heard.append(message)
                            clock.reschedule(loop.time() + silence)
                except (TimeoutError, ConnectionClosed):
                    connection.transport.abort()
            return heard
        """,
        """
        async def listen(url, silence):
            heard, again = [], True
            async with connect(url, proxy=None, close_timeout=0.2) as connection:
                while again:
                    reading = asyncio.create_task(connection.recv())
                    await asyncio.wait([reading], timeout=silence)
                    again = reading.done() and not reading.exception()
                    if again:
                        heard.append(reading.result())
                    reading.cancel()
                    await asyncio.gather(reading, return_exceptions=True)
            return heard
        """,
        """
        async def listen(url, silence):
            queue = asyncio.Queue()
            heard = []

            async def read(connection):
                with contextlib.suppress(ConnectionClosed):
                    async for message in connection:
                        queue.put_nowait(message)
                queue.put_nowait(None)

            async with connect(url, proxy=None, close_timeout=0) as connection:
                reading = asyncio.create_task(read(connection))
                with contextlib.suppress(TimeoutError):
                    while (message := await asyncio.wait_for(queue.get(), silence)) is not None:
                        heard.append(message)
                connection.transport.abort()
                await reading
            return heard
        """,
        """
        async def listen(url, silence):
            async with connect(url, proxy=None, close_timeout=0.5) as connection:
                try:
                    message = await asyncio.wait_for(connection.recv(), silence)
                except TimeoutError:
                    return []
                heard = [message]
                while True:
                    try:
                        heard.append(await asyncio.wait_for(connection.recv(), silence))
                    except Exception:
                        return heard
        """,
    ]
    wrong: ClassVar = [
        (
            but(
                "while True:\n                heard.append(await",
                "while message := (await",
                "silence))",
                "silence)):\n                heard.append(message)",
            ),
            "expected `['message 1', '', ",
        ),
        (but(", close_timeout=0.5", ""), "you hadn't returned", "`close_timeout=`"),
        (but(RECV, "connection.recv()"), "the line is dead: you hadn't returned"),
        (
            but("suppress(TimeoutError, ConnectionClosed)", "suppress(TimeoutError)"),
            "what was heard still counts",
        ),
        (but("suppress(TimeoutError, ConnectionClosed)", "suppress(ConnectionClosed)"), "TimeoutError"),
        (
            but("while True:", "while len(heard) < 3:"),
            "s, four times: you returned",
        ),
        (but("return heard", "return tuple(heard)"), "return the list"),
        (but("return heard", ""), "you returned `None`"),
        (but("heard.append(await ", "heard.insert(0, await "), "expected `['message 1', ''"),
        (but(RECV, "asyncio.wait_for(connection.recv(), silence / 3)"), "four times: you returned"),
        (
            """
            async def listen(url, silence):
                heard = []
                async with connect(url, proxy=None, close_timeout=0.1) as connection:
                    with contextlib.suppress(TimeoutError, ConnectionClosed):
                        async with asyncio.timeout(silence):
                            async for message in connection:
                                heard.append(message)
                return heard
            """,
            "four times: you returned",
            "the clock starts over with each message",
        ),
        (
            """
            async def listen(url, silence):
                async with connect(url, proxy=None, close_timeout=0.1) as connection:
                    return [message async for message in connection]
            """,
            "closes with 1011",
            "what was heard still counts",
        ),
        (but("connection.recv()", "connection.recv"), "TypeError"),
        ("def listen(url, silence): return []", "must be a coroutine function"),
        (but("while True:", "while True: pass\n        while True:"), "the loop is blocked"),
        (but("heard = []", "heard = []; import time; time.sleep(3)"), "the loop is blocked", "`time.sleep`"),
        (
            """
            async def listen(url, silence):
                heard, connection = [], await connect(url, proxy=None)
                try:
                    while True:
                        heard.append(await asyncio.wait_for(connection.recv(), silence))
                except (TimeoutError, ConnectionClosed):
                    return heard
            """,
            "a connection is still open",
        ),
    ]
