"""A chat server for the tests of the clients: the protocol's essentials, and ways to be unkind."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

from shared import wait_until
from websockets.asyncio.server import ServerConnection, broadcast

from helpers import BackgroundServer


class SmallRoom:
    """One room, served in the background; it counts its connections.

    with SmallRoom() as room:
        room.tell({"type": "said", "who": "Zoe", "text": "hi"})
    """

    def __init__(self, **options: Any) -> None:
        self.server = BackgroundServer(self.serve, name="small room", compression=None, **options)
        self.members: dict[str, ServerConnection] = {}
        self.history: list[dict[str, Any]] = []
        self.heard: list[str] = []
        self.came_at: list[float] = []

    def __enter__(self) -> SmallRoom:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()

    @property
    def url(self) -> str:
        return f"{self.server.url}/ws"

    async def greet(self, connection: ServerConnection, name: str) -> None:
        """Overwritten where a test wants another beginning."""
        event = {"name": name, "room": "r", "members": list(self.members), "history": self.history[-50:]}
        await connection.send(json.dumps({"type": "welcome", **event}))

    async def serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        name = parse_qs(urlsplit(connection.request.path).query).get("name", ["guest"])[0]
        self.came_at.append(time.monotonic())
        self._send({"type": "joined", "who": name})
        self.members[name] = connection
        try:
            await self.greet(connection, name)
            async for message in connection:
                self.heard.append(str(message))
                self._obey(name, str(message))
        finally:
            del self.members[name]
            self._send({"type": "left", "who": name})

    def _obey(self, name: str, text: str) -> None:
        if text == "/typing":
            self._send({"type": "typing", "who": name})
        elif text.startswith("/to "):
            _, to, text = text.split(" ", 2)
            event = {"type": "told", "who": name, "to": to, "text": text}
            broadcast({self.members[to], self.members[name]}, json.dumps(event))
        elif text.startswith("/"):
            self._send({"type": "error", "text": "no such command"})
        else:
            self.history.append({"type": "said", "who": name, "text": text})
            self._send(self.history[-1])

    def _send(self, event: Any) -> None:
        broadcast(self.members.values(), event if isinstance(event, str) else json.dumps(event))

    def tell(self, *events: Any) -> None:
        """Send events to everybody, from the test's thread."""

        async def send() -> None:
            for event in events:
                self._send(event)
                await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(send(), self.server.loop).result(20)

    def wait_for(self, *names: str) -> None:
        wait_until(lambda: list(self.members) == list(names), what=f"the room with {names}")
