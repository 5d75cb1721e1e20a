"""Bars, claims, guesses and tables: what they say as text and show as HTML."""

from __future__ import annotations

import re

import pytest

from helpers.figures.bars import COLOURS, Bars
from helpers.figures.claims import Claims
from helpers.figures.guess import check_guess
from helpers.figures.lines import Lines
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
    assert repr(Bars({})) == "no amounts"
    assert "<td>no amounts</td>" in Bars({})._repr_html_()


def test_bars_far_apart_are_to_a_logarithmic_scale() -> None:
    bars = Bars({"loop": 1.0, "thread": 0.001, "process": 0.1})
    *lines, note = repr(bars).splitlines()
    assert [line.count("█") for line in lines] == [40, 10, 30]
    assert note == "(logarithmic scale: each step is ten times as much)"
    page = bars._repr_html_()
    assert page.count("25.00% 100%") == 3
    assert note.strip("()") in page
    assert "logarithmic" not in repr(Bars({"loop": 1.0, "thread": 0.01}))


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


def test_claims_are_listed_and_settled_again_in_their_place() -> None:
    claims = Claims({"<b> is bold": True, "HTTP is slow": True, "HTTP is old": ..., "Never settled": False})
    claims.settle("HTTP is slow", "2.0 × as long", True)
    claims.settle("<b> is bold", "4 tags", True)
    claims.settle("HTTP is old", "37 years", True)
    claims.settle("HTTP is slow", "1.1 × as long", False)
    assert [row.claim for row in claims.rows] == ["HTTP is slow", "<b> is bold", "HTTP is old"]
    assert repr(claims).splitlines()[:8] == [
        "1. HTTP is slow",
        "   you judged: true",
        "   measured:   1.1 × as long",
        "   verdict:    false",
        "2. <b> is bold",
        "   you judged: true",
        "   measured:   4 tags",
        "   verdict:    true",
    ]
    page = claims._repr_html_()
    assert "&lt;b&gt; is bold" in page
    assert "<b>true</b>" in page
    assert claims.rows[2].judged == "–"
    assert claims.tally() == "You judged 2 of 3 claims, 1 of them correctly."


def test_a_claim_is_true_or_false_and_one_of_those_that_were_judged() -> None:
    with pytest.raises(TypeError, match="write True or False after 'HTTP is slow', not 'true'"):
        Claims({"HTTP is slow": "true"})
    with pytest.raises(KeyError, match="'HTTP is fast' isn't one of the claims:  'HTTP is slow'"):
        Claims({"HTTP is slow": ...}).settle("HTTP is fast", "", True)


@pytest.mark.parametrize(
    ("guess", "measured", "said"),
    [
        (..., 1, "no guess yet; it was 1."),
        (..., True, "no guess yet; it was yes."),
        (..., "Ann", 'no guess yet; it was "Ann".'),
        (1, 1, "you guessed 1. Right!"),
        (2.0, 2, "you guessed 2. Right!"),
        (1000, 1, "you guessed 1,000, it was 1. Off by 999."),
        (0.1, 0.3, "you guessed 0.1, it was 0.3. Off by 0.2."),
        (0, 1, "you guessed 0, it was 1. Off by 1."),
        ("yes", True, "you guessed yes. Right!"),
        (" No", True, "you guessed no, it was yes."),
        (True, False, "you guessed yes, it was no."),
        (" ann", "Ann", 'you guessed "Ann". Right!'),
        ("both", "Ann", 'you guessed "both", it was "Ann".'),
        (1000, "1000", 'you guessed "1000". Right!'),
    ],
)
def test_a_guess_is_answered(
    capsys: pytest.CaptureFixture[str], guess: object, measured: bool | float | str, said: str
) -> None:
    check_guess(guess, measured, "it")
    assert capsys.readouterr().out == f"it: {said}\n"


@pytest.mark.parametrize(
    ("guess", "measured", "said"),
    [
        ("five", 5, "it: write a number without quotes, not 'five'"),
        ("5", 5, "it: write a number without quotes, not '5'"),
        (True, 1, "it: write a number"),
        (None, 1, "it: write a number"),
        ("maybe", True, 'it: write "yes" or "no", not \'maybe\''),
        (1, True, 'it: write "yes" or "no"'),
        (["Ann"], "Ann", "it: write one of the choices in quotes"),
        (False, "Ann", "it: write one of the choices in quotes"),
    ],
)
def test_a_guess_of_another_kind_is_refused(guess: object, measured: bool | float | str, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        check_guess(guess, measured, "it")


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
    assert re.search(r'<th colspan="2" scope="colgroup" style="text-align: center; [^"]*">bytes</th>', page)
    assert page.count("<tr>") == 3


def test_what_came_after_a_later_one_was_overtaken() -> None:
    assert [overtaken(numbers) for numbers in ([], [0, 1, 2], [0, 2, 1, 3], [3, 0, 1])] == [0, 0, 1, 2]


def test_lines_are_to_one_scale_and_said_in_words() -> None:
    lines = Lines("where <Ann> is", {"shown": [(5.0, 0), (5.5, 4), (6.0, 1)], "true": [(5.0, 0)]}, unit="m")
    assert repr(lines).splitlines() == [
        "where <Ann> is, m",
        "line   first  last  least  most  largest step",
        "shown      0     1      0     4             4",
        "true       0     0      0     0             0",
    ]
    page = lines._repr_html_()
    assert 'points="52.0,186.0 356.0,186.0 356.0,10.0 660.0,10.0 660.0,142.0"' in page
    assert page.count("<polyline") == 2
    assert "<Ann>" not in page
    assert re.findall(r">([\d.]+) s<", page) == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    assert "<svg" in Lines("nothing", {})._repr_html_()
    with pytest.raises(ValueError, match="a point of 'shown'"):
        Lines("x", {"shown": [(0.0, float("nan"))]})
