"""Watches the reader's code: what it starts, what it leaves behind, how it uses its connections."""

from __future__ import annotations

import asyncio
import collections
import functools
import threading
import time
import traceback
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from helpers.checks.patience import in_time
from helpers.checks.verdict import NotYet
from helpers.readers_code import readers_line

LET_THEM_END = 1.0
"""How long what was started may go on when it isn't needed any longer, in seconds."""

END_IT = (
    "whatever you start has to end: cancel a task in a `finally`, close a connection with `async with`, "
    "and end a loop when its peer has gone"
)
OTHER_THREAD = (
    "a connection belongs to the loop that it is served on, and is used on its thread alone: "
    "do only the slow work elsewhere, and `await connection.send(...)` here"
)
SWALLOWED = (
    "when the peer has left, `recv` and `send` raise `ConnectionClosed` every time: "
    "your `except` catches it and the loop goes on; let it end the loop"
)

_inside: ContextVar[bool] = ContextVar("inside the reader's code", default=False)


class Watch:
    """What the reader's code has started on a loop, and how it used its connections.

    Args:
        loop: the loop that the reader's code runs on.

    Attributes:
        swallowed: whether connections had been closed, and the code used them again and again.
        sent: when the code called `connection.send`, in seconds, the first thousand times.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.swallowed = False
        self.sent: list[float] = []
        self._closes = 0
        self._elsewhere = ""
        self._running = 0
        self._all_returned = asyncio.Event()
        self._tasks: collections.deque[_Task] = collections.deque(maxlen=1000)
        loop.set_task_factory(self._task)

    def handler(self, handler: Callable[[ServerConnection], Any]) -> Callable[..., Awaitable[None]]:
        """The reader's handler, whose tasks and connections are watched."""

        async def watched(connection: ServerConnection) -> None:
            self._running += 1
            self._all_returned.clear()
            try:
                self._use(connection)
                await self.call(handler, connection)
            finally:
                self._running -= 1
                if not self._running:
                    self._all_returned.set()

        return watched

    async def call(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Any:
        """Call the reader's function and wait for what it gives, inside the context that is watched.

        Raises:
            TypeError: it gave nothing to wait for.
        """
        _inside.set(True)
        given = function(*arguments, **named)
        if not isinstance(given, Awaitable):
            raise TypeError(f"it returned {type(given).__name__} at once, and nothing to `await`")
        return await given

    def failure(self) -> Exception | None:
        """What a task of the reader's raised and nobody has looked at, unless its peer had left."""
        for task in self._tasks:
            error = task.exception() if task.done() and not task.cancelled() and task.unseen else None
            if not isinstance(error, Exception) or isinstance(error, ConnectionClosed):
                continue
            if readers_line(traceback.extract_tb(error.__traceback__)):
                return error
        return None

    async def all_have_ended(self, when: str, hint: str = END_IT) -> None:
        """Make sure that handlers and tasks end by themselves now; from any loop.

        Raises:
            NotYet: something goes on, or went on until it tried to send to a peer that had left.
        """
        ending = asyncio.run_coroutine_threadsafe(self._left_behind(), self.loop)
        if left := await asyncio.wrap_future(ending):
            raise NotYet(f"{when}, and {left}", SWALLOWED if self.swallowed else hint, sure=True)
        if self._elsewhere:
            raise NotYet(
                f"`connection.send` ran on another thread, {self._elsewhere}", OTHER_THREAD, sure=True
            )

    async def _left_behind(self) -> str:
        try:
            while self._running:
                await in_time(self._all_returned.wait(), LET_THEM_END)
        except TimeoutError:
            return "the handler still runs"
        left = [task for task in self._tasks if not task.done()]
        if not left:
            return ""
        names = ", ".join(sorted({f"`{_name(task)}`" for task in left}))
        try:
            ended, _ = await in_time(asyncio.wait(left), LET_THEM_END)
        except TimeoutError:
            return "a connection is still open" if names == "`keepalive`" else f"{names} is still running"
        died = any(not task.cancelled() and isinstance(task.exception(), ConnectionClosed) for task in ended)
        return f"{names} went on until its next `send` raised" if died else ""

    def _task(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> _Task:
        task = _Task(coroutine, loop=loop, **options)
        if _inside.get():
            self._tasks.append(task)
        return task

    def _use(self, connection: Any) -> None:
        home = threading.get_ident()
        recv, send, send_data = connection.recv, connection.send, connection.send_data

        @functools.wraps(recv)
        async def watched_recv(*arguments: Any, **named: Any) -> Any:
            return await self._noting(recv(*arguments, **named))

        @functools.wraps(send)  # Python names it where the reader forgets the await
        async def watched_send(*arguments: Any, **named: Any) -> Any:
            if len(self.sent) < 1000:
                self.sent.append(time.monotonic())
            return await self._noting(send(*arguments, **named))

        def watched_send_data() -> None:
            if threading.get_ident() != home:
                self._elsewhere = self._elsewhere or f"`{threading.current_thread().name}`"
            send_data()

        connection.recv, connection.send, connection.send_data = watched_recv, watched_send, watched_send_data

    async def _noting(self, call: Awaitable[Any]) -> Any:
        try:
            return await call
        except ConnectionClosed:
            self._closes += 1
            self.swallowed = self._closes > 100
            raise


class _Task(asyncio.Task[Any]):
    """Knows whether nobody has looked at what it raised, even if somebody cancels it afterwards."""

    _cancelled_unseen = False

    @property
    def unseen(self) -> bool:
        return self._log_traceback or self._cancelled_unseen

    def cancel(self, msg: Any = None) -> bool:
        self._cancelled_unseen = self.unseen
        return super().cancel(msg)


def _name(task: asyncio.Task[Any]) -> str:
    return str(getattr(task.get_coro(), "__name__", "a task"))
