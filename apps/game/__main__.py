"""Serve the game from a terminal: `python -m apps.game --bots 3`, or `--lan` for everybody in the room."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import secrets
import sys

from apps.game.bots import play_all
from apps.game.game import Game
from apps.game.gate import invitation, new_code, own_address
from apps.game.server import GameServer
from apps.game.world import MOST_PLAYERS
from apps.options import between
from apps.signals import stopped_by_signals

LOOPBACK, EVERYWHERE = "127.0.0.1", "0.0.0.0"


async def run(server: GameServer, host: str, port: int, bots: int) -> None:
    """Serve until Ctrl+C or SIGTERM, and print the address."""
    stop = stopped_by_signals()
    async with server.serving(host, port) as url, asyncio.TaskGroup() as tasks:
        bound = int(url.rpartition(":")[2])
        query = f"?code={server.gate.code}" if server.gate.code else ""
        if host == EVERYWHERE:
            print(
                f"Open to your whole network: port {bound} on every address of this machine, until you press "
                f"Ctrl+C. Nobody comes in without the code {server.gate.code}.",
                flush=True,
            )
            url = f"http://{own_address()}:{bound}/{query}"
            with contextlib.suppress(UnicodeEncodeError):  # a terminal without these characters
                coloured = sys.stdout.isatty() and sys.platform != "win32"
                print(invitation(url, coloured=coloured), end="", flush=True)
        print(f"Game at {url}", flush=True)
        playing = play_all(f"ws://{LOOPBACK}:{bound}/{query}", bots)
        running = [tasks.create_task(playing), tasks.create_task(server.ended())]
        await stop.wait()
        for task in running:
            task.cancel()


def main() -> None:
    """Serve on this machine, or with --lan to the network, until Ctrl+C or SIGTERM."""
    parser = argparse.ArgumentParser("python -m apps.game", description="Magpies, a game for 2 to 16.")
    parser.add_argument("--port", type=int, default=8000, help="0 chooses a free one (default: %(default)s)")
    parser.add_argument(
        "--bots", type=between(0, MOST_PLAYERS), default=0, help="how many play along (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31), help="same seed, same coins")
    parser.add_argument(
        "--lan", action="store_true", help="listen on the network too, for whoever has the join code"
    )
    given = parser.parse_args()
    server = GameServer(Game(given.seed), code=new_code() if given.lan else "")
    try:
        asyncio.run(run(server, EVERYWHERE if given.lan else LOOPBACK, given.port, given.bots))
    except (OSError, OverflowError) as error:
        sys.exit(f"can't listen on port {given.port}: {getattr(error, 'strerror', error)}")


if __name__ == "__main__":
    main()
