"""The exercises of `12_lock_the_door`: right answers, and what is said to the wrong ones."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from battery import Computation
from changes import but


class TestMayConnect(Computation):
    name = "may_connect"
    arguments = "origin, allowed"
    right: ClassVar = [
        """
        def may_connect(origin, allowed):
            if origin is None:
                return True
            return origin in allowed
        """,
        """
        def may_connect(origin, allowed):
            return origin in allowed | {None}
        """,
        """
        def may_connect(origin, allowed):
            return any(origin == each for each in [None, *allowed])
        """,
        """
        def may_connect(origin, allowed):
            match origin:
                case None:
                    return True
                case str() if origin in allowed:
                    return True
            return False
        """,
        """
        def may_connect(origin, allowed):
            return not {origin} - set(allowed) - {None}
        """,
    ]
    wrong: ClassVar = [
        (but("origin in allowed", 'origin.rstrip("/") in allowed'), "chat.example/'", "is equal"),
        (but("origin in allowed", "any(each in origin for each in allowed)"), "evil.example", "is equal"),
        (
            but("origin in allowed", "any(origin.startswith(each) for each in allowed)"),
            "chat.example.evil.example",
            "is equal",
        ),
        (
            but("origin in allowed", 'any(each.endswith(origin.split("//")[-1]) for each in allowed)'),
            "expected `False`",
            "is equal",
        ),
        (but("origin in allowed", 'origin.startswith("https://")'), "127.0.0.1:8000", "is equal"),
        (but("origin in allowed", "origin in str(allowed)"), "http://127.0.0.1:80'", "is equal"),
        (but("origin in allowed", "origin.lower() in allowed"), "HTTPS://CHAT.EXAMPLE", "is equal"),
        (but("origin in allowed", "True"), "https://evil.example", "expected `False`"),
        (but("origin is None or ", ""), "`None`", "that is a program"),
        (but("origin is None or", "origin is not None and"), "`None`", "that is a program"),
        (but("origin is None or origin in", "origin.lower() in"), "AttributeError", "that is a program"),
        (but("origin is None or", "not origin or"), "`''`", "is equal"),
        (but("origin is None", 'origin in (None, "null")'), "`'null'`", "is equal"),
        (but("return ", ""), "`None`", "`True` or `False`"),
        (
            but("origin is None or origin in allowed", "origin is None or origin in allowed or None"),
            "`None`",
            "`True` or `False`",
        ),
        (
            but("return origin is None", "allowed.add(None)\n    return origin is None"),
            "afterwards",
            "for reading",
        ),
        (
            but("return origin is None or origin in allowed", 'return "yes" if origin in allowed else "no"'),
            "`'yes'`",
            "`True` or `False`",
        ),
    ]


class TestTake(Computation):
    name = "take"
    arguments = "bucket, now"
    right: ClassVar = [
        """
        def take(bucket, now):
            tokens = bucket["tokens"] + (now - bucket["at"]) * bucket["rate"]
            if tokens > bucket["size"]:
                tokens = bucket["size"]
            there_is_one = tokens >= 1
            bucket.update(tokens=tokens - there_is_one, at=now)
            return there_is_one
        """,
        """
        def take(bucket, now):
            came = bucket["rate"] * (now - bucket["at"])
            bucket["at"] = now
            bucket["tokens"] = sorted([bucket["tokens"] + came, bucket["size"]])[0]
            try:
                return bucket["tokens"] >= 1
            finally:
                if bucket["tokens"] >= 1:
                    bucket["tokens"] -= 1
        """,
        """
        def take(bucket, now):
            def fill():
                space = bucket["size"] - bucket["tokens"]
                bucket["tokens"] += min(space, (now - bucket["at"]) * bucket["rate"])
                bucket["at"] = now
            fill()
            if not bucket["tokens"] >= 1:
                return False
            bucket["tokens"] = bucket["tokens"] - 1
            return True
        """,
        """
        def take(bucket, now):
            tokens, at, rate, size = bucket.values()
            tokens = min(tokens + (now - at) * rate, size)
            allowed = int(tokens) > 0
            bucket |= {"tokens": tokens - int(allowed), "at": now}
            return allowed
        """,
        """
        def take(bucket, now):
            bucket["tokens"] += (now - bucket["at"]) * bucket["rate"]
            bucket["tokens"], bucket["at"] = min(bucket["tokens"], bucket["size"]), now
            match bucket["tokens"] < 1:
                case True:
                    return False
                case False:
                    bucket["tokens"] -= 1
                    return True
        """,
    ]
    wrong: ClassVar = [
        (
            but('bucket["tokens"] -= 1', 'bucket["tokens"] = int(bucket["tokens"]) - 1'),
            "a part of a token",
        ),
        (but('bucket["size"], bucket["tokens"] +', '3.0, bucket["tokens"] +'), "'tokens': 2.0}`"),
        (
            but('min(bucket["size"], bucket["tokens"] + came)', 'bucket["tokens"] + came'),
            "at 100 s",
            "never holds more",
        ),
        (but('bucket["tokens"] + came', "came"), "expected `True`", "never holds more"),
        (
            but('bucket["size"], bucket["tokens"] + came', 'bucket["size"], bucket["tokens"]'),
            "gets",
            "at 10.25 s",
        ),
        (but('    bucket["at"] = now\n', ""), "at 10.25 s", "each time"),
        (
            but('    bucket["at"] = now\n', "", "-= 1\n", '-= 1\n    bucket["at"] = now\n'),
            "at 10.25 s",
            "each time",
        ),
        (but("< 1", "< 0"), "you returned `True`", "one whole token"),
        (but("< 1", "<= 1"), "you returned `False`", "one whole token"),
        (but("< 1", "== 0"), "you returned `True`", "one whole token"),
        (but("-= 1", "-= 2"), "at 10 s", "exactly one whole token"),
        (but('    bucket["tokens"] -= 1\n', ""), "at 10 s", "exactly one whole token"),
        (but("    return True\n", ""), "`None`", "`True` or `False`"),
        (but("return False", "return None"), "`None`", "`True` or `False`"),
        (but('* bucket["rate"]', '/ bucket["rate"]'), "expected"),
        (but("min(", "max("), "expected"),
        (but('bucket["at"] = now', 'bucket["at"] += 1'), "expected", "each time"),
        (but("-= 1\n", '-= 1\n    bucket["rate"] = 1\n'), "stay as they are"),
    ]


class TestRead(Computation):
    name = "read"
    arguments = "text"
    given: ClassVar[dict[str, Any]] = {"json": json}
    right: ClassVar = [
        """
        def read(text):
            try:
                match json.loads(text):
                    case {"say": str(say), **rest} if not rest and 0 < len(say) < 201:
                        return say
            except (ValueError, RecursionError):
                pass
        """,
        """
        def read(text):
            try:
                message = json.loads(text)
                (key,) = message
                say = message[key]
                assert type(message) is dict and key == "say" and type(say) is str and 1 <= len(say) <= 200
            except Exception:
                return None
            return say
        """,
        """
        def read(text):
            if len(text) > 2000:
                return None
            try:
                message = json.loads(text)
            except ValueError:
                return None
            if type(message) != dict or list(message) != ["say"]:
                return None
            if type(message["say"]) != str:
                return None
            return message["say"] if len(message["say"]) in range(1, 201) else None
        """,
        """
        def read(text):
            def right(message):
                return (
                    isinstance(message, dict)
                    and message.keys() == {"say"}
                    and isinstance(message["say"], str)
                    and message["say"] != ""
                    and len(message["say"]) <= 200
                )
            try:
                message = json.loads(text)
            except (json.JSONDecodeError, ValueError, RecursionError):
                message = None
            return message["say"] if right(message) else None
        """,
        """
        def read(text):
            try:
                message = json.loads(text)
                if set(message) - {"say"}:
                    raise ValueError
                say = message["say"]
                say.encode("utf-8", "surrogatepass")
                return say if 200 >= len(say) >= 1 else None
            except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
                return None
        """,
    ]
    wrong: ClassVar = [
        (but("len(say)", "len(say.encode())"), "characters", "1 to 200"),
        (but("1 <= len(say) <=", "say.strip() and len(say) <="), '`{"say": " "}`', "1 to 200"),
        (but("return say if", "return say.encode().decode() if"), "UnicodeEncodeError", "half of an emoji"),
        (but("(ValueError, RecursionError)", "ValueError"), "100,000 characters", "return `None`"),
        (but("(ValueError, RecursionError)", "json.JSONDecodeError"), "characters", "return `None`"),
        (but("(ValueError, RecursionError)", "RecursionError"), "`hello`", "return `None`"),
        (but("not isinstance(message, dict) or ", ""), "`null`", "only an object"),
        (but(' or set(message) != {"say"}', ""), "`{}`", "only an object"),
        (but('set(message) != {"say"}', '"say" not in message'), "admin", "only an object"),
        (but("isinstance(say, str) and ", ""), '`{"say": 1}`', "only an object"),
        (but("isinstance(say, str)", "isinstance(say, (str, list))"), '["x"]', "only an object"),
        (but("1 <= len(say) <= 200", "len(say) <= 200"), '`{"say": ""}`', "1 to 200"),
        (but("1 <= len(say) <= 200", "1 <= len(say)"), "characters", "1 to 200"),
        (but("<= 200", "< 200"), "characters", "1 to 200"),
        (but("1 <=", "1 <"), '`{"say": "x"}`', "1 to 200"),
        (but("return say if", "return say.strip() if"), "<b>hi</b>", "as it is"),
        (but("return say if", "return message if"), "hello", "as it is"),
        (but("else None", 'else ""'), "`''`", "only an object"),
    ]
