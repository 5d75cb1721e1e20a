"""Names of people and rooms: which are allowed, and which two count as the same.

    as_name("  Ann   Lee ")                      # "Ann Lee"
    same_name("Ann Lee") == same_name("ANN LEE")  # True

A name is what people see, so that two names that look alike should be one. That goes as far as blanks, case,
widths and what is invisible; letters of other alphabets that look alike (a Cyrillic "А") are still different.
The server and the page's form both use `as_name`.
"""

from __future__ import annotations

import re
import unicodedata

NAME_CHARACTERS = 32
MARKS_IN_A_ROW = 4
"""How many accents one letter may have; more would cover the lines above."""

WHAT_NAMES_ARE = f"names have 1 to {NAME_CHARACTERS} printable characters"

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")  # some of them count as blanks

# Unicode's Default_Ignorable_Code_Point, as far as its category doesn't tell, and what is drawn as nothing:
# https://www.unicode.org/Public/UCD/latest/ucd/DerivedCoreProperties.txt
INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0\ufe00-\ufe0f\U0001d159\U000e0100-\U000e01ef]"
)
JOINERS = re.compile("[\u200c\u200d\ufe0e\ufe0f\U000e0020-\U000e007f]")

# How emoji are built: https://www.unicode.org/reports/tr51/#EBNF_and_Regex
FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,6}\U000e007f")
KEYCAP = re.compile("[0-9#*]\ufe0f?\u20e3")


def as_name(text: str) -> str:
    """Return the name that is meant: composed (NFC), with single blanks, and none at the ends.

    Raises:
        ValueError: it is empty or too long, or has characters that can't be seen.
    """
    if len(text) <= 4 * NAME_CHARACTERS and not CONTROL.search(
        text
    ):  # composing takes the square of the time
        name = unicodedata.normalize("NFC", " ".join(text.split()))
        if 0 < len(name) <= NAME_CHARACTERS and is_visible(name):
            return name
    raise ValueError(WHAT_NAMES_ARE)


def same_name(name: str) -> str:
    """Return what names that count as the same have in common: no joiners, no case, no widths."""
    bare = unicodedata.normalize("NFKC", JOINERS.sub("", name)).casefold()
    return " ".join(unicodedata.normalize("NFKC", bare).split())


def is_visible(name: str) -> bool:
    """Whether each character of a name can be seen, or joins two that can."""
    name = KEYCAP.sub("1", FLAG.sub("\U0001f3f4", name))
    marks = 0
    for before, char, after in zip(f" {name}", name, f"{name[1:]} ", strict=False):
        if char in "\u200c\u200d\ufe0e\ufe0f":
            if not joins(before, char, after):
                return False
        elif not char.isprintable() or INVISIBLE.match(char):
            return False
        marks = marks + 1 if unicodedata.category(char) in ("Mn", "Me") else 0
        if marks > MARKS_IN_A_ROW or (marks and before == " "):  # too many accents, or one on nothing
            return False
    return True


def joins(before: str, char: str, after: str) -> bool:
    """Whether an invisible character has its place here: in an emoji, or where a script needs it.

    Arabic letters and those of India change their shape with it (RFC 5892, appendix A.1 and A.2).
    """
    if char in "\ufe0e\ufe0f":
        return is_symbol(before)
    if char == "\u200d" and (is_symbol(before) or before == "\ufe0f") and is_symbol(after):
        return True
    return unicodedata.combining(before) == 9 or (
        unicodedata.bidirectional(before) == unicodedata.bidirectional(after) == "AL"
    )


def is_symbol(char: str) -> bool:
    """Whether emoji are made of such characters."""
    return unicodedata.category(char) in ("So", "Sk", "Sm") or char in "\u203c\u2049\u3030"
