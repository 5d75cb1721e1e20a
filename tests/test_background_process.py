"""A program beside the kernel."""

from __future__ import annotations

import signal
import socket
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest
from shared import nothing_left, open_here, takes_at_most, wait_until

from helpers.background.lifetime import BackgroundError
from helpers.background.process import BackgroundProcess


def python(program: str, **options: Any) -> BackgroundProcess:
    options = {"ready": "ready", "name": "program", **options}
    return BackgroundProcess([sys.executable, "-c", textwrap.dedent(program), "{port}"], **options)


def web() -> BackgroundProcess:
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "{port}"]
    return BackgroundProcess(command, ready="Serving")


WAITS = "import time; print('ready', flush=True); time.sleep(3600)"


def test_it_is_ready_when_its_line_comes_and_leaves_nothing() -> None:
    with nothing_left():
        for _ in range(3):
            with web() as server:
                assert open_here(server.url, timeout=5).status == 200
                assert any("Serving" in line for line in server.output)


def test_the_same_command_takes_its_place_and_another_does_not() -> None:
    first, other = web().start(), python(WAITS, name=None).start()
    second = web().start()
    assert second.port == first.port
    assert not first.running
    assert other.running
    assert open_here(second.url, timeout=5).status == 200
    second.stop()
    other.stop()


def test_environment_folder_and_scheme(tmp_path: Path) -> None:
    program = (
        "import os, sys, time; print('ready', os.environ['ROOM'], os.getcwd(), sys.argv[1]); time.sleep(3600)"
    )
    with python(program, environment={"ROOM": "blue"}, folder=tmp_path, scheme="ws") as server:
        assert server.output == [f"ready blue {tmp_path.resolve()} {server.port}"]
        assert server.url == f"ws://127.0.0.1:{server.port}"


def test_never_ready() -> None:
    with (
        nothing_left(),
        pytest.raises(BackgroundError, match=r"'program' was not ready in 0.5 s. It printed:"),
        takes_at_most(5),
    ):
        python("import time; time.sleep(3600)", seconds=0.5).start()


def test_ends_early_with_its_output() -> None:
    with nothing_left(), pytest.raises(BackgroundError, match=r"'program' ended[^$]*ValueError: no disk"):
        python("raise ValueError('no disk')").start()


def test_a_program_or_folder_that_does_not_exist() -> None:
    with nothing_left():
        with pytest.raises(BackgroundError, match="no-such-program can't be started: No such file"):
            BackgroundProcess(["no-such-program"], ready="x").start()
        with pytest.raises(BackgroundError, match=r"can't be started.*/no/such/folder"):
            python(WAITS, folder="/no/such/folder").start()


def test_a_taken_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger, nothing_left():
        port = stranger.getsockname()[1]
        with pytest.raises(BackgroundError, match=rf"port {port} .*stop the program that holds it"):
            python(WAITS, port=port).start()


QUICKER = """
    import pathlib, socket, sys
    ports = pathlib.Path("ports")
    ports.write_text((ports.read_text() if ports.exists() else "") + sys.argv[1] + " ")
    if len(ports.read_text().split()) <= {times}:
        raise SystemExit("{words}".replace("PORT", sys.argv[1]))
    server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    print("ready", flush=True)
    server.accept()
"""


@pytest.mark.parametrize(
    "words",
    [
        "Port PORT is not available",
        "[Errno 98] error while attempting to bind on address ('127.0.0.1', PORT): address already in use",
        "[WinError 10048] Only one usage of each socket address (protocol/network address/port) is permitted",
    ],
)
def test_another_program_is_quicker_to_take_the_free_port(tmp_path: Path, words: str) -> None:
    with python(QUICKER.format(times=2, words=words), ready="^ready", folder=tmp_path) as server:
        ports = (tmp_path / "ports").read_text().split()
        assert len(ports) == 3
        assert len(set(ports)) == 3
        assert server.url == f"http://127.0.0.1:{ports[-1]}"
        assert f"port {ports[1]} was taken before the program listened on it" in str(server.log)


@pytest.mark.parametrize(
    ("words", "port", "attempts"),
    [
        ("Port PORT is not available", 0, 3),
        ("Port PORT is not available", 1, 1),
        ("no disk", 0, 1),
    ],
)
def test_it_is_not_tried_for_ever(tmp_path: Path, words: str, port: int, attempts: int) -> None:
    if port:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
    with nothing_left(), pytest.raises(BackgroundError, match=words.replace("PORT", r"\d+")):
        python(QUICKER.format(times=9, words=words), ready="^ready", folder=tmp_path, port=port).start()
    assert len((tmp_path / "ports").read_text().split()) == attempts


UNTIL_TOLD = """
    import os, subprocess, sys, time
    {first}
    print("ready", flush=True)
    while not os.path.exists("end"):
        time.sleep(0.01)
    sys.exit("out of paper")
"""
GRANDCHILD = """print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"]).pid)"""


@pytest.mark.parametrize("by_itself", [False, True])
def test_what_the_program_has_started_ends_with_it(tmp_path: Path, by_itself: bool) -> None:
    server = python(UNTIL_TOLD.format(first=GRANDCHILD), folder=tmp_path)
    with nothing_left():
        with pytest.raises(BackgroundError, match="has ended") if by_itself else server:
            if by_itself:
                server.start()
                (tmp_path / "end").touch()
                wait_until(lambda: not server.running)
                server.stop()
        pid = int(server.output[0])
        wait_until(lambda: not psutil.pid_exists(pid))


def test_a_program_that_ignores_the_request_to_end() -> None:
    with nothing_left():
        server = python("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + WAITS).start()
        with takes_at_most(3):
            server.stop()


def test_a_program_that_ended_is_noticed_at_the_next_call(tmp_path: Path) -> None:
    server = python(UNTIL_TOLD.format(first=""), folder=tmp_path).start()
    (tmp_path / "end").touch()
    wait_until(lambda: not server.running)
    with pytest.raises(BackgroundError, match=r"status 1[^$]*out of paper"):
        _ = server.url
    server.stop()


def test_an_interrupt_is_not_for_the_program() -> None:
    with python(WAITS) as server:
        assert server._process is not None
        psutil.Process(server._process.pid).send_signal(signal.SIGINT)
        assert server.running
        assert psutil.Process(server._process.pid).children()


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="POSIX")
def test_an_interrupted_start_leaves_nothing(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    started, ended = threading.Event(), threading.Event()
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        started.wait(5)
        while not ended.wait(0.2):  # the first may come just before the main thread waits
            signal.pthread_kill(main, signal.SIGINT)

    def wait(seconds: float | None) -> bool:
        started.set()
        try:
            return really_wait(seconds)
        except KeyboardInterrupt:
            ended.set()
            raise

    thread = threading.Thread(target=interrupt)
    thread.start()
    server = python("import time; time.sleep(3600)")
    really_wait = server._is_ready.wait
    monkeypatch.setattr(server._is_ready, "wait", wait)
    with nothing_left(), pytest.raises(KeyboardInterrupt):
        server.start()
    thread.join(5)


def test_it_is_up_only_when_somebody_listens() -> None:
    program = """
        import socket, sys, time
        print("READY")
        time.sleep(0.5)
        with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listening:
            while True:
                listening.accept()
    """
    with python(program, ready="READY", listens=True) as server, socket.socket() as visitor:
        assert visitor.connect_ex(("127.0.0.1", server.port)) == 0


def test_one_that_never_listens_is_not_ready() -> None:
    with pytest.raises(BackgroundError, match=r"was not ready in 0.5 s"):
        python(WAITS, listens=True, seconds=0.5).start()
