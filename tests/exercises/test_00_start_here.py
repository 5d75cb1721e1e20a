"""The exercises of `00_start_here`: right answers, and what is said to the wrong ones."""

from __future__ import annotations

from typing import ClassVar

from battery import Function, Handler, Thorough
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
    ]
    wrong: ClassVar = [
        (
            """
            async def shout(connection):
                async for message in connection:
                    await connection.send(message)
            """,
            "after `hello` there came `'hello'`, expected was `'HELLO'`",
            "`upper()`",
        ),
        (
            """
            async def shout(connection):
                message = await connection.recv()
                await connection.send(message.upper())
            """,
            "after `Goodbye`, the connection was closed",
            "keep reading",
        ),
        (
            """
            async def shout(connection):
                async for message in connection:
                    await connection.send(message.upper())
                    await connection.send(message.upper())
            """,
            "after the answer to `hello`, there came one more message: `'HELLO'`",
            "once only",
        ),
        (
            """
            async def shout(connection):
                async for message in connection:
                    print(message.upper())
            """,
            "after `hello`, nothing came",
            "await connection.send",
        ),
        (
            """
            async def shout(connection):
                async for message in connection:
                    await connection.send(message.upper)
            """,
            "TypeError",
            "await connection.send(message.upper)",
        ),
        (
            """
            everybody = set()

            async def shout(connection):
                everybody.add(connection)
                async for message in connection:
                    for each in everybody:
                        await each.send(message.upper())
            """,
            "after `is anybody there?` there came `'HELLO'`",
        ),
        (
            """
            async def shout(connection):
                await connection.send("WELCOME")
                async for message in connection:
                    await connection.send(message.upper())
            """,
            "there came `'WELCOME'`",
        ),
        (
            """
            async def shout(connection):
                async for message in connection:
                    return message.upper()
            """,
            "the connection was closed",
            "returns",
        ),
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
    ]
    wrong: ClassVar = [
        (
            """
            async def ask(url, question):
                async with connect(url, proxy=None) as connection:
                    await connection.send(question)
                    answer = await connection.recv()
            """,
            "`ask` returned `None`",
            "`return`",
        ),
        (
            """
            async def ask(url, question):
                async with connect(url, proxy=None) as connection:
                    await connection.send(question)
                    return connection.recv()
            """,
            "`ask` returned a coroutine",
            "`await`",
        ),
        (
            """
            async def ask(url, question):
                async with connect(url, proxy=None) as connection:
                    await connection.send("question")
                    return await connection.recv()
            """,
            "heard `'question'`",
            "`'What is six times seven?'`",
            "without quotes",
        ),
        (
            """
            async def ask(url, question):
                async with connect(url, proxy=None) as connection:
                    return await connection.recv()
            """,
            "did not return",
            "the server was asked nothing",
            "await connection.send(question)",
        ),
        (
            """
            async def ask(url, question):
                async with connect(url, proxy=None) as connection:
                    await connection.send(question)
                    answers = []
                    async for answer in connection:
                        answers.append(answer)
                    return answers[0]
            """,
            "did not return",
            "wait for",
        ),
        (
            """
            async def ask(url, question):
                connection = connect(url, proxy=None)
                await connection.send(question)
                return await connection.recv()
            """,
            "AttributeError",
            "await connection.send(question)",
        ),
        (
            """
            async def ask(url, question):
                with connect(url, proxy=None) as connection:
                    return "the answer"
            """,
            "TypeError",
            "line 2 of ask()",
        ),
        (
            """
            async def ask(url, question):
                async with connect(url, proxy=None) as connection:
                    await connection.send(question)
                    return 'x' * 1_000_000
            """,
            "xxx...xxx",
            "the server had answered",
        ),
        (
            """
            class Rude:
                def __repr__(self):
                    return 1 / 0

            async def ask(url, question):
                async with connect(url, proxy=None) as connection:
                    await connection.send(question)
                    return Rude()
            """,
            "`ask` returned `<Rude",
            "recv()",
        ),
        (
            """
            class Rude:
                def __ne__(self, other):
                    return 1 / 0

            async def ask(url, question):
                async with connect(url, proxy=None) as connection:
                    await connection.send(question)
                    return Rude()
            """,
            "can't be looked at",
            "ZeroDivisionError",
        ),
        (
            """
            async def ask(url, question):
                return f"the answer to {question!r} is 42"
            """,
            "heard nothing",
            "await connection.send(question)",
        ),
        (
            """
            async def ask(url, question):
                async with connect("ws://127.0.0.1:9", proxy=None) as connection:
                    await connection.send(question)
                    return await connection.recv()
            """,
            "ConnectionRefusedError",
            "line 2 of ask()",
        ),
    ]
