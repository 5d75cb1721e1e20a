"""Numbers from the command line, checked before anything starts."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeVar

Number = TypeVar("Number", int, float)


def between(least: Number, most: Number) -> Callable[[str], Number]:
    """Return a `type` for `add_argument`: a number from `least` to `most`, whole where these are."""
    kind = type(most)

    def number(text: str) -> Number:
        value = kind(text)
        if not least <= value <= most:  # nor is nan
            raise argparse.ArgumentTypeError(f"{text} isn't between {least:,} and {most:,}")
        return value

    return number
