"""What a client knows of its conversation, apart from any view: state, message log, counters."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import inspect
import threading
import time
from collections.abc import Callable
from typing import Literal, NamedTuple

Data = str | bytes
State = Literal["closed", "connecting", "open", "closing"]
Wanted = Data | Callable[[Data], bool] | None

SHOWN = 200
"""How many messages the log keeps; all are counted."""

UNCLAIMED = 1000
"""How many messages wait for `received`."""

KEPT_SIZE = 2**25
"""How many characters and bytes the log keeps, and how many wait, in all."""


class NotConnectedError(ConnectionError):
    """The client has no open connection; the message says how to get one."""


class Message(NamedTuple):
    """One line of the log: when (seconds since 1970), which way, and what."""

    at: float
    direction: Literal["sent", "received", "event"]
    data: Data


class Snapshot(NamedTuple):
    """A conversation at one moment; `first` is the number of the oldest message in the log."""

    state: State
    detail: str
    sent: int
    received: int
    first: int
    log: list[Message]


class Conversation:
    """State, log and counters of one client; any thread may write and read.

    Args:
        name: who the client is, for messages.
        changed: is called after every change, on the thread that made it.
    """

    def __init__(self, name: str, changed: Callable[[], None] = lambda: None) -> None:
        self.name = name
        self.state: State = "closed"
        self.detail = "not connected yet"
        self.sent_count = 0
        self.received_count = 0
        self.event_count = 0
        self._changed = changed
        self._log = _Newest(SHOWN)
        self._unclaimed = _Newest(UNCLAIMED)
        self._waiting: list[_Claim] = []
        self._is_over = False
        self._lock = threading.RLock()

    @property
    def log(self) -> list[Message]:
        """The last 200 messages and events, oldest first."""
        return self.snapshot().log

    def snapshot(self) -> Snapshot:
        """State, counters and log, none of them newer than the others."""
        with self._lock:
            log = list(self._log)
            first = self.sent_count + self.received_count + self.event_count - len(log)
            return Snapshot(self.state, self.detail, self.sent_count, self.received_count, first, log)

    def enter(self, state: State, detail: str = "") -> None:
        """Change the state; `detail` says more, such as the close code and reason."""
        self._move(state, detail)
        self._changed()

    def _move(self, state: State, detail: str = "") -> None:
        with self._lock:
            self.state = state
            self.detail = detail
            self._is_over = state == "closed"
            if state == "closed":
                waiting, self._waiting = self._waiting, []
                for claim in waiting:
                    claim.settle(self._closed_error())

    def _closed_error(self) -> NotConnectedError:
        return NotConnectedError(f"{self.name}'s connection is closed: {self.detail}")

    def _event(self, text: str) -> None:
        with self._lock:
            self.event_count += 1
            self._log.add(Message(time.time(), "event", text))

    def note(self, text: str) -> None:
        """Put an event into the log, such as a refused connection."""
        self._event(text)
        self._changed()

    def sent(self, data: Data) -> None:
        """Count and log a message that was sent."""
        with self._lock:
            self.sent_count += 1
            self._log.add(Message(time.time(), "sent", data))
        self._changed()

    def came(self, data: Data) -> None:
        """Count and log a message that was received, and hand it to whoever waits for it."""
        message = Message(time.time(), "received", data)
        with self._lock:
            self.received_count += 1
            self._log.add(message)
            if not self._waiting or not self._claimed(data):
                self._unclaimed.add(message)
        self._changed()

    def missed(self, count: int, why: str) -> None:
        """Count messages that were received elsewhere and will not come here, and say why."""
        with self._lock:
            self.received_count += count
        self.note(f"{count:,} messages {why}")

    async def received(self, wanted: Wanted = None, *, timeout: float = 2) -> Data:
        """Wait for a message, or take one that has come already, as `ClientPanel.received` describes it.

        A function that is `wanted` may run on a background thread; what it raises is raised here.
        """
        if inspect.iscoroutinefunction(wanted):
            raise TypeError("received() can't await: give it a plain function, `def` without `async`")
        with self._lock:
            for index, message in enumerate(self._unclaimed):
                if wanted is None or _fits(wanted, message.data):
                    return self._unclaimed.take(index).data
            if self._is_over:
                raise self._closed_error()
            claim = _Claim(wanted)
            self._waiting.append(claim)
        try:
            await claim.settled(timeout)
        except asyncio.CancelledError:
            self._give_back(claim)
            raise
        with self._lock:
            if claim.outcome is None:
                self._waiting.remove(claim)
                raise TimeoutError(self._what_came_instead(wanted, timeout))
        if isinstance(claim.outcome, Exception):
            raise claim.outcome
        return claim.outcome

    async def heard(self, text: str, *, timeout: float = 1) -> bool:
        """Whether a message with `text` in it has come, or comes in time; like `received`, it takes it.

        Args:
            text: what to look for in text messages.
            timeout: how long to wait, in seconds.

        Raises:
            NotConnectedError: the connection is closed, or was closed meanwhile.
        """
        try:
            await self.received(lambda data: isinstance(data, str) and text in data, timeout=timeout)
        except TimeoutError:
            return False
        return True

    def _claimed(self, data: Data) -> bool:
        for claim in self._waiting.copy():
            try:
                fits = _fits(claim.wanted, data)
            except Exception as error:
                self._waiting.remove(claim)
                claim.settle(error)
                continue
            if fits:
                self._waiting.remove(claim)
                claim.settle(data)
                return True
        return False

    def _give_back(self, claim: _Claim) -> None:
        with self._lock:
            if claim in self._waiting:
                self._waiting.remove(claim)
            elif isinstance(claim.outcome, Data) and not self._claimed(claim.outcome):
                self._unclaimed.add(Message(time.time(), "received", claim.outcome))

    def _what_came_instead(self, wanted: Wanted, timeout: float) -> str:
        what = "a message" if wanted is None else "that message"
        if isinstance(wanted, Data):
            what = _brief(wanted)
        came = ", ".join([_brief(message.data) for message in self._unclaimed][-3:])
        but = f"unclaimed messages: {came}" if came else "no other messages are waiting"
        state = f"{self.state} ({self.detail})" if self.detail else self.state
        return f"{self.name} did not receive {what} in {timeout:g} s; {but}; the state is {state}"


class _Claim:
    """Somebody who waits for a message, on whatever loop; settled on the same loop it costs no detour."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.outcome: Data | Exception | None = None
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._woken = self._loop.create_future()

    def settle(self, outcome: Data | Exception) -> None:
        self.outcome = outcome
        if threading.get_ident() == self._thread:
            self._wake()
            return
        with contextlib.suppress(RuntimeError):  # whoever waited has gone, and the loop with it
            self._loop.call_soon_threadsafe(self._wake)

    async def settled(self, timeout: float) -> None:
        """Return when it is settled, or after `timeout` seconds."""
        timer = self._loop.call_later(timeout, self._wake)
        try:
            await self._woken
        finally:
            timer.cancel()

    def _wake(self) -> None:
        if not self._woken.done():
            self._woken.set_result(None)


class _Newest(collections.deque[Message]):
    """The newest messages: at most so many, and of at most 32 MiB in all (but always the last one).

    Their sizes are looked at only while a large one is among them: so many small ones can't be too much.
    """

    def __init__(self, most: int) -> None:
        super().__init__(maxlen=most)
        self._most = most
        self._has_large = False

    def add(self, message: Message) -> None:
        self.append(message)
        if self._has_large or len(message.data) * self._most > KEPT_SIZE:
            size = sum(len(one.data) for one in self)
            while size > KEPT_SIZE and len(self) > 1:
                size -= len(self.popleft().data)
            self._has_large = any(len(one.data) * self._most > KEPT_SIZE for one in self)

    def take(self, index: int) -> Message:
        message = self[index]
        del self[index]
        return message


def _fits(wanted: Wanted, data: Data) -> bool:
    if wanted is None:
        return True
    return bool(wanted(data)) if callable(wanted) else wanted == data


def _brief(data: Data) -> str:
    return repr(data if len(data) <= 60 else data[:60]) + ("" if len(data) <= 60 else "…")
