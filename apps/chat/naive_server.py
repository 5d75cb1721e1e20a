"""An exhibit, not for use: the chat server of FastAPI's documentation.

    uvicorn apps.chat.naive_server:app

and connect to `ws://127.0.0.1:8000/ws?name=Ann`. What anybody sends, everybody gets as `Ann: text`. What is
wrong with it, all in `broadcast` and in who calls it:

- It waits for each client in turn: one that doesn't read stops the room, forever.
- Meanwhile a client leaves, `disconnect` shortens the list under the loop, and the next one is skipped.
- A peer that is gone ends the loop: those after it miss the message, and the *sender* is taken for the one
  who has left.
- It knows one process: with two workers there are two rooms.
- It lets anybody in, with texts of any length, from pages of any origin.

The structure is that of https://fastapi.tiangolo.com/advanced/websockets/, "Handling disconnections and
multiple clients"; `apps/chat/server.py` is the one to use.
"""

from __future__ import annotations

from fastapi import FastAPI, WebSocket, WebSocketDisconnect


class ConnectionManager:
    """The well-known one: a list, and a loop that waits."""

    def __init__(self) -> None:
        self.active_connections: list[WebSocket] = []

    async def connect(self, websocket: WebSocket) -> None:
        """Accept a connection and add it to the list."""
        await websocket.accept()
        self.active_connections.append(websocket)

    def disconnect(self, websocket: WebSocket) -> None:
        """Remove a connection from the list, whoever is going through it."""
        self.active_connections.remove(websocket)

    async def send_personal_message(self, text: str, websocket: WebSocket) -> None:
        """Send to one client."""
        await websocket.send_text(text)

    async def broadcast(self, text: str) -> None:
        """Send to one client after another."""
        for websocket in self.active_connections:
            await websocket.send_text(text)


manager = ConnectionManager()
app = FastAPI(title="Naive chat")


@app.websocket("/ws")
async def chat(websocket: WebSocket, name: str = "guest") -> None:
    """Send what a client says to everybody, and say when it has left."""
    await manager.connect(websocket)
    try:
        while True:
            text = await websocket.receive_text()
            await manager.broadcast(f"{name}: {text}")
    except WebSocketDisconnect:
        manager.disconnect(websocket)
        await manager.broadcast(f"{name} left")
