"""How a client comes back, without a connection: when it tries again, and what it has missed."""

from __future__ import annotations

from itertools import islice

import pytest

from apps.chat.resume import FINAL_CODES, pauses, unseen
from apps.chat.room import Event


def test_the_pauses_grow_to_four_seconds_and_differ() -> None:
    some = list(islice(pauses(), 200))
    for pause, longest in zip(some, (0.5, 1, 2, *[4] * 197), strict=True):
        assert longest / 2 <= pause <= longest
    assert len(set(some)) == 200


def test_an_accident_is_no_final_answer() -> None:
    assert {1000, 1008, 4001} <= FINAL_CODES
    assert not {1001, 1005, 1006, 1011, 1012, 1013} & FINAL_CODES


A, B, C = ({"type": "said", "who": "Ann", "text": text} for text in "abc")
JOINED = {"type": "joined", "who": "Bob"}


@pytest.mark.parametrize(
    ("seen", "history", "new"),
    [
        ([], [A, B], [A, B]),
        ([A, JOINED, B], [A, B, C], [C]),
        ([A, B], [B, C], [C]),
        ([A, B], [A, B], []),
        ([A, B], [], []),
        ([A, B], [C], [C]),
        ([A], [A, A], [A]),
        ([B], [A, B, C], [A, B, C]),
    ],
)
def test_history_is_shown_once(seen: list[Event], history: list[Event], new: list[Event]) -> None:
    assert unseen(seen, history) == new
