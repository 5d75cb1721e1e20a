"""Decides when a watcher gets the next picture, and in which quality; it does no I/O.

A picture takes some time to come through, from its sending to the watcher's `shown`. What it takes longer
than the link's own delay is its bytes against the link's rate, and whatever waits in front of it. The delay
is that of a probe, a small message that is sent when nothing else is under way. So:

- Only so many pictures are under way as the link's own delay needs, and one more. The rest aren't sent later;
  they are left out.
- When pictures need more than their share of time, the quality is lowered, at once.
- When they need little for a while, it is raised by a step. If that was too much, the next try comes later.
"""

from __future__ import annotations

import math
import statistics
from collections import deque

from apps.video.source import QUALITIES

TOO_LONG = 0.9
"""Of the time from one picture to the next; when they take longer, the quality is lowered."""

SHORT = 0.35
"""Of that time; the next better quality has about twice the bytes."""

URGENT = 8.0
"""Of that time; one picture that takes longer lowers the quality alone."""

FALLS_BY = 5
"""Pictures, of which the middle one decides otherwise: a hiccup changes nothing."""

RISES_BY = 30
"""Pictures, of which the middle one says whether there is room for a better quality."""

RISES_AFTER, LONGEST_WAIT = 1.0, 16.0
"""Seconds of pictures from one quality to the next better one; doubled whenever that was too much."""

PROBE_SECONDS, DRAIN_SECONDS = 1.0, 30.0
"""How often a probe is due; and when it isn't sent until then, nothing else is, until all has been shown."""

PROBES = 9
MOST_UNDER_WAY = 30


class Pace:
    """The pace of one watcher.

    Args:
        rate: pictures per second, at most.

    Attributes:
        quality: index of the quality that the link can take; 0 is the best.
        period: seconds from one picture to the next.
    """

    def __init__(self, rate: float) -> None:
        self.quality = len(QUALITIES) // 2
        self.period = 1 / rate
        self._under_way: deque[tuple[int, int, float]] = deque()
        self._shares: deque[float] = deque(maxlen=RISES_BY)
        self._delays: deque[float] = deque(maxlen=PROBES)
        self._probe: tuple[int | None, float] = (None, -math.inf)
        self._rises_after = RISES_AFTER
        self._seen = 0.0
        self._raised = False

    @property
    def delay(self) -> float:
        """The link's own delay, there and back, in seconds; 0 as long as nothing is known."""
        return statistics.median(self._delays) if self._delays else 0.0

    def has_room(self, now: float) -> bool:
        """Whether one more picture may be sent now."""
        if not self._under_way:
            return True
        if now - self._probe[1] > DRAIN_SECONDS:
            return False
        needs = self.period * max(1.0, self._newest_share())
        most = 1 + math.ceil(self.delay / needs - 0.1)
        return len(self._under_way) < min(most, MOST_UNDER_WAY)

    def is_probe_due(self, now: float) -> bool:
        """Whether to send a probe before the next picture."""
        return not self._under_way and now - self._probe[1] > PROBE_SECONDS

    def probed(self, number: int, now: float) -> None:
        """Note that a probe is being sent."""
        self._probe = number, now

    def answered(self, number: int, now: float) -> None:
        """Note that a probe was answered; any other number than its own is ignored."""
        if number == self._probe[0]:
            self._delays.append(now - self._probe[1])
            self._probe = None, self._probe[1]

    def waiting(self, now: float) -> float:
        """For how long the oldest picture has been under way, in seconds; 0 if none is."""
        return now - self._under_way[0][2] if self._under_way else 0.0

    def sent(self, number: int, quality: int, now: float) -> None:
        """Note that a picture is being sent."""
        self._under_way.append((number, quality, now))

    def shown(self, number: int, now: float) -> None:
        """Note that a picture has been shown, and so have all before it; one not under way is ignored."""
        if not any(number == sent for sent, _, _ in self._under_way):
            return
        while True:
            sent, quality, since = self._under_way.popleft()
            if sent == number:
                break
        if quality == self.quality:
            self._judge((now - since - self.delay) / self.period)

    def _newest_share(self) -> float:
        return statistics.median([*self._shares][-FALLS_BY:]) if self._shares else 0.0

    def _judge(self, share: float) -> None:
        """Note what share of its time a picture took, and adjust the quality."""
        self._seen += self.period
        self._shares.append(share)
        if share < URGENT:
            share = self._newest_share() if len(self._shares) > FALLS_BY // 2 else 0.0  # too few to tell
        if share > TOO_LONG:
            if self.quality < len(QUALITIES) - 1:
                if self._raised and self._seen < self._rises_after:
                    self._rises_after = min(2 * self._rises_after, LONGEST_WAIT)
                self._change(self.quality + max(1, round(math.log2(share))))
        elif self.quality > 0 and self._seen > self._rises_after and statistics.median(self._shares) < SHORT:
            self._change(self.quality - 1)

    def _change(self, quality: int) -> None:
        self._raised = quality < self.quality
        self.quality = min(quality, len(QUALITIES) - 1)
        self._shares.clear()
        self._seen = 0.0
