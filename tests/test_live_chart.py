"""The live chart: each value counts in words; the page gets few updates, and the newest value."""

from __future__ import annotations

import threading
import time

import pytest

from helpers.widgets.live_chart import POINTS, LiveChart


def until(true: object, chart: LiveChart, seconds: float = 5) -> None:
    """Wait until the page's words have changed to what is wanted."""
    changed = threading.Event()
    legend = chart.children[0]
    legend.observe(lambda _: changed.set() if str(true) in legend.value else None, "value")
    if str(true) not in legend.value:
        assert changed.wait(seconds), legend.value


def test_each_value_is_in_the_words_and_the_newest_is_drawn() -> None:
    chart = LiveChart("age", unit="ms")
    assert repr(chart) == "age, ms: no values yet"
    updates: list[str] = []
    chart.children[0].observe(lambda change: updates.append(change["new"]), "value")
    began = time.monotonic()
    for number in range(1000):
        chart.add("slow", number)
        chart.add("<b>fast", -number)
        time.sleep(0.0002)
    chart.add("slow", 123456)
    until("1.235e+05", chart)
    seconds = time.monotonic() - began
    assert len(updates) <= 20 * seconds + 3
    assert "&lt;b&gt;fast" in updates[-1]
    (drawn,) = chart.children[1].marks
    assert list(drawn.y[:, -1]) == [123456, -999]
    assert drawn.x.shape == drawn.y.shape
    assert len(drawn.x[0]) <= len(updates) + 1
    assert list(drawn.x[0]) == sorted(drawn.x[0])
    assert drawn.x[0, -1] == 0
    assert "slow     1.235e+05" in repr(chart)
    assert chart.children[1].axes[1].scale.min is None, "there are values below zero"
    chart.add("new", 1)
    until("new <b>1</b>", chart)
    assert drawn.x.shape == drawn.y.shape
    assert set(drawn.y[2]) == {1}, "a line that begins later repeats its first point"
    assert chart._repr_mimebundle_()["text/plain"] == repr(chart)


def test_what_can_not_be_drawn_is_refused_and_the_past_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    chart = LiveChart("age")
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="can't be drawn"):
            chart.add("slow", value)
    monkeypatch.setattr("helpers.widgets.live_chart.UPDATES_PER_SECOND", 1e9)
    for number in range(POINTS + 5):
        chart.add("slow", number)
        until(f"<b>{number:,.4g}</b>", chart)
    assert len(chart.children[1].marks[0].x) == POINTS
    assert chart.children[1].marks[0].y[-1] == POINTS + 4
