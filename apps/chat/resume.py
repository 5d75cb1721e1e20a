"""How a client comes back after its connection is lost: whether it tries, when, and what it has missed.

Both ends number what they send. A server keeps its last messages (`Replay`), and a client what it has said
until that is acknowledged (`Outbox`); each knows how far the other has come (`Seen`). So what was on its way
when the line broke is sent again, and counts once. Nothing in here connects or waits; `client.py` and
`sessions.py` do.
"""

from __future__ import annotations

import random
import secrets
from collections import deque
from collections.abc import Generator, Iterable

from apps.chat.room import Event

FIRST_PAUSE = 0.5
"""In seconds: the longest wait before the first attempt to connect again."""
LONGEST_PAUSE = 4.0
"""In seconds: the longest wait between two attempts to connect."""
FINAL_CODES = {1000, 1002, 1003, 1007, 1008, 1009, 1010, *range(4000, 5000)}
"""Close codes that are an answer and not an accident, so trying again is no use (RFC 6455 §7.4)."""

REPLAY_MESSAGES = 500
"""How many messages are kept for somebody who may come back."""
REPLAY_CHARACTERS = 64 * 1024
"""How long they are together: with 4 bytes for each character, they fit into a client's queue."""


def pauses() -> Generator[float]:
    """How long to wait before each attempt, in seconds: random, and longer each time up to a limit."""
    longest = FIRST_PAUSE
    while True:
        yield random.uniform(longest / 2, longest)
        longest = min(2 * longest, LONGEST_PAUSE)


def unseen(seen: Iterable[Event], history: list[Event]) -> list[Event]:
    """The part of a `welcome`'s history that comes after what was seen before the connection was lost."""
    said = [event for event in seen if event["type"] == "said"]
    overlap = next(n for n in range(len(history), -1, -1) if said[len(said) - n :] == history[:n])
    return history[overlap:]


class SnapshotNeeded(Exception):
    """What was missed can't be sent again, so the whole state has to be; the text says why."""


class Replay:
    """What was sent last, numbered from 1, to be sent again to somebody who was away.

        replay = Replay()
        replay.add("hello")
        replay.after(replay.epoch, 0)  # [(1, "hello")]

    Args:
        messages: how many are kept at most; then the oldest is forgotten.
        characters: how long they are together at most.
    """

    def __init__(self, messages: int = REPLAY_MESSAGES, characters: int = REPLAY_CHARACTERS) -> None:
        self.epoch = secrets.token_hex(4)
        """A number says nothing without it: another `Replay` begins at 1 again, in another epoch."""
        self.last = 0
        self._messages, self._characters = messages, characters
        self._kept: deque[str] = deque()
        self._size = 0

    def add(self, text: str) -> int:
        """Keep a message that is sent now. Returns its number."""
        self.last += 1
        self._kept.append(text)
        self._size += len(text)
        while len(self._kept) > self._messages or self._size > self._characters:
            self._size -= len(self._kept.popleft())
        return self.last

    def after(self, epoch: str, number: int) -> list[tuple[int, str]]:
        """Return what was sent after a message, each with its number.

        Raises:
            SnapshotNeeded: it isn't all there, or never was.
        """
        oldest = self.last - len(self._kept) + 1
        if epoch != self.epoch:
            raise SnapshotNeeded(
                "something may be missing: the server was restarted, or you were away for too long"
            )
        if not 0 <= number <= self.last:
            raise SnapshotNeeded(f"you say you have seen number {number}, but the last one is {self.last}")
        if number + 1 < oldest:
            raise SnapshotNeeded(f"you have seen number {number}, and the oldest kept is number {oldest}")
        return list(enumerate(self._kept, oldest))[number + 1 - oldest :]


class Seen:
    """How far the numbered messages of the other end have come, so that none counts twice.

    Args:
        epoch: the other end's epoch.
        number: the number of the last message that has come.
    """

    def __init__(self, epoch: str = "", number: int = 0) -> None:
        self.epoch, self.number = epoch, number

    def is_new(self, number: int) -> bool:
        """Take note of a message. Returns False for one that has come before.

        Raises:
            SnapshotNeeded: one in between is missing.
        """
        if number > self.number + 1:
            raise SnapshotNeeded(f"number {self.number + 1} is missing: number {number} came in its place")
        new = number == self.number + 1
        self.number += new
        return new


class Outbox:
    """What was said and isn't acknowledged yet, numbered from 1.

    Args:
        most: how many messages it holds.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._last = 0
        self._waiting: deque[tuple[int, str]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, text: str) -> bool:
        """Take a message. Returns False when there is no space."""
        if len(self._waiting) == self.most:
            return False
        self._last += 1
        self._waiting.append((self._last, text))
        return True

    def after(self, number: int) -> tuple[int, str] | None:
        """Return the first message after that number, with its own; None when there is none."""
        return next((one for one in self._waiting if one[0] > number), None)

    def acknowledged(self, number: int) -> None:
        """Forget everything up to that number: the other end has it."""
        while self._waiting and self._waiting[0][0] <= number:
            self._waiting.popleft()
