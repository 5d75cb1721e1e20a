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
    ]
    wrong: ClassVar = [
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
        (but("upper()", "upper"), "TypeError", "await connection.send(message.upper)"),
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
            "heard nothing",
            "await connection.send(question)",
        ),
        (but("connect(url", 'connect("ws://127.0.0.1:9"'), "ConnectionRefusedError", "line 2 of ask()"),
    ]
