"""What a client knows of its conversation, apart from any view: state, message log, counters."""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
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
UNCLAIMED_BYTES = 2**25


class NotConnectedError(ConnectionError):
    """The client has no open connection; the message says how to get one."""


class Message(NamedTuple):
    """One line of the log: when (seconds since 1970), which way, and what."""

    at: float
    direction: Literal["sent", "received", "event"]
    data: Data


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
        self._log: collections.deque[Message] = collections.deque(maxlen=SHOWN)
        self._unclaimed: collections.deque[Data] = collections.deque()
        self._unclaimed_bytes = 0
        self._waiting: list[tuple[Wanted, concurrent.futures.Future[Data]]] = []
        self._lock = threading.Lock()

    @property
    def log(self) -> list[Message]:
        """The last 200 messages and events, oldest first."""
        return list(self._log)

    def enter(self, state: State, detail: str = "") -> None:
        """Change the state; `detail` says more, such as the close code and reason."""
        self.state = state
        self.detail = detail
        if state == "closed":
            with self._lock:
                waiting, self._waiting = self._waiting, []
            for _, future in waiting:
                if future.set_running_or_notify_cancel():
                    future.set_exception(NotConnectedError(f"{self.name}'s connection is closed: {detail}"))
        self._changed()

    def note(self, text: str) -> None:
        """Put an event into the log, such as a refused connection."""
        self.event_count += 1
        self._log.append(Message(time.time(), "event", text))
        self._changed()

    def sent(self, data: Data) -> None:
        """Count and log a message that was sent."""
        self.sent_count += 1
        self._log.append(Message(time.time(), "sent", data))
        self._changed()

    def came(self, data: Data) -> None:
        """Count and log a message that was received, and hand it to whoever waits for it."""
        self.received_count += 1
        self._log.append(Message(time.time(), "received", data))
        with self._lock:
            if not self._waiting or not self._claimed(data):
                self._unclaimed.append(data)
                self._unclaimed_bytes += len(data)
                while len(self._unclaimed) > UNCLAIMED or self._unclaimed_bytes > UNCLAIMED_BYTES:
                    self._unclaimed_bytes -= len(self._unclaimed.popleft())
        self._changed()

    async def received(self, wanted: Wanted = None, *, timeout: float = 2) -> Data:
        """Wait for a message, or take one that has come already. Each is given out once.

        Args:
            wanted: the message itself, or a function that says whether it is the one; None takes any.
            timeout: how long to wait, in seconds.

        Returns:
            The message.

        Raises:
            TimeoutError: it did not come in time; the message says what came instead.
            NotConnectedError: the connection was closed meanwhile.
        """
        with self._lock:
            for index, data in enumerate(self._unclaimed):
                if _fits(wanted, data):
                    del self._unclaimed[index]
                    self._unclaimed_bytes -= len(data)
                    return data
            future: concurrent.futures.Future[Data] = concurrent.futures.Future()
            entry = (wanted, future)
            self._waiting.append(entry)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), timeout)
        except TimeoutError:
            with self._lock:
                came = [_brief(data) for data in self._unclaimed][-3:]
            what = (
                "a message"
                if wanted is None
                else _brief(wanted)
                if isinstance(wanted, Data)
                else "that message"
            )
            but = f"what came and nobody took: {', '.join(came)}" if came else "nothing came that nobody took"
            raise TimeoutError(
                f"{self.name} did not receive {what} in {timeout:g} s; {but}; the state is {self.state}"
            ) from None
        finally:
            with self._lock:
                if entry in self._waiting:
                    self._waiting.remove(entry)

    def _claimed(self, data: Data) -> bool:
        for index, (wanted, future) in enumerate(self._waiting):
            if _fits(wanted, data) and future.set_running_or_notify_cancel():
                del self._waiting[index]
                future.set_result(data)
                return True
        return False


def _fits(wanted: Wanted, data: Data) -> bool:
    if wanted is None:
        return True
    return bool(wanted(data)) if callable(wanted) else wanted == data


def _brief(data: Data) -> str:
    return repr(data if len(data) <= 60 else data[:60]) + ("" if len(data) <= 60 else "…")
