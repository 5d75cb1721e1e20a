"""An event loop on a thread of its own, apart from the one that runs the cells."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from helpers.background.break_off import BREAKING_OFF, RESTART, Abandoned, BreakableThread, end_by_force
from helpers.background.journal import LeftBehind
from helpers.readers_code import readers_line

T = TypeVar("T")

BLOCKED_AFTER = 0.5
"""How long, in seconds, a loop may not answer before its watchdog looks what blocks it."""


def _ignore(text: str) -> None:
    """Nobody is told."""


class LoopBlockedError(RuntimeError):
    """The background loop does not answer, because a handler on it blocks it."""


def on_background_loop() -> bool:
    """Whether this thread runs a background loop: waiting for the loop here would wait forever."""
    return isinstance(threading.current_thread(), BreakableThread)


class BackgroundLoop:
    """An asyncio event loop on a daemon thread, kept while somebody uses it.

    A watchdog notices when something blocks the loop for more than half a second, finds the line
    that does it, and tells every user of the loop. When the loop has to end, what blocks it is broken off.

        loop = BackgroundLoop()
        loop.hold(me)
        loop.submit(coroutine).result(timeout=5)
        loop.release(me)

    Attributes:
        blocked_at: the reader's line that blocks the loop; None while the loop answers.
        left_behind: a sentence about code that could not be ended and still runs, with what to do about it.
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
        self.blocked_at: str | None = None
        self.left_behind: LeftBehind | None = None
        self._blocked_since = 0.0
        self.thread = BreakableThread(self._run, self._close, name)
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
            insist: break off what blocks the loop, where that is possible.

        Raises:
            LoopBlockedError: it did not end in time; the message names the line that blocks the loop,
                where there is one.
        """
        future = self.submit(coroutine)
        begin = time.monotonic()
        deadline = begin + timeout
        while not future.done() and (now := time.monotonic()) < deadline:
            if insist and self.blocked_at:
                if now > max(begin, self._blocked_since) + BREAKING_OFF:
                    break
                self.thread.break_off()
            soon = 0.005 if self.blocked_at else 0.05
            concurrent.futures.wait([future], min(soon, deadline - now) if insist else deadline - now)
        if future.done():
            return future.result()
        future.cancel()
        if insist:
            self._give_up()
        raise LoopBlockedError(
            f"no answer from the {self.name} in {time.monotonic() - begin:.1f} s"
            + (f": it is blocked at {self.blocked_at}" if self.blocked_at else "")
        )

    def _end(self) -> None:
        """Stop the loop and wait until its thread is gone. Code that blocks it is broken off.

        A thread that can't be broken off is left behind; see `helpers.background.break_off`.
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
                deadline = min(deadline, now + BREAKING_OFF)
                self.thread.break_off()
            self.thread.join(0.005)
        if self.thread.is_alive():
            self._give_up()
        self._gone.set()
        self._watchdog.join()

    def _give_up(self) -> None:
        if self.blocked_at and self.thread.was_reached and (where := self._where_it_is()):
            self.left_behind = LeftBehind(
                f"the code at {where} catches every exception, so it can't be ended, and runs on "
                f"in the background: {RESTART}"
            )

    def _run(self) -> None:
        asyncio.set_event_loop(self.asyncio_loop)
        while not self._ending:
            with contextlib.suppress(SystemExit, KeyboardInterrupt):  # raised by the reader's code
                self.asyncio_loop.run_forever()
        # RuntimeError: told to stop only now, the loop stops before what it runs is complete.
        with contextlib.suppress(SystemExit, KeyboardInterrupt, RuntimeError):
            self._finish(self.asyncio_loop)

    def _close(self) -> None:
        asyncio.set_event_loop(None)
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
                loop.call_soon(end_by_force, task)
            if left:
                loop.run_until_complete(asyncio.wait(left, timeout=0.1))
        for transport in list(getattr(loop, "_transports", {}).values()):  # nobody closed their connections
            transport.abort()
        loop.run_until_complete(asyncio.sleep(0))
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
        while not self._gone.wait(BLOCKED_AFTER / 2):
            beat = threading.Lock()  # and no Event: that has a lock inside, which may stay locked
            beat.acquire()
            self._beat(beat)
            heard = beat.acquire(timeout=BLOCKED_AFTER)
            while not (heard or self._gone.is_set()):
                where = self._where_it_is()
                begin = time.monotonic()
                heard = beat.acquire(timeout=BLOCKED_AFTER / 5)
                served = time.monotonic() - begin < BLOCKED_AFTER / 2  # if not, both threads wait for the GIL
                if not heard and served and where and self._where_it_is() and not self.blocked_at:
                    self._is_blocked(where)
            self.blocked_at = None

    def _is_blocked(self, where: str) -> None:
        self._blocked_since = time.monotonic()
        self.blocked_at = where
        self.thread.was_reached = False  # forget what was broken off here before
        for _, blocked in list(self._users.values()):
            blocked(f"the loop is blocked at {where}; nobody on it is served meanwhile")

    def _beat(self, beat: threading.Lock) -> None:
        with contextlib.suppress(RuntimeError):  # closed between two looks at it
            self.asyncio_loop.call_soon_threadsafe(beat.release)

    def _where_it_is(self) -> str | None:
        frame = sys._current_frames().get(self.thread.ident or -1)
        return readers_line(traceback.extract_stack(frame)) if frame else None


_shared: BackgroundLoop | None = None
_shared_lock = threading.Lock()


def hold_shared_loop(
    user: object, told: Callable[[str], None] = _ignore, blocked: Callable[[str], None] | None = None
) -> BackgroundLoop:
    """The one loop that servers, widget clients and taps share, held for `user` until released.

    One loop for both ends of a connection keeps the full speed of two processes; two loops on two
    threads hand the interpreter lock back and forth for every message.
    """
    global _shared
    with _shared_lock:
        if _shared is None or _shared.blocked_at or not _shared.hold(user, told, blocked):
            _shared = BackgroundLoop("shared background loop")
            _shared.hold(user, told, blocked)
        return _shared
