"""Readings on disk: SQLite, where a device and a number together are stored once, even if they come twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

SCHEMA = """
CREATE TABLE IF NOT EXISTS reading (
    device TEXT NOT NULL,
    number INTEGER NOT NULL,
    at REAL NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (device, number)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS reading_of_device ON reading (device, at);
"""

INSERT = "INSERT INTO reading VALUES (?, ?, ?, ?) ON CONFLICT (device, number) DO NOTHING"
"""`INSERT OR IGNORE` would also ignore a value that is missing, and lose that reading without a word."""

Row = tuple[str, int, float, float]
"""device, number, at, value"""


class Window(NamedTuple):
    """The readings of some seconds, summed up.

    Args:
        begin: of the window, in seconds since 1970.
        readings: how many.
        lowest, mean, highest: of their values.
    """

    begin: float
    readings: int
    lowest: float
    mean: float
    highest: float


class Store:
    """A file of readings.

    In WAL mode, readers don't wait for the writer. With `synchronous=FULL`, what `add` has returned from
    survives a power cut, and not only a killed process (https://www.sqlite.org/pragma.html#pragma_synchronous).

    One thread at a time: what reads on the same connection would see what isn't committed yet.

    Args:
        path: of the file; it is made if it isn't there.
    """

    def __init__(self, path: str | Path) -> None:
        self._db = sqlite3.connect(path, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(SCHEMA)

    def add(self, rows: Iterable[Row]) -> int:
        """Store readings in one transaction, all or none; returns how many were new."""
        before = self._db.total_changes
        with self._db:  # commits at its end
            self._db.executemany(INSERT, rows)
        return self._db.total_changes - before

    def last(self, device: str) -> int:
        """The highest number stored of a device, 0 if there is none."""
        (number,) = self._db.execute("SELECT max(number) FROM reading WHERE device = ?", (device,)).fetchone()
        return number or 0

    def count(self) -> int:
        """How many readings there are."""
        (count,) = self._db.execute("SELECT count(*) FROM reading").fetchone()
        return int(count)

    def numbers(self, device: str) -> list[int]:
        """All numbers stored of a device, in order."""
        rows = self._db.execute("SELECT number FROM reading WHERE device = ? ORDER BY number", (device,))
        return [number for (number,) in rows]

    def windows(self, since: float, seconds: float = 1, device: str | None = None) -> list[Window]:
        """Sum up the readings since a moment in windows of so many seconds; empty windows are left out.

        Args:
            since: in seconds since 1970.
            seconds: how long each window is.
            device: only of this one.
        """
        rows = self._db.execute(
            "SELECT CAST(at / :s AS INTEGER) * :s AS begin, count(*), min(value), avg(value), max(value) "
            f"FROM reading WHERE at >= :since {'AND device = :device' if device else ''} "
            "GROUP BY begin ORDER BY begin",
            {"s": seconds, "since": since, "device": device},
        )
        return [Window(*row) for row in rows]

    def close(self) -> None:
        """Close the file."""
        self._db.close()
