"""A test without I/O: the rules alone, on a line that breaks wherever chance wants it to."""

from __future__ import annotations

import random

import pytest

from apps.chat.resume import Outbox, Replay, Seen, SnapshotNeeded


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_lost_and_nothing_comes_twice(seed: int) -> None:
    chance = random.Random(seed)
    outbox, seen, heard, said = Outbox(most=20), Seen(), list[int](), 0
    while len(heard) < 200:
        while said < 200 and outbox.add(str(said)):
            said += 1
        sent = 0
        for _ in range(chance.randint(0, 10)):  # then the line breaks
            if (message := outbox.after(sent)) is None:
                break
            sent, text = message
            if seen.is_new(sent):
                heard.append(int(text))
        if chance.random() < 0.5:  # the other acknowledgements are lost
            outbox.acknowledged(seen.number)
    assert heard == list(range(200))


def test_what_is_no_longer_kept_is_not_passed_over_in_silence() -> None:
    replay = Replay(messages=2)
    for text in "abc":
        replay.add(text)
    assert replay.after(replay.epoch, 1) == [(2, "b"), (3, "c")]
    with pytest.raises(SnapshotNeeded, match="the oldest kept is number 2"):
        replay.after(replay.epoch, 0)
