"""The exercises of `04_talk_both_ways`."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from statistics import median
from typing import Any

from websockets.asyncio.server import ServerConnection

from helpers.checks.answer import Answer
from helpers.checks.chance import a_sentence, a_word, chance
from helpers.checks.peers import Peer, serving
from helpers.checks.trial import try_function, try_handler
from helpers.checks.verdict import NotYet, Verdict, shown
from helpers.checks.watched import Watch
from helpers.checks.whose import check

UNASKED = "readings must come unprompted: send them from a separate task, next to the loop that reads"
TOO_SELDOM = "send one every 0.1 s: `await asyncio.sleep(0.1)`"
NOT_SHARED = (
    "whatever belongs to one connection, including its task, must not be overwritten or ended by another"
)
OF_ITS_OWN = "keep the temperature in a variable of this one connection, and send it as a string like `20`"
SET_FIRST = (
    "set the temperature before you answer `ok`, in the variable that the sending task reads, "
    "and send it as a string like `20`"
)
CANCEL_IT = (
    "cancel the task in a `finally`: when the connection is cut, the loop that reads raises, "
    "and the lines after it are skipped"
)
READ_FIRST = (
    "a connection holds 16 unread messages, and then waits for you to read on: "
    "whoever waits for the close before reading may wait in vain, and lose messages"
)
CATCH_IT = (
    "only 1000, 1001 and 1005 end `async for` quietly; every other code makes it raise, "
    "and `recv()` raises on all of them: "
    "catch `ConnectionClosed`, of which `ConnectionClosedOK` and `ConnectionClosedError` are the two kinds"
)


@check
def thermostat(handler: Any) -> Verdict:
    """Check a handler that sends the temperature every 0.1 s, unprompted, and obeys `set N` meanwhile."""

    async def scenario(url: str, watch: Watch) -> str:
        ann = await Peer.join(url)
        for heard in range(1, 11):  # more than four only where the machine is busy, or the pauses are long
            _is(await ann.hears("while Ann said nothing", hint=UNASKED), "20", "Ann has said nothing yet")
            pauses = [late - early for early, late in pairwise(watch.sent[:10])] or [0.1]
            if heard > 3 and not 0.14 < min(pauses) < 0.25:
                break
        if min(pauses) > 0.14:
            raise NotYet(
                f"between two readings there were {min(pauses):.2f} s or more", TOO_SELDOM, sure=True
            )
        if median(pauses) < 0.07:
            often = f"{len(pauses) + 1} readings were sent within {sum(pauses):.2f} s"
            raise NotYet(often, "wait with `await asyncio.sleep(0.1)` between two", sure=True)
        await _obeys(ann, "23")
        bob = await Peer.join(url)
        for _ in range(2):
            _is(await bob.hears("while Bob said nothing", hint=UNASKED), "20", "Ann has set 23, not Bob")
        for _ in range(2):
            _is(await ann.hears("after Bob had come", hint=UNASKED), "23", "Ann has set 23, and Bob has come")
        for low, high in ((2, 9), (100, 120)):
            await _obeys(ann, str(chance.randint(low, high)))
        await ann.leaves()
        await _obeys(bob, str(chance.randint(24, 29)), "Ann has left, and ", NOT_SHARED)
        bob.vanishes()
        await watch.all_have_ended("Ann has left, and Bob's connection was cut", CANCEL_IT)
        return "readings came unprompted, `set` was obeyed at once, and each peer had its own temperature"

    return try_handler(handler, scenario)


async def _obeys(peer: Peer, wanted: str, before: str = "", hint: str = UNASKED) -> None:
    await peer.says(f"set {wanted}")
    when = f"{before}after `set {wanted}`"
    for _ in range(30):  # some readings may have been on their way
        if await peer.hears(when, hint=hint) == "ok":
            break
    else:
        raise NotYet(
            f"{when}, 30 messages came and none was `ok`",
            'in the loop that reads: `await connection.send("ok")`',
        )
    for _ in range(2):
        _is(await peer.hears(f"{when} and `ok`", hint=hint), wanted, f"{when} and `ok`", SET_FIRST)


@check
def collect(function: Any) -> Verdict:
    """Check a client, `async def collect(url)`, that returns all messages and the close code."""

    async def scenario(answer: Answer) -> str:
        conversations: list[tuple[int, str, list[str | bytes], float]] = [
            (1000, "", ["one", "", "one", b"\x00\xff"], 0.2),
            (4000, "enough", ["only this"], 0.05),
            (1011, "", [], 0.05),
            (1006, "", ["cut off"], 0.05),
            (1000, "", [a_word() for _ in range(40)], 0.05),  # more than a connection holds unread
            (chance.randint(3000, 4999), a_word(), [a_sentence(), chance.randbytes(4)], 0.6),
        ]
        for code, reason, messages, silence in conversations:
            returned = await _collected(answer, code, reason, messages, silence)
            if not (isinstance(returned, tuple | list) and len(returned) == 2):
                raise NotYet(
                    f"`collect` returned {shown(returned)}",
                    "return two things: `messages, connection.close_code`",
                )
            if isinstance(returned[1], list):
                raise NotYet(
                    f"`collect` returned {shown(returned)}",
                    "return the messages first, then the code: `messages, connection.close_code`",
                )
            if returned[0] != messages:
                raise NotYet(
                    f"the server sent {shown(messages)}, and {_ended(code)}; "
                    f"you returned {shown(returned[0])}{_how_many(returned[0], messages)}",
                    "append every message to a list, until no more come",
                )
            if returned[1] != code:
                raise NotYet(
                    f"{_ended(code)}; you returned {shown(returned[1])}",
                    "afterwards, `connection.close_code` has it",
                )
        return (
            "you had every message and the close code, even after an error (1011) and a cut connection (1006)"
        )

    return try_function(function, scenario, arguments="url")


def _how_many(returned: Any, messages: list[str | bytes]) -> str:
    if isinstance(returned, list) and len(returned) != len(messages):
        return f", {len(returned)} of {len(messages)}"
    return ""


def _ended(code: int) -> str:
    return "the connection broke off (1006)" if code == 1006 else f"the server closed with {code}"


async def _collected(
    answer: Answer, code: int, reason: str, messages: list[str | bytes], silence: float
) -> Any:
    async def speaker(connection: ServerConnection) -> None:
        for message in messages:
            await connection.send(message)
        await asyncio.sleep(silence)  # which is not yet the end
        if code == 1006:
            connection.transport.abort()  # without a close frame
        else:
            await connection.close(code, reason)

    async with serving(speaker) as url:
        try:
            returned = await answer(url)
        except NotYet as not_yet:
            said = not_yet.verdict.said
            if not not_yet.sure and len(messages) > 16:
                raise NotYet(f"the server sent {len(messages)} messages, and {said}", READ_FIRST) from not_yet
            if not not_yet.sure:
                raise
            hint = not_yet.verdict.hint
            if "raised ConnectionClosed" in said:
                hint = CATCH_IT
            elif code == 1006:
                hint = "no close frame came, so nobody sent a code: `connection.close_code` says 1006 then"
            raise NotYet(f"{_ended(code)}; {said}", hint, sure=True) from not_yet
        await answer.watch.all_have_ended("`collect` has returned")
        return returned


def _is(came: str | bytes, wanted: str, when: str, hint: str = OF_ITS_OWN) -> None:
    if came != wanted:
        raise NotYet(
            f"{when}: got {shown(came)}, expected the reading `{wanted!r}`",
            hint,
        )
