"""The exercises of `03_run_a_server_in_the_kernel`: right answers, and what is said to the wrong ones."""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar

from battery import Call, Handler, Thorough
from changes import but


def look_up(word: str) -> str:
    time.sleep(0.4)
    return word[::-1]


GIVEN = {"asyncio": asyncio, "time": time, "look_up": look_up}


class TestLibrarian(Handler):
    name = "librarian"
    given = GIVEN
    right: ClassVar = [
        """
        async def librarian(connection):
            loop = asyncio.get_running_loop()
            async for word in connection:
                await connection.send(await loop.run_in_executor(None, look_up, word))
        """,
        """
        async def librarian(connection):
            async def answer(word):
                await connection.send(await asyncio.to_thread(lambda: look_up(word)))

            async with asyncio.TaskGroup() as group:
                async for word in connection:
                    group.create_task(answer(word))
        """,
    ]
    wrong: ClassVar = [
        (
            but("await asyncio.to_thread(look_up, word)", "look_up(word)"),
            "one after another",
            "await asyncio.to_thread(look_up, word)",
        ),
        (
            but("(await asyncio", "(asyncio"),
            "TypeError",
            "await connection.send(asyncio.to_thread(look_up, word))",
        ),
        (but("look_up, word", "look_up(word)"), "TypeError", "await asyncio.to_thread(look_up(word))"),
        (
            but(
                "async def",
                "lock = asyncio.Lock()\n\nasync def",
                "        await connection",
                "        async with lock:\n            await connection",
            ),
            "one after another",
        ),
        (
            but(
                "await connection.send(await asyncio.to_thread(look_up, word))",
                "await asyncio.to_thread(look_up, word)\n        await connection.send(word)",
            ),
            "after `stressed`: got `'stressed'`, expected `'desserts'`",
            "look_up(word)",
        ),
        (
            but(
                "await connection.send(await asyncio.to_thread(look_up, word))",
                "await asyncio.sleep(0)\n        await connection.send(look_up(word))",
            ),
            "one after another",
        ),
    ]


class TestTell(Thorough, Call):
    name = "tell"
    arguments = "loop, queue, text"
    given = GIVEN
    right: ClassVar = [
        """
        def tell(loop, queue, text):
            asyncio.run_coroutine_threadsafe(queue.put(text), loop).result(timeout=1)
        """,
        """
        def tell(loop, queue, text):
            loop.call_soon_threadsafe(lambda: queue.put_nowait(text))
        """,
        """
        def tell(loop, queue, text):
            async def put():
                await queue.put(text)

            return asyncio.run_coroutine_threadsafe(put(), loop)
        """,
    ]
    wrong: ClassVar = [
        (
            "def tell(loop, queue, text): queue.put_nowait(text)",
            "did not arrive",
            "nobody had woken",
            "loop.call_soon_threadsafe",
        ),
        (
            "def tell(loop, queue, text): loop.call_soon(queue.put_nowait, text)",
            "nobody had woken",
            "loop.call_soon_threadsafe",
        ),
        (
            "def tell(loop, queue, text): loop.create_task(queue.put(text))",
            "nobody had woken",
        ),
        (
            "def tell(loop, queue, text): queue.put(text)",
            "did not arrive",
            "a coroutine function, like `queue.put`",
        ),
        (
            "def tell(loop, queue, text): loop.call_soon_threadsafe(queue.put, text)",
            "did not arrive",
            "a coroutine function, like `queue.put`",
        ),
        (
            "def tell(loop, queue, text): loop.call_soon_threadsafe(queue.put_nowait(text))",
            "on your own thread",
            "without calling it",
        ),
        (
            "def tell(loop, queue, text): loop.run_until_complete(queue.put(text))",
            "RuntimeError",
            "already running",
        ),
        (
            "def tell(loop, queue, text): asyncio.run(queue.put(text))",
            "RuntimeError",
            "asyncio.run(queue.put(text))",
        ),
        (
            "def tell(loop, queue, text): asyncio.run_coroutine_threadsafe(queue.put, loop)",
            "TypeError",
            "coroutine object",
        ),
        (
            "def tell(loop, queue, text): loop.call_soon_threadsafe(queue.put_nowait, 'text')",
            "`'text'` arrived, expected `'first'`",
        ),
        (
            "def tell(loop, queue, text):\n"
            "    asyncio.run_coroutine_threadsafe(queue.put(text), loop)\n"
            "    asyncio.run_coroutine_threadsafe(queue.join(), loop).result()",
            "queue.join()",
        ),
        (
            "def tell(loop, queue, text):\n"
            "    for _ in range(2):\n        loop.call_soon_threadsafe(queue.put_nowait, text)",
            "twice",
        ),
    ]
