"""Texts on disk: each update is a row, until they are merged into one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

SCHEMA = """
CREATE TABLE IF NOT EXISTS updates (room TEXT, data BLOB);
CREATE INDEX IF NOT EXISTS by_room ON updates (room);
CREATE TABLE IF NOT EXISTS seats (seat TEXT PRIMARY KEY, number INTEGER, at INTEGER DEFAULT (unixepoch()));
"""
SEATS_KEPT = 7 * 24 * 3600
"""Seconds for which a page may be away and still know which of its edits has arrived."""


def reserve(path: Path | str) -> sqlite3.Connection:
    """Keep other servers away from a file until this is closed: each would merge away what it doesn't know.

    SQLite's lock works everywhere, and dies with the process. It is on a file of its own: others may read.

    Raises:
        sqlite3.Error: another server has it.
    """
    beside = ":memory:" if str(path) == ":memory:" else f"{path}.lock"
    lock = sqlite3.connect(beside, timeout=0, isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        lock.close()
        raise sqlite3.OperationalError(f"another server uses {path} ({error})") from None
    return lock


class Row(NamedTuple):
    """An update, and which edit of which page it was, if it was one."""

    room: str
    update: bytes
    seat: str = ""
    number: int = 0


class Store:
    """Updates in an SQLite file; used from one thread at a time.

    Args:
        path: where the file is or will be.

    Raises:
        sqlite3.Error: it can't be opened.
    """

    def __init__(self, path: Path | str) -> None:
        self._base = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._base.execute("PRAGMA journal_mode = WAL")
        self._base.execute("PRAGMA synchronous = FULL")  # what was acknowledged survives a power cut
        self._base.executescript(SCHEMA)

    def add(self, rows: Iterable[Row]) -> None:
        """Keep updates, all or none of them; they are on disk when this returns."""
        rows = list(rows)
        numbers = {row.seat: row.number for row in rows if row.seat}
        with self._transaction():
            self._base.executemany("INSERT INTO updates VALUES (?, ?)", [row[:2] for row in rows])
            self._base.executemany(
                "INSERT OR REPLACE INTO seats (seat, number) VALUES (?, ?)", numbers.items()
            )

    def load(self, room: str) -> list[bytes]:
        """The updates of a room, in the order in which they came."""
        rows = self._base.execute("SELECT data FROM updates WHERE room = ? ORDER BY rowid", (room,))
        return [data for (data,) in rows]

    def number(self, seat: str) -> int:
        """The number of the last edit that a page has made; 0 if there is none."""
        row = self._base.execute("SELECT number FROM seats WHERE seat = ?", (seat,)).fetchone()
        return int(row[0]) if row else 0

    def replace(self, room: str, update: bytes) -> None:
        """Keep one update instead of all others of a room."""
        with self._transaction():
            self._base.execute("DELETE FROM updates WHERE room = ?", (room,))
            self._base.execute("INSERT INTO updates VALUES (?, ?)", (room, update))
            self._base.execute("DELETE FROM seats WHERE at < unixepoch() - ?", (SEATS_KEPT,))

    def count(self) -> int:
        """How many rooms there are."""
        return int(self._base.execute("SELECT count(DISTINCT room) FROM updates").fetchone()[0])

    def _transaction(self) -> sqlite3.Connection:
        self._base.execute("BEGIN IMMEDIATE")
        return self._base  # commits at the end of a `with` block, or rolls back

    def close(self) -> None:
        """Close the file."""
        self._base.close()
