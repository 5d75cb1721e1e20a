"""The exercises of `04_talk_both_ways`: right answers, and what is said to the wrong ones."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import ClassVar

from battery import Function, Handler
from changes import but
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK

GIVEN = {
    "asyncio": asyncio,
    "time": time,
    "connect": connect,
    "suppress": suppress,
    "ConnectionClosed": ConnectionClosed,
    "ConnectionClosedError": ConnectionClosedError,
    "ConnectionClosedOK": ConnectionClosedOK,
}


class TestThermostat(Handler):
    name = "thermostat"
    given = GIVEN
    right: ClassVar = [
        """
        async def thermostat(connection):
            temperature = "20"
            while True:
                try:
                    message = await asyncio.wait_for(connection.recv(), 0.1)
                    temperature = message.removeprefix("set ")
                    await connection.send("ok")
                except TimeoutError:
                    await connection.send(temperature)
        """,
        """
        async def thermostat(connection):
            state = {"temperature": 20}

            async def listen():
                async for message in connection:
                    state["temperature"] = int(message.split()[1])
                    await connection.send("ok")

            listening = asyncio.create_task(listen())
            while not listening.done():
                await connection.send(str(state["temperature"]))
                await asyncio.sleep(0.1)
        """,
        """
        async def thermostat(connection):
            temperature = 20

            async def report():
                while True:
                    await connection.send(f"{temperature}")
                    await asyncio.sleep(0.1)

            async with asyncio.TaskGroup() as group:
                reporting = group.create_task(report())
                async for message in connection:
                    word, number = message.split()
                    temperature = number
                    await connection.send("ok")
                reporting.cancel()
        """,
        """
        class Thermostat:
            def __init__(self, connection):
                self.connection, self.temperature = connection, 20

            async def report(self):
                try:
                    while True:
                        await self.connection.send(str(self.temperature))
                        await asyncio.sleep(0.1)
                except ConnectionClosed: ...

            async def obey(self):
                try:
                    async for message in self.connection:
                        self.temperature = int(message[4:])
                        await self.connection.send("ok")
                except ConnectionClosed: ...

        async def thermostat(connection):
            it = Thermostat(connection)
            tasks = [asyncio.create_task(it.report()), asyncio.create_task(it.obey())]
            done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in rest:
                task.cancel()
        """,
        """
        async def thermostat(connection):
            temperature, message = 20, asyncio.ensure_future(connection.recv())
            try:
                while True:
                    await asyncio.wait([message], timeout=0.1)
                    if message.done():
                        temperature = message.result().partition(" ")[2]
                        await connection.send("ok")
                        message = asyncio.ensure_future(connection.recv())
                    await connection.send(str(temperature))
            except ConnectionClosed:
                message.cancel()
        """,
    ]
    wrong: ClassVar = [
        (but("sleep(0.1)", "sleep(0.16)"), "between two readings", "every 0.1 s"),
        (
            """
            async def thermostat(connection):
                temperature = 20
                async for message in connection:
                    temperature = int(message.split()[1])
                    await connection.send("ok")
                    await connection.send(str(temperature))
            """,
            "while Ann said nothing",
            "nothing came",
            "a separate task",
        ),
        (
            """
            async def thermostat(connection):
                while True:
                    await connection.send("20")
                    await asyncio.sleep(0.1)
            """,
            "after `set 23`",
            "none was `ok`",
        ),
        (
            but(
                "async def thermostat(connection):\n    temperature = 20\n",
                "temperature = 20\n\nasync def thermostat(connection):\n    global temperature\n",
            ),
            "Ann has set 23, not Bob",
            "variable",
        ),
        (
            but(
                "await connection.send(str(temperature))",
                "with suppress(ConnectionClosed):\n                await connection.send(str(temperature))",
                "reporting.cancel()",
                "pass",
            ),
            "`report` is still running",
            "cancel",
        ),
        (but("sleep(0.1)", "sleep(0.7)"), "between two readings", "every 0.1 s"),
        (but("sleep(0.1)", "sleep(0.3)"), "between two readings", "every 0.1 s"),
        (but('int(message.removeprefix("set "))', "23"), "and `ok`: got `'23'`, expected the reading"),
        (but("reporting.cancel()", "pass"), "`report` went on until its next `send` raised", "cancel"),
        (
            but(
                "await connection.send(str(temperature))",
                "with suppress(ConnectionClosed):\n                await connection.send(str(temperature))",
                "try:",
                "if True:",
                "finally:",
                "if True:",
            ),
            "`report` is still running",
            "`finally`",
        ),
        (but("send(str(temperature))", "send(temperature)"), "TypeError", "of report()", "must be a string"),
        (
            but(
                "send(str(temperature))",
                "send(temperature)",
                "    reporting = asyncio.create_task(report())\n    try:\n",
                "    async with asyncio.TaskGroup() as group:\n        group.create_task(report())\n",
                "    finally:\n        reporting.cancel()\n",
                "",
            ),
            "TypeError",
            "await connection.send(temperature)",
        ),
        (but("await asyncio.sleep(0.1)", "time.sleep(0.1)"), "time.sleep(0.1)", "await asyncio.sleep"),
        (
            but(
                "    try:\n",
                "    async def listen(temperature):\n",
                "    finally:",
                "    try:\n        await listen(temperature)\n    finally:",
            ),
            "after `set 23` and `ok`",
            "`'20'`",
            "`'23'`",
        ),
        (but("str(temperature)", 'f"{temperature} degrees"'), "`'20 degrees'`", "a string like `20`"),
        (but("            await asyncio.sleep(0.1)\n", ""), "asyncio.sleep("),
        (but("sleep(0.1)", "sleep(0.03)"), "4 readings were sent within", "`await asyncio.sleep(0.1)`"),
        (
            but(
                "    temperature = 20\n",
                "    global reporting\n    temperature = 20\n",
            ),
            "Ann has left, and after `set ",
            "nothing came",
            "must not be overwritten or ended by another",
        ),
        (but('send("ok")', 'send("OK")'), "after `set 23`", "none was `ok`"),
        (
            but('            await connection.send("ok")\n', ""),
            "after `set 23`",
            "none was `ok`",
        ),
        (
            but('message.removeprefix("set ")', "message[-2:]"),
            "and `ok`: got",
        ),
        (
            but(
                "    async def report",
                "    everybody.add(connection)\n\n    async def report",
                "async def thermostat",
                "everybody = set()\n\n\nasync def thermostat",
                "reporting.cancel()",
                "reporting.cancel()\n        for each in everybody:\n            await each.close()",
            ),
            "Ann has left, and after `set ",
            "the connection was closed",
        ),
        (but("temperature = 20\n", "temperature = 21\n"), "got `'21'`, expected the reading `'20'`"),
    ]


class TestCollect(Function):
    name = "collect"
    arguments = "url"
    given = GIVEN
    right: ClassVar = [
        """
        async def collect(url):
            messages = []
            connection = await connect(url, proxy=None)
            while True:
                try:
                    messages.append(await connection.recv())
                except ConnectionClosed:
                    return messages, connection.close_code
        """,
        """
        async def collect(url):
            async with connect(url, proxy=None) as connection:
                messages = []
                try:
                    async for message in connection:
                        messages += [message]
                except Exception:
                    return [messages, connection.close_code]
                return messages, 1000
        """,
        """
        async def collect(url):
            messages = []
            async with connect(url, proxy=None) as connection:
                with suppress(ConnectionClosed):
                    while True:
                        messages.append(await connection.recv())
            return messages, connection.close_code
        """,
        """
        async def collect(url):
            async with connect(url, proxy=None, max_queue=1) as connection:
                async def read():
                    messages = []
                    try:
                        async for message in connection:
                            messages.append(message)
                    except ConnectionClosedError: ...
                    return messages
                reading = asyncio.create_task(read())
                await connection.wait_closed()
                return await reading, connection.close_code
        """,
        """
        async def collect(url):
            connection, messages = await connect(url, proxy=None), []
            try:
                async for message in connection:
                    messages.append(message)
            except (ConnectionClosedOK, ConnectionClosedError) as error:
                code = error.rcvd.code if error.rcvd else 1006
            else:
                code = connection.close_code
            return messages, code
        """,
    ]
    wrong: ClassVar = [
        (
            but(
                "except ConnectionClosedError:\n            pass",
                "except ConnectionClosedError as error:\n            return messages, error.rcvd.code",
            ),
            "broke off (1006)",
            "no close frame came",
        ),
        (
            but(
                "async for message in connection:\n                messages.append(message)",
                "while True:\n"
                "                messages.append(await asyncio.wait_for(connection.recv(), 0.05))",
                "ConnectionClosedError:\n            pass",
                "(ConnectionClosed, TimeoutError):\n            return messages, connection.close_code",
            ),
            "closed with 1000; you returned `None`",
            "afterwards, `connection.close_code`",
        ),
        (
            """
            async def collect(url):
                async with connect(url, proxy=None) as connection:
                    messages = [message async for message in connection]
                    return messages, connection.close_code
            """,
            "closed with 4000",
            "ConnectionClosedError",
        ),
        (but("ConnectionClosedError", "ConnectionClosedOK"), "closed with 4000", "only 1000, 1001 and 1005"),
        (
            but("return messages, connection.close_code", "return messages"),
            "`['one', '', 'one', ",
            "return two things",
        ),
        (
            but("connection.close_code", "1001"),
            "closed with 1000; you returned `1001`",
            "connection.close_code",
        ),
        (
            but(
                "async for message in connection:\n                messages.append(message)",
                "messages.append(await connection.recv())",
            ),
            "you returned `['one']`",
            "every message",
        ),
        (
            but("close_code", "close_reason"),
            "closed with 1000; you returned `''`",
            "afterwards, `connection.close_code`",
        ),
        (
            but(
                "async for message in connection:\n                messages.append(message)",
                "while True:\n                messages.append(await connection.recv())",
            ),
            "closed with 1000",
            "ConnectionClosed",
        ),
        (but("messages, connection.close_code", "connection.close_code, messages"), "the messages first"),
        (but("messages.append(message)", "messages = message"), "you returned `b'", "list"),
        (
            but("        try:\n", "        await connection.wait_closed()\n        try:\n"),
            "the server sent 40 messages",
            "did not return within",
            "before reading may wait in vain",
        ),
        (
            but("    messages = []\n", "", "async def", "messages = []\n\n\nasync def"),
            "closed with 4000",
            "every message",
        ),
        (
            but("connection.close_code", "connection.close_code if connection.close_reason else 1006"),
            "you returned `1006`",
        ),
        (
            but("messages.append(message)", "messages.append(str(message))"),
            "you returned `['one', '', 'one', \"b",
        ),
        (
            but("messages.append(message)", "messages.append(message) if message else None"),
            "you returned `['one', 'one', ",
        ),
        (
            but(
                "async for message in connection:\n                messages.append(message)",
                "while True:\n"
                "                async with asyncio.timeout(0.4):\n"
                "                    messages.append(await connection.recv())",
                "ConnectionClosedError:",
                "(ConnectionClosed, TimeoutError):",
                "return messages, connection.close_code",
                "return messages, connection.close_code or 1000",
            ),
            "you returned `1000`",
        ),
        (
            but(
                "    return messages, connection.close_code",
                "    asyncio.create_task(asyncio.sleep(60))\n    return messages, connection.close_code",
            ),
            "`collect` has returned, and `sleep` is still running",
        ),
    ]
