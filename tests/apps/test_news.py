"""The news server: what one publishes is heard in four ways, whoever comes and goes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from apps.news import server

Client = TestClient[web.Request, web.Application]


@asynccontextmanager
async def news() -> AsyncIterator[Client]:
    async with TestClient(TestServer(server.make_app(), handler_cancellation=True)) as client:
        yield client


async def say(client: Client, text: str, channel: str = "news") -> None:
    answer = await client.post(f"/say?channel={channel}", data=text)
    assert answer.status == 204


async def text_of(client: Client, path: str) -> str:
    answer = await client.get(path)
    assert answer.status == 200
    return await answer.text()


def test_a_poll_is_answered_at_once() -> None:
    async def polls() -> list[str]:
        async with news() as client:
            nothing = await text_of(client, "/poll")
            await say(client, "one\ntwo")
            return [nothing, await text_of(client, "/poll"), await text_of(client, "/poll?after=1")]

    assert asyncio.run(polls()) == ["", "one\ntwo", "two"]


def test_a_long_poll_is_answered_when_there_is_news() -> None:
    async def polls() -> list[str]:
        async with news() as client:
            waiting = asyncio.create_task(text_of(client, "/long-poll"))
            done, _ = await asyncio.wait([waiting], timeout=0.1)
            assert not done
            await say(client, "one")
            return [await waiting, await text_of(client, "/long-poll?after=0")]

    assert asyncio.run(polls()) == ["one", "one"]


def test_a_long_poll_without_news_ends_with_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LONG_POLL_SECONDS", 0.05)

    async def polls() -> str:
        async with news() as client:
            return await text_of(client, "/long-poll")

    assert asyncio.run(polls()) == ""


def test_server_sent_events_go_on_in_one_answer() -> None:
    async def hears() -> list[bytes]:
        async with news() as client:
            await say(client, "one")
            await say(client, "two")
            async with client.get("/events?after=1") as answer:
                assert answer.headers["Content-Type"] == "text/event-stream"
                heard = [await answer.content.readline(), await answer.content.readline()]
                await say(client, "three")
                return [*heard, await answer.content.readline()]

    assert asyncio.run(hears()) == [b"data: two\n", b"\n", b"data: three\n"]


def test_a_websocket_hears_and_publishes() -> None:
    async def talks() -> list[str]:
        async with news() as client, client.ws_connect("/websocket") as ann:
            async with client.ws_connect("/websocket") as bob:
                await ann.send_bytes(b"not for the news")
                await ann.send_str("hi")
                heard = [await ann.receive_str(), await bob.receive_str()]
            await say(client, "Bob has gone")
            return [*heard, await ann.receive_str(), await text_of(client, "/poll")]

    assert asyncio.run(talks()) == ["hi", "hi", "Bob has gone", "hi\nBob has gone"]


@pytest.mark.parametrize("path", ["/events", "/websocket"])
def test_nothing_is_kept_of_who_has_left(path: str) -> None:
    async def leave() -> None:
        async with news() as client:
            before = asyncio.all_tasks()
            for _ in range(5):
                if path == "/websocket":
                    websocket = await client.ws_connect(path)
                    websocket.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
                else:
                    (await client.get(path)).close()
            if tasks := asyncio.all_tasks() - before:
                _, left = await asyncio.wait(tasks, timeout=5)
                assert not left

    asyncio.run(leave())


def test_channels_are_apart() -> None:
    async def hears() -> list[str]:
        async with news() as client:
            await say(client, "goal", channel="sport")
            return [await text_of(client, "/poll"), await text_of(client, "/poll?channel=sport")]

    assert asyncio.run(hears()) == ["", "goal"]


def test_an_echo_returns_what_it_gets_by_post_and_over_a_websocket() -> None:
    async def echoes() -> list[str]:
        async with news() as client, client.ws_connect("/echo") as websocket:
            await websocket.send_str("one")
            answer = await client.post("/echo", data="two")
            return [await websocket.receive_str(), await answer.text()]

    assert asyncio.run(echoes()) == ["one", "two"]


@pytest.mark.parametrize("after", ["x", "-1", "1.5", "", "%C2%B2", "9" * 5000])
@pytest.mark.parametrize("path", ["/poll", "/long-poll", "/events", "/websocket"])
def test_what_is_no_number_is_refused_in_words(path: str, after: str) -> None:
    async def asks() -> tuple[int, str]:
        async with news() as client:
            upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
            answer = await client.get(f"{path}?after={after}", headers=upgrade)
            return answer.status, await answer.text()

    status, text = asyncio.run(asks())
    assert status == 400
    assert "number of pieces of news" in text


def test_a_channel_keeps_the_newest_and_there_are_only_so_many() -> None:
    async def asks() -> tuple[str, str, int]:
        async with news() as client:
            await say(client, "\n".join(str(number) for number in range(server.MOST_NEWS + 2)))
            newest = await text_of(client, f"/poll?after={server.MOST_NEWS + 1}")
            oldest = (await text_of(client, "/poll")).splitlines()[0]
            for number in range(server.MOST_CHANNELS - 1):
                await text_of(client, f"/poll?channel={number}")
            return newest, oldest, (await client.get("/poll?channel=another")).status

    assert asyncio.run(asks()) == (str(server.MOST_NEWS + 1), "2", 503)


def test_long_news_is_forgotten_sooner() -> None:
    channel = server.Channel()
    for letter in "abcdef":
        channel.publish(letter * 2**20)
    assert [text[0] for text in channel.news(0)] == list("cdef")
    assert [text[0] for text in channel.news(4)] == list("ef")


def test_a_message_cannot_pass_for_another_event() -> None:
    async def asks() -> list[bytes]:
        async with news() as client, client.ws_connect("/websocket") as loud:
            await loud.send_str("one\n\nevent: close\rdata: two")
            async with client.get("/events") as events:
                return [await events.content.readline() for _ in range(7)]

    lines = asyncio.run(asks())
    assert lines[:2] == [b"data: one\n", b"\n"]
    assert all(line.startswith(b"data: ") or line == b"\n" for line in lines)


def test_a_burst_over_a_websocket_keeps_nobody_waiting() -> None:
    async def asks() -> int:
        async with news() as client, client.ws_connect("/websocket?channel=loud") as loud:
            done = asyncio.Event()

            async def burst() -> None:
                for _ in range(5000):
                    await loud.send_str("x")
                await loud.close()
                done.set()

            talking = asyncio.create_task(burst())
            answered = 0
            while not done.is_set():
                await text_of(client, "/poll")
                answered += 1
            await talking
            return answered

    assert asyncio.run(asks()) >= 5


def test_every_answer_names_the_server_in_the_same_way() -> None:
    async def names() -> set[str]:
        async with news() as client, client.ws_connect("/websocket") as websocket:
            answers = [await client.get("/"), await client.get("/poll"), await client.post("/say", data="x")]
            return {answer.headers["Server"] for answer in [*answers, websocket._response]}

    assert asyncio.run(names()) == {server.SERVER}


@pytest.mark.parametrize(("body", "said"), [(rb"\ud800", (204, r"\ud800")), (b"\xff", (400, ""))])
def test_a_body_is_utf_8_whatever_it_says(body: bytes, said: tuple[int, str]) -> None:
    async def says() -> tuple[int, str]:
        async with news() as client:
            kind = {"Content-Type": "text/plain; charset=unicode_escape"}  # half a surrogate pair
            answer = await client.post("/say", data=body, headers=kind)
            return answer.status, await text_of(client, "/poll")

    assert asyncio.run(says()) == said


def test_a_body_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "BODY_SECONDS", 0.05)

    async def half() -> AsyncIterator[bytes]:
        yield b"It ra"
        await asyncio.Event().wait()

    async def says() -> int:
        async with news() as client:
            return (await client.post("/say", data=half())).status

    assert asyncio.run(says()) == 408


def test_only_the_head_of_what_never_ends_cannot_be_had() -> None:
    async def asks() -> list[int]:
        async with news() as client, asyncio.timeout(10):
            paths = ["/", "/poll", "/long-poll", "/events", "/websocket", "/echo"]
            return [(await client.head(path)).status for path in paths]

    assert asyncio.run(asks()) == [200, 200, 405, 405, 405, 405]


@pytest.mark.parametrize("request_of", [b"", b"GET /po", b"GET /events HTTP/1.1\r\nHost: here\r\n\r\n"])
def test_who_asks_for_nothing_or_stops_reading_is_cut_off(
    request_of: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOOK_PAUSE", "HEAD_SECONDS", "PATIENCE"):
        monkeypatch.setattr(server, name, 0.1)

    async def waits() -> None:
        runner = web.AppRunner(server.make_app(), handler_cancellation=True)
        await runner.setup()
        channel = runner.app[server.CHANNELS]["news"] = server.Channel()
        for _ in range(20):
            channel.publish("x" * 2**20)  # more than the system's buffers take
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        looking = asyncio.create_task(server.cut_off_the_silent(runner))
        _, writer = await asyncio.open_connection(*runner.addresses[0][:2], limit=1)  # reads no further
        writer.write(request_of)
        async with asyncio.timeout(20):
            while runner.server is None or not runner.server.connections:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            while runner.server.connections:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        looking.cancel()
        writer.close()
        await runner.cleanup()

    asyncio.run(waits())


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_from_a_terminal_it_prints_its_address_and_ends_with_a_goodbye() -> None:
    program = subprocess.Popen(
        [sys.executable, "-m", "apps.news", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert program.stdout is not None
    url = program.stdout.readline().split()[-1]

    async def asks() -> tuple[str, int | None, str | None]:
        cookie = {"Cookie": "a" * 60_000}  # as much as Jupyter's server takes
        async with aiohttp.ClientSession() as session:
            async with session.get(url, headers=cookie) as answer:
                text = await answer.text()
            for odd in (b"GET /\xff HTTP/1.1\r\n\r\n", b"GARBAGE\r\n\r\n"):  # and no word in the log
                reader, writer = await asyncio.open_connection("127.0.0.1", answer.url.port)
                writer.write(odd)
                await reader.read()
                writer.close()
            async with session.ws_connect(f"{url}/websocket", protocols=["odd"]) as websocket:
                program.send_signal(signal.SIGTERM)
                goodbye = await websocket.receive()
                return text, websocket.close_code, goodbye.extra

    try:
        text, code, why = asyncio.run(asks())
        assert "/long-poll" in text
        assert (code, why) == (1001, "the server is going down")
        assert program.communicate(timeout=60)[0] == ""
        assert program.returncode == 0
    finally:
        program.kill()
