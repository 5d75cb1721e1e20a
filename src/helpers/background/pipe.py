"""How a child process and the kernel talk: messages on a pipe, and a mailbox at each end."""

from __future__ import annotations

import collections
import threading
from concurrent.futures import Future
from typing import IO, Any


def send(pipe: IO[bytes], message: bytes) -> None:
    """Write a message.

    Raises:
        OSError: nobody reads any longer.
    """
    pipe.write(len(message).to_bytes(8) + message)
    pipe.flush()


def receive(pipe: IO[bytes]) -> bytes | None:
    """The next message, when it comes; None when no more can come."""
    length = pipe.read(8)
    message = pipe.read(int.from_bytes(length))
    return message if len(length) == 8 and len(message) == int.from_bytes(length) else None


class Mailbox:
    """Hands over what one thread puts in to whoever waits for it, on a thread or on an event loop.

    mailbox.put("news")
    mailbox.get().result()
    await asyncio.wrap_future(mailbox.get())
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: collections.deque[Any] = collections.deque()
        self._waiting: collections.deque[Future[Any]] = collections.deque()
        self._end: Exception | None = None

    def put(self, item: object) -> None:
        with self._lock:
            self._items.append(item)
        self._hand_over()

    def close(self, error: Exception) -> None:
        """No more items come: whoever waits for one, now or later, gets this error."""
        with self._lock:
            self._end = error
        self._hand_over()

    def get(self) -> Future[Any]:
        """A future of the next item; cancel it and the item is the next one's."""
        future: Future[Any] = Future()
        with self._lock:
            self._waiting.append(future)
        self._hand_over()
        return future

    def _hand_over(self) -> None:
        with self._lock:
            while self._waiting and (self._items or self._end):
                future = self._waiting.popleft()
                if not future.set_running_or_notify_cancel():
                    continue
                if self._items:
                    future.set_result(self._items.popleft())
                else:
                    future.set_exception(self._end)
