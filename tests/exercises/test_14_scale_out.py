"""The exercises of `14_scale_out`: right answers, and what is said to the wrong ones."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from battery import Computation
from changes import but


class TestDeliver(Computation):
    name = "deliver"
    arguments = "entry, me"
    right: ClassVar = [
        """
        def deliver(entry, me):
            sender, text = entry.split(" ", 1)
            return text if sender != me else None
        """,
        """
        def deliver(entry, me):
            if entry.startswith(me + " "):
                return None
            return entry[entry.index(" ") + 1:]
        """,
        """
        def deliver(entry, me):
            sender, *words = entry.split(" ")
            if sender != me:
                return " ".join(words)
        """,
        """
        deliver = lambda entry, me: None if entry.partition(" ")[0] == me else entry.partition(" ")[2]
        """,
        """
        import re

        def deliver(entry, me):
            match = re.fullmatch(r"(\\S+) (.*)", entry, re.DOTALL)
            return None if match[1] == me else match[2]
        """,
    ]
    wrong: ClassVar = [
        (but("return text", "return text.splitlines()[0] if text else text"), "several lines"),
        (but("if sender == me:", "if sender == me and text:"), "`deliver('w1 ', 'w1')`"),
        (but("return text", "return entry"), "returned `'w2 hello'`", "return the text"),
        (but("sender == me", "sender != me"), "`deliver('w2 hello', 'w1')` returned `None`"),
        (but("sender == me", "sender.startswith(me)"), "deliver('w10 hi', 'w1')", "whole name"),
        (but("sender == me", "me.startswith(sender)"), "deliver('w1 hi', 'w10')", "whole name"),
        (but("sender == me", "me in entry"), "deliver('w10 hi', 'w1')"),
        (but("partition", "rpartition"), "how are you?"),
        (but("return text", "return text or None"), "deliver('w2 ', 'w1')", "an empty string"),
        (but("return text", "return text.strip()"), "indented", "spaces at its ends"),
        (but("return text", "return entry"), "returned `'w2 hello'`"),
        (but("return None", 'return ""'), "`deliver('w1 hello', 'w1')` returned `''`"),
        (but("if sender == me:", "if False:"), "`deliver('w1 hello', 'w1')` returned `'hello'`"),
        (but("return text", "return text.split()"), "returned `['hello']`"),
    ]


class TestPresent(Computation):
    name = "present"
    arguments = "seen, now, deadline"
    right: ClassVar = [
        """
        def present(seen, now, deadline):
            for who, at in list(seen.items()):
                if now - at > deadline:
                    seen.pop(who)
            return [*seen]
        """,
        """
        def present(seen, now, deadline):
            there = {who: at for who, at in seen.items() if at >= now - deadline}
            seen.clear()
            seen.update(there)
            return list(there)
        """,
        """
        def present(seen, now, deadline):
            there = []
            for who in list(seen):
                if now <= seen[who] + deadline:
                    there.append(who)
                else:
                    del seen[who]
            return there
        """,
        """
        def present(seen, now, deadline):
            old = {who for who in seen if now - seen[who] > deadline}
            for who in old:
                del seen[who]
            return list(seen.keys())
        """,
        """
        def is_late(at, now, deadline):
            return now - at > deadline

        def present(seen, now, deadline):
            names = list(seen)
            return [who for who in names if not (is_late(seen[who], now, deadline) and [seen.pop(who)])]
        """,
    ]
    wrong: ClassVar = [
        (but("return list(seen)", "return list(seen.items())"), "the names"),
        (but("            del seen[who]", "            pass"), "any more"),
        (but("now - at > deadline", "now - at > 5"), "at most `deadline`"),
        (but("list(seen.items())", "seen.items()"), "changed size", "a copy"),
        (but("now - at > deadline", "now - at >= deadline"), "returned `[]`", "exactly `deadline`"),
        (but("now - at > deadline", "now - at < deadline"), "expected `['Ann', 'Eve']`"),
        (but("now - at > deadline", "at > deadline"), "expected `['Ann', 'Eve']`"),
        (but("now - at > deadline", "now > deadline"), "expected `['Ann', 'Eve']`"),
        (but("now - at > deadline", "now - at > 5"), "expected"),
        (but("    del seen[who]", "    pass"), "expected `['Ann', 'Eve']`"),
        (but("return list(seen)", "return sorted(seen)"), "expected `['Zoe', 'Ann']`", "the order"),
        (but("return list(seen)", "return list(reversed(seen))"), "the order"),
        (but("return list(seen)", "return len(seen)"), "returned `2`"),
        (but("return list(seen)", "return seen"), "expected `['Ann', 'Eve']`"),
        (
            """
            def present(seen, now, deadline):
                return [who for who, at in seen.items() if now - at <= deadline]
            """,
            "`seen` is",
            "grows",
        ),
    ]


class TestMachines(Computation):
    name = "machines"
    arguments = "users, each, spare"
    given: ClassVar[dict[str, Any]] = {"math": math}
    right: ClassVar = [
        """
        def machines(users, each, spare):
            return (users + each - 1) // each + spare
        """,
        """
        def machines(users, each, spare):
            full, rest = divmod(users, each)
            return full + (1 if rest else 0) + spare
        """,
        """
        def machines(users, each, spare):
            return users // each + bool(users % each) + spare
        """,
        """
        def machines(users, each, spare):
            return math.ceil(users / each) + spare
        """,
        """
        from fractions import Fraction

        def machines(users, each, spare):
            return spare + math.ceil(Fraction(users, each))
        """,
        """
        machines = lambda users, each, spare: spare - (-users // each)
        """,
    ]
    wrong: ClassVar = [
        (but("-(-users // each)", "int(users / each + 0.9999)"), "1_000_001", "round up"),
        (but("-(-users // each)", "users / each"), "`10.0`", "a whole number"),
        (but("-(-users // each)", "users // each"), "machines(10_001, 1_000, 0)", "round up"),
        (but("-(-users // each)", "round(users / each)"), "machines(10_001, 1_000, 0)"),
        (but("-(-users // each)", "users // each + 1"), "machines(10_000, 1_000, 0)", "fit exactly"),
        (but("-(-users // each)", "users / each"), "returned `10.0`"),
        (but(" + spare", ""), "machines(10_000, 1_000, 1)", "`spare` machines may fail"),
        (but(" + spare", " - spare"), "machines(10_000, 1_000, 1)"),
        (but(" + spare", " * (1 + spare)"), "machines(10_000, 1_000, 1)"),
        (but(" + spare", " + bool(spare)"), "machines(1_000_000, 30_000, 2)"),
        (but("-users", "-max(users, 1)"), "machines(0, 1_000, 1)"),
        (but("return ", "return 1 + "), "machines(10_000, 1_000, 0)"),
    ]
