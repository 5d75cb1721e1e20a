"""What every event says: on which connection, in which direction and when."""

from __future__ import annotations

from typing import TypedDict

from .events import Direction

__all__ = ["Stamp"]


class Stamp(TypedDict):
    """The fields that all events share, ready to be passed on as keyword arguments."""

    connection: int
    direction: Direction
    at: float
