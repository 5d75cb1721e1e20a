"""Bots to play against. They connect as everybody does, and see what everybody sees.

python -m apps.game.bots ws://127.0.0.1:8000 --count 5
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
from typing import Any

import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from apps.game.messages import View, apply, message, read_state
from apps.game.world import Input

NAMES = ["Pica", "Corvo", "Gazza", "Elster", "Sroka", "Urraca", "Skata", "Karga"]
"""Pica pica is the magpie; most of the others are its name somewhere in Europe."""

THINKS_EVERY = 4
"""Ticks from one decision to the next: about as quick as a person."""

FEAR = 260
"""How near the magpie may come before a bot runs."""


def choose(seen: View, me: str, chance: random.Random) -> Input:
    """What to do next: run, rob, or collect.

    Args:
        seen: the world, as messages tell of it.
        me: the number of the bot's player, as a string.
        chance: for what would otherwise be the same forever.
    """
    own = seen["players"][me]
    others = [player for number, player in seen["players"].items() if number != me]
    magpie = next((player for player in others if player["magpie"]), None)
    if chance.random() < 0.12:  # looks elsewhere, and gets free where a wall is in the way
        return Input(chance.choice((-1, 0, 1)), chance.choice((-1, 0, 1)))
    if own["magpie"]:
        prey = [player for player in others if not player["safe"]]
        return (
            _towards(own, min(prey, key=lambda player: _far(own, player) - 40 * player["coins"]), 200)
            if prey
            else Input(0, 0)
        )
    if magpie and not own["safe"] and _far(own, magpie) < FEAR:
        away = {"x": 2 * own["x"] - magpie["x"], "y": 2 * own["y"] - magpie["y"]}
        return _towards(own, away, FEAR if _far(own, magpie) < FEAR / 2 else 0)
    coins = [{"x": x, "y": y, "worth": worth} for x, y, worth in seen["coins"].values()]
    if not coins:
        return Input(0, 0)
    return _towards(own, min(coins, key=lambda coin: _far(own, coin) / coin["worth"]), 0)


def _far(one: View, other: View) -> float:
    return float(((one["x"] - other["x"]) ** 2 + (one["y"] - other["y"]) ** 2) ** 0.5)


def _towards(own: View, goal: View, dash_within: float) -> Input:
    """A move towards a goal, with a dash if it is within that distance."""
    x, y = goal["x"] - own["x"], goal["y"] - own["y"]
    sideways = (x > 15) - (x < -15)
    up = (y > 15) - (y < -15)
    return Input(sideways, up, 0 < _far(own, goal) < dash_within)


async def play(url: str, name: str, *, seed: int = 1) -> None:
    """Play until the connection is closed.

    Args:
        url: the server's, `ws://…`, with the join code if it wants one.
        name: the bot's.
        seed: of its moods.
    """
    chance, number = random.Random(seed), 0
    wanted, me = Input(0, 0), ""
    seen: View = {}
    with contextlib.suppress(ConnectionClosed):
        async with connect(url, proxy=None, compression=None) as connection:
            await connection.send(message("join", name=name), text=True)
            async for text in connection:
                state: Any = read_state(text)
                if state["type"] == "welcome":
                    me, number = str(state["you"]), state["ack"]
                elif state["type"] in ("snapshot", "changes"):
                    if state["type"] == "snapshot":
                        seen = {"players": {}, "coins": {}}
                    apply(seen, state)
                    if number % THINKS_EVERY == 0:
                        wanted = choose(seen, me, chance)
                    number += 1
                    move = {"type": "input", "number": number, **wanted._asdict()}
                    await connection.send(msgspec.json.encode(move), text=True)


async def play_all(url: str, count: int) -> None:
    """Let several bots play, until the server closes them."""
    names = [
        NAMES[at % len(NAMES)] + (f" {at // len(NAMES) + 1}" if at >= len(NAMES) else "")
        for at in range(count)
    ]
    await asyncio.gather(*(play(url, name, seed=seed) for seed, name in enumerate(names)))


def main() -> None:
    """Let bots play on a server that runs already."""
    parser = argparse.ArgumentParser("python -m apps.game.bots", description="Bots for a game of Magpies.")
    parser.add_argument("url", help="the server's, such as ws://127.0.0.1:8000")
    parser.add_argument("--count", type=int, default=3, help="how many (default: %(default)s)")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(play_all(given.url.replace("http", "ws", 1), given.count))


if __name__ == "__main__":
    main()
