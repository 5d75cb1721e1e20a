"""Inputs that a check doesn't repeat, short enough to be shown whole in its verdict."""

from __future__ import annotations

import random

chance = random.Random()
"""All chance in the checks; `chance.seed(3)` makes it repeatable."""


def a_word(letters: int = 6) -> str:
    """A word that nobody has heard, like `bakoli`."""
    return "".join(chance.choice("aeiou" if at % 2 else "bdfgklmnprst") for at in range(letters))


def a_sentence() -> str:
    """Three words, with a capital in front and a letter that has two bytes in UTF-8."""
    return f"{a_word(4).capitalize()} né {a_word()}"
