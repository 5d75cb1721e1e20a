"""The exercises of `06_push_live_updates`."""

from __future__ import annotations

import asyncio
from typing import Any

from helpers.checks.answer import Answer
from helpers.checks.chance import chance
from helpers.checks.trial import try_function
from helpers.checks.verdict import NotYet, Verdict, shown
from helpers.checks.whose import check

NEWER = "an update counts when its number is higher than the book's; a symbol that isn't there has none"
AS_PAIR = 'write `book[symbol] = (number, price)`, with the `"number"` and `"price"` of the update'
SAME_AGAIN = "the same number again isn't newer: leave the book as it is, and return False"
SAY_WHETHER = "return `True` when the book has changed, else `False`"
THREE_CASES = 'return `None` if the number isn\'t newer or `"after"` is the number that the client has'
WHOLE_REQUEST = "return the whole request, with the client's own number in `after`, as a dict"
ONLY_LOOK = "`numbers` is for reading: whoever sends the request will change it"
IN_ORDER = "the order is that in which the symbols first appeared"
AN_EMPTY_LIST = "return them as a list, an empty one where there was nothing"
KEEP_NEWEST = "put each change into a dict under its symbol: the last one stays; return its values as a list"
EMPTY_IT = "take out everything that is in it: `while not queue.empty()`"


@check
def apply(function: Any) -> Verdict:
    """Check `def apply(book, update)`, which puts newer updates into a book, and says whether it did."""

    async def scenario(answer: Answer) -> str:
        book: dict[str, tuple[int, float]] = {}
        right: dict[str, tuple[int, float]] = {}
        for symbol, number, price in (
            ("ACME", 17, 101.5),
            ("ACME", 18, 101.75),
            ("BOLT", 1, 0.0),
            ("BOLT", 3, 20.25),
            ("ACME", 18, 101.75),
            ("ACME", 16, 99.0),
            ("BOLT", 9, 20.5),
            ("BOLT", 8, 20.75),
            ("ACME", 19, 101.75),
        ):
            when = f"after `{book}` came number {number} of {symbol} at {price}"
            before = dict(book)
            newer = number > right.get(symbol, (0, 0.0))[0]
            if newer:
                right[symbol] = (number, price)
            returned = await answer(book, {"symbol": symbol, "number": number, "price": price})
            if book != right:
                hint = AS_PAIR if newer and book != before and set(book) == set(right) else NEWER
                raise NotYet(
                    f"{when}; now it is {shown(book)}, expected `{right}`; you returned {shown(returned)}",
                    hint,
                )
            if returned is not newer:
                hint = SAME_AGAIN if returned is True else SAY_WHETHER
                raise NotYet(f"{when}, and you returned {shown(returned)}; expected `{newer}`", hint)
        return "newer updates were in the book; duplicates and late ones changed nothing"

    return try_function(function, scenario, arguments="book, update", coroutine=False)


@check
def ask_again(function: Any) -> Verdict:
    """Check `def ask_again(numbers, change)`, which returns None or the request for what is missing."""

    async def scenario(answer: Answer) -> str:
        numbers = {"ACME": 17, "BOLT": 3}
        for symbol, number, after, fits in (
            ("ACME", 18, 17, True),
            ("ACME", 19, 18, False),
            ("ACME", 21, 17, True),
            ("BOLT", 3, 2, True),
            ("ACME", 12, 11, True),
            ("BOLT", 9, 7, False),
            ("BOLT", 4, 1, False),
        ):
            given = dict(numbers)
            change = {"symbol": symbol, "number": number, "after": after, "price": 101.5}
            returned = await answer(given, change)
            right = (
                None
                if fits
                else {"type": "subscribe", "symbols": [symbol], "after": {symbol: numbers[symbol]}}
            )
            when = (
                f"the client has number {numbers[symbol]} of {symbol}, and number {number} after {after} came"
            )
            if given != numbers:
                raise NotYet(f"{when}; you changed `numbers` to {shown(given)}", ONLY_LOOK)
            if returned != right:
                hint = THREE_CASES if right is None or returned is None else WHOLE_REQUEST
                raise NotYet(f"{when}; you returned {shown(returned)}, expected `{right}`", hint)
        return "gaps were noticed, and only gaps: a conflated change and a duplicate aren't any"

    return try_function(function, scenario, arguments="numbers, change", coroutine=False)


@check
def take_newest(function: Any) -> Verdict:
    """Check `def take_newest(queue)`, which empties a queue and returns the newest change of each symbol."""

    async def scenario(answer: Answer) -> str:
        for symbols in ("", "A", "AAA", "ABAB", "CABBAC", "".join(chance.choices("ABCD", k=8))):
            queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
            newest: dict[str, dict[str, Any]] = {}
            prices = [103, 107, 101, 102, 108, 104, *chance.sample(range(90, 100), 2)][: len(symbols)]
            for price, symbol in zip(prices, symbols, strict=True):
                newest[symbol] = {"symbol": symbol, "price": price}  # the newest isn't the highest
                queue.put_nowait(newest[symbol])
            right = list(newest.values())
            held = ", ".join(f"{symbol} at {price}" for price, symbol in zip(prices, symbols, strict=True))
            when = f"the queue held {held}" if held else "the queue was empty"
            try:
                returned = await answer(queue)
            except NotYet as not_yet:
                if not isinstance(answer.error, asyncio.QueueEmpty):
                    raise
                raise NotYet(
                    f"{when}: {not_yet.verdict.said}", "stop when it is empty", sure=True
                ) from not_yet
            if returned != right:
                mixed = isinstance(returned, list) and sorted(map(str, returned)) == sorted(map(str, right))
                hint = IN_ORDER if mixed else KEEP_NEWEST if held else AN_EMPTY_LIST
                raise NotYet(f"{when}; you returned {shown(returned)}, expected `{right}`", hint)
            if left := queue.qsize():
                raise NotYet(f"{when}; {left} of them are still in it", EMPTY_IT)
        return "the queue was empty, and you returned the newest change of each symbol"

    return try_function(function, scenario, arguments="queue", coroutine=False)
