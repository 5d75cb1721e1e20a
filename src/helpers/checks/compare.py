"""The exercises of `01_compare_http_and_websocket`."""

from __future__ import annotations

from typing import Any

from websockets.frames import Frame, Opcode

from helpers.checks.trial import Answer, try_function
from helpers.checks.verdict import NotYet, Verdict, shown

WAYS = ("keep-alive", "polling", "long polling", "SSE", "WebSocket")
FITTING = {
    "a page with the weather of today": {"keep-alive"},
    "a news ticker in a browser": {"SSE"},
    "a shooting game": {"WebSocket"},
    "a chat": {"WebSocket"},
    "a backup that may be an hour late": {"polling"},
}
REASONS = {
    "a page with the weather of today": "a question and an answer, nobody speaks unasked",
    "a news ticker in a browser": "news goes one way, and the browser reconnects by itself",
    "a shooting game": "both sides speak all the time, and bytes and milliseconds count",
    "a chat": "both sides speak unasked",
    "a backup that may be an hour late": "nobody waits for it: a question an hour costs the least",
}


def frame_size(function: Any) -> Verdict:
    """Check `def frame_size(length, masked)`: how many bytes a frame with so long a payload has."""

    async def scenario(answer: Answer) -> str:
        for length in (0, 5, 125, 126, 1000, 65_535, 65_536):
            for masked in (False, True):
                frame = Frame(Opcode.BINARY, bytes(length)).serialize(mask=masked)
                returned = await answer(length, masked)
                if returned != len(frame):
                    raise NotYet(
                        f"for {length:,} bytes {'from a client' if masked else 'from a server'} you said "
                        f"{shown(returned)}, on the wire there are {len(frame):,}",
                        _hint(length, masked),
                    )
        return "seven lengths, from both sides: each frame that was made has as many bytes as you said"

    return try_function(function, scenario, arguments="length, masked", coroutine=False)


def right_way(answer: Any) -> Verdict:
    """Check which way was chosen for each of the five products."""
    if not isinstance(answer, dict) or set(answer) != set(FITTING):
        return Verdict(False, f"`choice` is {shown(answer)}", "keep the five products, and give each a way")
    if ... in answer.values():
        return Verdict(False, "there is still a `...`", "put a way in its place")
    for way in answer.values():
        if way not in WAYS:
            return Verdict(False, f"{shown(way)} is none of the ways", f"choose from {', '.join(WAYS)}")
    wrong = [product for product, way in answer.items() if way not in FITTING[product]]
    if wrong:
        return Verdict(
            False,
            f"there is a simpler way, or a fitter one, for {' and for '.join(wrong)}",
            "who speaks unasked: nobody, the server, or both? And how long may news be on its way?",
        )
    return Verdict(True, "; ".join(f"{product}: {REASONS[product]}" for product in FITTING))


def _hint(length: int, masked: bool) -> str:
    if length >= 65_536:
        return "beyond 65,535 bytes, eight more bytes hold the length"
    if length >= 126:
        return "from 126 bytes on, two more bytes hold the length"
    return "a client's frame has four more bytes, the mask" if masked else "the shortest header has two bytes"
