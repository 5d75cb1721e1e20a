"""The exercises of `00_start_here`: right answers, and what is said to the wrong ones."""

from __future__ import annotations

from typing import ClassVar

from battery import Function, Handler, Thorough
from changes import but
from websockets.asyncio.client import connect

GIVEN = {"connect": connect}


class TestShout(Thorough, Handler):
    name = "shout"
    right: ClassVar = [
        """
        async def shout(connection):
            print("somebody is here")
            while True:
                question = await connection.recv()
                answer = str.upper(question)
                await connection.send(answer)
        """,
        """
        class Shouter:
            async def __call__(self, connection):
                async for text in connection:
                    await connection.send("".join(letter.upper() for letter in text))

        shout = Shouter()
        """,
        """
        async def shout(connection):
            while (message := await connection.recv()) is not None:
                await connection.send(message.swapcase() if message.islower() else message.upper())
        """,
        """
        async def answer(connection, message):
            await connection.send(message.upper())

        async def shout(connection):
            async for message in connection:
                await answer(connection, message)
        """,
        """
        import contextlib
        from websockets.exceptions import ConnectionClosed

        async def shout(connection):
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await connection.send((await connection.recv()).upper())
        """,
    ]
    wrong: ClassVar = [
        (but("message.upper()", "message.upper().strip()"), "two", "as they are"),
        (
            but(
                "async for message in connection:\n        ",
                "async for message in connection:\n        if message: ",
            ),
            "after ``, nothing came",
            "an empty string",
        ),
        (but(".upper()", ""), "after `hello`: got `'hello'`, expected `'HELLO'`", "`upper()`"),
        (
            but("    async for message in connection:\n    ", "    message = await connection.recv()\n"),
            "after `Goodbye`, the connection was closed",
            "keep reading",
        ),
        (
            but(
                "await connection.send(message.upper())",
                "await connection.send(message.upper())\n        await connection.send(message.upper())",
            ),
            "after the answer to `hello`, one more message came: `'HELLO'`",
            "once only",
        ),
        (but("await connection.send(", "print("), "after `hello`, nothing came", "await connection.send"),
        (but("upper()", "upper"), "TypeError", "await connection.send(message.upper)", "call it, with `()`"),
        (
            """
            everybody = set()

            async def shout(connection):
                everybody.add(connection)
                async for message in connection:
                    for each in everybody:
                        await each.send(message.upper())
            """,
            "after `is anybody there?`: got `'HELLO'`",
        ),
        (
            but("    async for", '    await connection.send("WELCOME")\n    async for'),
            "got `'WELCOME'`",
        ),
        (
            but("await connection.send(message.upper())", "return message.upper()"),
            "the connection was closed",
            "returns",
        ),
        (but("upper()", "swapcase()"), "after `Goodbye`: got `'gOODBYE'`"),
        (but("upper()", "capitalize()"), "after `hello`: got `'Hello'`"),
        (
            but(
                "    async for",
                "    heard = []\n    async for",
                "message.upper()",
                "(heard.append(message), heard[0].upper())[1]",
            ),
            "which belongs to another message",
        ),
        (
            but(
                "    async for message in connection:\n    ",
                "    for _ in range(3):\n        message = await connection.recv()\n    ",
            ),
            "the connection was closed",
            "keep reading",
        ),
        (
            """
            async def shout(connection):
                while True:
                    try:
                        await connection.send((await connection.recv()).upper())
                    except Exception:
                        pass
            """,
            "the loop is blocked at line",
            "your `except` catches it and the loop goes on",
        ),
        (
            """
            import asyncio

            async def shout(connection):
                async def still_here():
                    while True:
                        await asyncio.sleep(0.05)

                tasks.append(asyncio.create_task(still_here()))
                async for message in connection:
                    await connection.send(message.upper())

            tasks = []
            """,
            "it is over, and `still_here` is still running",
            "cancel a task",
        ),
        (
            """
            import asyncio

            async def shout(connection):
                async for message in connection:
                    await asyncio.to_thread(lambda: asyncio.run(connection.send(message.upper())))
            """,
            "`connection.send` ran on another thread",
            "`await connection.send(...)` here",
        ),
        (but("message.upper()", "await message.upper()"), "TypeError", "await message.upper()"),
    ]


class TestAsk(Thorough, Function):
    name = "ask"
    arguments = "url, question"
    given = GIVEN
    right: ClassVar = [
        """
        async def ask(url, question):
            connection = await connect(url, proxy=None)
            try:
                await connection.send(question)
                async for answer in connection:
                    return answer
            finally:
                await connection.close()
        """,
        """
        async def ask(address, text, *, patience=1):
            async with connect(address, proxy=None) as server:
                await server.send(text)
                return await server.recv()
        """,
        """
        async def ask(url, question):
            async for connection in connect(url, proxy=None):
                async with connection:
                    await connection.send(question)
                    return await connection.recv()
        """,
        """
        import asyncio

        async def ask(url, question):
            async with asyncio.timeout(5), connect(url, proxy=None, compression=None) as connection:
                sending = asyncio.create_task(connection.send(question))
                answer = await connection.recv()
                await sending
            return answer
        """,
        """
        import asyncio
        from websockets.sync.client import connect as connect_and_block

        def ask_and_block(url, question):
            with connect_and_block(url, proxy=None) as connection:
                connection.send(question)
                return connection.recv()

        async def ask(url, question):
            return await asyncio.to_thread(ask_and_block, url, question)
        """,
    ]
    wrong: ClassVar = [
        (
            but(
                "connection.send(question)\n",
                "connection.send(question)\n        await connection.send(question)\n",
            ),
            "received 2 messages",
            "the question once",
        ),
        (but("return await", "answer = await"), "`ask` returned `None`", "`return`"),
        (but("return await", "return"), "`ask` returned a coroutine", "`await`"),
        (
            but("send(question)", 'send("question")'),
            "heard `'question'`",
            "`'What is six times seven?'`",
            "without quotes",
        ),
        (
            but("        await connection.send(question)\n", ""),
            "did not return",
            "the server never received a question",
            "await connection.send(question)",
        ),
        (
            but(
                "return await connection.recv()",
                "answers = [answer async for answer in connection]\n        return answers[0]",
            ),
            "did not return",
            "wait for",
        ),
        (
            but(
                "async with connect(url, proxy=None) as connection:",
                "connection = connect(url, proxy=None)\n    if True:",
            ),
            "AttributeError",
            "await connection.send(question)",
        ),
        (but("async with", "with"), "TypeError", "line 2 of ask()"),
        (but("await connection.recv()", '"x" * 1_000_000'), "xxx...xxx", "the server had answered"),
        (
            but(
                "async def",
                "class Rude:\n    def __repr__(self):\n        return 1 / 0\n\nasync def",
                "await connection.recv()",
                "Rude()",
            ),
            "`ask` returned `<Rude",
            "recv()",
        ),
        (
            but(
                "async def",
                "class Rude:\n    def __ne__(self, other):\n        return 1 / 0\n\nasync def",
                "await connection.recv()",
                "Rude()",
            ),
            "can't be looked at",
            "ZeroDivisionError",
        ),
        (
            """
            async def ask(url, question):
                return f"the answer to {question!r} is 42"
            """,
            "nobody connected to `url`",
            "await connection.send(question)",
        ),
        (but("connect(url", 'connect("ws://127.0.0.1:9"'), "ConnectionRefusedError", "line 2 of ask()"),
        (
            """
            async def ask(url, question):
                connection = await connect(url, proxy=None)
                await connection.send(question)
                return await connection.recv()
            """,
            "`ask` has returned, and a connection is still open",
            "`async with connect(...)`",
        ),
        (
            but("        return await", "    return await"),
            "ConnectionClosed",
            "inside the `async with`",
        ),
        (
            but(
                "return await connection.recv()",
                "await connection.recv()\n        return await connection.recv()",
            ),
            "`ask` returned `'anything else?'`",
            "one `recv`",
        ),
        (
            """
            async def ask(url, question):
                async with connect("ws://127.0.0.1:9", proxy=None) as connection:
                    await connection.send(question)
                    return await connection.recv()
            """,
            "line 2 of ask()",
        ),
        (
            but(
                "return await connection.recv()",
                "async for _ in connection:\n            return f'the answer to {question!r} is 42'",
            ),
            "the server had answered",
        ),
        (
            but(
                "question)\n        return await connection.recv()",
                "question)\n"
                "        async with __import__('asyncio').timeout(0.1):\n"
                "            return await connection.recv()",
            ),
            "TimeoutError",
        ),
    ]
