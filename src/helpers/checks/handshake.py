"""The exercises of `02_watch_the_handshake`."""

from __future__ import annotations

import base64
import random
from typing import Any

from websockets.frames import Frame, Opcode
from websockets.utils import accept_key as right_accept_key

from helpers.checks.trial import Answer, try_function
from helpers.checks.verdict import NotYet, Verdict, shown

RULES = ("not masked", "unknown opcode", "invalid UTF-8", "control frame too long", "reserved bit set")
FAULTS = {"A": "not masked", "B": "reserved bit set", "C": "invalid UTF-8"}


def accept_key(function: Any) -> Verdict:
    """Check `def accept_key(key)`, which computes `Sec-WebSocket-Accept` (RFC 6455 §4.2.2)."""

    async def scenario(answer: Answer) -> str:
        keys = ["dGhlIHNhbXBsZSBub25jZQ==", *(base64.b64encode(_sixteen(seed)).decode() for seed in range(3))]
        for key in keys:
            returned = await answer(key)
            if isinstance(returned, bytes) and returned.decode(errors="replace") == right_accept_key(key):
                raise NotYet(
                    f"for `{key}` you returned bytes, {shown(returned)}", "`decode()` makes a text of them"
                )
            if returned != right_accept_key(key):
                raise NotYet(
                    f"for the key `{key}` you returned {shown(returned)}, "
                    f"expected was `{right_accept_key(key)!r}`",
                    "SHA-1 of the key with the GUID behind it: its 20 bytes (`digest`), in base64",
                )
        return "all four keys were answered as a server answers them"

    return try_function(function, scenario, arguments="key", coroutine=False)


def encode(function: Any) -> Verdict:
    """Check `def encode(text)`, which makes a server's text frame (RFC 6455 §5.2)."""

    async def scenario(answer: Answer) -> str:
        for text in ("Hello", "", "x" * 125, "x" * 126, "ü" * 100, "x" * 65535, "x" * 65536):
            returned = await answer(text)
            right = Frame(Opcode.TEXT, text.encode()).serialize(mask=False)
            which = f"for {len(text):,} times `{text[:1]}`" if len(text) > 5 else f"for `{text!r}`"
            if not isinstance(returned, bytes | bytearray):
                raise NotYet(f"{which} you returned {shown(returned)}", "return `bytes`")
            if returned != right:
                header = right[: len(right) - len(text.encode())]
                raise NotYet(
                    f"{which} your frame has {len(returned):,} bytes and begins with "
                    f"`{bytes(returned[:10]).hex(' ')}`, expected were {len(right):,} bytes that begin with "
                    f"`{header.hex(' ')}`",
                    _length_hint(len(text.encode())),
                )
        return "all three forms of the length are right, also where bytes and characters differ in number"

    return try_function(function, scenario, arguments="text", coroutine=False)


def decode(function: Any) -> Verdict:
    """Check `def decode(frame)`, which takes a short frame apart (RFC 6455 §5.2, §5.3)."""

    async def scenario(answer: Answer) -> str:
        for opcode, payload, fin, mask in (
            (Opcode.TEXT, b"Hello", True, False),
            (Opcode.TEXT, b"Hello", True, True),
            (Opcode.BINARY, bytes(range(125)), True, True),
            (Opcode.TEXT, b"Frag", False, True),
            (Opcode.CONT, b"ment", True, False),
            (Opcode.PING, b"", True, True),
        ):
            frame = Frame(opcode, payload, fin=fin).serialize(mask=mask)
            returned = await answer(frame)
            if not (isinstance(returned, tuple | list) and len(returned) == 3):
                raise NotYet(
                    f"`decode` returned {shown(returned)}", "return three things: `fin, opcode, payload`"
                )
            for name, came, right, hint in (
                ("fin", returned[0], fin, "it is the first bit of the first byte"),
                ("opcode", returned[1], int(opcode), "it is the last four bits of the first byte"),
                ("payload", returned[2], payload, "is it masked? Then the mask is `frame[2:6]`"),
            ):
                if came != right:
                    raise NotYet(
                        f"for `{frame[:16].hex(' ')}{' …' if len(frame) > 16 else ''}` you found "
                        f"{name} {shown(came)}, expected was {shown(right)}",
                        hint,
                    )
        return "text, binary, fragments and a ping, masked and not: all six are right"

    return try_function(function, scenario, arguments="frame", coroutine=False)


def faults(answer: Any) -> Verdict:
    """Check what is wrong with the three captured frames of the chapter."""
    if not isinstance(answer, dict) or set(answer) != set(FAULTS):
        return Verdict(False, f"`faults` is {shown(answer)}", 'it has a word for each of "A", "B" and "C"')
    if ... in answer.values():
        return Verdict(False, "there is still a `...`", "put your own words in its place")
    for name, fault in answer.items():
        if fault not in RULES:
            return Verdict(False, f"{name} is {shown(fault)}", f"choose from {', '.join(RULES)}")
    wrong = [name for name, fault in answer.items() if fault != FAULTS[name]]
    if wrong:
        return Verdict(
            False,
            f"{' and '.join(wrong)}: another rule was broken there",
            "write the first two bytes in binary, and decode the payload",
        )
    return Verdict(True, "A is not masked, B sets a reserved bit, and C is text that isn't UTF-8")


def _sixteen(seed: int) -> bytes:
    return random.Random(seed).randbytes(16)


def _length_hint(length: int) -> str:
    if length < 126:
        return "up to 125 bytes, the second byte is the length itself, in bytes and not in characters"
    if length < 65536:
        return "up to 65,535 bytes, the second byte is 126, and two bytes with the length follow"
    return "beyond 65,535 bytes, the second byte is 127, and eight bytes with the length follow"
