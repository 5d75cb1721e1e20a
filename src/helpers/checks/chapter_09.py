"""The exercises of `09_play_together`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from helpers.checks.answer import Answer
from helpers.checks.chance import chance
from helpers.checks.trial import try_function
from helpers.checks.verdict import NotYet, Verdict, shown
from helpers.checks.whose import check

Place = tuple[float, float]

TOO_DEEP = "what is nested too deeply makes `json.loads` raise a `RecursionError`: catch it, too"
NOT_JSON = "`json.loads` raises a `ValueError` if `text` isn't JSON: catch it, and return `None`"
WHATEVER = "`text` may hold anything: look at each part before you use it; return `None` if one doesn't fit"
WHOLE_NUMBERS = "`True == 1` and `1.0 == 1` in Python: ask for the type as well"
EXACTLY = "accept exactly the three keys: a client that sends another one wants something else"
NEWER = "an input counts once: its number must be greater than `last`"
LIMITS = "`x` and `y` are −1, 0 or 1, and nothing else"
PROPER = "this input is fine: any number greater than `last` will do, not only the next one"
AS_TUPLE = "return the tuple `(number, x, y)`, as they came"
WALK_EACH = "call `walk` for each input that is still pending, in order, starting from the server's `place`"
DROP_ACKED = "inputs up to and including `ack` are in `place` already: leave them out"
KEEP_OTHERS = "keep every `(number, move)` whose number is greater than `ack`, in the same order"
TWO_THINGS = "return a pair: where to show the player, and the list of `(number, move)` still pending"
LEAVE_IT = "make a new list, and leave `pending` as it is"
LINE = "with `share` of the time gone, from 0 to 1, `x` and `y` are each at `old + (new - old) * share`"
NEARER = "earlier than `before['time']`, `before` has the places; later than `after['time']`, `after` does"
WHO = "go through the names in `after`: anyone else has left, and anyone new is where `after` has them"
A_DICT = "return a new dict: `(x, y)` for each name"
ONLY_LOOK = "only read the two states, and build a new dict"


@check
def accept(function: Any) -> Verdict:
    """Check `def accept(last, text)`, which returns an input if it is one, or None."""

    async def scenario(answer: Answer) -> str:
        for last, number, x, y in ((0, 1, 1, 0), (4, 5, -1, 1), (4, 9, 0, 0), (17, 2000, 1, -1)):
            text = json.dumps({"number": number, "x": x, "y": y})
            returned = await answer(last, text)
            if returned != (number, x, y) or not isinstance(returned, tuple):
                raise NotYet(
                    f"`last` is {last}, and `{text}` came; you returned {shown(returned)}, "
                    f"expected `{(number, x, y)}`",
                    PROPER if returned is None else AS_TUPLE,
                )
        for text, hint in (
            ("faster!", NOT_JSON),
            ("", NOT_JSON),
            ("[" * 100_000, TOO_DEEP),
            ("null", WHATEVER),
            ('["number", "x", "y"]', WHATEVER),
            ('{"number": 5, "x": 1}', WHATEVER),
            ('{"number": 5, "x": 1, "y": 0, "at": 100}', EXACTLY),
            ('{"number": "5", "x": 1, "y": 0}', WHATEVER),
            ('{"number": 5, "x": null, "y": 0}', WHATEVER),
            ('{"number": 5, "x": [1], "y": 0}', WHATEVER),
            ('{"number": 4, "x": 1, "y": 0}', NEWER),
            ('{"number": 3, "x": 1, "y": 0}', NEWER),
            ('{"number": 5, "x": 2, "y": 0}', LIMITS),
            ('{"number": 5, "x": -2, "y": 0}', LIMITS),
            ('{"number": 5, "x": 0, "y": 2}', LIMITS),
            ('{"number": 5, "x": 0, "y": -50}', LIMITS),
            ('{"number": 5.0, "x": 1, "y": 0}', WHOLE_NUMBERS),
            ('{"number": Infinity, "x": 1, "y": 0}', WHOLE_NUMBERS),
            ('{"number": 5, "x": true, "y": 0}', WHOLE_NUMBERS),
            ('{"number": 5, "x": 1, "y": false}', WHOLE_NUMBERS),
            ('{"number": 5, "x": 1.0, "y": 0}', WHOLE_NUMBERS),
            ('{"number": 5.5, "x": 1, "y": 0}', WHOLE_NUMBERS),
            ('{"number": true, "x": 1, "y": 0}', WHOLE_NUMBERS),  # and `last` is 0
        ):
            newest = 0 if 'true, "x"' in text else 4
            returned = await _of(answer, newest, text)
            if returned is not None:
                raise NotYet(
                    f"`last` is {newest}, and `{text[:60]}` came; "
                    f"you returned {shown(returned)}, expected `None`",
                    hint,
                )
        return "honest inputs were accepted as they came, and all others were refused"

    return try_function(function, scenario, arguments="last, text", coroutine=False)


async def _of(answer: Answer, last: int, text: str) -> Any:
    try:
        return await answer(last, text)
    except NotYet as not_yet:
        if answer.error is None:
            raise
        why = NOT_JSON if isinstance(answer.error, ValueError) else WHATEVER
        why = TOO_DEEP if isinstance(answer.error, RecursionError) else why
        raise NotYet(f"for `{text[:60]}`: {not_yet.verdict.said}", why, sure=True) from not_yet


def _with_a_wall(place: int, move: int) -> int:
    return min(place + move, 10)


@check
def replay(function: Any) -> Verdict:
    """Check `def replay(place, ack, pending, walk)`, which returns what is shown, and what is pending."""

    async def scenario(answer: Answer) -> str:
        for place, ack, moves, walk, rule in (
            (3, 17, {18: 1, 19: 1, 20: -1}, _with_a_wall, "on free ground"),
            (3, 18, {17: 1, 18: 1, 19: 1}, _with_a_wall, "on free ground"),
            (9, 5, {6: 1, 7: 1, 8: 1, 9: -1}, _with_a_wall, "with a wall at 10"),
            (
                1,
                2,
                {3: 1, 4: -1, 6: 1},
                lambda at, move: 2 * at + move,
                "on ice, where each move doubles the place first",
            ),
            (7, 9, {8: 1, 9: 1}, _with_a_wall, "on free ground"),
            (7, 0, {}, _with_a_wall, "on free ground"),
        ):
            await _replays(answer, place, ack, list(moves.items()), walk, rule)
        return "unanswered inputs were made again, by the rules; the others were left out"

    return try_function(function, scenario, arguments="place, ack, pending, walk", coroutine=False)


async def _replays(
    answer: Answer,
    place: int,
    ack: int,
    pending: list[tuple[int, int]],
    walk: Callable[[int, int], int],
    rule: str,
) -> None:
    right = [each for each in pending if each[0] > ack]
    ends = place
    for _, move in right:
        ends = walk(ends, move)
    given = list(pending)
    returned = await answer(place, ack, given, walk)
    when = f"{rule}, the server has you at {place} after input {ack}, pending is `{pending}`"
    if given != pending:
        raise NotYet(f"{when}; you changed `pending` to {shown(given)}", LEAVE_IT, sure=True)
    try:
        at, still = returned
        still = list(still)
    except (TypeError, ValueError):
        raise NotYet(f"{when}; you returned {shown(returned)}", TWO_THINGS) from None
    if still != right:
        hint = DROP_ACKED if any(each in still for each in pending if each[0] <= ack) else KEEP_OTHERS
        raise NotYet(f"{when}; still pending is `{right}`, you returned {shown(still)}", hint)
    if at != ends:
        raise NotYet(f"{when}; you are at {ends}, you returned {shown(at)}", WALK_EACH)


@check
def between(function: Any) -> Verdict:
    """Check `def between(before, after, now)`, which returns everybody's place at a time between two."""

    async def scenario(answer: Answer) -> str:
        for now, ann, hint in (
            (10.0, (0.0, 8.0), LINE),
            (10.5, (4.0, 8.0), LINE),
            (12.0, (16.0, 8.0), LINE),
            (11.0, (8.0, 8.0), LINE),
            (9.0, (0.0, 8.0), NEARER),
            (12.5, (16.0, 8.0), NEARER),
        ):
            places = {"ann": (0.0, 8.0)}, {"ann": (16.0, 8.0)}
            await _between(answer, *places, now, {"ann": ann}, hint)
        for now, share in ((10.5, 0.25), (12.0, 1.0)):
            both = {"ann": (0.0, 0.0), "bob": (4.0, 2.0)}, {"bob": (0.0, 10.0), "cem": (3.0, 3.0)}
            right = {"bob": (4 - 4 * share, 2 + 8 * share), "cem": (3.0, 3.0)}
            await _between(answer, *both, now, right, LINE)
        await _between(answer, {"ann": (1.0, 1.0)}, {}, 10.0, {}, WHO)
        begins, lasts = float(chance.randrange(100, 200)), chance.choice((0.25, 0.5, 4.0, 8.0))
        places = {"ann": (0.5, 1.5)}, {"ann": (1.5, 0.5)}
        right, times = {"ann": (0.75, 1.25)}, (begins, begins + lasts)
        await _between(answer, *places, begins + lasts / 4, right, LINE, times=times)
        return "everybody was on the line between two places, and nobody ran ahead of the newer one"

    return try_function(function, scenario, arguments="before, after, now", coroutine=False)


async def _between(
    answer: Answer,
    old: dict[str, Place],
    new: dict[str, Place],
    now: float,
    right: dict[str, Place],
    hint: str,
    *,
    times: tuple[float, float] = (10.0, 12.0),
) -> None:
    before, after = (
        {"time": time, "places": dict(places)} for time, places in zip(times, (old, new), strict=True)
    )
    when = f"at {times[0]} it was `{old}`, at {times[1]} `{new}`, and now it is {now}"
    try:
        returned = await answer(before, after, now)
    except NotYet as not_yet:
        if not isinstance(answer.error, KeyError):
            raise
        raise NotYet(f"{when}: {not_yet.verdict.said}", WHO, sure=True) from not_yet
    if (before["places"], after["places"]) != (old, new):
        raise NotYet(f"{when}; you changed what was given", ONLY_LOOK, sure=True)
    if not isinstance(returned, dict):
        raise NotYet(f"{when}; you returned {shown(returned)}, expected `{right}`", A_DICT)
    if set(returned) != set(right):
        raise NotYet(f"{when}; you returned {shown(returned)}, expected `{right}`", WHO)
    for name, place in right.items():
        if not _same(returned[name], place):
            hint = hint if name in old else WHO
            raise NotYet(f"{when}; you have {name} at {shown(returned[name])}, expected `{place}`", hint)


def _same(returned: Any, right: Place) -> bool:
    try:
        x, y = returned
        return bool(abs(x - right[0]) < 1e-6 and abs(y - right[1]) < 1e-6)
    except (TypeError, ValueError):
        return False
