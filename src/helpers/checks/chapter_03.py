"""The exercises of `03_run_a_server_in_the_kernel`."""

from __future__ import annotations

import asyncio
import selectors
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from helpers.checks.answer import Answer
from helpers.checks.peers import ANSWER_WITHIN, Peer
from helpers.checks.trial import try_function, try_handler
from helpers.checks.verdict import NotYet, Verdict, shown
from helpers.checks.whose import check


@check
def librarian(handler: Any) -> Verdict:
    """Check a handler that answers with `look_up(word)`, which blocks for 0.4 s, and lets nobody wait."""

    asked_for: list[str] = []

    async def scenario(url: str, loop: asyncio.AbstractEventLoop) -> str:
        words = ["stressed", "drawer", "live", "pots", "parts"]
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
        if waited > 1.4:
            raise NotYet(
                f"five readers asked at the same moment, and the last one waited {waited:.1f} s: "
                "they were served one after another",
                "`await asyncio.to_thread(look_up, word)` runs it on another thread, and the loop goes on",
                sure=True,
            )
        if not asked_for:
            raise NotYet(
                "the answers are right, but `look_up` was never called", "let the library do its work"
            )
        await peers[0].says("deliver")
        await peers[0].hears("after a second word on the same connection", within=2)
        for peer, word in zip(peers, ["deliver", *words[1:]], strict=True):
            await peer.hears_nothing(f"after the answer to `{word}`", within=0.02)
        return "five readers asked at the same moment, and nobody waited for another"

    with _noting(handler, "look_up", asked_for):
        return try_handler(handler, scenario)


@contextmanager
def _noting(handler: Any, name: str, calls: list[str]) -> Iterator[None]:
    """Note what the reader's code calls a function of the notebook with."""
    variables = getattr(handler, "__globals__", {})
    function = variables.get(name)
    if not callable(function):
        calls.append("there is no such function to be noted")
        yield
        return

    def noted(argument: str) -> Any:
        calls.append(argument)
        return function(argument)

    variables[name] = noted
    try:
        yield
    finally:
        variables[name] = function


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
            for text in ("first", "second"):
                reading = asyncio.run_coroutine_threadsafe(queue.get(), loop)
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_idle(), loop))
                await asyncio.to_thread(selector.asleep.wait, ANSWER_WITHIN)
                await answer(loop, queue, text, within=ANSWER_WITHIN)
                await _expect(reading, text, loop)
                if queue.threads != {thread.ident}:
                    raise NotYet(
                        f"`{text}` arrived, but it was put into the queue on your own thread",
                        "hand the function over without calling it: "
                        "`loop.call_soon_threadsafe(queue.put_nowait, text)`",
                    )
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_idle(), loop))
                if not queue.empty():
                    raise NotYet(f"`{text}` arrived twice", "put it into the queue once only")
        finally:
            loop.call_soon_threadsafe(loop.stop)
            await asyncio.to_thread(thread.join, 0.5)
        return "both texts arrived at once: the sleeping loop was woken"

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


async def _expect(reading: Future[str], text: str, loop: asyncio.AbstractEventLoop) -> None:
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
        raise NotYet(
            f"`{text}` did not arrive in the queue",
            "a coroutine function, like `queue.put`, does nothing without `await`; `put_nowait` isn't one",
        )
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
    """Notes on which threads something was put into it."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()

    def _put(self, item: Any) -> None:
        self.threads.add(threading.get_ident())
        super()._put(item)
