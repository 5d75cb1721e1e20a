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
        """
        def frame_size(length, masked):
            match length:
                case n if n < 126:
                    more = 0
                case n if n < 65_536:
                    more = 2
                case _:
                    more = 8
            return sum((2, more, 4 if masked else 0, length))
        """,
        """
        from websockets.frames import Frame, Opcode

        def frame_size(length, masked):
            return len(Frame(Opcode.BINARY, bytes(length)).serialize(mask=masked))
        """,
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
            "for 65,536 bytes from a server you said `65,548`, on the wire there are 65,546",
            "8, not 2 + 8",
        ),
        (but("return header + length", "print(header + length)"), "you said `None`", "return a number"),
        (but(">= 65_536", "> 65_536"), "for 65,536 bytes from a server you said `65,540`", "8 more"),
        (but(">= 65_536", ">= 65_535"), "for 65,535 bytes from a server you said `65,545`"),
        (but("4 if masked", "2 if masked"), "for 0 bytes from a client you said `4`", "4 for the mask"),
        (
            but("4 if masked else 0", "0 if masked else 4"),
            "from a server you said `6`",
            "a server doesn't mask",
        ),
        (but("header + length", "header"), "for 5 bytes from a server you said `2`", "5 for the payload"),
        (but("header + length", "length"), "for 0 bytes from a server you said `0`"),
        (but("header + length", "str(header + length)"), "you said `'2'`", "return a number"),
    ]


class TestRightWay(Choice):
    name = "right_way"
    thorough = True
    chosen: ClassVar = {
        "a page with today's weather": "keep-alive",
        "a news ticker in a browser": "SSE",
        "a multiplayer shooter": "WebSocket",
        "a chat": "WebSocket",
        "a dashboard that may be a minute late": "polling",
    }
    given: ClassVar = {"chosen": chosen}
    right: ClassVar = [
        """
        right_way = {
            "a chat": "WebSocket",
            "a multiplayer shooter": "WebSocket",
            "a news ticker in a browser": "SSE",
            "a dashboard that may be a minute late": "polling",
            "a page with today's weather": "keep-alive",
        }
        """,
        """
        right_way = {product: "WebSocket" for product in ("a multiplayer shooter", "a chat")}
        right_way["a page with today's weather"] = "keep-alive"
        right_way["a news ticker in a browser"] = "SSE"
        right_way["a dashboard that may be a minute late"] = "polling"
        """,
        "right_way = dict(zip(chosen, ['keep-alive', 'SSE', 'WebSocket', 'WebSocket', 'polling']))",
        "right_way = dict(chosen) | {'a chat': 'WebSocket'}",
        """
        from collections import OrderedDict

        right_way = OrderedDict(chosen)
        right_way.move_to_end("a chat")
        """,
    ]
    wrong: ClassVar = [
        (
            "right_way = dict.fromkeys(chosen, 'WebSocket')",
            "for a page with today's weather, and for 2 more:",
            "• a news ticker in a browser\n  • a dashboard that may be a minute late",
            "a page with today's weather: nobody speaks unprompted",
        ),
        (
            "right_way = {**chosen, 'a news ticker in a browser': 'WebSocket'}",
            "there is a simpler way, or one that fits better, for a news ticker in a browser",
            "in one direction, over plain HTTP",
        ),
        (
            "right_way = {**chosen, 'a chat': 'SSE'}",
            "for a chat",
            "both sides speak unprompted",
        ),
        (
            "right_way = {**chosen, 'a multiplayer shooter': 'long polling'}",
            "for a multiplayer shooter",
            "the fewest bytes",
        ),
        (
            "right_way = {**chosen, 'a dashboard that may be a minute late': 'long polling'}",
            "for a dashboard that may be a minute late",
            "asks now and then",
        ),
        (
            "right_way = {**chosen, 'a chat': 'websocket'}",
            "for `'a chat'` you wrote `'websocket'`",
            "letter for letter",
            "`'WebSocket'`",
        ),
        (
            'right_way = {**chosen, "a page with today\'s weather": "polling"}',
            "for a page with today's weather",
        ),
        ('right_way = {**chosen, "a page with today\'s weather": "SSE"}', "for a page with today's weather"),
        ("right_way = {**chosen, 'a news ticker in a browser': 'polling'}", "for a news ticker"),
        ("right_way = {**chosen, 'a dashboard that may be a minute late': 'SSE'}", "for a dashboard"),
    ]
