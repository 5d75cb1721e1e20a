"""The exercises of `14_scale_out`."""

from __future__ import annotations

import random
from typing import Any

from helpers.checks.answer import Answer
from helpers.checks.trial import try_function
from helpers.checks.verdict import NotYet, Verdict, shown
from helpers.checks.whose import check

SPLIT_ONCE = "split off the sender at the first space only: the text may have spaces of its own"
WHOLE_NAME = "compare the sender's whole name: `w1` and `w10` are two processes"
THE_TEXT = "return the text of another process's entry: all that comes after its name and the first space"
LINES = "a message may have several lines: all of them belong to it"
NONE_FOR_OWN = "return `None` for what this process has published itself"
EMPTY_IS_TEXT = "an empty string was said, too: only what this process has published itself is `None`"
NAMES = "return the list of the names"
EXPIRED = "anyone whose last sign is more than `deadline` seconds old isn't present any more"
IN_TIME = "anyone whose last sign is at most `deadline` seconds old is present"
AT_THE_LIMIT = "somebody last seen exactly `deadline` seconds ago is still present"
FORGET = "delete those who have expired from `seen`, or it grows with everybody who ever came"
IN_ORDER = "keep the order of `seen`"
ROUND_UP = "the users left over need a machine, too: round up"
SPARE = "`spare` machines may fail: the others must have room for all users"


@check
def deliver(function: Any) -> Verdict:
    """Check `def deliver(entry, me)`, which returns the text of an entry of another process, or None."""
    chance = random.Random(14)
    cases = [
        ("w2 hello", "w1", "hello", THE_TEXT),
        ("w1 hello", "w1", None, NONE_FOR_OWN),
        ("w2 how are you?", "w1", "how are you?", SPLIT_ONCE),
        ("w10 hi", "w1", "hi", WHOLE_NAME),
        ("w1 hi", "w10", "hi", WHOLE_NAME),
        ("w2 w1 is slow", "w1", "w1 is slow", SPLIT_ONCE),
        ("w2 ", "w1", "", EMPTY_IS_TEXT),
        ("w1 ", "w1", None, NONE_FOR_OWN),
        ("pod-7 hi", "w1", "hi", THE_TEXT),
        ("w2 two\nlines", "w1", "two\nlines", LINES),
        ("w2  indented ", "w1", " indented ", "leave the text as it is, with the spaces at its ends"),
    ]
    number = chance.randrange(100, 999)
    cases.append((f"w{number} number {number}", "w1", f"number {number}", SPLIT_ONCE))

    async def scenario(answer: Answer) -> str:
        for entry, me, wanted, hint in cases:
            try:
                returned = await answer(entry, me)
            except NotYet as not_yet:
                if answer.error is None:
                    raise
                said = f"`deliver({entry!r}, {me!r})`: {not_yet.verdict.said}"
                raise NotYet(said, hint, sure=True) from not_yet
            if returned != wanted or type(returned) is not type(wanted):
                said = f"`deliver({entry!r}, {me!r})` returned {shown(returned)}, expected `{wanted!r}`"
                raise NotYet(said, hint)
        return "other processes' texts came through whole, and no echo did"

    return try_function(function, scenario, arguments="entry, me", coroutine=False)


@check
def present(function: Any) -> Verdict:
    """Check `def present(seen, now, deadline)`, which lists who is there and forgets the others."""
    chance = random.Random(15)
    later = float(chance.randrange(50, 90))

    async def scenario(answer: Answer) -> str:
        for seen, now, deadline in (
            ({"Ann": 10.0, "Bob": 3.0, "Eve": 9.0}, 12.0, 5.0),
            ({"Zoe": 10.0, "Ann": 11.0}, 12.0, 5.0),
            ({"Ann": 7.0}, 12.0, 5.0),
            ({}, 12.0, 5.0),
            ({"Ann": 0.0}, 3.0, 5.0),
            ({"Ann": 1.0, "Bob": 2.0}, later, 30.0),
            ({"Ann": 0.0, "Bob": 14.0}, 24.0, 20.0),
        ):
            given, wanted = dict(seen), [who for who, at in seen.items() if now - at <= deadline]
            returned = await answer(seen, now, deadline)
            call = f"`present({given}, {now}, {deadline})`"
            if not isinstance(returned, list) or returned != wanted:
                lacking = (
                    [] if not isinstance(returned, list) else [who for who in wanted if who not in returned]
                )
                limit = lacking and all(now - given[who] == deadline for who in lacking)
                hint = AT_THE_LIMIT if limit else IN_TIME if lacking else IN_ORDER
                if not isinstance(returned, list) or any(who not in given for who in returned):
                    hint = NAMES
                elif any(who not in wanted for who in returned):
                    hint = EXPIRED
                raise NotYet(f"{call} returned {shown(returned)}, expected `{wanted}`", hint, sure=True)
            if seen != {who: given[who] for who in wanted}:
                raise NotYet(f"after {call}, `seen` is `{seen}`", FORGET, sure=True)
        return "those who gave a sign in time are present, and the others are forgotten"

    return try_function(function, scenario, arguments="seen, now, deadline", coroutine=False)


@check
def machines(function: Any) -> Verdict:
    """Check `def machines(users, each, spare)`, how many machines so many users need."""
    chance = random.Random(16)
    users, each = chance.randrange(10_000, 99_999), chance.randrange(1_000, 9_999)

    async def scenario(answer: Answer) -> str:
        for case, hint in (
            ((10_000, 1_000, 0), "divide the users by what each machine takes; here they fit exactly"),
            ((10_001, 1_000, 0), ROUND_UP),
            ((999, 1_000, 0), ROUND_UP),
            ((1_000_001, 1_000_000, 0), ROUND_UP),
            ((10_000, 1_000, 1), SPARE),
            ((1_000_000, 30_000, 2), SPARE),
            ((0, 1_000, 1), "without users only the spare machines are left"),
            ((users, each, 3), SPARE),
        ):
            wanted = -(-case[0] // case[1]) + case[2]
            returned = await answer(*case)
            if returned != wanted or not isinstance(returned, int) or isinstance(returned, bool):
                hint = hint if type(returned) is int else "return a whole number"
                called = ", ".join(f"{number:_}" for number in case)
                raise NotYet(f"`machines({called})` returned {shown(returned)}, expected `{wanted:_}`", hint)
        return "everybody has a place, even when the spare machines are gone"

    return try_function(function, scenario, arguments="users, each, spare", coroutine=False)
