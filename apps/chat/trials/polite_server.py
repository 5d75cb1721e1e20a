"""A server that ends politely. Start it from the folder above `apps`, and end it with Ctrl-C or `kill`:

    python -m apps.chat.trials.polite_server

Each message is a number of seconds; the answer comes that much later.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sys

from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

PATIENCE = 1.0
"""In seconds: how long work in hand may take when the server ends."""
SPREAD = 10.0
"""In seconds: over how long the clients are told to come back."""

in_hand: set[asyncio.Task[None]] = set()


async def work(connection: ServerConnection, seconds: float) -> None:
    """Do what takes its time, and answer."""
    await asyncio.sleep(seconds)
    await connection.send(f"done after {seconds} s")


async def handler(connection: ServerConnection) -> None:
    """Begin what is asked for."""
    with contextlib.suppress(ConnectionClosed):
        async for message in connection:
            task = asyncio.create_task(work(connection, float(message)))
            in_hand.add(task)
            task.add_done_callback(in_hand.discard)


async def go_down(server: Server) -> None:
    """Let nobody new in, say when to come back, finish what is in hand, and cut the rest short."""
    server.close(close_connections=False)
    for connection in server.connections:
        bye = {"type": "bye", "after": round(random.uniform(0, SPREAD), 1)}
        broadcast({connection}, json.dumps(bye))  # which never waits for a client
    if in_hand:
        await asyncio.wait(in_hand, timeout=PATIENCE)
    await asyncio.gather(*(connection.close(1012, "restart") for connection in server.connections))
    await server.wait_closed()


async def main(port: int) -> None:
    """Serve until a signal comes."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)  # not on Windows
    async with serve(handler, "127.0.0.1", port, close_timeout=0.5) as server:
        print(f"process {os.getpid()} listens", flush=True)
        await stop.wait()
        await go_down(server)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8765))
