"""What server and watchers say to each other.

Binary messages, from the server: a header of 16 bytes, then a picture (JPEG) or a block of sound (16-bit
samples). The header is big-endian: `kind` (1 byte), `quality` (1 byte), 2 bytes of nothing, `number`
(4 bytes), `at` (8 bytes, a float: when it was made, in seconds since 1970).

Text messages are JSON. From the server: `hello`, `probe`, `clock`, `watchers`, `error`. From a watcher:

    {"type": "want"}                        pictures, from now on; there is more that one can want:
    {"type": "want", "pictures": true, "sound": true, "quality": 2}    `quality: null` follows the link
    {"type": "shown", "number": 17}         picture 17 is on the screen: more may come
    {"type": "probe", "number": 17}         the server has sent the same, and measures the link's own delay
    {"type": "clock", "mine": 1234.5}       is answered at once, with the server's clock

Someone who doesn't say `shown` gets one picture. (A pong won't do instead: a proxy may have sent it.)
"""

from __future__ import annotations

import struct
from typing import Annotated, NamedTuple

import msgspec

from apps.video.source import QUALITIES, SIZE, SOUND_RATE

PICTURE, SOUND = 1, 2
HEADER = struct.Struct("!BBxxId")
LONGEST_REQUEST = 1_000
"""Characters of a watcher's message."""


class Part(NamedTuple):
    """A binary message.

    Attributes:
        kind: PICTURE or SOUND.
        quality: of a picture; 0 is the best.
        number: of the picture or block.
        at: when it was made, in seconds since 1970.
        content: a JPEG, or samples.
    """

    kind: int
    quality: int
    number: int
    at: float
    content: bytes


def pack(kind: int, quality: int, number: int, at: float, content: bytes) -> bytes:
    """A binary message; see `Part`."""
    return HEADER.pack(kind, quality, number % 2**32, at) + content


def unpack(message: bytes) -> Part:
    """What is in a binary message.

    Raises:
        ValueError: it is too short.
    """
    if len(message) < HEADER.size:
        raise ValueError(f"{len(message)} bytes are no header of {HEADER.size}")
    kind, quality, number, at = HEADER.unpack_from(message)
    return Part(kind, quality, number, at, message[HEADER.size :])


class Shown(msgspec.Struct, tag_field="type", tag="shown", forbid_unknown_fields=True):
    """A picture is on the watcher's screen."""

    number: int


class Want(msgspec.Struct, tag_field="type", tag="want", forbid_unknown_fields=True):
    """What a watcher wants from now on; a quality of None follows the link."""

    pictures: bool = True
    sound: bool = False
    quality: Annotated[int, msgspec.Meta(ge=0, lt=len(QUALITIES))] | None = None


class Clock(msgspec.Struct, tag_field="type", tag="clock", forbid_unknown_fields=True):
    """A watcher asks what time it is here; its own time comes back with the answer."""

    mine: float


class Probe(msgspec.Struct, tag_field="type", tag="probe", forbid_unknown_fields=True):
    """The answer to a probe."""

    number: int


class BadRequest(ValueError):
    """A request that can't be met; the message is for the watcher."""


Request = Shown | Want | Clock | Probe

_decoder = msgspec.json.Decoder(Request)


def read_request(message: str | bytes) -> Request:
    """What a watcher asks for.

    Raises:
        BadRequest: nothing that can be understood.
    """
    if isinstance(message, bytes):
        raise BadRequest("send text messages, not binary ones")
    if len(message) > LONGEST_REQUEST:
        raise BadRequest(f"a request has at most {LONGEST_REQUEST:,} characters")
    try:
        request: Request = _decoder.decode(message)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise BadRequest(f"this can't be understood: {error}") from None
    return request


def hello_message(rate: float) -> str:
    """The first message: what there is."""
    width, height = SIZE
    qualities = [
        {"name": name, "width": width // shrink, "height": height // shrink} for name, shrink, _ in QUALITIES
    ]
    return _json({"type": "hello", "rate": rate, "qualities": qualities, "sound_rate": SOUND_RATE})


def clock_message(mine: float, now: float) -> str:
    """The answer to a `Clock`."""
    return _json({"type": "clock", "mine": mine, "server": now})


def probe_message(number: int) -> str:
    """What a watcher has to send back at once."""
    return _json({"type": "probe", "number": number})


def watchers_message(count: int) -> str:
    """How many watch."""
    return _json({"type": "watchers", "count": count})


def error_message(error: Exception) -> str:
    """What was wrong."""
    return _json({"type": "error", "text": str(error)})


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
