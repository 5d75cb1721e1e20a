"""The faults of `test_naive_server.py`, absent in our server, over real connections; and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import urllib.request
from collections.abc import Iterator

import psutil
import pytest
from chat_peers import Peer, in_one_write, itself, joined, mute, uvicorn
from extras import needs
from shared import open_here, takes_at_most, wait_until
from websockets.exceptions import ConnectionClosedError

from apps.chat import server as chat_server
from helpers.background.app import BackgroundApp
from helpers.background.lifetime import BackgroundError
from helpers.background.process import BackgroundProcess

TEXT = "x" * 4000
MANY = 1500  # times TEXT is more than all buffers between two processes hold
BYE = "the server is going down: connect again in a moment"
DEFAULT = "websockets-sansio"
IMPLEMENTATIONS = [DEFAULT, "wsproto", "websockets"]


@pytest.fixture
def server() -> Iterator[BackgroundApp]:
    with BackgroundApp(chat_server.app) as server:
        yield server


async def say_all(peer: Peer, count: int = MANY) -> None:
    for number in range(count):
        await peer.say(f"{number:04}{TEXT}")


def servers_end(address: tuple[str, int]) -> list[object]:
    """The server's end of the connection from an address, as long as it isn't closed."""
    connections = psutil.Process().net_connections("tcp4")
    return [end for end in connections if end.raddr and tuple(end.raddr) == address]


def numbers(peer: Peer) -> list[int]:
    return [int(text[:4]) for text in peer.said() if TEXT in text]


@pytest.mark.filterwarnings("ignore:The `websockets` implementation", "ignore::DeprecationWarning")
@pytest.mark.parametrize("ws", IMPLEMENTATIONS)
def test_one_that_never_reads_is_cut_and_the_others_do_not_wait(ws: str) -> None:
    needs(ws.partition("-")[0])

    async def chat(url: str) -> None:
        async with joined(url, "Ann") as (ann,), mute(url) as silent, joined(url, "Bob") as (bob,):
            await ann.until({"type": "joined", "who": "Bob"})
            address = silent.transport.get_extra_info("sockname")
            assert servers_end(address)
            talk = asyncio.create_task(say_all(ann))
            await bob.until({"type": "left", "who": "Mute"})
            await asyncio.to_thread(wait_until, lambda: not servers_end(address), what="the cut")
            assert silent.transport.get_extra_info("socket").fileno() > 0  # only the server's end is closed
            for peer in (ann, bob):
                await peer.until({"type": "said", "who": "Ann", "text": f"{MANY - 1:04}{TEXT}"})
                assert numbers(peer) == list(range(MANY))
            await talk
            assert ann.got[-MANY:] == bob.got[-MANY:]

    with BackgroundApp(chat_server.app, ws=ws) as server:
        asyncio.run(chat(server.url))


def test_one_that_reads_slowly_is_told_why_it_must_go(
    server: BackgroundApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_server, "FAREWELL_SECONDS", 10)  # for a machine that is busy

    async def chat(url: str) -> None:
        async with joined(url, "Ann") as (ann,), mute(url, "Slow") as slow:
            talk = asyncio.create_task(say_all(ann))
            await ann.until({"type": "left", "who": "Slow"})
            texts = []
            with contextlib.suppress(ConnectionClosedError):
                while True:
                    texts.append(json.loads(await slow.recv()))
            said = [event["text"] for event in texts if event["type"] == "said"]
            assert texts[-1] == {"type": "bye", "text": "you read too slowly: connect again"}
            assert said == ann.said()[: len(said)]  # without a gap
            assert (slow.close_code, slow.close_reason) == (1013, texts[-1]["text"])
            await talk

    asyncio.run(chat(server.url))


def test_those_that_leave_while_others_speak_cost_nobody_a_message(server: BackgroundApp) -> None:
    async def chat(url: str) -> None:
        async with joined(url, *(f"L{i}" for i in range(5))) as leaving, joined(url, "Bob", "Cat") as staying:
            talk = asyncio.create_task(say_all(staying[0], 300))
            for peer in leaving:
                await peer.until("said")
                await peer.connection.close()
            await talk
            for peer in staying:
                await peer.until({"type": "said", "who": "Bob", "text": f"0299{TEXT}"})
                assert numbers(peer) == list(range(300))
                left = [event["who"] for event in peer.got if event["type"] == "left"]
                assert left == ["L0", "L1", "L2", "L3", "L4"]

    asyncio.run(chat(server.url))


def test_last_words_reach_everybody(server: BackgroundApp) -> None:
    async def chat(url: str) -> None:
        async with joined(url, "Ann", "Dan", "Bob") as (ann, dan, bob):
            await in_one_write(dan.connection, "the door code is 1234")
            for peer in (ann, bob):
                await peer.until("left")
                assert peer.types()[-2:] == ["said", "left"]
                assert peer.said() == ["the door code is 1234"]

    asyncio.run(chat(server.url))


def test_one_that_dies_is_gone_and_the_others_talk_on(server: BackgroundApp) -> None:
    async def chat(url: str) -> None:
        async with joined(url, "Ann", "Dan", "Bob") as (ann, dan, bob):
            await dan.until({"type": "joined", "who": "Bob"})
            dan.connection.transport.abort()
            for number in range(100):
                await ann.say(str(number))
            for peer in (ann, bob):
                await peer.until({"type": "said", "who": "Ann", "text": "99"})
                assert peer.said() == [str(number) for number in range(100)]
                await peer.until({"type": "left", "who": "Dan"})

    asyncio.run(chat(server.url))
    assert not [entry for entry in server.log if "Exception" in entry.text]


@pytest.mark.parametrize(("count", "text"), [(5_000, ""), (MANY, TEXT)])
def test_a_flood_from_one_slows_down_its_sender_and_throws_nobody_out(
    server: BackgroundApp, count: int, text: str
) -> None:
    async def chat(url: str) -> None:
        async with joined(url, "Ann", "Bob") as (ann, bob):
            for number in range(count):
                ann.connection.protocol.send_text(f"{number}{text}".encode())
            ann.connection.transport.write(b"".join(ann.connection.protocol.data_to_send()))
            await bob.until({"type": "said", "who": "Ann", "text": f"{count - 1}{text}"}, seconds=50)
            assert bob.said() == [f"{number}{text}" for number in range(count)]

    asyncio.run(chat(server.url))


def test_one_that_reads_more_slowly_than_another_sends_is_waited_for(
    server: BackgroundApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_server, "PAUSE_SECONDS", 0.2)  # on a busy machine Slow reads very slowly

    async def chat(url: str) -> None:
        async with joined(url, "Ann") as (ann,), mute(url, "Slow") as slow:
            talk = asyncio.create_task(say_all(ann))
            said: list[str] = []
            while len(said) < MANY:
                event = json.loads(await slow.recv())
                said += [event["text"]] if event["type"] == "said" else []
                await asyncio.sleep(0.001)
            assert [int(text[:4]) for text in said] == list(range(MANY))
            await talk

    asyncio.run(chat(server.url))


def test_the_command_of_the_chapter() -> None:
    async def chat(url: str) -> None:
        async with joined(url, "Ann", "Bob") as (ann, bob):
            await bob.say("hi")
            await ann.until({"type": "said", "who": "Bob", "text": "hi"})
            request = urllib.request.Request(
                f"{url}/tell", b'{"text": "dinner"}', {"Content-Type": "application/json"}
            )
            await asyncio.to_thread(lambda: open_here(request, timeout=10).close())
            assert (await bob.until({"type": "said", "who": "server", "text": "dinner"}))["text"] == "dinner"
            health = await asyncio.to_thread(lambda: open_here(f"{url}/health", timeout=10).read())
            assert json.loads(health) == {"lobby": ["Ann", "Bob"]}

    with uvicorn(environment={"PYTHONPATH": ""}) as server:
        asyncio.run(chat(server.url))


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    "ws", [ws if ws == DEFAULT else pytest.param(ws, marks=pytest.mark.nightly) for ws in IMPLEMENTATIONS]
)
def test_a_signal_ends_it_in_a_moment_with_a_word_to_everybody(ws: str, number: signal.Signals) -> None:
    needs(ws.partition("-")[0])

    async def chat(server: BackgroundProcess) -> None:
        async with joined(server.url, "Ann", "Bob") as (ann, bob), mute(server.url):
            await say_all(ann, 700)  # fewer than would have Mute thrown out
            await ann.until({"type": "said", "who": "Ann", "text": f"0699{TEXT}"})
            uvicorn_itself = itself(server)
            with takes_at_most(5):
                uvicorn_itself.send_signal(number)
                for peer in (ann, bob):
                    assert await peer.closed() == ("closed", 1012, BYE)
                    assert peer.got[-2] == {"type": "bye", "text": BYE}
                    assert len(peer.said()) == 700
                await asyncio.to_thread(wait_until, lambda: not server.running)

    server = uvicorn("--ws", ws).start()
    asyncio.run(chat(server))
    with pytest.raises(BackgroundError, match="has ended"):
        server.stop()
    assert not [line for line in server.output if "Error" in line or "Exception" in line]
