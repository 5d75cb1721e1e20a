"""The exercises of `01_compare_http_and_websocket`."""

from __future__ import annotations

from typing import Any

from websockets.frames import Frame, Opcode

from helpers.checks.answer import Answer
from helpers.checks.chance import chance
from helpers.checks.choices import why_unfit
from helpers.checks.trial import try_function
from helpers.checks.verdict import NotYet, Verdict, shown
from helpers.checks.whose import check

WAYS = ("keep-alive", "polling", "long polling", "SSE", "WebSocket")
FITTING = {
    "a page with today's weather": {"keep-alive"},
    "a news ticker in a browser": {"SSE"},
    "a multiplayer shooter": {"WebSocket"},
    "a chat": {"WebSocket"},
    "a dashboard that may be a minute late": {"polling"},
}
REASONS = {
    "a page with today's weather": "a question and an answer, nobody speaks unprompted",
    "a news ticker in a browser": "news goes one way, and the browser reconnects by itself",
    "a multiplayer shooter": "both sides speak all the time, and bytes and milliseconds count",
    "a chat": "both sides speak unprompted",
    "a dashboard that may be a minute late": "nobody waits for it: one question per minute costs the least",
}
QUESTIONS = {
    "a page with today's weather": "nobody speaks unprompted, and one answer is enough; "
    "which way is a plain request?",
    "a news ticker in a browser": "only the server speaks, and news must arrive at once; "
    "which way goes in one direction, over plain HTTP, and reconnects by itself?",
    "a multiplayer shooter": "both sides speak unprompted, many times a second; "
    "which way has the fewest bytes around a small message?",
    "a chat": "both sides speak unprompted; which way is open in both directions?",
    "a dashboard that may be a minute late": "nobody waits for it, so no connection has to stay open; "
    "which way asks now and then?",
}


@check
def frame_size(function: Any) -> Verdict:
    """Check `def frame_size(length, masked)`: how many bytes a frame with a payload of that length has."""

    async def scenario(answer: Answer) -> str:
        lengths = [0, 5, 125, 126, 127, 1000, 65_535, 65_536, 65_537]
        lengths += [chance.randint(*limits) for limits in ((6, 124), (128, 65_534), (65_538, 200_000))]
        for length in lengths:
            for masked in (False, True):
                frame = Frame(Opcode.BINARY, bytes(length)).serialize(mask=masked)
                returned = await answer(length, masked)
                if returned != len(frame):
                    yours = f"`{returned:,}`" if type(returned) is int else shown(returned)
                    raise NotYet(
                        f"for {length:,} bytes {'from a client' if masked else 'from a server'} you said "
                        f"{yours}, on the wire there are {len(frame):,}",
                        _hint(length, masked),
                    )
        return "twelve lengths, from both sides: every frame has as many bytes as you said"

    return try_function(function, scenario, arguments="length, masked", coroutine=False)


@check
def right_way(answer: Any) -> Verdict:
    """Check which way was chosen for each of the five products."""
    lacking = why_unfit(answer, "right_way", FITTING, WAYS, wanted="one of the five ways")
    if lacking is not None:
        return lacking
    wrong = [product for product in FITTING if answer[product] not in FITTING[product]]
    if wrong:
        return Verdict(
            False,
            f"there is a simpler way, or one that fits better, for {wrong[0]}"
            + (f", and for {len(wrong) - 1} more:" if wrong[1:] else ""),
            f"{wrong[0]}: {QUESTIONS[wrong[0]]}",
            points=tuple(wrong[1:]),
        )
    points = tuple(f"{product}: {REASONS[product]}" for product in FITTING)
    return Verdict(True, "each one fits, for these reasons:", points=points)


def _hint(length: int, masked: bool) -> str:
    if length >= 65_536:
        parts = ["2 for the shortest header", "8 more for a length from 65,536 on (8, not 2 + 8)"]
    elif length >= 126:
        parts = ["2 for the shortest header", "2 more for a length from 126 on"]
    else:
        parts = ["2 for the header (a length up to 125 is in it)"]
    parts.append("4 for the mask" if masked else "nothing for a mask (a server doesn't mask)")
    return f"return a number, the sum of: {', '.join(parts)}, and {length:,} for the payload"
