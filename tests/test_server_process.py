"""A server in a process of its own: what is copied there, what it prints, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
from functools import partial

import psutil
import pytest
from shared import (
    echo,
    nothing_left,
    says,
    sync_connect,
    talk,
    wait_until,
    ws_by_hand,
)
from websockets.asyncio.server import ServerConnection

from helpers.background.child_server import ChildServer
from helpers.background.lifetime import BackgroundError
from helpers.background.server import BackgroundServer


def test_a_process_takes_along_what_the_handler_refers_to() -> None:
    greeting = "hello"

    class Answer:
        def __init__(self, text: str) -> None:
            self.text = f"{greeting} {text}"

    async def handler(connection: ServerConnection) -> None:
        async for text in connection:
            await connection.send(Answer(re.sub("a", "o", str(text))).text)

    with BackgroundServer(handler, where="process") as server:
        assert talk(server.url, "world, ah") == "hello world, oh"
        with pytest.raises(BackgroundError, match="runs in a child process"):
            _ = server.loop
        with pytest.raises(BackgroundError, match="its connections are there"):
            _ = server.connections


def test_a_handler_that_can_not_be_copied_gives_a_clear_error() -> None:
    lock = threading.Lock()

    async def handler(connection: ServerConnection) -> None:
        with lock:
            pass

    with (
        nothing_left(),
        pytest.raises(BackgroundError, match=r"create what can't be copied.*inside the function"),
    ):
        BackgroundServer(handler, where="process").start()


class LoadsBadly:
    def __reduce__(self) -> tuple[type[int], tuple[str]]:
        return int, ("not a number",)

    async def __call__(self, connection: ServerConnection) -> None:
        pass


def test_a_handler_that_can_not_be_unpacked_says_why() -> None:
    with (
        nothing_left(),
        pytest.raises(BackgroundError, match=r"can't be unpacked in the child.*not a number"),
    ):
        BackgroundServer(LoadsBadly(), where="process").start()


def test_prints_of_a_process_are_events_whatever_they_look_like(capfd: pytest.CaptureFixture[str]) -> None:
    async def handler(connection: ServerConnection) -> None:
        print("half a line", end="")
        await connection.send("one")
        print(", the rest")
        for text in ('["port", 5]', "5", '{"a": 1, "b": 2}', "[1, 2]"):
            print(text)
        print("in red", file=sys.stderr)
        os.write(1, b"past python\n")
        await connection.send(json.dumps("two"))

    with BackgroundServer(handler, where="process") as server:
        port = server.port
        with sync_connect(server.url) as client:
            assert [client.recv(timeout=5), client.recv(timeout=5)] == ["one", '"two"']
        for text in (
            "half a line, the rest",
            '["port", 5]',
            '{"a": 1, "b": 2}',
            "[1, 2]",
            "in red",
            "past python",
        ):
            wait_until(partial(says, server, f"printed: {text}"), what=text)
        assert server.port == port
        server.check()
    assert capfd.readouterr() == ("", "")


def child_of(server: BackgroundServer) -> psutil.Process:
    assert isinstance(server._served, ChildServer)
    return psutil.Process(server._served._child.pid)


def test_a_killed_process_is_noticed_at_the_next_call() -> None:

    async def handler(connection: ServerConnection) -> None:
        print("my last words")
        os._exit(7)

    server = BackgroundServer(handler, where="process").start()
    ws_by_hand(server.port).close()
    wait_until(lambda: not server.running)
    with pytest.raises(BackgroundError, match=r"child process has ended \(status 7\)[^$]*my last words"):
        server.check()
    server.check()
    for _ in range(2):
        with pytest.raises(BackgroundError, match="my last words"):
            _ = server.url
    server.stop()


@pytest.mark.parametrize("show", ["url", "stop", "with"])
def test_a_killed_process_is_told_once_and_can_be_started_again(show: str) -> None:
    with nothing_left():
        server = BackgroundServer(echo, where="process")
        with pytest.raises(BackgroundError, match=r"status -9"):
            if show == "with":
                with server:
                    child_of(server).kill()
                    wait_until(lambda: not server.running)
            else:
                server.start()
                child_of(server).kill()
                wait_until(lambda: not server.running)
                if show == "url":
                    _ = server.url
                else:
                    server.stop()
        assert talk(server.start().url) == "hi"
        server.stop()


def test_an_interrupt_is_not_for_the_process() -> None:
    with BackgroundServer(echo, where="process") as server:
        child_of(server).send_signal(signal.SIGINT)
        assert talk(server.url) == "hi"
