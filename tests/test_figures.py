"""Bars, claims and tables: what they say as text and show as HTML."""

from __future__ import annotations

import pytest

from helpers.figures.bars import COLOURS, Bars
from helpers.figures.claims import Claims
from helpers.figures.table import Table, in_ms, nearest_rank, overtaken, times


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_bars_are_to_one_scale_and_in_one_colour() -> None:
    bars = Bars({"loop": 1.0, "<thread>": 0.25, "none": 0.0})
    assert repr(bars).splitlines() == [
        f"loop      1,000.0 ms  {40 * '█'}",
        f"<thread>    250.0 ms  {10 * '█'}",
        "none          0.0 ms",
    ]
    page = bars._repr_html_()
    assert "&lt;thread&gt;" in page
    assert page.count(COLOURS[0]) == 3
    assert "■" not in page
    assert repr(Bars({})) == ""


def test_bars_take_words_for_all_or_for_one() -> None:
    values: dict[str, float | tuple[float | None, str]] = {"a": 1200.0, "b": (None, "lost")}
    bars = Bars(values, words=lambda count: f"{count:,.0f} bytes")
    assert repr(bars).splitlines() == [f"a  1,200 bytes  {40 * '█'}", "b         lost"]


def test_groups_have_their_own_scale_and_each_label_its_colour() -> None:
    bars = Bars({"ten": {"a": (1.0, "1 s"), "b": (2.0, "2 s")}, "more": {"a": (9.0, "9 s")}})
    assert repr(bars).splitlines() == [
        "ten",
        f"  a  1 s  {20 * '█'}",
        f"  b  2 s  {40 * '█'}",
        "more",
        f"  a  9 s  {40 * '█'}",
    ]
    page = bars._repr_html_()
    assert page.count("width: 100.0%") == 2
    assert [page.count(colour) for colour in COLOURS[:3]] == [4, 2, 0]  # a square and a bar each


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("ground", ["#ffffff", "#111111"])
def test_the_colours_are_seen_on_light_and_dark_grounds(colour: str, ground: str) -> None:
    dark, light = sorted((luminance(colour), luminance(ground)))
    assert (light + 0.05) / (dark + 0.05) >= 3


def test_claims_are_listed_and_judged_again_in_their_place() -> None:
    claims = Claims()
    claims.judge("HTTP is slow", ..., "1.0 × as long", False)
    claims.judge("<b> is bold", 3, "4 tags", True)
    claims.judge("HTTP is slow", 2, "1.1 × as long", False)
    assert [row.claim for row in claims.rows] == ["HTTP is slow", "<b> is bold"]
    assert repr(claims).splitlines() == [
        "1. HTTP is slow",
        "   you said: 2",
        "   measured: 1.1 × as long",
        "   verdict:  false",
        "2. <b> is bold",
        "   you said: 3",
        "   measured: 4 tags",
        "   verdict:  true",
    ]
    page = claims._repr_html_()
    assert "&lt;b&gt; is bold" in page
    assert "<b>true</b>" in page


def test_a_claim_without_a_guess_shows_a_dash() -> None:
    claims = Claims()
    claims.judge("HTTP is slow", ..., "1.0 × as long", False)
    assert claims.rows[0].guess == "–"


def test_quantiles_by_nearest_rank() -> None:
    assert nearest_rank([3, 1, 2], 0.5) == 2
    assert nearest_rank(range(1, 101), 0.99) == 99
    assert nearest_rank([5], 0.99) == 5


def test_three_digits_are_enough() -> None:
    assert [in_ms(0.0001234), in_ms(0.0421), in_ms(0.5), in_ms(None)] == ["0.12", "42.1", "500", "–"]
    assert [times(0.953), times(2.04), times(None)] == ["×0.95", "×2.0", "–"]


def test_a_table_as_text_and_as_html() -> None:
    table = Table("About <this>", [("", "way"), ("bytes", "up"), ("bytes", "down")], [["a", "1", "22"]])
    assert repr(table) == "About <this>\n     ─ bytes ─\nway  up   down\na     1     22"
    page = table._repr_html_()
    assert "About &lt;this&gt;" in page
    assert '<th colspan="2" scope="colgroup" style="text-align: center">bytes</th>' in page
    assert page.count("<tr>") == 3


def test_what_came_after_a_later_one_was_overtaken() -> None:
    assert [overtaken(numbers) for numbers in ([], [0, 1, 2], [0, 2, 1, 3], [3, 0, 1])] == [0, 0, 1, 2]
