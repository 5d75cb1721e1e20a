"""For all tests: what is still running in the background after a test is that test's mistake."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from helpers.background.lifetime import Background


def pytest_collection_finish() -> None:
    """Keep what is there by now out of later collections: `nothing_left` makes several each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def background_is_stopped() -> Iterator[None]:
    before = list(Background._running.values())  # of a fixture for several tests
    yield
    left = [background for background in Background._running.values() if background not in before]
    for background in left:
        background.halt()
    assert left == []


@pytest.fixture
def nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    yield
    gc.collect()  # a future whose exception nobody asked for complains when it is collected
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
