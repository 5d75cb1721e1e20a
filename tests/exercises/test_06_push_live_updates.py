"""The exercises of `06_push_live_updates`: right answers, and what is said to the wrong ones."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from battery import Computation
from changes import but

GIVEN = {"asyncio": asyncio}


class TestApply(Computation):
    name = "apply"
    arguments = "book, update"
    right: ClassVar = [
        """
        def apply(book, update):
            symbol, number = update["symbol"], update["number"]
            newer = symbol not in book or number > book[symbol][0]
            if newer:
                book[symbol] = (number, update["price"])
            return newer
        """,
        """
        def apply(book, update):
            try:
                if book[update["symbol"]][0] >= update["number"]:
                    return False
            except KeyError:
                pass
            book.update({update["symbol"]: (update["number"], update["price"])})
            return True
        """,
        """
        def apply(book, update):
            before = dict(book)
            entry = (update["number"], update["price"])
            book[update["symbol"]] = max(book.get(update["symbol"], entry), entry)
            return book != before
        """,
        """
        def apply(book, update):
            symbol, number, price = (update[key] for key in ("symbol", "number", "price"))
            match book.get(symbol):
                case (known, _) if known >= number:
                    return False
            book[symbol] = number, price
            return True
        """,
        """
        def apply(book, update):
            known = book.setdefault(update["symbol"], (0, 0.0))[0]
            if newer := known < update["number"]:
                book[update["symbol"]] = update["number"], update["price"]
            return newer
        """,
    ]
    wrong: ClassVar = [
        (but("(0, None)", "(1, None)"), "number 1 of BOLT", "higher than the book's"),
        (
            but('update["number"] <= number', 'update["number"] <= number or not update["price"]'),
            "at 0.0",
            "higher than the book's",
        ),
        (but("<= number", "< number"), "number 18 of ACME", "you returned `True`", "same number again"),
        (but("<= number", "!= number + 1"), "came number 17 of ACME", "number is higher"),
        (but('if update["number"] <= number', "if False"), "number 18 of ACME"),
        (
            but('    if update["number"] <= number:\n        return False\n', ""),
            "number 18 of ACME",
            "`False`",
        ),
        (but('update["number"], update["price"]', 'update["price"]'), "book[symbol] = (number, price)"),
        (
            but('update["number"], update["price"]', 'update["price"], update["number"]'),
            "book[symbol] = (number, price)",
        ),
        (
            but('update["number"], update["price"]', '[update["number"], update["price"]]'),
            "book[symbol] = (number, price)",
        ),
        (but("    return True\n", ""), "`None`", "expected `True`"),
        (but("return False", "return None"), "`None`", "expected `False`"),
        (but('book.get(update["symbol"], (0, None))', 'book[update["symbol"]]'), "KeyError: 'ACME'"),
        (but("<= number", ">= number"), "came number 17 of ACME", "number is higher"),
        (
            but(
                "number, _ = book.get(",
                "number, price = book.get(",
                '"number"] <= number',
                '"price"] == price',
            ),
            "number 16 of ACME",
            "number is higher",
        ),
    ]


class TestAskAgain(Computation):
    name = "ask_again"
    arguments = "numbers, change"
    right: ClassVar = [
        """
        def ask_again(numbers, change):
            known = numbers[change["symbol"]]
            if change["number"] > known and change["after"] != known:
                return dict(type="subscribe", symbols=[change["symbol"]], after={change["symbol"]: known})
        """,
        """
        def ask_again(numbers, change):
            symbol, number, after, _ = change.values()
            if numbers[symbol] in (after, *range(number, 10_000)):
                return None
            return {"type": "subscribe", "symbols": [symbol], "after": {symbol: numbers[symbol]}}
        """,
        """
        def ask_again(numbers, change):
            symbol = change["symbol"]
            after = {symbol: numbers[symbol]}
            old, fits = change["number"] <= after[symbol], change["after"] == after[symbol]
            return None if old or fits else {"type": "subscribe", "symbols": [symbol], "after": after}
        """,
        """
        def ask_again(numbers, change):
            match numbers[change["symbol"]]:
                case known if known >= change["number"]:
                    return None
                case known if known == change["after"]:
                    return None
                case known:
                    symbol = change["symbol"]
                    return {"type": "subscribe", "symbols": [symbol], "after": {symbol: known}}
        """,
        """
        def ask_again(numbers, change):
            symbol = change["symbol"]
            request = {"type": "subscribe", "symbols": list((symbol,))}
            request["after"] = {each: number for each, number in numbers.items() if each == symbol}
            gap = numbers[symbol] not in (change["after"], change["number"])
            return request if gap and numbers[symbol] < change["number"] else None
        """,
    ]
    wrong: ClassVar = [
        (but('change["after"] == numbers[symbol]', 'change["number"] == numbers[symbol] + 1'), "21 after 17"),
        (but('change["number"] <= numbers[symbol] or ', ""), "number 3 after 2", "isn't newer"),
        (
            but('change["number"] <= numbers', 'change["number"] == numbers'),
            "number 12 after 11",
            "isn't newer",
        ),
        (but(' or change["after"] == numbers[symbol]', ""), "number 18 after 17", "the client has"),
        (but('change["after"] ==', 'change["after"] <='), "number 4 after 1", "the client has"),
        (but('change["after"] ==', 'change["after"] >='), "number 19 after 18"),
        (but("[symbol]}}", "[symbol] + 1}}"), "number 19 after 18", "the client's own number"),
        (but("{symbol: numbers[symbol]}}", '{symbol: change["after"]}}'), "the client's own number"),
        (but('"after": {symbol: numbers[symbol]}', '"after": dict(numbers)'), "the client's own number"),
        (but("[symbol], ", "symbol, "), "whole request"),
        (but('"type": "subscribe", ', ""), "whole request"),
        (but("return None", "return {}"), "`{}`", "expected `None`"),
        (
            but("return None", 'numbers[symbol] = change["number"]\n        return None'),
            "you changed `numbers`",
        ),
    ]


class TestTakeNewest(Computation):
    name = "take_newest"
    arguments = "queue"
    given: ClassVar[dict[str, Any]] = GIVEN
    right: ClassVar = [
        """
        def take_newest(queue):
            changes = [queue.get_nowait() for _ in range(queue.qsize())]
            return list({change["symbol"]: change for change in changes}.values())
        """,
        """
        def take_newest(queue):
            newest = {}
            while True:
                try:
                    change = queue.get_nowait()
                except asyncio.QueueEmpty:
                    return [*newest.values()]
                newest |= {change["symbol"]: change}
        """,
        """
        def take_newest(queue):
            symbols, newest = [], []
            while queue.qsize():
                change = queue.get_nowait()
                if change["symbol"] in symbols:
                    newest[symbols.index(change["symbol"])] = change
                else:
                    symbols.append(change["symbol"])
                    newest.append(change)
            return newest
        """,
        """
        def take_newest(queue):
            def taken():
                while not queue.empty():
                    yield queue.get_nowait()
            newest = {}
            for change in taken():
                newest.update({change["symbol"]: change})
            return list(newest.values())
        """,
        """
        def take_newest(queue):
            newest = dict()
            for _ in range(queue.qsize()):
                change = queue.get_nowait()
                newest.setdefault(change["symbol"], {}).update(change)
            return list(newest.values())
        """,
    ]
    wrong: ClassVar = [
        (
            but(
                '        newest[change["symbol"]] = change',
                '        old = newest.setdefault(change["symbol"], change)\n'
                '        newest[change["symbol"]] = max(old, change, key=lambda each: each["price"])',
            ),
            "A at 103, A at 107, A at 101",
            "the last one stays",
        ),
        (
            but("newest[change[", "newest.setdefault(change[", '"]] = change', '"], change)'),
            "A at 103, A at 107",
        ),
        (but("while not queue.empty():", "while True:"), "the queue was empty", "stop when it is empty"),
        (but("while not", "if not"), "A at 103, A at 107"),
        (but("list(newest.values())", "newest.values()"), "dict_values", "as a list"),
        (but("list(newest.values())", "newest"), "`{}`", "as a list"),
        (but("list(newest.values())", "list(newest)"), "`['A']`", "as a list"),
        (but("    return list(newest.values())\n", ""), "`None`"),
        (but("list(newest.values())", "list(newest.values())[::-1]"), "A at 103, B at 107", "order"),
        (
            but(
                "newest[change",
                "newest.pop(change",
                '"]] = change',
                '"], None); newest[change["symbol"]] = change',
            ),
            "C at 1",
        ),
        (but('change["symbol"]] = change', 'change["symbol"]] = change["price"]'), "`[103]`"),
        (but("queue.get_nowait()", "queue.get()"), "TypeError"),
        (
            but("while not queue.empty():", "for _ in range(3):\n        if queue.empty(): break"),
            "A at 101, B at 102",
        ),
    ]
