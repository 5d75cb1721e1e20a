"""What goes over the wire: a decoder for the bytes of a connection, and a tap to put in front of a server.

Example::

    with tapped("ws://127.0.0.1:8765", delay=0.02) as tap:
        ...  # connect to tap.url
        frames = [event for event in tap.events() if isinstance(event, Frame)]
"""

from __future__ import annotations

from .decode import Decoder
from .events import (
    TO_CLIENT,
    TO_SERVER,
    Direction,
    Event,
    Frame,
    How,
    HttpBody,
    HttpChunk,
    HttpRequest,
    HttpResponse,
    Message,
    NotWebSocket,
    ServerSentEvent,
    TcpClosed,
    TcpOpened,
    Violation,
    WebSocketOpened,
)
from .link import Shape
from .tap import Counts, Tap, TapStats, tapped

__all__ = [
    "TO_CLIENT",
    "TO_SERVER",
    "Counts",
    "Decoder",
    "Direction",
    "Event",
    "Frame",
    "How",
    "HttpBody",
    "HttpChunk",
    "HttpRequest",
    "HttpResponse",
    "Message",
    "NotWebSocket",
    "ServerSentEvent",
    "Shape",
    "Tap",
    "TapStats",
    "TcpClosed",
    "TcpOpened",
    "Violation",
    "WebSocketOpened",
    "tapped",
]
