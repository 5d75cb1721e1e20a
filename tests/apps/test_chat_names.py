"""Which names people and rooms may have, and which two count as the same."""

from __future__ import annotations

import pytest

from apps.chat.names import as_name, same_name

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"
ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Ann", "Ann"),
        ("  Ann   Lee ", "Ann Lee"),
        ("Ann\u00a0Lee\u3000", "Ann Lee"),
        ("Ze\u0301", "Z\u00e9"),
        (
            "\u0e44\u0e17\u0e22\u0e19\u0e35\u0e49",
            "\u0e44\u0e17\u0e22\u0e19\u0e35\u0e49",
        ),  # Thai, with two marks on one letter
        ("x" * 32 + " ", "x" * 32),
    ],
)
def test_blanks_and_accents_have_one_form(text: str, name: str) -> None:
    assert as_name(text) == name


@pytest.mark.parametrize(
    "name",
    [
        FAMILY,
        ENGLAND,
        "\u2764\ufe0f",
        "1\ufe0f\u20e3",
        "\U0001f469\U0001f3fd\u200d\U0001f680",
        "\U0001f642\u200d\u2194\ufe0f",
        "\U0001f3f3\ufe0f\u200d\U0001f308",
        "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627",  # Persian: its spelling asks for the non-joiner
        "\u0915\u094d\u200d\u0937",  # Devanagari
    ],
)
def test_what_joins_two_that_are_seen_may_stay(name: str) -> None:
    assert as_name(name) == name


@pytest.mark.parametrize(
    "text",
    [
        *["", " ", "\u3164", "\u2800", "\u115f", "\u1160", "\uffa0", "\u200d", "\ufe0f", "\U0001d159"],
        *["Ann\u034f", "Ann\u200b", "A\u200dnn", "An\u200cn", "Ann\ufe0f"],
        *["Ann\ufeff", "A\u00adnn", "A\U000e0061"],
        *["\u202eAnn", "Ann\u2066", "\u200eAnn", "\u061cAnn"],
        *["A\nB", "Ann\n", "Ann\t", "A\x00", "Ann\x1f", "\x85Ann", "\x7f"],
        *["A\ud800", "\ue000", "\uffff", "\u0301", "Ann \u0301", "A" + 6 * "\u0301"],
        *["x" * 33, "\u0301\u0323" * 100_000],
    ],
)
def test_what_cannot_be_seen_is_no_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"^names have 1 to 32 printable characters$"):
        as_name(text)


def test_names_that_look_alike_are_the_same() -> None:
    assert same_name("Ann") == same_name("aNN") == same_name(" Ann") == same_name("\uff21\uff4e\uff4e")
    assert same_name("stra\u00dfe") == same_name("STRASSE")
    assert same_name("\u2764\ufe0f") == same_name("\u2764")
    assert same_name("\u0639\u0644\u06cc\u200c\u0631") == same_name("\u0639\u0644\u06cc\u0631")
    assert same_name("Ann") != same_name("Anne")
