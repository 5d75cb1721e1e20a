"""The exercises of `04_talk_both_ways`: right answers, and what is said to the wrong ones."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import ClassVar

from battery import Function, Handler
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK

GIVEN = {
    "asyncio": asyncio,
    "time": time,
    "connect": connect,
    "suppress": suppress,
    "ConnectionClosed": ConnectionClosed,
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
    ]
    wrong: ClassVar = [
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
            "a task of its own",
        ),
        (
            """
            async def thermostat(connection):
                while True:
                    await connection.send("20")
                    await asyncio.sleep(0.1)
            """,
            "after `set 23`",
            "without `ok`",
        ),
        (
            """
            temperature = 20

            async def thermostat(connection):
                async def report():
                    while True:
                        await connection.send(str(temperature))
                        await asyncio.sleep(0.1)

                global temperature
                reporting = asyncio.create_task(report())
                try:
                    async for message in connection:
                        temperature = int(message.split()[1])
                        await connection.send("ok")
                finally:
                    reporting.cancel()
            """,
            "Ann has set 23, not Bob",
            "variable",
        ),
        (
            """
            async def thermostat(connection):
                temperature = 20

                async def report():
                    while True:
                        try:
                            await connection.send(str(temperature))
                        except ConnectionClosed:
                            pass
                        await asyncio.sleep(0.1)

                reporting = asyncio.create_task(report())
                async for message in connection:
                    temperature = int(message.split()[1])
                    await connection.send("ok")
            """,
            "there still runs `report`",
            "cancel",
        ),
        (
            """
            async def thermostat(connection):
                temperature = 20

                async def report():
                    while True:
                        await connection.send(str(temperature))
                        await asyncio.sleep(0.7)

                async with asyncio.TaskGroup() as group:
                    group.create_task(report())
                    async for message in connection:
                        temperature = int(message.split()[1])
                        await connection.send("ok")
            """,
            "came after",
            "every 0.1 s",
        ),
        (
            """
            async def thermostat(connection):
                temperature = 20

                async def report():
                    while True:
                        await connection.send(str(temperature))
                        await asyncio.sleep(0.3)

                async with asyncio.TaskGroup() as group:
                    group.create_task(report())
                    async for message in connection:
                        temperature = int(message.split()[1])
                        await connection.send("ok")
            """,
            "between two readings",
            "every 0.1 s",
        ),
        (
            """
            async def thermostat(connection):
                temperature = 20

                async def report():
                    while True:
                        await connection.send(str(temperature))
                        await asyncio.sleep(0.1)

                async with asyncio.TaskGroup() as group:
                    group.create_task(report())
                    async for message in connection:
                        temperature = 23
                        await connection.send("ok")
            """,
            "after `set 18` and `ok`",
            "`'23'`",
        ),
        (
            """
            async def thermostat(connection):
                temperature = 20

                async def report():
                    while True:
                        await connection.send(str(temperature))
                        await asyncio.sleep(0.1)

                asyncio.create_task(report())
                async for message in connection:
                    temperature = int(message.split()[1])
                    await connection.send("ok")
            """,
            "`report` went on until its next `send` raised",
            "cancel",
        ),
        (
            """
            async def thermostat(connection):
                temperature = 20

                async def report():
                    while True:
                        with suppress(ConnectionClosed):
                            await connection.send(str(temperature))
                        await asyncio.sleep(0.1)

                reporting = asyncio.create_task(report())
                async for message in connection:
                    temperature = int(message.split()[1])
                    await connection.send("ok")
                reporting.cancel()
            """,
            "there still runs `report`",
            "`finally`",
        ),
        (
            """
            async def thermostat(connection):
                temperature = 20

                async def report():
                    while True:
                        await connection.send(temperature)
                        await asyncio.sleep(0.1)

                reporting = asyncio.create_task(report())
                try:
                    async for message in connection:
                        temperature = int(message.split()[1])
                        await connection.send("ok")
                finally:
                    reporting.cancel()
            """,
            "TypeError",
            "of report()",
            "must be a text",
        ),
        (
            """
            async def thermostat(connection):
                temperature = 20

                async def report():
                    while True:
                        await connection.send(temperature)
                        await asyncio.sleep(0.1)

                async with asyncio.TaskGroup() as group:
                    group.create_task(report())
                    async for message in connection:
                        temperature = int(message.split()[1])
                        await connection.send("ok")
            """,
            "TypeError",
            "await connection.send(temperature)",
        ),
        (
            """
            async def thermostat(connection):
                temperature = 20

                async def report():
                    while True:
                        await connection.send(str(temperature))
                        time.sleep(0.1)

                async with asyncio.TaskGroup() as group:
                    group.create_task(report())
                    async for message in connection:
                        temperature = int(message.split()[1])
                        await connection.send("ok")
            """,
            "time.sleep(0.1)",
            "await asyncio.sleep",
        ),
        (
            """
            async def thermostat(connection):
                temperature = 20

                async def report():
                    while True:
                        await connection.send(str(temperature))
                        await asyncio.sleep(0.1)

                async def listen(temperature):
                    async for message in connection:
                        temperature = int(message.split()[1])
                        await connection.send("ok")

                reporting = asyncio.create_task(report())
                try:
                    await listen(temperature)
                finally:
                    reporting.cancel()
            """,
            "after `set 23` and `ok`",
            "`'20'`",
            "`'23'`",
        ),
        (
            """
            async def thermostat(connection):
                temperature = 20

                async def report():
                    while True:
                        await connection.send(f"{temperature} degrees")
                        await asyncio.sleep(0.1)

                reporting = asyncio.create_task(report())
                try:
                    async for message in connection:
                        temperature = int(message.split()[1])
                        await connection.send("ok")
                finally:
                    reporting.cancel()
            """,
            "`'20 degrees'`",
            "a text like `20`",
        ),
        (
            """
            async def thermostat(connection):
                temperature = 20

                async def report():
                    while True:
                        await connection.send(str(temperature))

                reporting = asyncio.create_task(report())
                try:
                    async for message in connection:
                        temperature = int(message.split()[1])
                        await connection.send("ok")
                finally:
                    reporting.cancel()
            """,
            "asyncio.sleep(",
        ),
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
    ]
    wrong: ClassVar = [
        (
            """
            async def collect(url):
                messages = []
                async with connect(url, proxy=None) as connection:
                    try:
                        async for message in connection:
                            messages.append(message)
                    except ConnectionClosed as error:
                        return messages, error.rcvd.code
                return messages, connection.close_code
            """,
            "broke off (1006)",
            "no close frame came",
        ),
        (
            """
            async def collect(url):
                messages = []
                async with connect(url, proxy=None) as connection:
                    try:
                        while True:
                            messages.append(await asyncio.wait_for(connection.recv(), 0.05))
                    except (ConnectionClosed, TimeoutError):
                        return messages, connection.close_code
            """,
            "closed with 1000; you returned `None`",
            "when it is over",
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
        (
            """
            async def collect(url):
                messages = []
                async with connect(url, proxy=None) as connection:
                    try:
                        async for message in connection:
                            messages.append(message)
                    except ConnectionClosedOK:
                        pass
                return messages, connection.close_code
            """,
            "closed with 4000",
            "only 1000, 1001 and 1005",
        ),
        (
            """
            async def collect(url):
                async with connect(url, proxy=None) as connection:
                    return [message async for message in connection]
            """,
            "`['one', '', 'one', ",
            "return two things",
        ),
        (
            """
            async def collect(url):
                async with connect(url, proxy=None) as connection:
                    messages = [message async for message in connection]
                    return messages, 1001
            """,
            "closed with 1000; you returned `1001`",
            "connection.close_code",
        ),
        (
            """
            async def collect(url):
                async with connect(url, proxy=None) as connection:
                    messages = [await connection.recv()]
                return messages, connection.close_code
            """,
            "you returned `['one']`",
            "every message",
        ),
        (
            """
            async def collect(url):
                async with connect(url, proxy=None) as connection:
                    messages = [message async for message in connection]
                    return messages, connection.close_reason
            """,
            "closed with 1000; you returned `''`",
            "when it is over",
        ),
        (
            """
            async def collect(url):
                messages = []
                async with connect(url, proxy=None) as connection:
                    while True:
                        messages.append(await connection.recv())
                return messages, connection.close_code
            """,
            "closed with 1000",
            "ConnectionClosed",
        ),
        (
            """
            async def collect(url):
                async with connect(url, proxy=None) as connection:
                    messages = [message async for message in connection]
                    return connection.close_code, messages
            """,
            "first the messages",
        ),
        (
            """
            async def collect(url):
                async with connect(url, proxy=None) as connection:
                    async for message in connection:
                        messages = message
                    return messages, connection.close_code
            """,
            "you returned `b'",
            "list",
        ),
    ]
