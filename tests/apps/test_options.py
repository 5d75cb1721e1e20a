"""Numbers from the command line."""

from __future__ import annotations

import argparse

import pytest

from apps.options import between


def test_a_number_is_whole_where_its_limits_are() -> None:
    assert between(0, 65_535)("65535") == 65_535
    assert between(1.0, 1e9)("1.5") == 1.5
    with pytest.raises(ValueError, match="invalid literal"):
        between(0, 65_535)("1.5")


@pytest.mark.parametrize(("text", "most"), [("-1", 65_535), ("65536", 65_535), ("nan", 1e9), ("inf", 1e9)])
def test_what_cannot_be_is_refused_in_words(text: str, most: float) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=f"{text} isn't between 0"):
        between(type(most)(0), most)(text)
