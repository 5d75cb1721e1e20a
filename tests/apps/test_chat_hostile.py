"""The chat's server and clients that are not kind: what they get, and what is left for the others."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from chat_peers import ROOT, itself, joined, uvicorn
from shared import takes_at_most, wait_until

from apps.chat import limits
from apps.chat import server as chat_server
from apps.door.attacks import CONTINUATION, PING, TEXT, deflated_letters, frame
from benchmarks.attackers import first_line, join, reach, request_to_join
from helpers.background.app import BackgroundApp
from helpers.background.process import BackgroundProcess

Start = Callable[[], BackgroundProcess]
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


def command(**more: Any) -> BackgroundProcess:
    """The server as its documentation starts it."""
    line = [sys.executable, "-m", "apps.chat.server", "--port", "{port}"]
    return BackgroundProcess(line, ready="Uvicorn running", folder=ROOT, **more)


@pytest.fixture(scope="module")
def documented() -> Iterator[BackgroundProcess]:
    with command() as server:
        yield server


@pytest.fixture
def server() -> Iterator[BackgroundApp]:
    """The application under a uvicorn that has only its own limits."""
    with BackgroundApp(chat_server.app) as server:
        yield server


def closed_with(sock: socket.socket) -> int:
    """The code of the close frame that comes; 1006 where none does."""
    sock.settimeout(10)
    got = b""
    with contextlib.suppress(ConnectionError):
        while piece := sock.recv(65_536):
            got += piece
    at = got.rfind(b"\x88")
    return struct.unpack("!H", got[at + 2 : at + 4])[0] if at >= 0 else 1006


def reset(sock: socket.socket) -> None:
    """Cut the line."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("start", [command, uvicorn])
def test_it_ends_at_once_whoever_has_gone_and_whatever_is_unfinished(
    start: Callable[[], BackgroundProcess],
) -> None:
    """A burst whose sender has left, a body that doesn't come, and somebody who reads nothing."""
    server = start().start()
    post = f"POST /tell HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Length: 100\r\n\r\n{{"
    get = f"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n"
    kept = [reach(server.port, post.encode())]
    try:
        kept += [join(server.port, name=name) for name in ("Ann", "Bob")]
        gone = join(server.port)
        gone.sendall(frame(TEXT, b"x") * 5000)
        reset(gone)
        with contextlib.suppress(TimeoutError):
            kept.append(reach(server.port))
            kept[-1].sendall(get.encode() * 50_000)
        program = itself(server)
        with takes_at_most(3):
            program.terminate()
            program.wait(20)
        assert not [line for line in server.output if "Error" in line or "Traceback" in line]
    finally:
        server.halt()
        for sock in kept:
            sock.close()


def test_what_a_client_that_has_gone_has_said_is_not_heard(server: BackgroundApp) -> None:
    async def chat(url: str) -> None:
        async with joined(url, "Ann") as (ann,):
            gone = await asyncio.to_thread(join, server.port)
            await ann.until({"type": "joined", "who": "Eve"})
            gone.sendall(frame(TEXT, b"x") * 30_000)
            await ann.until("said")
            reset(gone)
            with takes_at_most(3):
                await ann.until({"type": "left", "who": "Eve"})
            assert len(ann.said()) < 30_000

    asyncio.run(chat(server.url))


def test_a_burst_keeps_nobody_from_coming_in(server: BackgroundApp) -> None:
    async def chat(url: str) -> None:
        async with joined(url, *(f"P{number}" for number in range(10))):
            eve = await asyncio.to_thread(join, server.port)
            eve.sendall(frame(TEXT, b"x") * 9000)
            begin = time.monotonic()
            async with joined(url, "Zoe") as (zoe,):
                await zoe.until("welcome")
                assert time.monotonic() - begin < 2  # 0.1 on a quiet machine
                assert len(zoe.said()) < 9000
            reset(eve)

    asyncio.run(chat(server.url))


@pytest.mark.parametrize("last", [True, False])
def test_a_message_is_inflated_up_to_its_limit_and_no_further(server: BackgroundApp, last: bool) -> None:
    with join(server.port, DEFLATE) as eve:
        eve.sendall(frame(TEXT, deflated_letters(2**20), last=last, deflated=True))
        assert closed_with(eve) == 1009


def test_a_longest_message_that_may_be_said_fits(server: BackgroundApp) -> None:
    async def chat(url: str) -> None:
        async with joined(url, "Ann", compression="deflate") as (ann,):
            await ann.say("\U0001f40d" * 4096)
            assert (await ann.until("said"))["text"] == "\U0001f40d" * 4096

    asyncio.run(chat(server.url))


def test_a_message_has_some_pieces_and_not_more(server: BackgroundApp) -> None:
    with join(server.port) as ann:
        ann.sendall(frame(TEXT, b"a", last=False) + 60 * frame(CONTINUATION, b"a", last=False))
        ann.sendall(frame(CONTINUATION, b"z"))
        wait_until(lambda: b'"text": "' + 61 * b"a" + b'z"' in ann.recv(65_536))
        ann.sendall(frame(TEXT, b"a", last=False) + 400 * frame(CONTINUATION, last=False))
        assert closed_with(ann) == 1009


def test_pings_whose_answers_nobody_reads_are_no_way_to_fill_the_memory(server: BackgroundApp) -> None:
    with join(server.port) as eve, pytest.raises(ConnectionError):
        for _ in range(400):  # 52 MB, if nobody stops it
            eve.sendall(frame(PING, bytes(125)) * 1000)


def test_who_asks_comes_before_what_is_sent(server: BackgroundApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAT_TOKEN", "t")
    monkeypatch.setattr(chat_server, "BODY_SECONDS", 0.2)
    head = f"Host: 127.0.0.1:{server.port}\r\nContent-Length: 200000000\r\n\r\n{{"
    for token, body, status in [("x", "", "403"), ("t", "", "408"), ("t", "x" * 100_000, "413")]:
        with reach(server.port, f"POST /tell?token={token} HTTP/1.1\r\n{head}{body}".encode()) as sock:
            sock.settimeout(10)
            assert first_line(sock).split()[1] == status


def test_a_notice_that_breaks_off_is_no_accident(server: BackgroundApp) -> None:
    head = f"POST /tell HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Length: 100\r\n\r\n{{"
    reset(reach(server.port, head.encode()))
    with join(server.port) as ann:  # by now it has been noticed
        ann.sendall(frame(TEXT, b"still here"))
        wait_until(lambda: b"still here" in ann.recv(65_536))
    assert not [entry for entry in server.log if "Exception" in entry.text]


@pytest.mark.parametrize(
    ("more", "status"),
    [
        (["Cookie: c=" + "a" * 9_000], "101"),
        (["Cookie: c=" + "a" * 60_000], "101"),
        ([f"Cookie-{number}: a" for number in range(1_000)], "101"),
        (["Cookie: c=" + "a" * 300_000], "400"),
        (["Content-Length: 5"], "400"),
        (["Cookie: a\x7fb"], "400"),
        (["Origin: http://localhost", "Origin: https://evil.example"], "400"),
    ],
)
def test_a_handshake_is_answered_at_once(documented: BackgroundProcess, more: list[str], status: str) -> None:
    with reach(documented.port, request_to_join(documented.port, *more)) as sock, takes_at_most(1):
        assert first_line(sock).split()[1] == status


@pytest.mark.parametrize("bytes_of_name", [9_000, 60_000])
def test_an_address_may_be_as_long_as_for_jupyter(documented: BackgroundProcess, bytes_of_name: int) -> None:
    with reach(documented.port, request_to_join(documented.port, name="x" * bytes_of_name)) as sock:
        assert first_line(sock).split()[1] == "101"


def test_plain_uvicorn_answers_a_cookie_of_9000_bytes(server: BackgroundApp) -> None:
    with reach(server.port, request_to_join(server.port, "Cookie: c=" + "a" * 9_000)) as sock:
        assert first_line(sock).split()[1] == "101"


def test_the_head_of_a_request_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HEAD_SECONDS", 0.3)
    with BackgroundApp(chat_server.app, http=limits.Http) as server:
        whole = f"GET /health HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n"
        for beginning in ("", request_to_join(server.port)[:-4].decode(), whole + whole[:-4]):
            with reach(server.port, beginning.encode()) as sock, takes_at_most(3):
                sock.settimeout(10)
                with contextlib.suppress(ConnectionResetError):
                    while sock.recv(4096):
                        pass
        with join(server.port) as ann:  # who has come in stays
            time.sleep(0.6)
            ann.sendall(frame(TEXT, b"still here"))
            wait_until(lambda: b"still here" in ann.recv(65_536))


def test_strangers_fill_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "uvicorn")
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).propagate = True
    with BackgroundApp(chat_server.app) as server:
        with reach(server.port, request_to_join(server.port, name="x" * 5_000)) as sock:
            first_line(sock)
        with reach(server.port, request_to_join(server.port, "Origin: http://" + "x" * 5_000)) as sock:
            first_line(sock)
        with join(server.port) as eve:
            eve.sendall(frame(TEXT, b"\xff"))
            assert closed_with(eve) == 1007
    lines = [logging.Formatter().format(record) for record in caplog.records]
    assert len(lines) >= 3
    assert all(len(line) < 2 * limits.LOG_CHARACTERS for line in lines)
    assert not [line for line in lines if "Traceback" in line]
