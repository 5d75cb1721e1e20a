"""The exercises of `03_run_a_server_in_the_kernel`."""

from __future__ import annotations

import asyncio
import inspect
import multiprocessing
import selectors
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from types import FunctionType
from typing import Any

from helpers.checks.answer import Answer
from helpers.checks.chance import a_word
from helpers.checks.peers import ANSWER_WITHIN, Peer
from helpers.checks.trial import try_function, try_handler
from helpers.checks.verdict import NotYet, Verdict, shown
from helpers.checks.watched import Watch
from helpers.checks.whose import check
from helpers.readers_code import variables_of

WAITING = (
    "who waits for `look_up`, and where? A loop that waits serves nobody; a lock, or a pool that is too "
    "small, makes others wait; `asyncio.to_thread` has a thread for each of the five"
)
IN_THE_QUEUE = (
    "whatever the loop is to run must put `text` into `queue` itself: "
    "hand over the function that does it, and its argument"
)
NOT_AWAITED = (
    "`queue.put` is a coroutine function, and what it returned was never awaited; `put_nowait` isn't one"
)


@check
def librarian(handler: Any) -> Verdict:
    """Check a handler that answers with `look_up(word)`, which blocks for 0.4 s, and keeps nobody waiting."""

    looked_up: list[tuple[float, float]] = []
    look_up = inspect.unwrap(variables_of(handler).get("look_up", handler))
    can_be_noted = isinstance(look_up, FunctionType) and not look_up.__code__.co_freevars

    async def scenario(url: str, watch: Watch) -> str:
        rounds = [["stressed", "drawer", "live", "pots", "parts"], [a_word() for _ in range(5)]]
        for words in rounds:
            looked_up.clear()
            peers = [await Peer.join(url) for _ in words]
            asked = time.monotonic()
            for peer, word in zip(peers, words, strict=True):
                await peer.says(word)
            for peer, word in zip(peers, words, strict=True):
                answer = await peer.hears(f"after `{word}`", within=2.7)
                if answer != word[::-1]:
                    raise NotYet(
                        f"after `{word}`: got {shown(answer)}, expected `{word[::-1]!r}`",
                        "send what `look_up(word)` returns",
                    )
            waited = time.monotonic() - asked
            if waited < 0.35 or (can_be_noted and not looked_up and not multiprocessing.active_children()):
                raise NotYet(
                    "the answers are right, but `look_up` was never called in this process",
                    "let the library do its work, on another thread",
                )
            at_once = max((_at_once(looked_up, begin) for begin, _ in looked_up), default=len(words))
            if 1 < at_once < len(words) and len(rounds) == 2:
                rounds.append([a_word() for _ in words])  # a thread may have begun late, but not twice
                continue
            if at_once < len(words) or waited > 1.4:
                raise NotYet(
                    f"five readers asked at the same moment, and the last one waited {waited:.1f} s: "
                    + (
                        "they were served one after another"
                        if at_once == 1 or waited > 1.4
                        else f"at most {at_once} words were looked up at the same time"
                    ),
                    WAITING,
                    sure=True,
                )
            for peer, word in zip(peers, words, strict=True):
                await peer.hears_nothing(f"after the answer to `{word}`", within=0.02)
            await peers[0].leaves()
            word = a_word()
            await peers[1].says(word)
            second = await peers[1].hears("one reader has left, and another asks for a second word", within=2)
            if second != word[::-1]:
                raise NotYet(
                    f"after `{word}`: got {shown(second)}, expected `{word[::-1]!r}`", "answer each word"
                )
        return "five readers asked at the same moment, and nobody waited for another"

    if not can_be_noted:
        return try_handler(handler, scenario)
    with _noting(look_up, looked_up):
        return try_handler(handler, scenario)


def _at_once(calls: list[tuple[float, float]], moment: float) -> int:
    """How many of these calls, each with its begin and end, were under way at this moment."""
    return sum(begin <= moment < end for begin, end in calls)


@contextmanager
def _noting(function: FunctionType, calls: list[tuple[float, float]]) -> Iterator[None]:
    """Note when a function of the notebook begins and ends, whatever holds it: what it runs is replaced."""
    code, defaults = function.__code__, function.__kwdefaults__
    original = FunctionType(code, function.__globals__, function.__name__, function.__defaults__)
    original.__kwdefaults__ = defaults

    def noted(*arguments: Any, **named: Any) -> Any:
        begin = time.monotonic()
        try:
            return original(*arguments, **named)
        finally:
            calls.append((begin, time.monotonic()))

    function.__code__, function.__kwdefaults__ = _passing_on.__code__, {"_noted": noted}
    try:
        yield
    finally:
        function.__code__, function.__kwdefaults__ = code, defaults


def _passing_on(*arguments: Any, _noted: Any, **named: Any) -> Any:
    return _noted(*arguments, **named)


@check
def tell(function: Any) -> Verdict:
    """Check `def tell(loop, queue, text)`, which hands a string to a task on a loop in another thread."""

    async def scenario(answer: Answer) -> str:
        selector = _Selector()
        loop = asyncio.SelectorEventLoop(selector)
        loop.set_exception_handler(lambda loop, context: None)
        thread = threading.Thread(target=_run, args=(loop,), name="loop to be told", daemon=True)
        thread.start()
        try:
            queue = _Queue()
            for text in ("first", "second", a_word()):
                reading = asyncio.run_coroutine_threadsafe(queue.get(), loop)
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_idle(), loop))
                await asyncio.to_thread(selector.asleep.wait, ANSWER_WITHIN)
                queue.made = queue.count = 0
                returned = await answer(loop, queue, text, within=ANSWER_WITHIN)
                await _expect(reading, text, loop, queue, returned)
                if queue.threads != {thread.ident}:
                    raise NotYet(
                        f"`{text}` arrived, but it was put into the queue on your own thread",
                        "it is the loop that has to call `put_nowait`, so hand it over without calling it: "
                        "`loop.call_soon_threadsafe(queue.put_nowait, text)`",
                    )
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_idle(), loop))
                if not queue.empty():
                    raise NotYet(f"`{text}` arrived twice", "put it into the queue once only")
        finally:
            loop.call_soon_threadsafe(loop.stop)
            await asyncio.to_thread(thread.join, 0.5)
        return "all three messages arrived at once: the sleeping loop was woken"

    return try_function(function, scenario, arguments="loop, queue, text", coroutine=False)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(_idle())
    finally:
        loop.close()


async def _idle() -> None:
    """Return when whatever was ready on this loop has had its turn."""
    for _ in range(3):
        await asyncio.sleep(0)


async def _expect(
    reading: Future[str], text: str, loop: asyncio.AbstractEventLoop, queue: _Queue, returned: object
) -> None:
    arriving = asyncio.wrap_future(reading)
    await asyncio.wait([arriving], timeout=0.5)
    if not arriving.done():
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_idle(), loop))  # this wakes it
        await asyncio.wait([arriving], timeout=0.1)
        if arriving.done():
            raise NotYet(
                f"`{text}` did not arrive in 0.5 s: the loop slept, and nobody had woken it",
                "from another thread, `loop.call_soon_threadsafe(...)` wakes the loop",
            )
        if queue.count:
            said = f"`{text}` was put into `queue`, and the task that waits for it did not get it"
            raise NotYet(said, "what else takes something out of `queue`?")
        said = f"`{text}` did not arrive: in 0.6 s nothing was put into `queue`"
        if queue.made > queue.count:
            raise NotYet(said, NOT_AWAITED)
        if callable(returned):
            raise NotYet(
                f"{said}; you returned a function, {shown(returned)}", "nobody calls what you return"
            )
        raise NotYet(said, IN_THE_QUEUE)
    if arriving.result() != text:
        raise NotYet(f"{shown(arriving.result())} arrived, expected `{text!r}`", "put `text` into the queue")


class _Selector(selectors.DefaultSelector):
    """Knows whether its loop sleeps until it is woken."""

    def __init__(self) -> None:
        super().__init__()
        self.asleep = threading.Event()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            self.asleep.set()
        try:
            ready: list[tuple[selectors.SelectorKey, int]] = super().select(timeout)
            return ready
        finally:
            self.asleep.clear()


class _Queue(asyncio.Queue[Any]):
    """Notes on which threads something was put into it, and how many `put` were made."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()
        self.made = 0
        self.count = 0

    def put(self, item: Any) -> Any:
        self.made += 1
        return super().put(item)

    def _put(self, item: Any) -> None:
        self.threads.add(threading.get_ident())
        self.count += 1
        super()._put(item)
