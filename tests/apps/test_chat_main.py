"""The chat's server and page, started and ended by one command, as a person does it in a terminal."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest
from chat_peers import ROOT
from shared import open_here
from websockets.sync.client import connect

FREE = ("--port=0", "--server-port=0")
posix = pytest.mark.skipif(os.name != "posix", reason="signals")


@contextlib.contextmanager
def chat(*options: str) -> Iterator[subprocess.Popen[str]]:
    """The command, in a process group of its own, as a shell gives it one."""
    command = [sys.executable, "-m", "apps.chat", *options]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            parts = children(process) if process.poll() is None else []
            for part in [*parts, process]:
                part.kill()


def children(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return list(psutil.Process(process.pid).children(recursive=True))


def addresses(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Where the page and the server are, from what is printed as soon as both can be used."""
    assert process.stdout
    page = re.fullmatch(r"the page    (http://127\.0\.0\.1:\d+)\n", process.stdout.readline())
    server = re.fullmatch(r"the server  (ws://127\.0\.0\.1:\d+/ws)\n", process.stdout.readline())
    assert process.stdout.readline() == "Ctrl-C ends both.\n"
    assert page
    assert server
    return page[1], server[1]


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.nightly)])
def test_one_command_starts_both_and_a_signal_ends_both(number: signal.Signals) -> None:
    with chat(*FREE) as process:
        page, server = addresses(process)
        with open_here(page, timeout=60) as answer:
            assert answer.status == 200
        with connect(f"{server}?name=Ann", proxy=None) as ann:
            assert '"welcome"' in ann.recv(timeout=60)
            parts = children(process)
            assert len(parts) == 2
            process.send_signal(number)
            assert ann.recv(timeout=60) == (
                '{"type": "bye", "text": "the server is going down: connect again in a moment"}'
            )
        output, errors = process.communicate(timeout=10)
        assert (process.returncode, output, errors) == (0, "", "")
        assert not any(part.is_running() for part in parts)


def test_both_end_with_a_command_that_is_killed() -> None:
    with chat(*FREE) as process:
        addresses(process)
        parts = children(process)
        assert len(parts) == 2
        process.kill()
        _, alive = psutil.wait_procs(parts, timeout=30)
        for part in alive:
            part.kill()
        assert alive == []


@posix
def test_when_the_page_ends_the_server_ends_too() -> None:
    with chat(*FREE) as process:
        address, _ = addresses(process)
        parts = children(process)
        (page,) = [part for part in parts if "streamlit" in part.cmdline()]
        page.terminate()
        _, errors = process.communicate(timeout=10)
        assert errors.startswith("The page has ended, and so does the chat. Its last words:\n")
        assert f"URL: {address}" in errors
        assert process.returncode == 1
        assert not any(part.is_running() for part in parts)


def test_a_port_that_is_taken_is_told_in_the_last_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with chat("--port=0", f"--server-port={port}") as process:
            output, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert output == ""
    assert errors.startswith("The server has ended, and so does the chat. Its last words:\n")
    assert "address already in use" in errors
