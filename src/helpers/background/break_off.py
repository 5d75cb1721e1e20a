"""Breaking off the reader's code from another thread, when it blocks an event loop that has to end.

`while True: pass` in a handler never gives its thread back: nothing on its loop runs any more, so
`task.cancel()` reaches nobody. Python can't end a thread, but it can raise an exception in one:

    PyThreadState_SetAsyncExc(thread.ident, Abandoned)

*When it lands.* The call only leaves a note for the thread. The interpreter reads the note at certain
bytecodes of Python code: at the jump back to the head of a loop, at the start of a function, and after a
call. There `Abandoned` is raised, as if that line had said `raise Abandoned`, and it unwinds the stack
like any other exception: `finally` and `with` do their work. A second note replaces a first that has not
been read yet. With no exception in it, the call takes the note away.

*Why only while the reader's code is on the stack.* An exception between any two lines is something that
no library is written for: in asyncio, or in `threading`, it might leave a lock locked for good. So
`break_off()` first looks at the thread's stack, and leaves no note unless a function of the reader's
is in it. That is not watertight: the thread may return from the reader's code before it reads the note. But
then at most this one note is under way, and `run()` is written for that: it does its work again when
`Abandoned` comes out of it, and takes away an unread note before the part that must not be broken off.

*Calls into C.* `time.sleep(60)`, or sorting a long list, runs no bytecode, so the note is read when the call
returns. Until then the thread is left behind. It costs nothing while it sleeps, and ends by itself.

*Waiting for what never comes.* `run_coroutine_threadsafe(work(), loop).result()`, called on that very loop,
would never end by itself. It waits in `threading.Condition.wait`, as `Event.wait` and `Queue.get` do, for a
lock that another thread releases. `break_off()` releases it, and the note is read.

*What catches it.* `Abandoned` is a `BaseException` and no `Exception`, as `KeyboardInterrupt` is, so that
`except Exception` doesn't catch it. A bare `except:` or `except BaseException:` does, and the note
has been used up. So notes are left again and again, every few milliseconds for half a second. A loop that
reads notes in a place that no `try` covers, such as the jump back to its head, ends there.

*Versions differ* in where Python code reads its notes, and in what a `try` covers of a compiled loop:
`try: await connection.recv()` with a bare `except: pass`, forever on a closed connection, is broken off with
Python 3.11 and 3.13, and left behind with 3.12. In 3.13 no `try` covers the jump back of `while condition:`.

*What can't be broken off* is a loop that catches everything everywhere:

    while True:
        try:
            while True: ...
        except BaseException: ...

Its thread is left behind and uses a processor until the kernel is restarted, which is what the reader is
told to do. It is a daemon thread, so the kernel's exit does not wait for it: when Python ends, the thread
stops at the next moment at which it would need the interpreter lock, and no `except` notices.

Source: https://docs.python.org/3.13/c-api/init.html#c.PyThreadState_SetAsyncExc
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import inspect
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from helpers.readers_code import is_readers

RESTART = "restart the kernel"
"""What the reader is told to do when a thread that uses a processor is left behind."""

BREAKING_OFF = 0.5
"""How long, in seconds, breaking off is tried again and again before a thread is left behind."""


class Abandoned(BaseException):
    """Raised inside code that blocks a loop which has to end.

    Python makes the instance where it raises it, so this is also where the thread learns that a note
    has been read.
    """

    def __init__(self) -> None:
        super().__init__()
        thread = threading.current_thread()
        if isinstance(thread, BreakableThread):
            thread.was_reached = True


class BreakableThread(threading.Thread):
    """A daemon thread that runs the reader's code, which other threads can break off.

    Args:
        work: what it does; called again when it has been broken off, until it returns.
        afterwards: what it does at the end; this can't be broken off.
        name: the thread's name.

    Attributes:
        was_reached: whether `Abandoned` has been raised in it. If the reader's code runs on all the same,
            it catches everything.
    """

    def __init__(self, work: Callable[[], object], afterwards: Callable[[], object], name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.was_reached = False
        self._work = work
        self._afterwards = afterwards
        self._lock = threading.Lock()
        self._breakable = True

    def run(self) -> None:
        while self._breakable:
            with contextlib.suppress(Abandoned):
                self._work()
                with self._lock:
                    self._breakable = False
                _leave_note(self, None)
        self._afterwards()

    def break_off(self) -> None:
        """Raise `Abandoned` in the thread, if the reader's code is on its stack; from another thread."""
        with self._lock:
            frame = sys._current_frames().get(self.ident or -1)
            while frame is not None and not is_readers(frame.f_code.co_filename):
                frame = frame.f_back
            if frame is not None and self._breakable:
                _leave_note(self, Abandoned)
                _wake(sys._current_frames()[self.ident or -1])


def _wake(frame: FrameType) -> None:
    """End a wait for another thread; whoever waits checks again what they wait for."""
    if frame.f_code is threading.Condition.wait.__code__ and (waiter := frame.f_locals.get("waiter")):
        with contextlib.suppress(RuntimeError):  # it is being woken anyway
            waiter.release()


def _leave_note(thread: threading.Thread, error: type[Abandoned] | None) -> None:
    note = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), note)


def end_by_force(task: asyncio.Task[Any]) -> None:
    """End a task that swallows `CancelledError`, by closing its coroutine; on its own loop.

    What swallows `GeneratorExit` as well is kept for good: the garbage collector would close it once
    more, on whatever thread it runs, and the loop inside might then go on there for good.
    """
    if task.done():
        return
    coroutines = list(_awaited(task.get_coro()))
    with contextlib.suppress(RuntimeError, Abandoned):  # RuntimeError: it awaits again
        coroutines[0].close()
    for coroutine in coroutines:
        if coroutine.cr_frame is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(coroutine))
    task.cancel()


def _awaited(coroutine: Any) -> Iterator[Any]:
    """A coroutine, the one that it awaits, and so on."""
    while inspect.iscoroutine(coroutine):
        yield coroutine
        coroutine = coroutine.cr_await
