"""The exercises of `09_play_together`: right answers, and what is said to the wrong ones."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from battery import Computation
from changes import but


class TestAccept(Computation):
    name = "accept"
    arguments = "last, text"
    given: ClassVar[dict[str, Any]] = {"json": json}
    right: ClassVar = [
        """
        def accept(last, text):
            try:
                match json.loads(text):
                    case {"number": int(number), "x": int(x), "y": int(y), **rest} if not rest:
                        if bool not in map(type, (number, x, y)) and number > last and {x, y} <= {-1, 0, 1}:
                            return number, x, y
            except (ValueError, RecursionError):
                pass
        """,
        """
        def accept(last, text):
            try:
                wish = json.loads(text)
                number, x, y = wish.pop("number"), wish.pop("x"), wish.pop("y")
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                return None
            if wish or [type(each) for each in (number, x, y)] != [int] * 3:
                return None
            if number <= last or abs(x) > 1 or abs(y) > 1:
                return None
            return number, x, y
        """,
        """
        def accept(last, text):
            try:
                wish = json.loads(text)
            except (json.JSONDecodeError, RecursionError):
                wish = None
            if type(wish) is not dict or sorted(wish) != ["number", "x", "y"]:
                return None
            values = tuple(wish[key] for key in ("number", "x", "y"))
            if any(isinstance(each, bool) or not isinstance(each, int) for each in values):
                return None
            if values[0] <= last or not all(-1 <= each <= 1 for each in values[1:]):
                return None
            return values
        """,
        """
        def accept(last, text):
            def whole(value, allowed):
                return type(value) is int and value in allowed
            try:
                wish = json.loads(text)
                if len(wish) != 3:
                    return None
                number, x, y = wish["number"], wish["x"], wish["y"]
            except Exception:
                return None
            steps = range(-1, 2)
            fits = whole(x, steps) and whole(y, steps) and type(number) is int and last < number
            return (number, x, y) if fits else None
        """,
        """
        def accept(last, text):
            steps = ("-1", "0", "1")
            try:
                wish = json.loads(text)
            except (ValueError, RecursionError):
                return None
            if not isinstance(wish, dict) or wish.keys() != {"number", "x", "y"}:
                return None
            if json.dumps(wish["x"]) not in steps or json.dumps(wish["y"]) not in steps:
                return None
            if not isinstance(wish["number"], int) or isinstance(wish["number"], bool):
                return None
            return (wish["number"], wish["x"], wish["y"]) if wish["number"] > last else None
        """,
    ]
    wrong: ClassVar = [
        (
            but("in (number, x, y))", "in (x, y)) or type(number) not in (int, bool)"),
            '"number": true',
            "type as well",
        ),
        (
            but(
                "type(each) is int for each in (number, x, y)",
                "type(each) is int for each in (x, y)",
                "number > last",
                "number in range(last + 1, 9999)",
            ),
            '"number": 5.0',
            "type as well",
        ),
        (
            but("x in (-1, 0, 1) and", "-2 < x <= 1 and", "y in (-1, 0, 1)", "y >= -1"),
            '"y": 2',
            "nothing else",
        ),
        (
            but("not isinstance(wish, dict)", "isinstance(wish, (int, type(None)))"),
            '["number", "x", "y"]',
            "may hold anything",
        ),
        (but("number > last and ", ""), '"number": 4', "expected `None`", "greater than `last`"),
        (but("number > last", "number >= last"), '"number": 4', "greater than `last`"),
        (but("number > last", "number == last + 1"), '"number": 9', "not only the next one"),
        (but("x in (-1, 0, 1) and ", ""), '"x": 2', "nothing else"),
        (but(" and y in (-1, 0, 1)", ""), '"y": 2', "nothing else"),
        (but("type(each) is int", "isinstance(each, int)"), '"x": true', "ask for the type"),
        (but("for each in (number, x, y)", "for each in (number, x)"), '"y": false', "ask for the type"),
        (but("for each in (number, x, y)", "for each in (x, y)"), '"number": "5"', "may hold anything"),
        (but("type(each) is int", "each == int(each)"), '"x": null', "may hold anything"),
        (but('set(wish) != {"number", "x", "y"}', '"number" not in wish'), "KeyError", "may hold anything"),
        (but('set(wish) != {"number"', 'not set(wish) >= {"number"'), '"at": 100', "exactly the three"),
        (but("not isinstance(wish, dict) or ", ""), "TypeError", "may hold anything"),
        (
            but(
                "    try:\n        wish = json.loads(text)\n"
                "    except (ValueError, RecursionError):\n        return None",
                "    wish = json.loads(text)",
            ),
            "JSONDecodeError",
            "catch it, and return `None`",
        ),
        (but("(ValueError, RecursionError)", "ValueError"), "RecursionError", "nested too deeply"),
        (but("return (number, x, y) if", "return [number, x, y] if"), "`[1, 1, 0]`", "as they came"),
        (but("(number, x, y) if", "(x, y) if"), "expected `(1, 1, 0)`", "as they came"),
    ]


class TestReplay(Computation):
    name = "replay"
    arguments = "place, ack, pending, walk"
    right: ClassVar = [
        """
        def replay(place, ack, pending, walk):
            rest = list(filter(lambda each: each[0] > ack, pending))
            shown = place
            for each in rest:
                shown = walk(shown, each[1])
            return [shown, rest]
        """,
        """
        def replay(place, ack, pending, walk):
            rest = []
            for number, move in pending:
                if number <= ack:
                    continue
                place = walk(place, move)
                rest.append((number, move))
            return place, rest
        """,
        """
        import functools
        def replay(place, ack, pending, walk):
            rest = [each for each in pending if each[0] > ack]
            return functools.reduce(walk, (move for _, move in rest), place), rest
        """,
        """
        def replay(place, ack, pending, walk):
            rest = pending[:]
            while rest and rest[0][0] <= ack:
                del rest[0]
            for _, move in rest:
                place = walk(place, move)
            return place, rest
        """,
        """
        def replay(place, ack, pending, walk):
            first = sum(number <= ack for number, _ in pending)
            at = [place]
            for number, move in pending[first:]:
                at.append(walk(at[-1], move))
            return at[-1], pending[first:]
        """,
    ]
    wrong: ClassVar = [
        (but("number > ack", "number >= ack"), "including `ack`", "still pending is `[(19, 1)]`"),
        (but(" if number > ack", ""), "inputs up to and including `ack`"),
        (but("number > ack", "number < ack"), "keep every `(number, move)`"),
        (but("number > ack", "number > ack + 1"), "still pending is `[(18, 1), (19, 1), (20, -1)]`"),
        (but("place = walk(place, move)", "place += move"), "a wall at 10", "call `walk` for each"),
        (but("place = walk(place, move)", "walk(place, move)"), "you are at 4, you returned `3`"),
        (but("in still_pending:", "in still_pending[::-1]:"), "call `walk` for each"),
        (but("in still_pending:", "in pending:"), "call `walk` for each", "after input 18"),
        (but("return place, still_pending", "return place"), "return a pair"),
        (but("return place, still_pending", "return still_pending, place"), "return a pair"),
        (but("return place, still_pending", "return place, pending"), "inputs up to and including `ack`"),
        (
            but("[(number, move) for", "[number for", "for _, move in", "for move in"),
            "keep every `(number, move)`",
        ),
        (but("if number > ack", "if number > ack + 1"), "keep every `(number, move)`"),
        (
            but("    return place", "    pending[:] = still_pending\n    return place"),
            "you changed `pending`",
            "make a new list",
        ),
        (but("place = walk(place, move)", "place = max(place, walk(place, move))"), "call `walk` for each"),
    ]


class TestBetween(Computation):
    name = "between"
    arguments = "before, after, now"
    right: ClassVar = [
        """
        def between(before, after, now):
            begin, end = before["time"], after["time"]
            now = sorted([begin, now, end])[1]
            there = {**after["places"], **before["places"]}
            return {
                name: tuple(
                    (a * (end - now) + b * (now - begin)) / (end - begin)
                    for a, b in zip(there[name], after["places"][name])
                )
                for name in after["places"]
            }
        """,
        """
        def between(before, after, now):
            if now <= before["time"]:
                share = 0
            elif now >= after["time"]:
                share = 1
            else:
                share = (now - before["time"]) / (after["time"] - before["time"])
            result = {}
            for name in after["places"]:
                new = after["places"][name]
                old = before["places"].get(name, new)
                result[name] = [old[0] + share * (new[0] - old[0]), old[1] + share * (new[1] - old[1])]
            return result
        """,
        """
        import numpy
        def between(before, after, now):
            times = [before["time"], after["time"]]
            def axis(name, which):
                new = after["places"][name][which]
                ends = [before["places"].get(name, after["places"][name])[which], new]
                return numpy.interp(now, times, ends)
            return {name: (axis(name, 0), axis(name, 1)) for name in after["places"]}
        """,
        """
        def between(before, after, now):
            share = max(0, min(1, (now - before["time"]) / (after["time"] - before["time"])))
            places = dict(after["places"])
            for name in before["places"].keys() & places.keys():
                (a, b), (c, d) = before["places"][name], places[name]
                places[name] = ((1 - share) * a + share * c, (1 - share) * b + share * d)
            return places
        """,
        """
        def between(before, after, now):
            def mix(old, new):
                return complex(*old) + share * (complex(*new) - complex(*old))
            share = (now - before["time"]) / (after["time"] - before["time"])
            share = 0 if share < 0 else 1 if share > 1 else share
            mixed = {n: mix(before["places"].get(n, p), p) for n, p in after["places"].items()}
            return {name: (place.real, place.imag) for name, place in mixed.items()}
        """,
    ]
    wrong: ClassVar = [
        (but('(after["time"] - before["time"])', "2"), "you have ann at", "`share` of the time"),
        (but("old_x + (x - old_x) * share", "round(old_x + (x - old_x) * share)"), "(0.75, 1.25)"),
        (but("    return places", "    return list(places.items())"), "return a new dict"),
        (but("    share = min(max(share, 0), 1)\n", ""), "now it is 9.0", "earlier than `before['time']`"),
        (but("min(max(share, 0), 1)", "max(share, 0)"), "now it is 12.5", "later than `after['time']`"),
        (but("min(max(share, 0), 1)", "min(share, 1)"), "now it is 9.0", "earlier than `before['time']`"),
        (but("min(max(share, 0), 1)", "0.5"), "now it is 10.0", "old + (new - old) * share"),
        (but("min(max(share, 0), 1)", "1 - min(max(share, 0), 1)"), "expected `(0.0, 8.0)`"),
        (but(' / (after["time"] - before["time"])', ""), "now it is 10.5", "old + (new - old) * share"),
        (but(".get(name, (x, y))", "[name]"), "KeyError: 'cem'", "go through the names in `after`"),
        (but("(name, (x, y))", "(name, (0, 0))"), "you have cem at", "go through the names in `after`"),
        (
            but('in after["places"].items()', 'in before["places"].items()'),
            "now it is 10.5",
            "old + (new - old) * share",
        ),
        (but("(old_x + (x - old_x) * share, ", "(x, "), "now it is 10.0", "old + (new - old) * share"),
        (but("old_y + (y - old_y) * share)", "old_y)"), "you have bob at", "old + (new - old) * share"),
        (
            but("(old_x + (x - old_x) * share, ", "(0 * "),
            "you have ann at `0.0`",
            "old + (new - old) * share",
        ),
        (but("places = {}", 'places = before["places"]'), "you changed what was given", "build a new dict"),
        (but("    return places\n", ""), "`None`", "return a new dict"),
    ]
