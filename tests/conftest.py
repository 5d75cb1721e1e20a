"""For all tests: what is still running in the background after a test is that test's mistake."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from helpers.background.lifetime import Background


@pytest.fixture(autouse=True)
def background_is_stopped() -> Iterator[None]:
    yield
    left = list(Background._running.values())
    for background in left:
        background.halt()
    assert left == []


@pytest.fixture
def nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    yield
    gc.collect()  # a future whose exception nobody asked for complains when it is collected
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
