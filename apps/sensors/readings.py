"""What devices and the collector say to each other, without a network: JSON, checked before it is believed.

A device sends lists of readings: `[{"number": 7, "at": 1764161234.5, "value": 21.4}, …]`. Its numbers rise by
themselves and never start again, because a device and a number together name a reading. The collector answers
with `{"ack": 7}`, once everything up to number 7 is on disk, and with `{"error": …}` for what it can't take.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

import msgspec

READINGS_IN_A_MESSAGE = 100
LONGEST_MESSAGE = 2**14
"""In bytes: a hundred readings take about 6 kB."""
FAST_CLOCK = 60.0
"""How far a device's clock may be ahead of ours, in seconds."""

DEVICE_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")


class Reading(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One measurement.

    Args:
        number: counts a device's readings, from 1.
        at: when it was measured, in seconds since 1970, by the device's clock.
        value: what was measured, in °C.
    """

    number: Annotated[int, msgspec.Meta(ge=1, lt=2**53)]
    at: Annotated[float, msgspec.Meta(ge=0)]
    value: Annotated[float, msgspec.Meta(ge=-273.15, le=1e4)]


class Ack(msgspec.Struct, omit_defaults=True):
    """What the collector answers; `ack` is also its greeting, with the last number that it has stored.

    Args:
        ack: everything up to this number is on disk.
        error: why a reading was not taken.
        number: which one that was, if it has a number.
    """

    ack: int | None = None
    error: str | None = None
    number: int | None = None


class Numbered(msgspec.Struct):
    """The number of a reading that is otherwise wrong."""

    number: int


class Refused(ValueError):
    """A message, or a reading in it, that can't be taken.

    Args:
        why: in words for whoever wrote the device.
        number: of the reading, where it has one.
    """

    def __init__(self, why: str, number: int | None = None) -> None:
        super().__init__(why)
        self.number = number


NOT_JSON = (msgspec.DecodeError, UnicodeEncodeError, RecursionError)
"""What msgspec raises for a message that isn't what is expected: half an emoji, ten thousand brackets …"""

_list = msgspec.json.Decoder(list[msgspec.Raw])
_reading = msgspec.json.Decoder(Reading)
_numbered = msgspec.json.Decoder(Numbered)
_ack = msgspec.json.Decoder(Ack)
as_json = msgspec.json.Encoder().encode
as_ack = _ack.decode


def checked(message: str | bytes, *, after: int, now: float) -> Iterator[Reading | Refused]:
    """Take a message apart: each reading, or why it is refused; one bad reading doesn't spoil the others.

    Args:
        message: as it came from a device.
        after: the highest number that this connection has sent before.
        now: the time here, in seconds since 1970.
    """
    if isinstance(message, bytes):
        yield Refused("send text, not bytes")
        return
    try:
        parts = _list.decode(message)
    except NOT_JSON as error:
        yield Refused(f"send a list of readings in JSON: {error}")
        return
    if not 1 <= len(parts) <= READINGS_IN_A_MESSAGE:
        yield Refused(f"send 1 to {READINGS_IN_A_MESSAGE} readings in a message, not {len(parts):,}")
        return
    for part in parts:
        result = _checked(part, after, now)
        if isinstance(result, Reading):
            after = result.number
        yield result


def _checked(part: msgspec.Raw, after: int, now: float) -> Reading | Refused:
    try:
        reading = _reading.decode(part)
    except msgspec.DecodeError as error:
        return Refused(str(error), _number_of(part))
    if reading.number <= after:
        return Refused(f"number {reading.number} came after {after}: numbers must rise", reading.number)
    if reading.at > now + FAST_CLOCK:
        ahead = reading.at - now
        return Refused(f"`at` is {ahead:,.0f} s in the future: set the device's clock", reading.number)
    return reading


def _number_of(part: msgspec.Raw) -> int | None:
    try:
        return _numbered.decode(part).number
    except msgspec.DecodeError:
        return None
