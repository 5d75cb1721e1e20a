"""The exercises of `01_compare_http_and_websocket`: right answers, and what is said to the wrong ones."""

from __future__ import annotations

from typing import ClassVar

from battery import Choice, Computation
from changes import but


class TestFrameSize(Computation):
    name = "frame_size"
    arguments = "length, masked"
    right: ClassVar = [
        """
        def frame_size(length, masked):
            size = 2 + length + 4 * masked
            if 126 <= length < 2**16:
                return size + 2
            return size + 8 if length >= 2**16 else size
        """,
        """
        def frame_size(length, masked=False):
            parts = [2, length]
            if masked:
                parts.append(4)
            if length > 65_535:
                parts.append(8)
            elif length > 125:
                parts.append(2)
            return sum(parts)
        """,
        "frame_size = lambda n, m: 2 + n + 4 * m + 2 * (n > 125) + 6 * (n > 65_535)",
    ]
    wrong: ClassVar = [
        (
            but("2 + (4", "(4"),
            "for 0 bytes from a server you said `0`, on the wire there are 2",
            "2 for the header",
        ),
        (
            but("2 + (4 if masked else 0)", "2"),
            "for 0 bytes from a client you said `2`, on the wire there are 6",
            "4 for the mask",
        ),
        (
            but(">= 126", ">= 125"),
            "for 125 bytes from a server you said `129`, on the wire there are 127",
            "a length up to 125",
        ),
        (
            but(">= 126", "> 126"),
            "for 126 bytes from a server you said `128`, on the wire there are 130",
            "2 more for a length from 126 on",
        ),
        (
            but("elif", "if"),
            "for 65,536 bytes from a server you said `65548`, on the wire there are 65,546",
            "8, not 2 + 8",
        ),
        (but("return header + length", "print(header + length)"), "you said `None`", "return a number"),
    ]


class TestRightWay(Choice):
    name = "right_way"
    thorough = True
    chosen: ClassVar = {
        "a page with the weather of today": "keep-alive",
        "a news ticker in a browser": "SSE",
        "a shooting game": "WebSocket",
        "a chat": "WebSocket",
        "a dashboard that may be a minute late": "polling",
    }
    given: ClassVar = {"chosen": chosen}
    right: ClassVar = [
        """
        right_way = {
            "a chat": "WebSocket",
            "a shooting game": "WebSocket",
            "a news ticker in a browser": "SSE",
            "a dashboard that may be a minute late": "polling",
            "a page with the weather of today": "keep-alive",
        }
        """,
        """
        right_way = {product: "WebSocket" for product in ("a shooting game", "a chat")}
        right_way["a page with the weather of today"] = "keep-alive"
        right_way["a news ticker in a browser"] = "SSE"
        right_way["a dashboard that may be a minute late"] = "polling"
        """,
    ]
    wrong: ClassVar = [
        (
            "right_way = dict.fromkeys(chosen, 'WebSocket')",
            "for a page with the weather of today and for a news ticker in a browser and for a dashboard",
            "a page with the weather of today: nobody speaks unprompted",
        ),
        (
            "right_way = {**chosen, 'a news ticker in a browser': 'WebSocket'}",
            "for a news ticker in a browser, there is a simpler way",
            "in one direction, over plain HTTP",
        ),
        (
            "right_way = {**chosen, 'a chat': 'SSE'}",
            "for a chat, there is",
            "both sides speak unprompted",
        ),
        (
            "right_way = {**chosen, 'a shooting game': 'long polling'}",
            "for a shooting game, there is",
            "the fewest bytes",
        ),
        (
            "right_way = {**chosen, 'a dashboard that may be a minute late': 'long polling'}",
            "for a dashboard that may be a minute late, there is",
            "asks now and then",
        ),
        (
            "right_way = {**chosen, 'a chat': 'websocket'}",
            "for `'a chat'` you wrote `'websocket'`",
            "letter for letter",
            "`'WebSocket'`",
        ),
    ]
