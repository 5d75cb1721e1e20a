"""The exercises of `10_stream_video`."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import struct
from typing import Any

from helpers.checks.answer import Answer
from helpers.checks.chance import a_word
from helpers.checks.patience import in_time
from helpers.checks.peers import Peer
from helpers.checks.trial import try_function, try_handler
from helpers.checks.verdict import NotYet, Verdict, shown
from helpers.checks.watched import Watch
from helpers.checks.whose import check

MAKE_ROOM = "take the old picture out first, if there is one: `slot.full()`, then `get_nowait()`"
PUT_IT = "put the new picture in, whatever was there: `slot.put_nowait(picture)`, and leave it in"
WHICH = "return the picture that you took out, or `None` if there was none"
LAYOUT = "big-endian without padding, integers that are never negative, two bytes skipped, a float of 8 bytes"
REST = "the rest begins after 16 bytes"
PARTS = ("kind", "quality", "number", "time", "rest")
ALL_FIVE = "return a tuple of five: kind, quality, number, time, and the rest of the message as bytes"
TOO_SHORT = "16 bytes are the least: look at `len(message)`, and `raise ValueError`"
A_HEADER = "16 bytes or more are a whole header; `struct.unpack_from` ignores what comes after it"

FIRST_WORD = "after the first message, `send` the number of bytes that you have, as a string"
AFTER_EACH = "after each chunk, `send` how many bytes you have of that file, all connections together"
KEEP_IT = "keep what has come in `files`, under its name: another connection goes on there"
ITS_OWN = "each file has a bytearray of its own, under its name"
WHOLE = (
    "when you have all `size` bytes, compare their `hashlib.sha256(...).hexdigest()` with the announced one"
)
NO_MORE = (
    "no message comes after the last chunk: stop reading once you have all `size` bytes, and send the result"
)
FORGET_IT = "forget a broken file: `del files[name]`, so that the next one begins at 0"


@check
def put_newest(function: Any) -> Verdict:
    """Check `def put_newest(slot, picture)`, which replaces what is in a queue of one."""

    async def scenario(answer: Answer) -> str:
        slot: asyncio.Queue[Any] = asyncio.Queue(1)
        there: Any = None
        for picture in ("picture 1", "picture 2", "picture 3", None, "picture 5", "", b"picture 7", "taken"):
            if picture is None:  # somebody takes it out
                there = slot.get_nowait() and None
                continue
            held = f"held `{there!r}`" if there is not None else "was empty"
            when = f"the slot {held}, and `{picture!r}` came"
            returned = await _without_waiting(answer, slot, picture, when)
            inside = [slot.get_nowait() for _ in range(slot.qsize())]
            if inside != [picture]:
                hint = MAKE_ROOM if there in inside else PUT_IT
                raise NotYet(f"{when}; afterwards the slot held {shown(inside)}", hint, sure=True)
            if returned != there or (there is None) is not (returned is None):
                raise NotYet(
                    f"{when}; you returned {shown(returned)}, expected `{there!r}`", WHICH, sure=True
                )
            slot.put_nowait(picture)
            there = picture
        await _wakes_one_who_waits(answer)
        return "the newest picture was in the slot, and the one that was left out came back"

    return try_function(function, scenario, arguments="slot, picture", coroutine=False)


async def _without_waiting(answer: Answer, slot: asyncio.Queue[Any], picture: Any, when: str) -> Any:
    try:
        return await answer(slot, picture)
    except NotYet as not_yet:
        if isinstance(answer.error, asyncio.QueueFull | asyncio.QueueEmpty):
            said = f"{when}: {not_yet.verdict.said}"
            raise NotYet(said, MAKE_ROOM, sure=True) from not_yet
        raise


async def _wakes_one_who_waits(answer: Answer) -> None:
    """The queue itself must have been used, or `await slot.get()` would sleep on."""
    slot: asyncio.Queue[str] = asyncio.Queue(1)
    getting = answer.loop.submit(slot.get())
    await asyncio.sleep(0.02)
    await answer(slot, "picture")
    try:
        await in_time(asyncio.wrap_future(getting), 0.5)
    except TimeoutError:
        raise NotYet("somebody waited in `await slot.get()`, and wasn't woken", PUT_IT, sure=True) from None


@check
def unpack(function: Any) -> Verdict:
    """Check `def unpack(message)`, which reads a header of 16 bytes."""
    chance = random.Random(10)
    layout = struct.Struct("!BBxxId")

    async def scenario(answer: Answer) -> str:
        for kind, quality, number, at, rest in (
            (1, 0, 17, 1_800_000_000.25, b"the JPEG"),
            (2, 0, 258, 1_800_000_000.5, b""),
            (1, 4, 2**32 - 1, 0.1, bytes(20)),
            (255, 254, 0, -1.5, b" !\n"),
            (1, 3, chance.randrange(2**31, 2**32), chance.uniform(1e9, 2e9), chance.randbytes(5)),
        ):
            right = (kind, quality, number, at, rest)
            message = bytearray(layout.pack(kind, quality, number, at) + rest)
            message[2:4] = chance.randbytes(2)
            returned = await _reads(answer, bytes(message))
            if returned != right:
                raise _misread(bytes(message), right, returned)
        for size in (0, 1, 15):
            await _refuses(answer, bytes(size))
        return "all headers were read, and messages without a whole one were refused"

    return try_function(function, scenario, arguments="message", coroutine=False)


def _misread(message: bytes, right: tuple[Any, ...], returned: Any) -> NotYet:
    """The first part that is wrong, by its name."""
    if not isinstance(returned, tuple) or len(returned) != len(PARTS):
        said = f"`{message!r}` means {shown(right)}; you returned {shown(returned)}"
        return NotYet(said, ALL_FIVE, sure=True)
    part, wanted, got = next(each for each in zip(PARTS, right, returned, strict=True) if each[1] != each[2])
    said = f"a message with {shown(right)}: you returned {shown(got)} as the {part}, expected {shown(wanted)}"
    return NotYet(said, REST if part == PARTS[-1] else LAYOUT, sure=True)


async def _reads(answer: Answer, message: bytes) -> Any:
    try:
        return await answer(message)
    except NotYet as not_yet:
        if isinstance(answer.error, ValueError | struct.error):
            said = f"a message of {len(message)} bytes: {_named(not_yet)}"
            raise NotYet(said, A_HEADER, sure=True) from not_yet
        raise


def _named(not_yet: NotYet) -> str:
    """What was raised, with the module of `struct.error`, which is called `error` in it."""
    return not_yet.verdict.said.replace(" raised error", " raised struct.error")


async def _refuses(answer: Answer, message: bytes) -> None:
    try:
        returned = await answer(message)
    except NotYet as not_yet:
        if not isinstance(answer.error, ValueError):
            said = f"a message of {len(message)} bytes: {_named(not_yet)}"
            raise NotYet(said, TOO_SHORT, sure=True) from not_yet
        answer.error = None
    else:
        said = f"a message of {len(message)} bytes has no whole header, and you returned {shown(returned)}"
        raise NotYet(said, TOO_SHORT, sure=True)


@check
def receive(handler: Any) -> Verdict:
    """Check `async def receive(connection)`, which takes uploads that go on where they stopped."""
    chance = random.Random()

    async def scenario(url: str, watch: Watch) -> str:
        hills, lake = (f"{a_word()}-{chance.randrange(10**6)}" for _ in range(2))
        content = b"\n" + chance.randbytes(18) + b"\n" + chance.randbytes(30)
        ann = await Peer.join(url)
        await _announces(ann, hills, content, 0, "the first upload of a file of 50 bytes")
        await _sends(ann, content[:20], 20, "the first chunk of 20 bytes")
        bob = await Peer.join(url)
        await _announces(
            bob, lake, b"short", 0, "another file, while the first one is being sent", hint=ITS_OWN
        )
        ann.vanishes()
        await _sends(bob, b"short", 5, "all 5 bytes of it")
        await _ends(bob, "whole", "after all 5 bytes of a file, with the right checksum")
        ann = await Peer.join(url)
        await _announces(
            ann, hills, content, 20, "20 of 50 bytes came, and after a cut the file is announced again"
        )
        await _sends(ann, content[20:49], 49, "29 more bytes")
        await _sends(ann, content[49:], 50, "the last byte")
        await _ends(ann, "whole", "after all 50 bytes, with the right checksum")
        again = await Peer.join(url)
        await _announces(again, hills, content, 50, "a file that is whole is announced again")
        await _ends(again, "whole", "after a file that was whole already")
        await _broken(url, f"{hills}-2", content)
        again = await Peer.join(url)
        await _announces(
            again, hills, content, 50, "another file was broken, and one that was whole is announced again"
        )
        empty = await Peer.join(url)
        await _announces(empty, f"{lake}-2", b"", 0, "a file of 0 bytes")
        await _ends(empty, "whole", "after a file of 0 bytes was announced")
        return "files went on where they were cut, stayed apart, and a wrong checksum was noticed"

    return try_handler(handler, scenario)


async def _broken(url: str, name: str, content: bytes) -> None:
    """A file whose bytes are wrong is refused, and begins again."""
    peer = await Peer.join(url)
    await _announces(peer, name, content, 0, "another file", hint=ITS_OWN)
    await _sends(peer, bytes(len(content)), len(content), "as many bytes as announced, all of them 0")
    await _ends(peer, "broken", "after all bytes of a file, and its checksum is wrong")
    peer = await Peer.join(url)
    await _announces(peer, name, content, 0, "a broken file is announced again", hint=FORGET_IT)
    await _sends(peer, content, len(content), "the right bytes of a file that was broken")
    await _ends(peer, "whole", "after the right bytes of a file that was broken")


async def _announces(
    peer: Peer, name: str, content: bytes, have: int, when: str, *, hint: str | None = None
) -> None:
    checksum = hashlib.sha256(content).hexdigest()
    await peer.says(json.dumps({"name": name, "size": len(content), "sha256": checksum}))
    answer = await peer.hears(when, hint=FIRST_WORD)
    if answer != str(have):
        hint = (hint if str(answer).isdigit() else None) or (KEEP_IT if have else FIRST_WORD)
        raise NotYet(f"{when}: you answered {shown(answer)}, expected `{str(have)!r}`", hint, sure=True)


async def _sends(peer: Peer, chunk: bytes, have: int, when: str) -> None:
    await peer.says(chunk)
    answer = await peer.hears(when, hint=AFTER_EACH)
    if answer != str(have):
        raise NotYet(f"{when}: you answered {shown(answer)}, expected `{str(have)!r}`", AFTER_EACH, sure=True)


async def _ends(peer: Peer, wanted: str, when: str) -> None:
    answer = await peer.hears(when, hint=NO_MORE)
    if answer != wanted:
        raise NotYet(f"{when}: you sent {shown(answer)}, expected `{wanted!r}`", WHOLE, sure=True)
