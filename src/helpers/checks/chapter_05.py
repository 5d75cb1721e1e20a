"""The exercises of `05_broadcast_to_a_room`."""

from __future__ import annotations

import asyncio
from typing import Any

from helpers.checks.answer import Answer
from helpers.checks.peers import Peer
from helpers.checks.trial import try_function, try_handler
from helpers.checks.verdict import NotYet, Verdict, shown
from helpers.checks.whose import check

PICTURES = 24
PICTURE = "x" * 2**18
"""So many of these are more than all the buffers on the way to one narrow client hold."""

SAME_ROOM = "each room needs a set of its own: `places.setdefault(connection.request.path, set())`"
TO_ALL = (
    "what is said goes to every connection in the room's set, the speaker's as well; "
    "does the set keep those who came before?"
)
UNCHANGED = "send the text as it came: `broadcast(members, text)`"
WAIT_FOR_NOBODY = (
    "`await connection.send(...)` waits for whoever doesn't read; `broadcast(members, text)` doesn't"
)
FORGET = (
    "take the connection out in a `finally`, and when its room's set is empty, `del places[room]`; "
    "and use the stub's `places`"
)
PUT_IN = (
    "if it is full, `queue.get_nowait()` takes the oldest out; `queue.put_nowait(message)` then, in any case"
)
COUNT = "return how many messages were thrown away, 0 or 1"


@check
def by_room(handler: Any) -> Verdict:
    """Check a handler with rooms, whose names are the paths; the rooms are in the reader's dict `places`."""

    async def scenario(url: str, loop: asyncio.AbstractEventLoop) -> str:
        ann, bob, cem = [await Peer.join(f"{url}/{room}") for room in ("kitchen", "kitchen", "garden")]
        await ann.says("tea is ready")
        for name, peer in (("Ann", ann), ("Bob", bob)):
            await _hears(name, peer, "tea is ready", "Ann said `tea is ready` in the kitchen")
        await cem.says("it rains")
        await _hears("Cem", cem, "it rains", "Cem said `it rains` in the garden")
        dora = await Peer.join(f"{url}/kitchen", narrow=True)
        for number in range(PICTURES):
            await ann.says(f"{number} {PICTURE}")
            for name, peer in (("Ann", ann), ("Bob", bob)):
                when = f"Dora is in the kitchen and reads nothing; Ann sent picture {number}; {name}"
                await _comes(name, peer, f"{number} ", when)
        dora.vanishes()
        await bob.leaves()
        await ann.says("still here?")
        await _hears("Ann", ann, "still here?", "Dora vanished, Bob left, and Ann spoke")
        await ann.leaves()
        await _are_left(handler, ["/garden"], "all have left the kitchen, and Cem is in the garden")
        await cem.leaves()
        await _are_left(handler, [], "all have left")
        return (
            "each room kept to itself, nobody waited for the one who didn't read, and empty rooms were gone"
        )

    return try_handler(handler, scenario)


@check
def offer(function: Any) -> Verdict:
    """Check `def offer(queue, message)`, which puts in the newest, and throws away the oldest if need be."""

    async def scenario(answer: Answer) -> str:
        for size in (3, 1):
            queue: asyncio.Queue[str] = asyncio.Queue(maxsize=size)
            for number in range(1, size + 3):
                await _offered(answer, queue, number)
        return "the newest were there, oldest first, even in a queue of size 1; and you counted what was lost"

    return try_function(function, scenario, arguments="queue, message", coroutine=False)


async def _offered(answer: Answer, queue: asyncio.Queue[str], number: int) -> None:
    size = queue.maxsize
    kept = range(max(1, number - size + 1), number + 1)
    right, lost = [f"message {each}" for each in kept], int(number > size)
    offered = f"a queue of size {size} was offered message {number}"
    try:
        returned = await answer(queue, f"message {number}")
    except NotYet as not_yet:
        if not isinstance(answer.error, asyncio.QueueFull):
            raise
        said = f"{offered}: {not_yet.verdict.said}"
        raise NotYet(said, "the queue was full: make room first", sure=True) from not_yet
    held = list(queue._queue)  # type: ignore[attr-defined]
    if held != right:
        wrong = f"it holds `{held}`, expected `{right}`; you returned {shown(returned)}"
        raise NotYet(f"{offered}: {wrong}", PUT_IN)
    if returned != lost:
        raise NotYet(f"{offered}, and you returned {shown(returned)}; expected `{lost}`", COUNT)


async def _hears(name: str, peer: Peer, text: str, when: str) -> None:
    heard = await peer.hears(f"{when}; {name}", hint=TO_ALL)
    if heard != text:
        hint = UNCHANGED if text in str(heard) else SAME_ROOM
        raise NotYet(f"{when}; {name} heard {shown(heard)}", hint, sure=True)


async def _comes(name: str, peer: Peer, begins: str, when: str) -> None:
    try:
        heard = await peer.hears(when, hint=WAIT_FOR_NOBODY)
    except NotYet as stalled:
        # When the peers vanish, a handler that is stuck raises, which explains nothing.
        stalled.sure = stalled.verdict.hint == WAIT_FOR_NOBODY
        raise
    if not str(heard).startswith(begins):
        raise NotYet(f"{when}: got {shown(heard[:20])}", SAME_ROOM, sure=True)


async def _are_left(handler: Any, rooms: list[str], when: str) -> None:
    """Make sure that only these rooms are left in the reader's `places`, within a second."""
    places = getattr(handler, "__globals__", {}).get("places")
    if not isinstance(places, dict):
        raise NotYet(f"there is no dict `places`, but {shown(places)}", FORGET, sure=True)
    for _ in range(20):
        if sorted(map(str, places)) == rooms:
            return
        await asyncio.sleep(0.05)
    raise NotYet(f"{when}; in `places` there are {shown(sorted(map(str, places)))}", FORGET, sure=True)
