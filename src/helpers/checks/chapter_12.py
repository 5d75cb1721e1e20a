"""The exercises of `12_lock_the_door`."""

from __future__ import annotations

import itertools
import json
from typing import Any

from helpers.checks.answer import Answer
from helpers.checks.chance import chance
from helpers.checks.trial import try_function
from helpers.checks.verdict import NotYet, Verdict, shown
from helpers.checks.whose import check

EQUAL = "an origin is allowed when it is equal to one in `allowed`, character for character"
PROGRAM = "`None` means that there was no `Origin`: that is a program, and it may connect"
A_BOOL = "return `True` or `False`"
FILL = "the bucket gets `(now - at) * rate` tokens, and never holds more than `size`"
NOTE_TIME = 'set `bucket["at"]` to `now` each time, even if there is no token'
WHOLE = "a message takes exactly one whole token, and only if there is one"
FRACTION = "a part of a token stays in the bucket, until there is a whole one"
ONLY_THESE = "`tokens` and `at` change; `rate` and `size` stay as they are"
NO_JSON = "if `json.loads` raises an exception, the message isn't valid: return `None`"
SHAPE = "only an object with the single key `say` is valid, and its value must be a string"
ANY_STRING = "any string is valid, even half of an emoji, which can't be encoded; look only at its length"
LENGTH = "a string of 1 to 200 characters is valid, both limits included; return `None` for any other"
RETURN_IT = "return the value of `say` as it is"


@check
def may_connect(function: Any) -> Verdict:
    """Check `def may_connect(origin, allowed)`, which says whether a client may connect."""

    async def scenario(answer: Answer) -> str:
        ours = {"https://chat.example", "http://127.0.0.1:8000"}
        for origin, right in (
            ("https://chat.example", True),
            ("http://127.0.0.1:8000", True),
            (None, True),
            ("https://evil.example", False),
            ("https://chat.example.evil.example", False),
            ("https://evil.example/?https://chat.example", False),
            ("https://evilchat.example", False),
            ("http://chat.example", False),
            ("HTTPS://CHAT.EXAMPLE", False),
            ("http://127.0.0.1:80", False),
            ("http://127.0.0.1:9000", False),
            ("chat.example", False),
            ("https://chat.example/", False),
            ("https://chat.example/room", False),
            ("null", False),
            ("", False),
        ):
            allowed = set(ours)
            when = f"`allowed` is `{sorted(ours)}` and the origin is {shown(origin)}"
            try:
                returned = await answer(origin, allowed)
            except NotYet as not_yet:
                if origin is not None or answer.error is None:
                    raise
                raise NotYet(f"{when}: {not_yet.verdict.said}", PROGRAM, sure=True) from not_yet
            if returned is not right:
                hint = A_BOOL if not isinstance(returned, bool) else PROGRAM if origin is None else EQUAL
                raise NotYet(f"{when}: you returned {shown(returned)}, expected `{right}`", hint)
            if allowed != ours:
                raise NotYet(f"{when}: afterwards it is {shown(allowed)}", "`allowed` is for reading")
        if await answer("https://chat.example", set()) is not False:
            raise NotYet("`allowed` is empty, and you let `https://chat.example` in", EQUAL)
        return "the two pages and the program may connect, and nobody else"

    return try_function(function, scenario, arguments="origin, allowed", coroutine=False)


@check
def take(function: Any) -> Verdict:
    """Check `def take(bucket, now)`, which takes a token out of a bucket that fills up again."""

    async def scenario(answer: Answer) -> str:
        for rate, size, moments in (
            (2.0, 3.0, (10.0, 10.0, 10.0, 10.0, 10.25, 10.5, 10.5, 11.0, 100.0, 100.0, 100.0, 100.0)),
            (0.5, 1.0, (10.0, 11.0, 11.5, 12.0, 12.0, 14.0)),
            (
                2.0,
                8.0,
                tuple(itertools.accumulate((chance.randrange(4) / 8 for _ in range(50)), initial=10.0)),
            ),
        ):
            bucket = {"tokens": size, "at": 10.0, "rate": rate, "size": size}
            for now in moments:
                before = dict(bucket)
                tokens = min(size, bucket["tokens"] + (now - bucket["at"]) * rate)
                right = tokens >= 1
                after = {**bucket, "tokens": tokens - right, "at": now}
                returned = await answer(bucket, now)
                when = f"at {now:g} s the bucket was {shown(before)}"
                if returned is not right:
                    filled = bucket.get("tokens") in (tokens, tokens - 1)
                    hint = A_BOOL if not isinstance(returned, bool) else WHOLE if filled else FILL
                    raise NotYet(f"{when}; you returned {shown(returned)}, expected `{right}`", hint)
                if bucket != after:
                    changed = {key for key in after if bucket.get(key) != after[key]}
                    amount = WHOLE if tokens == before["tokens"] else FILL  # nothing came in: it took wrongly
                    amount = FRACTION if right and bucket.get("tokens") == int(tokens) - 1 else amount
                    hint = {"at": NOTE_TIME, "tokens": amount}.get(min(changed, default=""), ONLY_THESE)
                    raise NotYet(f"{when}; now it is {shown(bucket)}, expected {shown(after)}", hint)
        return "bursts got through up to the size, and then one message for each new token"

    return try_function(function, scenario, arguments="bucket, now", coroutine=False)


@check
def read(function: Any) -> Verdict:
    """Check `def read(text)`, which returns the string to say, or None for a message that isn't valid."""

    async def scenario(answer: Answer) -> str:
        for message, hint in (
            ({"say": "hello"}, RETURN_IT),
            ({"say": "x"}, LENGTH),
            ({"say": "x" * 200}, LENGTH),
            ({"say": " <b>hi</b>\n"}, RETURN_IT),
            ({"say": " "}, LENGTH),
            ({"say": "ü" * 200}, LENGTH),
            ({"say": "\ud83d"}, ANY_STRING),
        ):
            await _reads(answer, json.dumps(message), message["say"], hint)
        for text, hint in (
            ("hello", NO_JSON),
            ("", NO_JSON),
            ('{"say": ', NO_JSON),
            ("[" * 100_000, NO_JSON),
            ('{"say": ' + "9" * 5000 + "}", NO_JSON),
            ("null", SHAPE),
            ("7", SHAPE),
            ("NaN", SHAPE),
            ('"say"', SHAPE),
            ('["say"]', SHAPE),
            ("{}", SHAPE),
            ('{"text": "hello"}', SHAPE),
            ('{"say": "hello", "admin": true}', SHAPE),
            ('{"say": 1}', SHAPE),
            ('{"say": null}', SHAPE),
            ('{"say": ["x"]}', SHAPE),
            ('{"say": {"x": "y"}}', SHAPE),
            ('{"say": ""}', LENGTH),
            (json.dumps({"say": "x" * 201}), LENGTH),
        ):
            await _reads(answer, text, None, hint)
        return "valid messages were read, and all others refused without an exception"

    return try_function(function, scenario, arguments="text", coroutine=False)


async def _reads(answer: Answer, text: str, right: str | None, hint: str) -> None:
    when = f"for `{text if len(text) < 50 else f'{text[:30]}…, {len(text):,} characters'}`"
    try:
        returned = await answer(text)
    except NotYet as not_yet:
        if answer.error is None:
            raise
        raise NotYet(f"{when}: {not_yet.verdict.said}", hint, sure=True) from not_yet
    if returned != right or type(returned) is not type(right):
        raise NotYet(f"{when} you returned {shown(returned)}, expected {shown(right)}", hint)
