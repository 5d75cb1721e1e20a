"""Arguments are checked where they are given, in words."""

from __future__ import annotations

import math
from typing import Any


def number(
    value: object, name: str, least: float = 0, most: float = math.inf, *, whole: bool = False
) -> None:
    """Raise a `TypeError` if it is no number, and a `ValueError` if it is infinite or out of the range."""
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise TypeError(f"{name} must be a {'whole ' if whole else ''}number, not {value!r}")
    if not (math.isfinite(value) and least <= value <= most):
        limits = f"{least:,} to {most:,}" if most < math.inf else f"{least:,} or more"
        raise ValueError(f"{name} must be {limits}, not {value!r}")


def kind(value: object, name: str, *kinds: type, words: str) -> None:
    """Raise a `TypeError` that says what the argument must be, if it is of none of the kinds."""
    if not isinstance(value, kinds):
        raise TypeError(f"{name} must be {words}, not {value!r}")


def address(server: Any) -> str:
    """The address of a server that is given by its address, or has one; else it raises a `TypeError`."""
    if not isinstance(server, str) and not hasattr(type(server), "url"):
        raise TypeError(f"give an address like ws://127.0.0.1:8765, or a server, not {server!r}")
    return server if isinstance(server, str) else str(server.url)
