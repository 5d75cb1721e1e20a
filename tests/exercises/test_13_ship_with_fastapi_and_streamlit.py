"""The exercises of `13_ship_with_fastapi_and_streamlit`: right answers, and what the wrong ones draw."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any, ClassVar

import pytest
from battery import Function, assert_not_yet
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
    arguments = 'token: str = ""'
    given: ClassVar[dict[str, Any]] = GIVEN
    misfits: ClassVar = {
        **{body: words for body, words in Function.misfits.items() if not body.startswith("def")},
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
    ]
    wrong: ClassVar = [
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
        (
            """
            async def ticket_holder(token: str = ""):
                if token not in tickets:
                    raise HTTPException(403, "no such ticket")
                return tickets[token]
            """,
            "HTTPException",
            "WebSocketException(1008",
        ),
        (
            """
            async def ticket_holder(token: str = ""):
                if token not in tickets:
                    raise WebSocketException(4001, "no such ticket")
                return tickets[token]
            """,
            "refused with 4001, not 1008",
        ),
        (
            """
            async def ticket_holder(token: str = ""):
                if token not in tickets:
                    raise WebSocketException(1008)
                return tickets[token]
            """,
            "nobody said why",
        ),
        (
            """
            async def ticket_holder(websocket: WebSocket, token: str = ""):
                if token not in tickets:
                    await websocket.close(1008, "no such ticket")
                return tickets.get(token)
            """,
            "closed too early",
            "raise WebSocketException(1008",
        ),
        (
            """
            async def ticket_holder(websocket: WebSocket, token: str = ""):
                if token not in tickets:
                    await websocket.close(1008, "no such ticket")
                    raise WebSocketException(1008, "no such ticket")
                return tickets[token]
            """,
            "closed too early",
            "raise WebSocketException(1008",
        ),
        (
            """
            async def ticket_holder(websocket: WebSocket, token: str = ""):
                await websocket.accept()
                if token not in tickets:
                    raise WebSocketException(1008, "no such ticket")
                return tickets[token]
            """,
            "accepted too early",
            "the endpoint accepts",
        ),
        (
            """
            async def ticket_holder(token: str = ""):
                if token not in tickets:
                    raise WebSocketException(1008, "no such ticket")
                return token
            """,
            "`'blue'`",
            "expected was `'Ann'`",
        ),
        (
            """
            async def ticket_holder(token: str = ""):
                raise WebSocketException(1008, "no such ticket")
            """,
            "with the token `blue`",
            "a refusal (1008, no such ticket)",
        ),
    ]

    def test_a_close_is_seen_however_late_the_server_goes_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        accept = WebSocket.accept

        async def late(*arguments: Any) -> None:
            await asyncio.sleep(0.3)
            await accept(*arguments)

        monkeypatch.setattr(WebSocket, "accept", late)
        verdict = self.check("""
            async def ticket_holder(websocket: WebSocket, token: str = ""):
                if token not in tickets:
                    await websocket.close(1008, "no such ticket")
                return tickets.get(token)
        """)
        assert_not_yet(verdict, "closed too early", "raise WebSocketException(1008")


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
    ]
    wrong: ClassVar = [
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
            """
            async def tell_all(websockets, text):
                results = await asyncio.gather(
                    *(asyncio.wait_for(websocket.send_text(text), 2) for websocket in websockets),
                    return_exceptions=True,
                )
                return [websocket for websocket, result in zip(websockets, results) if result is not None]
            """,
            "more than half a second for each",
            "with half a second for each",
        ),
        (
            """
            async def tell_all(websockets, text):
                failed = []

                async def tell(websocket):
                    try:
                        await asyncio.wait_for(websocket.send_text(text), 0.5)
                    except (TimeoutError, WebSocketDisconnect):
                        failed.append(websocket)

                await asyncio.gather(*map(tell, websockets))
                return failed
            """,
            'RuntimeError: Cannot call "send" once a close message has been sent.',
            "`RuntimeError` (gone)",
        ),
        (
            """
            async def tell_all(websockets, text):
                await asyncio.gather(*(websocket.send(text) for websocket in websockets))
                return []
            """,
            "has no attribute 'send'",
            "`await websocket.send_text(text)`",
        ),
        (
            """
            async def tell_all(websockets, text):
                failed = []
                for websocket in websockets:
                    try:
                        await asyncio.wait_for(websocket.send_text(text), 0.5)
                    except (TimeoutError, WebSocketDisconnect, RuntimeError):
                        failed.append(websocket)
                return failed
            """,
            "one after the other",
            "`asyncio.gather(*(...))`",
        ),
        (
            """
            async def tell_all(websockets, text):
                async with asyncio.timeout(0.5):
                    await asyncio.gather(*(websocket.send_text(text) for websocket in websockets))
                return []
            """,
            "WebSocketDisconnect",
            "ended it for all",
        ),
        (
            """
            async def tell_all(websockets, text):
                failed = []

                async def tell(websocket):
                    try:
                        await asyncio.wait_for(websocket.send_text(text), 0.5)
                    except (TimeoutError, WebSocketDisconnect, RuntimeError):
                        failed.append(websocket)

                tasks = [asyncio.create_task(tell(websocket)) for websocket in websockets]
                return failed
            """,
            "await all that you have started",
        ),
        (
            """
            async def tell_all(websockets, text):
                for websocket in websockets:
                    websocket.send_text(text)
                return []
            """,
            "nothing came",
            "needs an `await`",
        ),
        (
            """
            async def tell_all(websockets, text):
                failed = []

                async def tell(websocket):
                    try:
                        await asyncio.wait_for(websocket.send_text(text), 0.5)
                    except TimeoutError:
                        failed.append(websocket)
                    except (WebSocketDisconnect, RuntimeError):
                        pass

                await asyncio.gather(*map(tell, websockets))
                return failed
            """,
            "`[<WebSocket of slow>, <WebSocket of slower>, <WebSocket of slowest>]`",
            "<WebSocket of gone>",
        ),
        (
            """
            async def tell_all(websockets, text):
                async def tell(websocket):
                    try:
                        await asyncio.wait_for(websocket.send_text(text), 0.5)
                    except (TimeoutError, WebSocketDisconnect, RuntimeError):
                        return websocket

                return await asyncio.gather(*map(tell, websockets))
            """,
            "`[None, <WebSocket of slow>",
        ),
        (
            """
            async def tell_all(websockets, text):
                async def tell(websocket):
                    try:
                        await asyncio.wait_for(websocket.send_text(text), 0.5)
                    except (TimeoutError, WebSocketDisconnect, RuntimeError):
                        pass

                await asyncio.gather(*map(tell, websockets))
            """,
            "`None`",
            "return the list",
        ),
    ]
