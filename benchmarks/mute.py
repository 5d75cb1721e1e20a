"""One client never reads: how long the healthy ones hear nothing, and what it costs the server."""

from __future__ import annotations

import asyncio
import contextlib

from websockets.asyncio.server import ServerConnection

from benchmarks.room import NAIVE_APP, OUR_APP, uvicorn
from benchmarks.tagged_cells import the_room
from helpers import one_never_reads
from helpers.experiments.never_reads import NeverReads
from helpers.experiments.servers import Served

SECONDS = 5

members: list[ServerConnection] = []


async def one_by_one(connection: ServerConnection) -> None:
    """The article's loop, on `websockets`."""
    members.append(connection)
    try:
        async for message in connection:
            for member in members:
                await member.send(message)
    finally:
        members.remove(connection)


def watch(rounds: int, room: Served, seconds: float = SECONDS) -> dict[str, list[NeverReads]]:
    """What was seen of each server, one a round, each round in new processes."""
    seen: dict[str, list[NeverReads]] = {}
    for _ in range(rounds):
        with contextlib.ExitStack() as stack:
            served: dict[str, Served] = {
                "our room": room,
                OUR_APP: stack.enter_context(uvicorn("apps.chat.server:app")),
                "a loop of await send": one_by_one,
                NAIVE_APP: stack.enter_context(uvicorn("apps.chat.naive_server:app")),
            }
            for name, server in served.items():
                seen.setdefault(name, []).append(asyncio.run(one_never_reads(server, seconds=seconds)))
    return seen


def run(rounds: int) -> list[str]:
    """A line for each: the worst of all rounds."""
    return [line(name, seen) for name, seen in watch(rounds, the_room()).items()]


def line(name: str, seen: list[NeverReads]) -> str:
    """The worst of what was seen of one server."""
    ours = name in ("our room", OUR_APP)
    silence = max(each.silence for each in seen)
    grown = max(each.grown or 0 for each in seen) / 2**20
    cut = [each.cut_after for each in seen if each.cut_after is not None]
    when = f"cut after {max(cut):.1f} s" if len(cut) == len(seen) else f"cut {len(cut)} times of {len(seen)}"
    return (
        f"one of 4 clients never reads, {name}, watched {len(seen)} × {seen[0].watched:.1f} s: "
        f"longest silence {silence:.2f} s{' (≤ 1)' if ours else ''}, "
        f"server + {grown:.1f} MiB{' (≤ 4)' if ours else ''}, {when}"
    )
