"""Connections to strangers: what one costs, whatever it sends and doesn't read."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from apps import visitors
from apps.visitors import READ_BYTES, Visitor, wants_websocket, without_body

UPGRADE = (
    b"Host: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
PING = b"\x89\xfd\0\0\0\0" + bytes(125)


class Careful(Visitor):
    most_unread = 2**16


def page(connection: ServerConnection, request: Request) -> Response | None:
    return None if wants_websocket(request.headers) else connection.respond(200, "a page\n")


@contextlib.asynccontextmanager
async def asking(head: bytes) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Somebody who has sent the head of a request."""

    async def listen(connection: ServerConnection) -> None:
        async for _ in connection:
            pass

    async with serve(
        listen,
        "127.0.0.1",
        0,
        create_connection=Careful,
        process_request=page,
        process_response=without_body,
        close_timeout=0.1,
    ) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        writer.write(head)
        yield reader, writer
        writer.close()


def run(head: bytes, then: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bytes]]) -> bytes:
    async def ask() -> bytes:
        async with asyncio.timeout(20), asking(head) as (reader, writer):
            return await then(reader, writer)

    return asyncio.run(ask())


@pytest.mark.parametrize("upgrade", [b"", UPGRADE.removesuffix(b"\r\n"), b"Upgrade: h2c\r\n"])
def test_an_answer_to_head_has_no_body(upgrade: bytes) -> None:
    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        return await reader.read()

    head, _, body = run(b"HEAD / HTTP/1.1\r\n" + upgrade + b"\r\n", read).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 ")
    assert b"Content-Length: 0" not in head
    assert body == b""


def test_a_websocket_may_be_offered_beside_another_protocol() -> None:
    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        return await reader.readline()

    answer = run(b"GET / HTTP/1.1\r\nUpgrade: h2c\r\n" + UPGRADE, read)
    assert answer.split()[1] == b"426"  # `websockets` wants it alone, and says so


def test_who_pings_and_reads_nothing_is_cut_off() -> None:
    async def ping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        with pytest.raises(ConnectionError):
            for _ in range(200):  # 26 MB; the system's own buffers take some
                writer.write(PING * 1000)
                await writer.drain()
        return b""

    run(b"GET / HTTP/1.1\r\n" + UPGRADE, ping)


def test_it_is_read_a_little_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces: list[int] = []
    taken = Visitor.data_received

    def note(self: Visitor, data: bytes) -> None:
        pieces.append(len(data))
        taken(self, data)

    monkeypatch.setattr(Careful, "data_received", note)

    async def burst(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"\x81\x80\0\0\0\0" * 10_000 + b"\x89\x80\0\0\0\0")
        await reader.readuntil(b"\r\n\r\n")
        return await reader.readexactly(2)  # the pong

    assert run(b"GET / HTTP/1.1\r\n" + UPGRADE, burst) == b"\x8a\0"
    assert max(pieces) <= READ_BYTES


def test_a_broken_connection_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    asyncio_log = logging.getLogger("asyncio")
    asyncio_log.warning("socket.send() raised exception.")
    asyncio_log.warning("something else")
    assert caplog.messages == ["something else"]


def test_the_end_waits_neither_for_an_unfinished_handshake_nor_for_a_handler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(visitors, "FAREWELL_SECONDS", 0.1)

    async def never(connection: ServerConnection) -> None:
        await asyncio.Event().wait()

    async def leave() -> None:
        async with visitors.serving(never, "127.0.0.1", 0, reason="bye") as url:
            port = int(url.rpartition(":")[2])
            (one, inside), (other, outside) = [
                await asyncio.open_connection("127.0.0.1", port) for _ in range(2)
            ]
            inside.write(b"GET / HTTP/1.1\r\n" + UPGRADE)
            await one.readuntil(b"\r\n\r\n")
            outside.write(b"GET / HTTP")
        assert await one.read() == b"\x88\x05\x03\xe9bye"
        with contextlib.suppress(ConnectionResetError):
            assert not await other.read()
        inside.close()
        outside.close()

    asyncio.run(asyncio.wait_for(leave(), 20))


def test_a_header_may_hold_the_cookies_of_all_ports_of_a_machine() -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("WEBSOCKETS_")}
    code = "import apps.visitors; from websockets import http11; print(http11.MAX_LINE_LENGTH)"
    done = subprocess.run([sys.executable, "-c", code], env=own, capture_output=True, text=True, check=True)
    assert done.stdout == "65536\n"
