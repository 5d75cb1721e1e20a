"""The loop beside the kernel: who holds it, what blocks it, and no false alarm when somebody else is busy."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from shared import echo, nothing_left, says, sync_pings, takes_at_most, wait_until

from helpers.background.loops import BLOCKED_AFTER, BackgroundLoop, LoopBlockedError, hold_shared_loop
from helpers.background.server import BackgroundServer


class WatchedLoop(BackgroundLoop):
    """Keeps what is told about it, and what blocks it."""

    def __init__(self) -> None:
        super().__init__("loop of the test")
        self.told: list[str] = []
        self.blocked: list[str] = []


@pytest.fixture
def loop() -> Iterator[WatchedLoop]:
    user, loop = object(), WatchedLoop()
    loop.hold(user, loop.told.append, loop.blocked.append)
    yield loop
    loop.release(user)


async def answer() -> int:
    return 42


async def spin() -> None:
    while True:
        pass


def test_it_lives_while_somebody_holds_it() -> None:
    with nothing_left():
        one, two = object(), object()
        loop = hold_shared_loop(one)
        assert hold_shared_loop(two) is loop
        loop.release(one)
        assert loop.call(answer(), timeout=5) == 42
        loop.release(two)
        assert not loop.hold(one)
        with pytest.raises(RuntimeError, match="has ended"):
            loop.call(answer(), timeout=5)
        again = hold_shared_loop(one)
        assert again is not loop
        again.release(one)


def test_many_threads_that_hold_and_release() -> None:
    with nothing_left():
        wrong = []

        def use() -> None:
            for _ in range(30):
                user = object()
                loop = hold_shared_loop(user)
                if loop.call(answer(), timeout=10) != 42:
                    wrong.append(loop)
                loop.release(user)

        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert wrong == []


def test_what_a_coroutine_raises_comes_back(loop: WatchedLoop) -> None:
    async def timeout() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        loop.call(timeout(), timeout=5)


def test_a_call_that_does_not_end_is_given_up(loop: WatchedLoop) -> None:
    ended = threading.Event()

    async def sleeps() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    with pytest.raises(LoopBlockedError, match=r"no answer from the loop of the test in 0\.\d s$"):
        loop.call(sleeps(), timeout=0.1)
    assert ended.wait(5)


@pytest.mark.parametrize("exit_with", [SystemExit, KeyboardInterrupt])
def test_an_exit_does_not_end_the_loop(loop: WatchedLoop, exit_with: type[BaseException]) -> None:
    async def leave() -> None:
        raise exit_with

    with pytest.raises(exit_with):
        loop.call(leave(), timeout=5)
    assert loop.call(answer(), timeout=5) == 42


def test_what_blocks_is_named_and_broken_off(loop: WatchedLoop) -> None:
    future = loop.submit(spin())
    wait_until(lambda: loop.blocked)
    assert "spin()" in loop.blocked[0]
    assert loop.told == []
    with pytest.raises(LoopBlockedError, match=r"blocked at line \d+ of spin\(\)"):
        loop.call(answer(), timeout=0.2)
    assert loop.call(answer(), timeout=3, insist=True) == 42
    assert future.done()
    wait_until(lambda: loop.blocked_at is None)
    assert len(loop.blocked) == 1


def test_a_blocked_shared_loop_is_not_given_to_the_next() -> None:
    one, two = object(), object()
    loop = hold_shared_loop(one)
    loop.submit(spin())
    wait_until(lambda: loop.blocked_at)
    other = hold_shared_loop(two)
    assert other.call(answer(), timeout=5) == 42
    with nothing_left(), takes_at_most(3):
        loop.release(one)
        other.release(two)


def a_pure_python_loop(_: list[float]) -> None:
    sum(i * i for i in range(2_000_000))


def a_long_call_into_c(numbers: list[float]) -> None:
    sorted(numbers)


@pytest.mark.parametrize("busy", [a_pure_python_loop, a_long_call_into_c])
def test_no_false_alarm_while_the_foreground_is_busy(busy: Callable[[list[float]], object]) -> None:
    numbers = [random.random() for _ in range(1_200_000)]
    with BackgroundServer(echo) as server, sync_pings(server.url) as count:
        until = time.monotonic() + 3 * BLOCKED_AFTER
        while time.monotonic() < until:
            busy(numbers)
        wait_until(lambda: count())
        assert not says(server, "blocked")


def test_no_false_alarm_while_both_cores_are_busy() -> None:
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
    try:
        with BackgroundServer(echo) as server, sync_pings(server.url) as count:
            sum(i * i for i in range(5_000_000))
            wait_until(lambda: count() > 10)
            assert not says(server, "blocked")
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


def test_who_lets_go_of_a_blocked_loop_at_once_is_told_all_the_same() -> None:
    user, loop = object(), WatchedLoop()
    loop.hold(user, blocked=loop.blocked.append)
    loop.submit(spin())
    with nothing_left():
        loop.release(user)  # before its watchdog can have seen it
    assert len(loop.blocked) == 1
    assert "spin()" in loop.blocked[0]


def test_waiting_on_the_loop_for_what_the_loop_does_is_broken_off() -> None:
    """`run_coroutine_threadsafe(...).result()` on the same loop waits for a lock that nobody releases."""

    async def waits_for_itself() -> None:
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), asyncio.get_running_loop()).result()

    with nothing_left():
        loop = BackgroundLoop("loop that waits for itself")
        loop.hold(waits_for_itself)
        loop.submit(waits_for_itself())
        wait_until(lambda: loop.blocked_at, what="the watchdog's word")
        assert "result()" in str(loop.blocked_at)
        loop.release(waits_for_itself)
