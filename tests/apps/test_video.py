"""The video server: who watches, how, and what it costs; uploads that are cut; rubbish, floods, its end."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import itertools
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from apps.video import inbox, source, studio, uploader, watcher
from apps.video.messages import PICTURE, SOUND, Part, unpack
from apps.video.server import VideoServer
from apps.video.source import BLOCK_SAMPLES, QUALITIES
from apps.video.uploader import CHUNK, UploadFailed, upload
from helpers.sockets import make_narrow
from helpers.wire.tap import Tap, TapOptions


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[tuple[VideoServer, str]]:
    server = VideoServer(**options)
    async with server.serving("127.0.0.1", 0) as url:
        yield server, url.replace("http", "ws")


async def say(connection: ClientConnection, kind: str, **more: Any) -> None:
    await connection.send(json.dumps({"type": kind, **more}))


async def hear(connection: ClientConnection, kind: str) -> Any:
    async with asyncio.timeout(10):
        while True:
            message = await connection.recv()
            if isinstance(message, str) and json.loads(message)["type"] == kind:
                return json.loads(message)


async def parts(connection: ClientConnection, kind: int, count: int) -> list[Part]:
    """The next pictures or blocks of sound; pictures are said to be shown, and probes answered."""
    seen: list[Part] = []
    async with asyncio.timeout(20):
        while len(seen) < count:
            message = await connection.recv()
            if isinstance(message, str):
                if json.loads(message)["type"] == "probe":
                    await connection.send(message)
                continue
            part = unpack(message)
            if part.kind == PICTURE:
                await say(connection, "shown", number=part.number)
            if part.kind == kind:
                seen.append(part)
    return seen


def test_a_watcher_gets_pictures_newer_each_time_and_the_quality_it_wants() -> None:
    async def watches() -> None:
        async with serving(rate=60) as (_, url), connect(url, proxy=None) as ann:
            hello = await hear(ann, "hello")
            assert [each["name"] for each in hello["qualities"]] == [quality.name for quality in QUALITIES]
            await say(ann, "want", quality=3)
            pictures = await parts(ann, PICTURE, 10)
            numbers = [picture.number for picture in pictures]
            assert numbers == sorted(set(numbers))
            assert {picture.quality for picture in pictures} == {3}
            with Image.open(io.BytesIO(pictures[-1].content)) as picture:
                assert picture.size == (320, 180)
            await say(ann, "want", pictures=False)
            await say(ann, "clock", mine=12.5)
            assert (await hear(ann, "clock"))["mine"] == 12.5
            with pytest.raises(TimeoutError):  # the last one was under way; then no more
                async with asyncio.timeout(0.3):
                    await parts(ann, PICTURE, 3)

    asyncio.run(watches())


def test_however_many_watch_a_picture_is_encoded_once_per_quality(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[str] = []
    really = source.encode

    def counted(picture: Image.Image, quality: Any) -> bytes:
        encoded.append(quality.name)
        return really(picture, quality)

    monkeypatch.setattr(studio, "encode", counted)

    async def watch(url: str, quality: int) -> list[Part]:
        async with connect(url, proxy=None) as client:
            await say(client, "want", quality=quality)
            return await parts(client, PICTURE, 10)

    async def watches() -> int:
        async with serving(rate=30) as (server, url):
            seen = await asyncio.gather(*(watch(url, 2 + number % 2) for number in range(20)))
            assert all(len(pictures) == 10 for pictures in seen)
            return server.studio.made

    made = asyncio.run(watches())
    assert 10 <= max(encoded.count("fair"), encoded.count("low")) <= made
    assert set(encoded) == {"fair", "low"}


def test_nobody_watches_and_nothing_is_drawn() -> None:
    async def waits() -> None:
        async with serving(rate=60) as (server, url):
            async with connect(url, proxy=None) as ann:
                await say(ann, "want")
                await parts(ann, PICTURE, 2)
            async with connect(url, proxy=None) as bob:
                assert (await hear(bob, "watchers"))["count"] == 1
                made = server.studio.made
                await asyncio.sleep(0.2)
                assert server.studio.made <= made + 1
                await say(bob, "want")
                (picture,) = await parts(bob, PICTURE, 1)
                assert picture.number > 10, "not the one from before"

    asyncio.run(waits())


async def narrow(url: str) -> ClientConnection:
    """A client for which hardly anything can wait on its way."""
    sock = socket.socket()
    make_narrow(sock)
    host, port = url.removeprefix("ws://").split(":")
    sock.connect((host, int(port)))
    return await connect(url, sock=sock, proxy=None, max_queue=1)


def test_one_who_never_reads_costs_little_slows_nobody_and_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watcher, "PATIENCE", 1.0)

    async def watches() -> None:
        async with serving(rate=30) as (server, url), connect(url, proxy=None) as ann:
            mute = await narrow(url)
            await say(mute, "want", quality=0, sound=True)
            mute.transport.pause_reading()
            await say(ann, "want", quality=4)
            await parts(ann, PICTURE, 1)
            assert len(server.watchers) == 2
            most = 0
            while len(server.watchers) == 2:
                await parts(ann, PICTURE, 1)
                waiting = [each.connection.transport.get_write_buffer_size() for each in server.watchers]
                most = max(most, *waiting)
            assert most < 2**18, "one picture, and no sound behind it"
            mute.transport.abort()

    asyncio.run(watches())


def test_one_who_never_says_shown_gets_one_picture_then_no_sound_and_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watcher, "PATIENCE", 1.5)

    async def reads() -> list[Part]:
        seen: list[Part] = []
        async with serving() as (_, url), connect(url, proxy=None) as ann:
            await say(ann, "want", sound=True)
            with pytest.raises(ConnectionClosed):
                async with asyncio.timeout(10):
                    while True:
                        message = await ann.recv()
                        seen += [unpack(message)] if isinstance(message, bytes) else []
        return seen

    seen = asyncio.run(reads())
    (picture,) = [part for part in seen if part.kind == PICTURE]
    last = max(part.at for part in seen if part.kind == SOUND)
    assert 0 < last - picture.at < 1.2, "for half a second there is sound"


def test_one_on_a_slow_link_sees_fresh_pictures_in_a_lower_quality() -> None:
    async def watches() -> list[Part]:
        slow: TapOptions = {"rate": 300_000, "socket_buffer": 2**14}
        async with (
            serving(rate=30) as (_, url),
            Tap.before(url, **slow) as tap,
            connect(tap.url, proxy=None) as ann,
        ):
            await say(ann, "want")
            return await parts(ann, PICTURE, 60)

    pictures = asyncio.run(watches())
    qualities = [picture.quality for picture in pictures[-20:]]  # now and then it tries a better one
    assert statistics.median(qualities) >= 3, "300 kB/s are enough for 7 kB thirty times"
    assert min(later.number - picture.number for picture, later in itertools.pairwise(pictures)) > 0


def test_sound_comes_block_by_block_to_those_who_want_it() -> None:
    async def hears() -> None:
        async with serving() as (_, url), connect(url, proxy=None) as ann, connect(url, proxy=None) as bob:
            await say(ann, "want", pictures=False, sound=True)
            await say(bob, "want", quality=4)
            blocks = await parts(ann, SOUND, 20)
            assert {len(block.content) for block in blocks} == {2 * BLOCK_SAMPLES}
            assert min(later.number - block.number for block, later in itertools.pairwise(blocks)) == 1
            async with asyncio.timeout(5):
                while not isinstance(message := await bob.recv(), bytes):
                    pass
            assert unpack(message).kind == PICTURE
            await say(ann, "want", pictures=False)
            await say(ann, "clock", mine=1)
            await hear(ann, "clock")
            with pytest.raises(TimeoutError):  # a block may have been under way
                async with asyncio.timeout(0.2):
                    await parts(ann, SOUND, 3)

    asyncio.run(hears())


def test_bad_requests_get_clear_errors_and_too_many_are_the_end() -> None:
    async def asks() -> None:
        async with (
            serving(rate=30) as (_, url),
            connect(url, proxy=None) as ann,
            connect(url, proxy=None) as bad,
        ):
            await say(ann, "want", quality=4)
            for number in range(20):
                await bad.send(b"\x00" if number % 2 else "hello")
                words = "not binary" if number % 2 else "can't be understood"
                assert words in (await hear(bad, "error"))["text"]
            with pytest.raises(ConnectionClosed):
                await hear(bad, "error")
            assert (bad.close_code, bad.close_reason) == (1008, "20 requests made no sense")
            await parts(ann, PICTURE, 2)

    asyncio.run(asks())


def test_files_and_refusals_over_http() -> None:
    async def asks() -> None:
        async with serving() as (_, url), aiohttp.ClientSession() as session:
            web = url.replace("ws", "http")
            for path, status in (("/", 200), ("/page.js", 200), ("/../server.py", 404), ("/no", 404)):
                assert (await session.get(web + path)).status == status
            for query in ("", "?size=3", "?size=0&sha256=" + 64 * "0", "?size=-1&sha256=" + 64 * "0"):
                with pytest.raises(aiohttp.WSServerHandshakeError, match="400"):
                    await session.ws_connect(f"{web}/upload{query}")

    asyncio.run(asks())


# --- uploads


def noise(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


def test_200_uploads_cut_at_random_bytes_arrive_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each connection breaks after a random number of bytes, some of them in the handshake."""
    chunk, chance = 2**12, random.Random(3)
    taps: dict[str, Tap] = {}
    attempts = 0

    def connect_until_it_breaks(address: str, **options: Any) -> Any:
        nonlocal attempts
        attempts += 1
        taps[address.partition("/upload")[0]].shape(cut_after_bytes=chance.randrange(1, 8 * chunk))
        return connect(address, **options)

    monkeypatch.setattr(uploader, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(uploader, "CHUNK", chunk)
    monkeypatch.setattr(uploader, "connect", connect_until_it_breaks)

    async def one(url: str, number: int) -> None:
        content = noise(chance.randrange(1, 12 * chunk), number)
        async with Tap.before(url) as tap:
            taps[tap.url] = tap
            assert "it has arrived whole" in await upload(tap.url, content)
        path = tmp_path / f"{hashlib.sha256(content).hexdigest()}-{len(content)}"
        assert path.read_bytes() == content

    async def all_of_them() -> None:
        async with serving(folder=tmp_path) as (_, url):
            for begin in range(0, 200, 10):
                await asyncio.gather(*(one(url, number) for number in range(begin, begin + 10)))

    asyncio.run(all_of_them())
    assert attempts > 400, "for 200 files"


def test_an_upload_goes_on_after_a_restart_of_the_server(tmp_path: Path) -> None:
    content = noise(5 * CHUNK, 1)
    checksum = hashlib.sha256(content).hexdigest()

    async def half_of_it() -> None:
        query = f"size={len(content)}&sha256={checksum}"
        async with (
            serving(folder=tmp_path) as (_, url),
            connect(f"{url}/upload?{query}", proxy=None) as client,
        ):
            assert (await hear(client, "have"))["bytes"] == 0
            await client.send(content[:CHUNK])
            assert (await hear(client, "have"))["bytes"] == CHUNK

    async def the_rest() -> list[int]:
        heard: list[int] = []
        async with serving(folder=tmp_path) as (_, url):
            await upload(url, content, progress=lambda have, size: heard.append(have))
            await upload(url, content, progress=lambda have, size: heard.append(have))
        return heard

    asyncio.run(half_of_it())
    whole = len(content)
    assert asyncio.run(the_rest()) == [CHUNK, 2 * CHUNK, 3 * CHUNK, 4 * CHUNK, whole, whole]


def test_a_picture_becomes_the_background_and_anything_else_does_not() -> None:
    async def sends() -> None:
        async with serving(rate=30) as (server, url):
            before = server.studio.film.background
            assert "isn't a JPEG" in await upload(url, noise(1000, 1))
            assert server.studio.film.background is before
            file = io.BytesIO()
            Image.new("RGB", (800, 600), (200, 30, 30)).save(file, "PNG")
            assert "is the background now" in await upload(url, file.getvalue())
            assert server.studio.film.background.getpixel((600, 100)) == (200, 30, 30)

    asyncio.run(sends())


def test_what_was_not_announced_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "CHUNK_SECONDS", 0.3)
    content = noise(3000, 1)
    checksum = hashlib.sha256(content).hexdigest()

    async def refused(url: str, size: int, *chunks: bytes | str) -> str:
        async with connect(f"{url}/upload?size={size}&sha256={checksum}", proxy=None) as client:
            for chunk in chunks:
                await client.send(chunk)
            text: str = (await hear(client, "error"))["text"]
            await client.wait_closed()
            assert client.close_code == 1008
            return text

    async def sends() -> None:
        async with serving(folder=tmp_path) as (_, url):
            assert "the checksum is wrong" in await refused(url, 3000, bytes(3000))
            assert "it has arrived whole" in await upload(url, content), "from its beginning"
            assert "more than the 2,000 bytes" in await refused(url, 2000, content)
            assert "binary message" in await refused(url, 2500, "hello")
            assert "binary message" in await refused(url, 2500, b"")
            assert "nothing came" in await refused(url, 2600, content[:100])
            with pytest.raises(UploadFailed, match="1 to 16,777,216 bytes"):
                await upload(url, b"")

    asyncio.run(sends())


def test_a_newer_connection_takes_an_upload_over(tmp_path: Path) -> None:
    content = noise(3 * CHUNK, 1)
    checksum = hashlib.sha256(content).hexdigest()

    async def sends() -> None:
        async with serving(folder=tmp_path) as (server, url):
            address = f"{url}/upload?size={len(content)}&sha256={checksum}"
            async with connect(address, proxy=None) as older:
                await older.send(content[:CHUNK])
                assert (await hear(older, "have"))["bytes"] == 0
                assert (await hear(older, "have"))["bytes"] == CHUNK
                async with asyncio.timeout(10):
                    assert "it has arrived whole" in await upload(url, content)
                    await older.wait_closed()
            assert not server.inbox._busy
            assert not server.inbox._locks

    asyncio.run(sends())
    assert (tmp_path / f"{checksum}-{len(content)}").read_bytes() == content


def test_the_folder_does_not_grow_without_end_and_keeps_what_is_not_ours(tmp_path: Path) -> None:
    theirs = tmp_path / "holiday.jpg"
    theirs.write_bytes(b"precious")
    os.utime(theirs, (0, 0))  # the oldest
    (tmp_path / "folder").mkdir()

    async def sends() -> None:
        async with serving(folder=tmp_path) as (_, url):
            for seed in range(inbox.MOST_FILES + 5):
                await upload(url, noise(100, seed))

    asyncio.run(sends())
    assert theirs.read_bytes() == b"precious"
    assert len(list(tmp_path.iterdir())) == inbox.MOST_FILES + 2


def test_one_that_can_not_be_reached_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploader, "LONGEST_PAUSE", 0.01)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        url = "ws://{}:{}".format(*taken.getsockname())
        with pytest.raises(UploadFailed, match="attempts were in vain"):
            asyncio.run(upload(url, b"hello"))


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_from_a_terminal_it_ends_in_time_whoever_is_there() -> None:
    program = subprocess.Popen(
        [sys.executable, "-m", "apps.video", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert program.stdout is not None
    url = program.stdout.readline().split()[-1].replace("http", "ws")

    async def ends() -> str:
        mute = await narrow(url)
        await say(mute, "want", quality=0)
        mute.transport.pause_reading()
        async with connect(url, proxy=None) as ann:
            await say(ann, "want", sound=True)
            await parts(ann, PICTURE, 2)
            program.send_signal(signal.SIGTERM)
            await ann.wait_closed()
            mute.transport.abort()
            return f"{ann.close_code} {ann.close_reason}"

    assert asyncio.run(ends()) == "1001 the server is going down"
    assert program.communicate(timeout=5)[0] == ""
    assert program.returncode == 0


@pytest.mark.parametrize("slow", [True, False])
def test_whoever_hardly_sends_anything_makes_way_for_another(
    slow: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "MOST_FILES", 2)
    monkeypatch.setattr(inbox, "GRACE_SECONDS", 0)
    monkeypatch.setattr(inbox, "LEAST_RATE", 2**40 if slow else 0)

    async def sends() -> None:
        async with serving(folder=tmp_path) as (server, url), contextlib.AsyncExitStack() as stack:
            others = []
            for letter in "ab":
                address = f"{url}/upload?size=100&sha256={64 * letter}"
                others.append(await stack.enter_async_context(connect(address, proxy=None)))
                await hear(others[-1], "have")
            if not slow:
                with pytest.raises(UploadFailed, match="2 files are being sent"):
                    await upload(url, b"mine")
                return
            assert "it has arrived whole" in await upload(url, b"mine")
            async with asyncio.timeout(10):
                await asyncio.wait(
                    [asyncio.create_task(one.wait_closed()) for one in others],
                    return_when=asyncio.FIRST_COMPLETED,
                )
            assert len(server.inbox._busy) == 1

    asyncio.run(sends())
