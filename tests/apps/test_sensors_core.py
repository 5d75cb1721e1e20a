"""The sensors without a network: what a message holds, what an outbox keeps, what is stored once."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from apps.sensors.outbox import Outbox
from apps.sensors.readings import FAST_CLOCK, READINGS_IN_A_MESSAGE, Reading, Refused, checked
from apps.sensors.store import Store

NOW = 1_800_000_000.0


def look(message: Any, after: int = 0) -> list[Reading | Refused]:
    return list(checked(message, after=after, now=NOW))


def reading(number: Any = 1, at: float = NOW, value: Any = 21.5, **more: Any) -> dict[str, Any]:
    return {"number": number, "at": at, "value": value, **more}


def test_good_readings_are_taken_with_integers_and_a_clock_that_is_a_little_fast() -> None:
    message = json.dumps([reading(3, value=21), reading(4, at=NOW + FAST_CLOCK)])
    assert look(message, after=2) == [Reading(3, NOW, 21.0), Reading(4, NOW + FAST_CLOCK, 21.5)]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b"[]", "send text, not bytes"),
        ("hello", "send a list of readings in JSON: "),
        ("{}", "Expected `array`, got `object`"),
        ("[]", "send 1 to 100 readings in a message, not 0"),
        (json.dumps([reading(n) for n in range(1, READINGS_IN_A_MESSAGE + 2)]), "not 101"),
        ('[{"number": 1, "at": 1, "value": NaN}]', "invalid character"),
        ('["half \ud83d"]', "surrogates not allowed"),
        ("[" * 10_000, "recursion"),
        (json.dumps([reading(value="warm")]), r"Expected `float`, got `str` - at `\$.value`"),
        (json.dumps([reading(value=1e300)]), "<= 10000.0"),
        (json.dumps([reading(value=-300)]), ">= -273.15"),
        (json.dumps([reading(number=-1)]), ">= 1"),
        (json.dumps([reading(number=2**60)]), "Expected `int`"),
        (json.dumps([reading(number=True)]), "Expected `int`, got `bool`"),
        (json.dumps([reading(at=NOW + 3600)]), "`at` is 3,600 s in the future"),
        (json.dumps([reading(unit="F")]), "unknown field `unit`"),
        (json.dumps([{"number": 1}]), "missing required field `at`"),
        (json.dumps([reading(5)]), "number 5 came after 5: numbers must rise"),
    ],
)
def test_what_is_wrong_is_refused_in_words(message: Any, words: str) -> None:
    (refused,) = look(message, after=5 if "5" in words[:10] else 0)
    assert isinstance(refused, Refused)
    with pytest.raises(Refused, match=words):
        raise refused


def test_one_bad_reading_is_named_and_does_not_spoil_the_others() -> None:
    first, bad, third = look(json.dumps([reading(1), reading(2, value=None), reading(3)]))
    assert (first.number, bad.number, third.number) == (1, 2, 3)
    assert isinstance(bad, Refused)
    assert look('[{"number": "x"}]')[0].number is None


def test_an_outbox_keeps_what_is_not_acknowledged_and_sends_it_again() -> None:
    outbox = Outbox(after=7)
    for _ in range(5):
        outbox.add(NOW, 20.0)
    assert [each.number for each in outbox.take(3)] == [8, 9, 10]
    assert [each.number for each in outbox.take(3)] == [11, 12]
    assert outbox.take() == []
    outbox.acknowledged(9)
    assert (len(outbox), outbox.take()) == (3, [])
    outbox.connected(stored=10)  # 10 was stored, and its acknowledgement lost
    assert [each.number for each in outbox.take()] == [11, 12]
    outbox.refused(11)
    outbox.add(NOW, 20.0)
    assert [each.number for each in outbox.take()] == [13]
    outbox.connected(stored=10)
    assert [each.number for each in outbox.take()] == [12, 13]
    assert outbox.lost == 1
    outbox.refused(None)
    outbox.acknowledged(13)
    assert (len(outbox), outbox.lost) == (0, 1)


def test_a_full_outbox_loses_the_oldest_and_says_how_many() -> None:
    outbox = Outbox(limit=3)
    for _ in range(2):
        outbox.add(NOW, 20.0)
    outbox.take()
    for _ in range(3):
        outbox.add(NOW, 20.0)
    assert (len(outbox), outbox.lost) == (3, 2)
    assert [each.number for each in outbox.take()] == [3, 4, 5]


def test_a_reading_is_stored_once_and_outlives_the_process_that_stored_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.sqlite")
    rows = [("attic", 1, NOW, 20.0), ("attic", 2, NOW + 1, 22.0), ("cellar", 1, NOW + 1.5, 10.0)]
    assert store.add(rows) == 3
    assert store.add([*rows, ("attic", 3, NOW + 2, 24.0)]) == 1
    store.close()
    store = Store(tmp_path / "a.sqlite")
    assert (store.count(), store.last("attic"), store.last("nobody")) == (4, 3, 0)
    assert store.numbers("attic") == [1, 2, 3]
    assert [tuple(window) for window in store.windows(NOW, 2)] == [
        (NOW, 3, 10.0, pytest.approx(17.333, abs=0.001), 22.0),
        (NOW + 2, 1, 24.0, 24.0, 24.0),
    ]
    assert [window.readings for window in store.windows(NOW, 60, "cellar")] == [1]
    store.close()


def test_a_batch_that_fails_stores_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.sqlite")
    with pytest.raises(sqlite3.IntegrityError, match="NOT NULL"):
        store.add([("attic", 1, NOW, 20.0), ("attic", 2, None, 20.0)])  # type: ignore[list-item]
    assert store.count() == 0
    store.close()


def test_one_device_of_many_is_summed_up_without_a_look_at_the_others(tmp_path: Path) -> None:
    store = Store(tmp_path / "readings.sqlite")
    store.add((f"attic-{number % 100}", number, NOW - number, 20.0) for number in range(1, 20_001))
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    store._db.set_progress_handler(count, 100)  # is called each 100 instructions of SQLite's machine
    assert len(store.windows(NOW - 1000, 1, "attic-7")) == 10
    assert steps < 20  # 75 when all are looked at
    store.close()
