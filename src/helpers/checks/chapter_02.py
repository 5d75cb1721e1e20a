"""The exercises of `02_watch_the_handshake`."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

from websockets.frames import Frame, Opcode
from websockets.utils import accept_key as right_accept_key

from helpers.checks.answer import Answer
from helpers.checks.chance import a_sentence, a_word, chance
from helpers.checks.choices import why_unfit
from helpers.checks.trial import try_function
from helpers.checks.verdict import NotYet, Verdict, shown
from helpers.checks.whose import check

RULES = ("not masked", "unknown opcode", "invalid UTF-8", "control frame too long", "reserved bit set")
FAULTS = {"A": "not masked", "B": "reserved bit set", "C": "invalid UTF-8"}
WHERE_TO_LOOK = {
    "A": "a client sent it; write the second byte in binary, and look at its first bit",
    "B": "write the first byte in binary: FIN, three bits that must be 0, and the opcode",
    "C": "its header is in order: unmask the payload with your `decode`, and try `payload.decode()`",
}
FIN_HINT = "it is the first bit of the first byte: `bool(frame[0] & 0b1000_0000)` is True or False"
OPCODE_HINT = "it is the last four bits of the first byte: `frame[0] & 0b0000_1111`"
MASKED_HINT = (
    "this frame is masked: four bytes of mask come first, `frame[2:6]`, and each byte after them is XORed "
    "(`^`) with one of the four in turn; return `bytes`"
)
UNMASKED_HINT = (
    "this frame is not masked (the first bit of `frame[1]` is 0): its payload is `frame[2:]`, unchanged"
)


@check
def accept_key(function: Any) -> Verdict:
    """Check `def accept_key(key)`, which computes `Sec-WebSocket-Accept` (RFC 6455 §4.2.2)."""

    async def scenario(answer: Answer) -> str:
        keys = [
            "dGhlIHNhbXBsZSBub25jZQ==",
            *(base64.b64encode(chance.randbytes(16)).decode() for _ in range(3)),
        ]
        for key in keys:
            returned = await answer(key)
            if isinstance(returned, bytes) and returned.decode(errors="replace") == right_accept_key(key):
                raise NotYet(
                    f"for `{key}` you returned bytes, {shown(returned)}",
                    "`decode()` turns them into a string",
                )
            if returned != right_accept_key(key):
                raise NotYet(
                    f"for the key `{key}` you returned {shown(returned)}, "
                    f"expected `{right_accept_key(key)!r}`",
                    _key_hint(returned, key),
                )
        return "all four keys got the answer that a server would give"

    return try_function(function, scenario, arguments="key", coroutine=False)


@check
def encode(function: Any) -> Verdict:
    """Check `def encode(text)`, which makes a server's text frame (RFC 6455 §5.2)."""

    async def scenario(answer: Answer) -> str:
        many = chance.randint(128, 60_000)
        for text in (
            *(
                "Hello",
                "",
                " two\nlines ",
                a_sentence(),
                "x" * 125,
                "x" * 126,
                "x" * 127,
                "ü" * 100,
                a_word(many),
            ),
            *("x" * 65_535, "x" * 65_536, "ü" * 32_768, "x" * (65_537 + many)),
        ):
            returned = await answer(text)
            right = Frame(Opcode.TEXT, text.encode()).serialize(mask=False)
            which = f"for {len(text):,} times `{text[:1]}`" if len(text) > 20 else f"for `{text!r}`"
            if len(text) == many:
                which = f"for a string of {many:,} letters"
            if not isinstance(returned, bytes | bytearray):
                raise NotYet(
                    f"{which} you returned {shown(returned)}",
                    "return `bytes`: the header followed by `payload`",
                )
            if returned != right:
                header = right[: len(right) - len(text.encode())]
                raise NotYet(
                    f"{which} your frame has {len(returned):,} bytes and begins with "
                    f"`{bytes(returned[:10]).hex(' ')}`, expected {len(right):,} bytes that begin with "
                    f"`{header.hex(' ')}`",
                    _length_hint(len(text.encode()))
                    if returned.endswith(text.encode())
                    else "a frame ends with its payload, unchanged: the text in UTF-8, `text.encode()`",
                )
        return "all three forms of the length are right, even where bytes and characters differ in number"

    return try_function(function, scenario, arguments="text", coroutine=False)


@check
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
            (Opcode.PONG, b" \x89\n", True, False),
            (Opcode.CLOSE, b"\x03\xe8" + a_word().encode() + b"\n", True, True),
            *(
                (Opcode.TEXT, a_sentence().encode(), chance.random() < 0.5, masked)
                for masked in (True, False)
            ),
        ):
            frame = Frame(opcode, payload, fin).serialize(mask=mask)
            if opcode is Opcode.BINARY:  # as permessage-deflate marks a compressed message
                frame = bytes([frame[0] | 0b0100_0000]) + frame[1:]
            returned = await answer(frame)
            if not (isinstance(returned, tuple | list) and len(returned) == 3):
                raise NotYet(
                    f"`decode` returned {shown(returned)}", "return three things: `fin, opcode, payload`"
                )
            for name, came, right, hint in (
                ("fin", returned[0], fin, FIN_HINT),
                ("opcode", returned[1], int(opcode), OPCODE_HINT),
                ("payload", returned[2], payload, MASKED_HINT if mask else UNMASKED_HINT),
            ):
                if came != right or (right is fin and type(came) is not bool):
                    raise NotYet(
                        f"for `{frame[:16].hex(' ')}{' …' if len(frame) > 16 else ''}` you found "
                        f"{name} {shown(came)}, expected {shown(right)}",
                        hint,
                    )
        return "text, binary, fragments, ping, pong and close, masked and not: all ten are right"

    return try_function(function, scenario, arguments="frame", coroutine=False)


@check
def faults(answer: Any) -> Verdict:
    """Check what is wrong with the three captured frames of the chapter."""
    lacking = why_unfit(answer, "faults", FAULTS, RULES, wanted="your own words")
    if lacking is not None:
        return lacking
    wrong = [name for name in FAULTS if answer[name] != FAULTS[name]]
    if wrong:
        return Verdict(
            False,
            f"{' and '.join(wrong)}: another rule was broken there",
            f"begin with {wrong[0]}: {WHERE_TO_LOOK[wrong[0]]}",
        )
    found = ("A is not masked", "B sets a reserved bit", "C is text that isn't UTF-8")
    return Verdict(True, "you found all three:", points=found)


def _key_hint(returned: object, key: str) -> str:
    if returned is None:
        return "end with `return` and the value you computed"
    if returned == key:
        return "that is the key itself: what does a server do with it before it answers?"
    if isinstance(returned, str) and re.fullmatch("[0-9a-f]{40}", returned):
        return "that is the hash in hexadecimal: take its 20 bytes, `digest()`, and put them into base64"
    without = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
    if returned == without:
        return "that is the hash of the key alone: hash `key + GUID`"
    return (
        "there are three steps: `key` and `GUID` joined, the SHA-1 of that, and its base64 as a string; "
        "print each of them, and compare them with those of the second section"
    )


def _length_hint(length: int) -> str:
    if length < 126:
        return (
            "the first byte is 0x81 (FIN, opcode 1), the second the length, up to 125: "
            "count `payload`, not the characters of `text`"
        )
    if length < 65536:
        return (
            "from 126 to 65,535 bytes (count `payload`, not the characters of `text`), "
            "the second byte is 126, and the length follows in two bytes, the most significant one first"
        )
    return (
        "from 65,536 bytes on, the second byte is 127, and the length follows in eight, "
        "the most significant one first"
    )
