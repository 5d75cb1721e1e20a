"""The exercises of `05_broadcast_to_a_room`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from helpers.checks.answer import Answer
from helpers.checks.chance import a_sentence, a_word, chance
from helpers.checks.peers import Peer
from helpers.checks.trial import try_function, try_handler
from helpers.checks.verdict import NotYet, Verdict, shown
from helpers.checks.watched import Watch
from helpers.checks.whose import check
from helpers.readers_code import variables_of

PICTURES = 24
PICTURE = "x" * 2**18
"""So many of these are more than all the buffers on the way to one narrow client hold."""

SAME_ROOM = "each room needs a set of its own: `places.setdefault(connection.request.path, set())`"
TO_ALL = (
    "what is said goes to every connection in the room's set, the speaker's as well; "
    "does the set keep those who came before?"
)
EMPTY = "an empty string is a message, too: pass it on like any other"
UNCHANGED = "send the text as it came: `broadcast(members, text)`"
WAIT_FOR_NOBODY = (
    "`await connection.send(...)` waits for whoever doesn't read; `broadcast(members, text)` doesn't"
)
ONCE = "send each message once: is a connection in the room twice, or do two lines send?"
STILL_ONE_ROOM = (
    "those who stay and those who come meet in one room: when somebody leaves, only an empty room may go"
)
FORGET = (
    "take the connection out in a `finally`, and when its room's set is empty, `del places[room]`; "
    "and use the stub's `places`"
)
PUT_IN = "when it is full, make room for the new one first: `queue.get_nowait()`"
COUNT = "return how many messages were thrown away, 0 or 1"


@check
def by_room(handler: Any) -> Verdict:
    """Check a handler with rooms, whose names are the paths; the rooms are in the reader's dict `places`."""

    async def scenario(url: str, watch: Watch) -> str:
        ours = [f"/{a_word()}" for _ in range(2)]
        kitchen, garden = ours
        ann, bob, cem = [await Peer.join(url + room) for room in (kitchen, kitchen, garden)]
        for text in ("tea is ready", "", " two\nlines ", a_sentence()):
            await ann.says(text)
            for name, peer in (("Ann", ann), ("Bob", bob)):
                await _hears(name, peer, text, f"Ann said {shown(text)} in `{kitchen}`")
        for text in ("it rains", a_sentence()):
            await cem.says(text)
            await _hears("Cem", cem, text, f"Cem said {shown(text)} in `{garden}`")
        dora = await Peer.join(url + kitchen, narrow=True)
        for number in range(PICTURES):
            await ann.says(f"{number} {PICTURE}")
            for name, peer in (("Ann", ann), ("Bob", bob)):
                when = f"Dora is in the room and reads nothing; Ann sent picture {number}; {name}"
                await _comes(name, peer, f"{number} ", when)
        dora.vanishes()
        await bob.leaves()
        await ann.says("still here?")
        await _hears("Ann", ann, "still here?", "Dora vanished, Bob left, and Ann spoke")
        eve = await Peer.join(url + kitchen)
        for who, speaker, text in (("Ann", ann, a_sentence()), ("Eve", eve, a_sentence())):
            await speaker.says(text)
            for name, peer in (("Ann", ann), ("Eve", eve)):
                when = f"Bob has left, Ann has stayed, Eve has come; {who} said {shown(text)}"
                await _hears(name, peer, text, when, STILL_ONE_ROOM)
        await ann.leaves()
        await eve.leaves()
        await _are_left(handler, ours, [garden], f"all have left `{kitchen}`, and Cem is in `{garden}`")
        await cem.leaves()
        await _are_left(handler, ours, [], "all have left")
        return (
            "each room kept to itself, nobody waited for the one who didn't read, and empty rooms were gone"
        )

    return try_handler(handler, scenario)


@check
def offer(function: Any) -> Verdict:
    """Check `def offer(queue, message)`, which drops the oldest if the queue is full."""

    async def scenario(answer: Answer) -> str:
        for size in (3, 1, chance.randint(4, 9)):
            queue: asyncio.Queue[str] = asyncio.Queue(maxsize=size)
            offered: list[str] = []
            for message in ("message 1", "", "", *(a_word() for _ in range(size))):
                await _offered(answer, queue, offered, message)
            while not queue.empty():  # it is emptied, and then there is room
                queue.get_nowait()
            await _offered(answer, queue, [], "")
        return "the newest were there, oldest first, even in a queue of size 1, and you counted what was lost"

    return try_function(function, scenario, arguments="queue, message", coroutine=False)


async def _offered(answer: Answer, queue: asyncio.Queue[str], before: list[str], message: str) -> None:
    size = queue.maxsize
    right, lost = [*before, message][-size:], int(len(before) >= size)
    before.append(message)
    offered = f"a queue of size {size} was offered {shown(message)}, as number {len(before)}"
    try:
        returned = await answer(queue, message)
    except NotYet as not_yet:
        if not isinstance(answer.error, asyncio.QueueFull | asyncio.QueueEmpty):
            raise
        said = f"{offered}: {not_yet.verdict.said}"
        full = isinstance(answer.error, asyncio.QueueFull)
        hint = (
            "the queue was full: make room first"
            if full
            else "there was nothing to take out, and enough room"
        )
        raise NotYet(said, hint, sure=True) from not_yet
    held = list(queue._queue)  # type: ignore[attr-defined]
    if held != right:
        wrong = f"it holds {shown(held)}, expected {shown(right)}; you returned {shown(returned)}"
        raise NotYet(
            f"{offered}: {wrong}", PUT_IN if lost else "there was room: nothing has to go, put it in"
        )
    if returned != lost:
        raise NotYet(f"{offered}, and you returned {shown(returned)}; expected `{lost}`", COUNT)


async def _hears(name: str, peer: Peer, text: str, when: str, hint: str = TO_ALL) -> None:
    heard = await peer.hears(f"{when}; {name}", hint=hint if text else EMPTY)
    if heard != text:
        if heard == peer.heard_before:
            raise NotYet(f"{name} heard {shown(heard)} twice", ONCE, sure=True)
        if (text.strip() or "\0") in str(heard):
            raise NotYet(f"{when}; {name} heard {shown(heard)}", UNCHANGED, sure=True)
        raise NotYet(
            f"{when}; {name} heard {shown(heard)}, which was said in another room", SAME_ROOM, sure=True
        )


async def _comes(name: str, peer: Peer, begins: str, when: str) -> None:
    try:
        heard = await peer.hears(when, hint=WAIT_FOR_NOBODY)
    except NotYet as stalled:
        # When the peers vanish, a handler that is stuck raises, which explains nothing.
        stalled.sure = stalled.verdict.hint == WAIT_FOR_NOBODY
        raise
    if not str(heard).startswith(begins):
        raise NotYet(f"{when} heard {shown(heard[:20])}", ONCE, sure=True)


async def _are_left(handler: Any, ours: list[str], rooms: list[str], when: str) -> None:
    """Make sure that of our rooms only these are left in the reader's `places`, within a second."""
    places = variables_of(handler).get("places")
    if not isinstance(places, Mapping):
        raise NotYet(f"there is no dict `places`, but {shown(places)}", FORGET, sure=True)
    for _ in range(20):
        left = sorted(room for room in map(str, places) if any(room.strip("/") == our[1:] for our in ours))
        if [f"/{room.strip('/')}" for room in left] == sorted(rooms):
            return
        await asyncio.sleep(0.05)
    raise NotYet(f"{when}; in `places` there are {shown(left)}", FORGET, sure=True)
