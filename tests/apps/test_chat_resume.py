"""How a client comes back, without a connection: when it tries again, and what it has missed."""

from __future__ import annotations

from itertools import islice

import pytest

from apps.chat.resume import FINAL_CODES, Outbox, Replay, Seen, SnapshotNeeded, pauses, unseen
from apps.chat.room import Event


def test_the_pauses_grow_to_four_seconds_and_differ() -> None:
    some = list(islice(pauses(), 200))
    for pause, longest in zip(some, (0.5, 1, 2, *[4] * 197), strict=True):
        assert longest / 2 <= pause <= longest
    assert len(set(some)) == 200


def test_an_accident_is_no_final_answer() -> None:
    assert {1000, 1002, 1008, 1009, 4001} <= FINAL_CODES
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


def test_what_was_missed_is_sent_again() -> None:
    replay = Replay(messages=3)
    assert replay.after(replay.epoch, 0) == []
    assert [replay.add(text) for text in "abcd"] == [1, 2, 3, 4]
    assert replay.after(replay.epoch, 4) == []
    assert replay.after(replay.epoch, 1) == [(2, "b"), (3, "c"), (4, "d")]


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (0, "you have seen number 0, and the oldest kept is number 2"),
        (5, "you say you have seen number 5, but the last one is 4"),
        (-1, "you say you have seen number -1, but the last one is 4"),
    ],
)
def test_what_cannot_be_sent_again_is_said(number: int, why: str) -> None:
    replay = Replay(messages=3)
    for text in "abcd":
        replay.add(text)
    with pytest.raises(SnapshotNeeded, match=f"^{why}$"):
        replay.after(replay.epoch, number)
    with pytest.raises(SnapshotNeeded, match="may be missing"):
        Replay().after(replay.epoch, 0)


def test_a_replay_is_bounded_in_characters() -> None:
    replay = Replay(characters=10)
    for text in ("12345", "12345", "1", "x" * 11):
        replay.add(text)
        assert replay.after(replay.epoch, replay.last) == []
        assert sum(map(len, replay._kept)) == replay._size <= 10
    with pytest.raises(SnapshotNeeded, match="seen number 3, and the oldest kept is number 5"):
        replay.after(replay.epoch, 3)


def test_each_number_is_new_once() -> None:
    seen = Seen("e", 3)
    assert [seen.is_new(number) for number in (3, 4, 4, 1, 5)] == [False, True, False, False, True]
    with pytest.raises(SnapshotNeeded, match="number 6 is missing: number 7 came in its place"):
        seen.is_new(7)
    assert seen.number == 5


def test_an_outbox_forgets_what_is_acknowledged() -> None:
    outbox = Outbox(3)
    assert [outbox.add(text) for text in "abcd"] == [True, True, True, False]
    outbox.acknowledged(1)
    assert outbox.add("e")
    assert [outbox.after(number) for number in (0, 2, 4)] == [(2, "b"), (3, "c"), None]
    outbox.acknowledged(99)
    assert len(outbox) == 0
    assert outbox.add("f")
    assert outbox.after(0) == (5, "f")
