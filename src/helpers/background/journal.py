"""What there is to say about something in the background: who says it, and where it is kept."""

from __future__ import annotations

import collections
import contextlib
import contextvars
import time
import traceback
from dataclasses import dataclass
from typing import Protocol

from helpers.readers_code import in_words, readers_line


@dataclass(frozen=True)
class LogEntry:
    """Something that happened in the background: when, in seconds since the start, and what."""

    seconds: float
    text: str

    def __str__(self) -> str:
        return f"{self.seconds:8.3f} s  {self.text}"


class Refusal(str):
    """Says that a peer did not complete the handshake, so that it never became a connection."""

    @classmethod
    def because(cls, why: str) -> Refusal:
        return cls(f"a peer did not complete the handshake{why}")


class LeftBehind(str):
    """Says that code could not be broken off, and runs on until the kernel is restarted."""


class Reporter(Protocol):
    """Takes, from any thread, what there is to say."""

    def say(self, text: str) -> None:
        """Something happened, in a sentence."""

    def fail(self, error: Exception) -> None:
        """The reader's code has raised this."""

    def block(self, text: str) -> None:
        """The reader's code blocks a loop; the sentence names the line."""


class Journal:
    """A `Reporter` that keeps it all until the foreground asks.

    Attributes:
        begun: since when, as `time.monotonic` counts.
    """

    def __init__(self) -> None:
        self._log: collections.deque[LogEntry] = collections.deque(maxlen=1000)
        self._failures: collections.deque[Exception] = collections.deque(maxlen=100)
        self.begin()

    def begin(self) -> None:
        """Forget everything, and count the time from now."""
        self.begun = time.monotonic()
        self._log.clear()
        self._failures.clear()
        self._blocked: str | None = None

    def say(self, text: str) -> None:
        self._log.append(LogEntry(time.monotonic() - self.begun, text))

    def fail(self, error: Exception) -> None:
        self._failures.append(error)
        where = readers_line(traceback.extract_tb(error.__traceback__))
        places = [f"at {where}"] if where else getattr(error, "__notes__", [])
        self.say(", ".join([f"the handler failed: {in_words(error)}", *places]))

    def block(self, text: str) -> None:
        self._blocked = text
        self.say(text)

    @property
    def log(self) -> list[LogEntry]:
        """What happened so far, the last 1,000 entries."""
        return list(self._log)

    @property
    def first_failure(self) -> Exception | None:
        """The oldest failure that nobody has taken."""
        failures = list(self._failures)
        return failures[0] if failures else None

    def take_failures(self) -> list[Exception]:
        """The failures since they were last taken."""
        failures = []
        with contextlib.suppress(IndexError):
            while True:
                failures.append(self._failures.popleft())
        return failures

    def take_blocked(self) -> str | None:
        """What blocked a loop since it was last taken, in words."""
        blocked, self._blocked = self._blocked, None
        return blocked


served_here: contextvars.ContextVar[Journal] = contextvars.ContextVar("journal of the app served here")
"""All apps share uvicorn's loggers and its protocol; the context knows whose journal it is."""
