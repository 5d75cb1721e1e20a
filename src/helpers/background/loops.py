"""An event loop on a thread of its own, beside the one that runs the cells."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import ctypes
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, TypeVar

from helpers.readers_code import is_readers, readers_line

T = TypeVar("T")

PATIENCE = 0.5
"""How long, in seconds, a loop may not answer before its watchdog looks what blocks it."""


def _ignore(text: str) -> None:
    """Nobody is told."""


class LoopBlockedError(RuntimeError):
    """The background loop does not answer, because a handler on it blocks it."""


class Abandoned(BaseException):
    """Raised inside code that blocks a loop which has to end. Not an `Exception`, so few catch it."""


class AbandonedForGood(Abandoned):
    """Comes again at the line with which the reader's code goes on, below `except BaseException` as well.

    CPython makes the instance where the exception is raised, on the thread that is to end: that is the
    moment to watch the line which follows.
    """

    def __init__(self) -> None:
        super().__init__()
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if is_readers(frame.f_code.co_filename):
                frame.f_trace = _no_further
            frame = frame.f_back
        sys.settrace(_no_further)


def _no_further(frame: FrameType, event: str, arg: object) -> Any:
    if not is_readers(frame.f_code.co_filename):
        return None
    if event == "line":
        raise Abandoned  # which ends the tracing
    return _no_further


def _end_for_good(task: asyncio.Task[Any]) -> None:
    """End a task that swallows `CancelledError`, by closing the coroutine under it, on its own loop.

    Left to the garbage collector it might go on for ever, in whatever thread collects.
    """
    inner: Any = task.get_coro()
    with contextlib.suppress(RuntimeError, Abandoned):  # RuntimeError: it awaits again
        while frame := getattr(inner, "cr_frame", None):
            if is_readers(frame.f_code.co_filename):
                frame.f_trace = _no_further
            inner = inner.cr_await
        sys.settrace(_no_further)
        task.get_coro().close()
    sys.settrace(None)
    task.cancel()


class _LoopThread(threading.Thread):
    """A thread that runs a background loop, and so must not wait for one."""


def on_background_loop() -> bool:
    """Whether this thread runs a background loop: waiting for the loop here would wait for ever."""
    return isinstance(threading.current_thread(), _LoopThread)


class BackgroundLoop:
    """An asyncio event loop on a daemon thread, kept while somebody uses it.

    A watchdog notices when something blocks the loop for more than half a second, finds the line
    that does it, and tells every user of the loop.

        loop = BackgroundLoop()
        loop.hold(me)
        loop.submit(coroutine).result(timeout=5)
        loop.release(me)
    """

    def __init__(self, name: str = "background loop") -> None:
        self.name = name
        self.asyncio_loop = asyncio.new_event_loop()
        self.asyncio_loop.set_exception_handler(self._unhandled)
        self._executor = concurrent.futures.ThreadPoolExecutor(thread_name_prefix=name)
        self.asyncio_loop.set_default_executor(self._executor)
        self._users: dict[object, tuple[Callable[[str], None], Callable[[str], None]]] = {}
        self._lock = threading.Lock()
        self._ending = False
        self._gone = threading.Event()
        self._breaking = threading.Lock()
        self._unbreakable = False
        self.blocked_at: str | None = None
        self._blocked_since = 0.0
        self.thread = _LoopThread(target=self._run, name=name, daemon=True)
        self._watchdog = threading.Thread(target=self._watch, name=f"{name} watchdog", daemon=True)
        self.thread.start()
        self._watchdog.start()

    def hold(
        self,
        user: object,
        told: Callable[[str], None] = _ignore,
        blocked: Callable[[str], None] | None = None,
    ) -> bool:
        """Keep the loop alive for `user`.

        Args:
            user: who needs the loop; the same object releases it.
            told: is called on a background thread with a sentence about what goes wrong on the loop.
            blocked: is called instead of `told` when something blocks the loop.

        Returns:
            Whether the loop still takes work; False when it has ended.
        """
        with self._lock:
            if not self._ending:
                self._users[user] = (told, blocked or told)
            return not self._ending

    def release(self, user: object) -> None:
        """Let go of the loop. When nobody holds it any longer, it ends and its thread with it.

        The last who holds it is told of what blocks its end.
        """
        with self._lock:
            _, blocked = self._users.pop(user, (_ignore, _ignore))
            if self._users or self._ending:
                return
            self._ending = True
            self._users[self] = (_ignore, blocked)
        self._end()
        self._users.clear()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Run a coroutine on the loop, from any thread.

        Args:
            coroutine: what to run.

        Returns:
            A future to wait for, as of `asyncio.run_coroutine_threadsafe`.

        Raises:
            RuntimeError: the loop has ended.
        """
        if self._ending:
            coroutine.close()
            raise RuntimeError(f"the {self.name} has ended")
        return asyncio.run_coroutine_threadsafe(coroutine, self.asyncio_loop)

    def call(self, coroutine: Coroutine[Any, Any, T], timeout: float, *, insist: bool = False) -> T:
        """Run a coroutine on the loop and wait for it, at most `timeout` seconds.

        Args:
            coroutine: what to run.
            timeout: in seconds.
            insist: break off what blocks the loop. Python code without an `await` is ended by an
                exception; a call into C, like `time.sleep`, can't be and is waited for half a second.

        Raises:
            LoopBlockedError: it did not end in time; the message names the line that blocks the loop,
                where there is one.
        """
        future = self.submit(coroutine)
        begin = time.monotonic()
        deadline = begin + timeout
        while not future.done() and (left := deadline - time.monotonic()) > 0:
            concurrent.futures.wait(
                [future], min(left, 0.005 if self.blocked_at else 0.05) if insist else left
            )
            if insist and self.blocked_at and not future.done():
                deadline = min(deadline, max(begin, self._blocked_since) + PATIENCE)
                self._break_off(Abandoned)
        if future.done():
            return future.result()
        future.cancel()
        raise LoopBlockedError(
            f"no answer from the {self.name} in {time.monotonic() - begin:.1f} s"
            + (f": it is blocked at {self.blocked_at}" if self.blocked_at else "")
        )

    def _end(self) -> None:
        """Stop the loop and wait until its thread is gone. Code that blocks it is broken off.

        A thread in a call into C, like `time.sleep`, is left behind and ends when the call returns.
        """
        self.asyncio_loop.call_soon_threadsafe(self.asyncio_loop.stop)
        if on_background_loop():
            return
        begin = time.monotonic()
        deadline = begin + 2.5
        while self.thread.is_alive() and (now := time.monotonic()) < deadline:
            if not self.blocked_at and now > begin + 1.5 and (where := self._where_it_is()):
                self._is_blocked(where)  # the watchdog, on a busy machine, has not yet seen it
            if self.blocked_at or now > begin + 1.5:
                deadline = min(deadline, now + PATIENCE)
                self._break_off(AbandonedForGood)
            self.thread.join(0.005)
        if not self.thread.is_alive():
            self._close()  # once more, in case its thread was broken off on its way there
            self._watchdog.join()

    def _break_off(self, error: type[Abandoned]) -> None:
        """Raise it in the reader's code; raised in asyncio's it might leave a lock locked for ever."""
        with self._breaking:
            frame = sys._current_frames().get(self.thread.ident or -1)
            while frame is not None and not is_readers(frame.f_code.co_filename):
                frame = frame.f_back
            if frame is not None and not self._unbreakable:
                _raise_in(self.thread, error)

    def _run(self) -> None:
        try:
            asyncio.set_event_loop(self.asyncio_loop)
            while not self._ending:
                with contextlib.suppress(Abandoned, SystemExit, KeyboardInterrupt):
                    self.asyncio_loop.run_forever()
            with contextlib.suppress(Abandoned, SystemExit, KeyboardInterrupt, RuntimeError):
                self._finish(self.asyncio_loop)
            self._leave()
        except Abandoned:  # it came between two lines
            with contextlib.suppress(Abandoned):
                self._leave()

    def _leave(self) -> None:
        while not self._unbreakable:
            with contextlib.suppress(Abandoned), self._breaking:
                self._unbreakable = True
        with contextlib.suppress(Abandoned):
            for _ in range(3):
                time.monotonic()  # what is still on its way comes here
        sys.settrace(None)
        asyncio.set_event_loop(None)
        self._close()

    def _close(self) -> None:
        self._gone.set()
        self.asyncio_loop.close()
        self._executor.shutdown(wait=False, cancel_futures=True)

    @staticmethod
    def _finish(loop: asyncio.AbstractEventLoop) -> None:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            _, left = loop.run_until_complete(asyncio.wait(tasks, timeout=1))
            for task in left:
                loop.call_soon(_end_for_good, task)
            if left:
                loop.run_until_complete(asyncio.wait(left, timeout=0.1))
        loop.run_until_complete(loop.shutdown_asyncgens())

    def _unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, Abandoned):
            return
        text = f"{context['message']}: {error!r}" if error else context["message"]
        self._tell(f"asyncio says: {text}")

    def _tell(self, text: str) -> None:
        for told, _ in list(self._users.values()):
            told(text)

    def _watch(self) -> None:
        while not self._gone.wait(PATIENCE / 2):
            beat = threading.Lock()  # and no Event: that has a lock inside, which may stay locked
            beat.acquire()
            self._beat(beat)
            heard = beat.acquire(timeout=PATIENCE)
            while not (heard or self._gone.is_set()):
                where = self._where_it_is()
                begin = time.monotonic()
                heard = beat.acquire(timeout=PATIENCE / 5)
                served = time.monotonic() - begin < PATIENCE / 2  # if not, both threads wait for the GIL
                if not heard and served and where and self._where_it_is() and not self.blocked_at:
                    self._is_blocked(where)
            self.blocked_at = None

    def _is_blocked(self, where: str) -> None:
        self._blocked_since = time.monotonic()
        self.blocked_at = where
        for _, blocked in list(self._users.values()):
            blocked(f"the loop is blocked at {where}; nobody on it is served meanwhile")

    def _beat(self, beat: threading.Lock) -> None:
        with contextlib.suppress(RuntimeError):  # closed between two looks at it
            self.asyncio_loop.call_soon_threadsafe(beat.release)

    def _where_it_is(self) -> str | None:
        frame = sys._current_frames().get(self.thread.ident or -1)
        return readers_line(traceback.extract_stack(frame)) if frame else None


def _raise_in(thread: threading.Thread, error: type[BaseException]) -> None:
    """Raise `error` in another thread, at its next Python instruction.

    Source: https://docs.python.org/3/c-api/init.html#c.PyThreadState_SetAsyncExc
    """
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(error))


_shared: BackgroundLoop | None = None
_shared_lock = threading.Lock()


def hold_shared_loop(
    user: object,
    told: Callable[[str], None] = _ignore,
    blocked: Callable[[str], None] | None = None,
) -> BackgroundLoop:
    """The one loop that servers, widget clients and taps share, held for `user` until released.

    One loop for both ends of a connection keeps the full speed of two processes; two loops on two
    threads hand the interpreter lock to and fro for every message.
    """
    global _shared
    with _shared_lock:
        if _shared is None or _shared.blocked_at or not _shared.hold(user, told, blocked):
            _shared = BackgroundLoop("shared background loop")
            _shared.hold(user, told, blocked)
        return _shared
