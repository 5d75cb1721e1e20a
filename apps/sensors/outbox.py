"""What a device has measured and the collector has not yet acknowledged. It knows no network and no disk."""

from __future__ import annotations

from collections import deque
from itertools import islice

from apps.sensors.readings import READINGS_IN_A_MESSAGE, Reading


class Outbox:
    """Keeps each reading until it is acknowledged, and says what to send next.

        outbox.add(at=time.time(), value=21.4)
        send(outbox.take())   # and again after `connected`, if no acknowledgement came
        outbox.acknowledged(1)

    Args:
        after: the last number that the collector has stored; numbers go on from there.
        limit: how many readings are kept; then the oldest is lost, and counted.

    Attributes:
        last: the number of the newest reading.
        lost: how many readings were thrown away because the outbox was full, or refused.
    """

    def __init__(self, after: int = 0, *, limit: int = 10_000) -> None:
        self.lost = 0
        self.last = after
        self._limit = limit
        self._kept: deque[Reading] = deque()
        self._sent = 0  # how many of the kept ones, from the left, were sent on this connection

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, at: float, value: float) -> None:
        """Number a reading, and keep it."""
        self.last += 1
        self._kept.append(Reading(self.last, at, value))
        if len(self._kept) > self._limit:
            self._forget_oldest()
            self.lost += 1

    def take(self, most: int = READINGS_IN_A_MESSAGE) -> list[Reading]:
        """The next readings to send, oldest first; they stay until they are acknowledged."""
        readings = list(islice(self._kept, self._sent, self._sent + most))
        self._sent += len(readings)
        return readings

    def acknowledged(self, number: int) -> None:
        """Forget everything up to this number: the collector has it on disk."""
        while self._kept and self._kept[0].number <= number:
            self._forget_oldest()

    def refused(self, number: int | None) -> None:
        """Forget a reading that the collector will never take."""
        for at, reading in enumerate(self._kept):
            if reading.number == number:
                del self._kept[at]
                self._sent -= at < self._sent
                self.lost += 1
                return

    def connected(self, stored: int) -> None:
        """Begin again after the last number that is stored: what was on its way may not have arrived."""
        self.acknowledged(stored)
        self._sent = 0

    def _forget_oldest(self) -> None:
        self._kept.popleft()
        self._sent -= self._sent > 0
