"""The exercises of `13_ship_with_fastapi_and_streamlit`: right answers, and what the wrong ones draw."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any, ClassVar

from battery import NO_FUNCTION, Function
from changes import but
from fastapi import HTTPException, Query, WebSocket, WebSocketDisconnect, WebSocketException

GIVEN = {
    "asyncio": asyncio,
    "time": time,
    "Annotated": Annotated,
    "Query": Query,
    "HTTPException": HTTPException,
    "WebSocket": WebSocket,
    "WebSocketDisconnect": WebSocketDisconnect,
    "WebSocketException": WebSocketException,
    "tickets": {"blue": "Ann", "red": "Bob"},
}


class TestTicketHolder(Function):
    name = "ticket_holder"
    thorough = True  # FastAPI calls it, so it is of a kind of its own
    arguments = 'token: str = ""'
    given: ClassVar[dict[str, Any]] = GIVEN
    misfits: ClassVar = {
        **NO_FUNCTION,
        "async def ANSWER():\n    return 1": ("with the token `blue`: got `1`", "call it `token`"),
        "async def ANSWER(a, b):\n    return 1": ("a refusal (1008", "call it `token`"),
        "async def ANSWER(*any):\n    yield 1": ("coroutine function", "yield"),
        "def ANSWER(*any):\n    yield 1": ("coroutine function", "yield"),
    }
    right: ClassVar = [
        """
        async def ticket_holder(token: Annotated[str | None, Query(max_length=20)] = None):
            try:
                return tickets[token]
            except KeyError:
                raise WebSocketException(code=1008, reason="no such ticket") from None
        """,
        """
        async def ticket_holder(token: str):
            if token in tickets:
                return tickets.get(token)
            raise WebSocketException(1008, f"{token!r} is not a ticket")
        """,
        """
        async def ticket_holder(websocket: WebSocket, token: str = ""):
            if token not in tickets:
                raise WebSocketException(1008, f"not a ticket, {websocket.client.host}")
            return tickets[token]
        """,
        """
        def ticket_holder(token: str = ""):  # FastAPI takes both kinds of functions
            if token not in tickets:
                raise WebSocketException(1008, "this ticket is not valid")
            return tickets[token]
        """,
        """
        class Door:
            def __init__(self, tickets):
                self.tickets = tickets

            async def __call__(self, token: str = ""):
                if token in self.tickets:
                    return self.tickets[token]
                raise WebSocketException(1008, "not a ticket")

        ticket_holder = Door(tickets)
        """,
        """
        async def ticket_holder(*, token: str | None = None):
            match token:
                case "blue": return "Ann"
                case "red": return "Bob"
                case _: ...
            raise WebSocketException(1008, "not a ticket")
        """,
        """
        async def ticket_holder(websocket: WebSocket):
            who = tickets.get(websocket.query_params.get("token"))
            if who is None:
                raise WebSocketException(1008, "not a ticket")
            return who
        """,
        """
        async def ticket_holder(ticket: Annotated[str, Query(alias="token")] = ""):
            if ticket not in tickets:
                raise WebSocketException(1008, "not a ticket")
            return tickets[ticket]
        """,
    ]
    wrong: ClassVar = [
        (
            but(
                "token not in tickets",
                "token.strip() not in tickets",
                "tickets[token]",
                "tickets[token.strip()]",
            ),
            "with a space",
        ),
        (
            """
            async def ticket_holder(token: str = ""):
                return tickets.get(token)
            """,
            "the token `green`",
            "`None`",
            "nobody was refused",
            "WebSocketException(1008",
        ),
        (
            """
            async def ticket_holder(token: str = ""):
                return tickets[token]
            """,
            "KeyError",
            "return tickets[token]",
            "WebSocketException(1008",
        ),
        (but("WebSocketException(1008, ", "HTTPException(403, "), "HTTPException", "WebSocketException(1008"),
        (but("1008", "4001"), "refused with `4001`, not `1008`"),
        (but(', "this ticket is not valid"', ""), "nobody said why"),
        (
            but(
                "token: str",
                "websocket: WebSocket, token: str",
                'raise WebSocketException(1008, "this ticket is not valid")',
                'await websocket.close(1008, "no such ticket")',
                "tickets[token]",
                "tickets.get(token)",
            ),
            "closed too early",
            "raise WebSocketException(1008",
        ),
        (
            but(
                "token: str",
                "websocket: WebSocket, token: str",
                "        raise",
                '        await websocket.close(1008, "no such ticket")\n        raise',
            ),
            "closed too early",
            "raise WebSocketException(1008",
        ),
        (
            but(
                "token: str",
                "websocket: WebSocket, token: str",
                "    if token",
                "    await websocket.accept()\n    if token",
            ),
            "accepted too early",
            "the endpoint accepts",
        ),
        (but("return tickets[token]", "return token"), "`'blue'`", "expected `'Ann'`"),
        (
            but("    if token not in tickets:\n        raise", "    raise"),
            "with the token `blue`",
            "a refusal (1008, this ticket is not valid)",
        ),
        (
            but(
                "token: str",
                "ticket: str",
                "token not in",
                "ticket not in",
                "tickets[token]",
                "tickets[ticket]",
            ),
            "with the token `blue`",
            "FastAPI fills a parameter by its name",
        ),
        (
            but(
                "if token not in tickets",
                "if token.lower() not in tickets",
                "tickets[token]",
                "tickets[token.lower()]",
            ),
            "the token `BLUE`",
            "nobody was refused",
        ),
        (but("return tickets[token]", "return tickets.pop(token)"), "with the token `blue`", "a refusal"),
        (
            but(
                "if token not in tickets",
                "if token and token not in tickets",
                "tickets[token]",
                "tickets.get(token)",
            ),
            "empty token",
            "nobody was refused",
        ),
        (but("raise WebSocketException", "return WebSocketException"), "nobody was refused"),
    ]


class TestTellAll(Function):
    name = "tell_all"
    arguments = "websockets, text"
    given: ClassVar[dict[str, Any]] = GIVEN
    right: ClassVar = [
        """
        async def tell_all(websockets, text):
            sending = {asyncio.create_task(websocket.send_text(text)): websocket for websocket in websockets}
            done, late = await asyncio.wait(sending, timeout=0.5)
            for task in late:
                task.cancel()
            return [sending[task] for task in [*late, *(task for task in done if task.exception())]]
        """,
        """
        async def tell_all(websockets, text):
            results = await asyncio.gather(
                *(asyncio.wait_for(websocket.send_text(text), 0.5) for websocket in websockets),
                return_exceptions=True,
            )
            return {websocket for websocket, result in zip(websockets, results) if result is not None}
        """,
        """
        async def tell_all(websockets, text):
            async def tell(websocket):
                try:
                    await asyncio.wait_for(websocket.send_text(text), 0.5)
                    return True
                except Exception:
                    return False

            told = await asyncio.gather(*map(tell, websockets))
            return [websocket for websocket, ok in zip(websockets, told) if not ok]
        """,
        """
        async def tell_all(websockets, text):
            failed = []

            async def tell(websocket):
                try:
                    async with asyncio.timeout(0.5):
                        await websocket.send_text(text)
                except (TimeoutError, WebSocketDisconnect, RuntimeError):
                    failed.append(websocket)

            async with asyncio.TaskGroup() as group:
                for websocket in websockets:
                    group.create_task(tell(websocket))
            return failed
        """,
        """
        class TellAll:
            async def tell(self, websocket, text):
                async with asyncio.timeout(0.5):
                    await websocket.send_text(text)

            async def __call__(self, websockets, text):
                tasks = [asyncio.ensure_future(self.tell(websocket, text)) for websocket in websockets]
                await asyncio.wait(tasks)
                return tuple(websocket for websocket, task in zip(websockets, tasks) if task.exception())

        tell_all = TellAll()
        """,
        """
        import time

        standing_still = [0.4]  # seconds of a machine in trouble, once

        async def tell_all(websockets, text):
            async def tell(websocket):
                async with asyncio.timeout(0.5):
                    await websocket.send_text(text)

            if standing_still:
                asyncio.get_running_loop().call_later(0.2, time.sleep, standing_still.pop())
            told = await asyncio.gather(*map(tell, websockets), return_exceptions=True)
            return [websocket for websocket, error in zip(websockets, told) if error]
        """,
    ]
    wrong: ClassVar = [
        (
            """
            async def tell_all(websockets, text):
                async def tell(websocket):
                    await asyncio.wait_for(websocket.send_text(text), 0.5)

                results = await asyncio.gather(*map(tell, websockets), return_exceptions=True)
                return [each for each, result in zip(websockets, results) if result is None]
            """,
            "`tell_all` returned",
        ),
        (
            """
            async def tell_all(websockets, text):
                for websocket in websockets:
                    await websocket.send_text(text)
                return []
            """,
            "did not return within",
            "wait half a second for each",
        ),
        (
            but("timeout(0.5)", "timeout(2)"),
            "`too_late` takes 0.8 s: give each half a second",
        ),
        (
            but(", RuntimeError", ""),
            'RuntimeError: Cannot call "send" once a close message has been sent.',
            "`RuntimeError` (gone)",
        ),
        (but("send_text", "send"), "has no attribute 'send'", "`await websocket.send_text(text)`"),
        (
            but(
                "await asyncio.gather(*(tell(websocket) for websocket in websockets))",
                "for websocket in websockets:\n        await tell(websocket)",
            ),
            "one after another",
            "`asyncio.gather(*(...))`",
        ),
        (
            """
            async def tell_all(websockets, text):
                async with asyncio.timeout(0.5):
                    await asyncio.gather(*(websocket.send_text(text) for websocket in websockets))
                return []
            """,
            "RuntimeError",
            "catch what goes wrong for each by itself",
        ),
        (
            but(
                "await asyncio.gather(*(tell(websocket) for websocket in websockets))",
                "tasks = [asyncio.create_task(tell(websocket)) for websocket in websockets]",
            ),
            "await every task you start",
        ),
        (but("await websocket.send_text", "websocket.send_text"), "nothing came", "needs an `await`"),
        (
            but(
                "(TimeoutError, WebSocketDisconnect, RuntimeError):\n            failed.append(websocket)",
                "TimeoutError:\n"
                "            failed.append(websocket)\n"
                "        except (WebSocketDisconnect, RuntimeError):\n"
                "            pass",
            ),
            "`[<WebSocket of slow>, <WebSocket of slower>, <WebSocket of too_late>]`",
            "<WebSocket of gone>",
        ),
        (
            but(
                "failed.append(websocket)",
                "return websocket",
                "await asyncio.gather",
                "return await asyncio.gather",
            ),
            "`[None, <WebSocket of slow>",
        ),
        (but("    return failed\n", ""), "`None`", "return the list"),
        (but("timeout(0.5)", "timeout(0.05)"), "<WebSocket of late>", "0.3 s is within its half second"),
        (
            but(
                "    failed = []\n",
                "    failed, two = [], asyncio.Semaphore(2)\n",
                "        try:\n            async with asyncio.timeout(0.5)",
                "        try:\n            async with two, asyncio.timeout(0.5)",
            ),
            "not at the same time",
            "to all at the same time",
        ),
        (but("timeout(0.5)", "timeout(1)"), "`too_late` takes 0.8 s"),
        (
            """
            async def tell_all(websockets, text):
                sending = {asyncio.create_task(each.send_text(text)): each for each in websockets}
                done, late = await asyncio.wait(sending, timeout=0.5)
                return [sending[task] for task in [*late, *(task for task in done if task.exception())]]
            """,
            "`tell_all` has returned, and `send_text` is still running",
            "cancel that task",
        ),
        (
            but(
                "await websocket.send_text(text)",
                "await websocket.send_text(text)\n                await websocket.send_text(text)",
            ),
            "was sent the text 2 times",
            "once to each",
        ),
        (
            but("    failed = []\n\n", "", "async def tell_all", "failed = []\n\n\nasync def tell_all"),
            "a second time, nobody failed",
            "an empty list of its own",
        ),
        (
            but(
                "RuntimeError):\n            failed.append(websocket)",
                "RuntimeError) as error:\n            failed.append(error)",
            ),
            "put the websockets into the list",
        ),
        (
            but(
                "    await asyncio.gather(*(tell(websocket) for websocket in websockets))",
                "    async with asyncio.timeout(0.5):\n"
                "        await asyncio.gather(*(tell(websocket) for websocket in websockets))",
                "            async with asyncio.timeout(0.5):\n"
                "                await websocket.send_text(text)",
                "            await websocket.send_text(text)",
            ),
            "TimeoutError",
            "stopped the sending for everybody",
        ),
        (but("send_text(text)", "send_text(text.upper())"), "heard `'TEA IS READY'`"),
        (
            but(
                "            failed.append(websocket)",
                "            failed.append(websocket)\n        else:\n            failed.append(websocket)",
            ),
            "expected `[",
        ),
    ]
