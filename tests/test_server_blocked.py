"""A handler that blocks its loop is named, broken off where that can be, and left behind where it can't."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from shared import (
    PLACES,
    Place,
    echo,
    nothing_left,
    says,
    takes_at_most,
    talk,
    wait_until,
    ws_by_hand,
)
from websockets.asyncio.server import ServerConnection

from helpers.background.lifetime import BlockedLoopWarning
from helpers.background.server import BackgroundServer
from helpers.background.serving import Handler


async def spin(connection: ServerConnection) -> None:
    while True:
        pass


async def doze(connection: ServerConnection) -> None:
    time.sleep(3)  # noqa: ASYNC251 - the mistake


@pytest.mark.parametrize("where", PLACES)
def test_a_handler_without_await_is_named_and_broken_off(where: Place) -> None:
    with nothing_left():
        server = BackgroundServer(spin, where=where).start()
        peer = ws_by_hand(server.port)
        wait_until(lambda: says(server, "blocked at line"), what="the warning")
        with pytest.warns(BlockedLoopWarning, match=r"spin\(\)"), takes_at_most(3.5):
            server.stop()
        peer.close()


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """Ends the loop that catches everything, so that no thread goes on beside the other tests."""
    over, before = threading.Event(), set(threading.enumerate())
    yield over
    over.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()


def catches_everything(over: Callable[[], bool]) -> Handler:
    """A handler that nothing ends; `while not over()` would have a gap, with Python 3.13."""

    async def catch_everything(connection: ServerConnection) -> None:
        while True:
            try:
                while True:
                    if over():
                        return
            except BaseException:
                pass

    return catch_everything


@pytest.mark.parametrize("where", ["shared", "own"])
def test_a_handler_that_catches_everything_is_left_behind_and_the_reader_told(
    over: threading.Event, where: Place
) -> None:
    server = BackgroundServer(catches_everything(over.is_set), where=where).start()
    peer = ws_by_hand(server.port)
    wait_until(lambda: says(server, "blocked at line"))
    with takes_at_most(5), pytest.warns(BlockedLoopWarning, match="catch_everything.*restart the kernel"):
        server.stop()
    with BackgroundServer(echo, where=where, port=server.port) as again:
        assert talk(again.url) == "hi"
    peer.close()


def test_that_is_told_as_well_when_the_cell_is_run_again(over: threading.Event) -> None:
    first = BackgroundServer(catches_everything(over.is_set), name="clings").start()
    peer = ws_by_hand(first.port)
    wait_until(lambda: says(first, "blocked at line"))
    second = BackgroundServer(echo, name="clings").start()
    with pytest.warns(BlockedLoopWarning, match="the one before: .*restart the kernel"):
        url = second.url
    assert talk(url) == "hi"
    second.stop()
    peer.close()


def test_a_process_takes_what_catches_everything_with_it() -> None:
    with nothing_left():
        server = BackgroundServer(catches_everything(lambda: False), where="process").start()
        peer = ws_by_hand(server.port)
        wait_until(lambda: says(server, "blocked at line"))
        with pytest.warns(BlockedLoopWarning, match="catch_everything") as warned, takes_at_most(5):
            server.stop()
        peer.close()
    assert "restart" not in str(warned[0].message)


def test_a_thread_that_is_left_behind_does_not_keep_the_kernel_from_ending(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent("""
        import warnings
        from shared import says, wait_until, ws_by_hand
        from helpers.background.lifetime import BlockedLoopWarning
        from helpers.background.server import BackgroundServer

        async def catch_everything(connection):
            while True:
                try:
                    while True:
                        pass
                except BaseException:
                    pass

        server = BackgroundServer(catch_everything).start()
        peer = ws_by_hand(server.port)
        wait_until(lambda: says(server, "blocked at line"))
        server.stop()
        print("the last line")
        """)
    )
    folder = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, program],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )
    assert done.returncode == 0
    assert done.stdout == "the last line\n"
    assert "restart the kernel" in done.stderr


def test_breaking_off_one_server_leaves_the_others_on_its_loop() -> None:
    with BackgroundServer(echo) as other:
        server = BackgroundServer(spin).start()
        peer = ws_by_hand(server.port)
        wait_until(lambda: says(server, "blocked"))
        with pytest.warns(BlockedLoopWarning):
            server.stop()
        peer.close()
        assert says(server, "broken off")
        with pytest.warns(BlockedLoopWarning, match=r"spin\(\)"):
            assert talk(other.url) == "hi"


@pytest.mark.parametrize("where", PLACES)
def test_a_handler_that_sleeps_in_c_frees_its_port_at_once(where: Place) -> None:
    server = BackgroundServer(doze, where=where).start()
    peer = ws_by_hand(server.port)
    wait_until(lambda: says(server, "blocked at line"))
    with pytest.warns(BlockedLoopWarning, match=r"doze\(\): time.sleep\(3\)"), takes_at_most(3):
        server.stop()
    with nothing_left(), BackgroundServer(echo, port=server.port) as again:
        assert talk(again.url) == "hi"
    peer.close()
    wait_until(lambda: not any("watchdog" in thread.name for thread in threading.enumerate()))


def test_blocking_is_warned_about_each_time() -> None:
    """Python shows a warning once a line; a cell that is run again must show it again."""
    program = """if True:
        from helpers.background.server import BackgroundServer
        async def echo(connection): ...
        server = BackgroundServer(echo)
        for _ in range(2):
            server._journal.block("the loop is blocked")
            server.check()
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.count("BlockedLoopWarning") == 2
