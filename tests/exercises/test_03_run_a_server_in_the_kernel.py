"""The exercises of `03_run_a_server_in_the_kernel`: right answers, and what is said to the wrong ones."""

from __future__ import annotations

import asyncio
import time
from types import FunctionType
from typing import Any, ClassVar

from battery import Call, Handler, Thorough
from changes import but


def look_up(word: str) -> str:
    time.sleep(0.4)
    return word[::-1]


GIVEN = {"asyncio": asyncio, "time": time, "look_up": look_up}


class TestLibrarian(Handler):
    name = "librarian"
    given = GIVEN

    @classmethod
    def fresh(cls) -> dict[str, Any]:
        return {**GIVEN, "look_up": FunctionType(look_up.__code__, globals(), "look_up")}

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
        """
        import functools

        ask_the_library = functools.partial(asyncio.to_thread, look_up)

        async def librarian(connection):
            async for word in connection:
                await connection.send(await ask_the_library(word))
        """,
        """
        import functools

        def remembered(function):
            @functools.lru_cache
            def inner(word):
                return function(word)
            return inner

        look_it_up = remembered(look_up)

        async def librarian(connection, search=look_it_up):
            async for word in connection:
                await connection.send(await asyncio.to_thread(search, word))
        """,
        """
        from concurrent.futures import ThreadPoolExecutor

        shelves = ThreadPoolExecutor(8)

        async def librarian(connection):
            loop = asyncio.get_running_loop()
            while True:
                word = await connection.recv()
                await connection.send(await asyncio.wrap_future(shelves.submit(look_up, word)))
        """,
        """
        async def librarian(connection):
            loop = asyncio.get_running_loop()

            def work(word):
                asyncio.run_coroutine_threadsafe(connection.send(look_up(word)), loop).result()

            async for word in connection:
                await asyncio.to_thread(work, word)
        """,
    ]
    wrong: ClassVar = [
        (but("look_up, word", "look_up(word)"), "not callable", "`f, x` instead of `f(x)`"),
        (
            but("await asyncio.to_thread(look_up, word)", "look_up(word)"),
            "one after another",
            "A loop that waits serves nobody",
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
        (
            """
            async def librarian(connection):
                def work(word):
                    asyncio.run(connection.send(look_up(word)))

                async for word in connection:
                    await asyncio.to_thread(work, word)
            """,
            "`connection.send` ran on another thread",
            "`await connection.send(...)` here",
        ),
        (
            """
            from concurrent.futures import ThreadPoolExecutor

            three = ThreadPoolExecutor(3)

            async def librarian(connection):
                loop = asyncio.get_running_loop()
                async for word in connection:
                    await connection.send(await loop.run_in_executor(three, look_up, word))
            """,
            "at most 3 words were looked up at the same time",
            "a pool that is too small",
        ),
        (
            """
            async def librarian(connection):
                async for word in connection:
                    work = asyncio.to_thread(look_up, word)
                    answer = asyncio.run_coroutine_threadsafe(work, asyncio.get_running_loop()).result()
                    await connection.send(answer)
            """,
            "the loop is blocked at line",
            ".result()",
            "keeps the loop meanwhile",
        ),
        (
            but("await asyncio.to_thread(look_up, word)", "word[::-1]"),
            "`look_up` was never called",
        ),
        (
            but(
                "await connection.send(await asyncio.to_thread(look_up, word))",
                "await asyncio.sleep(0.4)\n        await connection.send(word[::-1])",
            ),
            "`look_up` was never called",
        ),
        (but("asyncio.to_thread(look_up, word)", "asyncio.to_thread(look_up, 'live')"), "got `'evil'`"),
        (
            but("    async for word in connection:\n    ", "    word = await connection.recv()\n"),
            "the connection was closed",
            "keep reading",
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
        """
        def tell(loop, queue, text):
            future = asyncio.run_coroutine_threadsafe(asyncio.wait_for(queue.put(text), 1), loop)
            assert future.result() is None
        """,
        """
        import functools

        def tell(loop, queue, text):
            loop.call_soon_threadsafe(functools.partial(queue.put_nowait, text))
        """,
        """
        tell = lambda loop, queue, text: loop.call_soon_threadsafe(queue.put_nowait, text)
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
            "what it returned was never awaited",
        ),
        (
            "def tell(loop, queue, text): loop.call_soon_threadsafe(queue.put, text)",
            "did not arrive",
            "what it returned was never awaited",
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
        (
            "def tell(loop, queue, text): return lambda: loop.call_soon_threadsafe(queue.put_nowait, text)",
            "did not arrive",
            "you returned a function",
            "nobody calls",
        ),
        (
            "def tell(loop, queue, text): loop.call_soon_threadsafe(print, text)",
            "nothing was put into `queue`",
            "put `text` into `queue` itself",
        ),
        (
            "def tell(loop, queue, text): loop.call_soon_threadsafe(asyncio.Queue().put_nowait, text)",
            "nothing was put into `queue`",
            "put `text` into `queue` itself",
        ),
        (
            "def tell(loop, queue, text): loop.call_later(2, queue.put_nowait, text)",
            "nothing was put into `queue`",
            "put `text` into `queue` itself",
        ),
        (
            "def tell(loop, queue, text): loop.call_soon_threadsafe(lambda: queue.put_nowait)",
            "nothing was put into `queue`",
        ),
        (
            "def tell(loop, queue, text): time.sleep(3)",
            "time.sleep(3)",
            "a plain function has to return at once",
        ),
        (
            "def tell(loop, queue, text):\n    while queue.empty():\n        pass",
            "a plain function has to return at once",
            "what ends the loop?",
        ),
        (
            "said = []\n"
            "def tell(loop, queue, text):\n"
            "    said.append(text)\n"
            "    loop.call_soon_threadsafe(queue.put_nowait, said[0])",
            "`'first'` arrived, expected `'second'`",
        ),
    ]
