"""The exhibit has the faults that its docstring names; `test_chat_server.py` shows that ours hasn't."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from chat_peers import Peer, in_one_write, joined, mute
from shared import says, wait_until
from websockets.asyncio.client import ClientConnection

from apps.chat import naive_server
from helpers.background.app import BackgroundApp

BIG = "x" * 65_536
MANY = 200  # times BIG is more than all buffers between two processes hold
PRESENT = naive_server.manager.active_connections

pytestmark = pytest.mark.nightly  # chapters 05 and 13 show the same faults, and assert them


def open_connections(server: BackgroundApp) -> Any:
    return server._server.server_state.connections


def big(number: int) -> str:
    return f"{number:04}{BIG}"


def numbers(got: list[str]) -> list[str]:
    return [text.split()[1][:4] for text in got if BIG in text]


async def say_all(peer: Peer) -> None:
    for number in range(MANY):
        await peer.say(big(number))


def test_everybody_gets_what_one_says() -> None:
    async def chat(url: str) -> None:
        async with joined(url, "Ann", "Bob") as (ann, bob):
            await bob.say("hi")
            assert await ann.until("Bob: hi") == await bob.until("Bob: hi")
            await ann.connection.close()
            await bob.until("Ann left")

    with BackgroundApp(naive_server.app) as server:
        asyncio.run(chat(server.url))


def test_anybody_gets_in_from_any_page_with_any_length_of_text() -> None:
    async def chat(url: str) -> None:
        async with (
            joined(url, "Ann") as (ann,),
            joined(url, "Eve", origin="https://evil.example.org") as (eve,),
        ):
            await eve.say(10 * BIG)
            assert await ann.until(f"Eve: {10 * BIG}")

    with BackgroundApp(naive_server.app) as server:
        asyncio.run(chat(server.url))


def test_one_that_never_reads_stalls_everybody() -> None:
    async def chat(url: str) -> None:
        async with joined(url, "Ann") as (ann,), mute(url) as silent, joined(url, "Bob") as (bob,):
            talk = asyncio.create_task(say_all(ann))
            await bob.until_quiet()
            assert 0 < len(bob.got) < MANY
            await bob.say("does anybody hear me?")
            await bob.until_quiet()
            assert "Bob: does anybody hear me?" not in bob.got

            reading = asyncio.create_task(drain(silent))
            await bob.until(f"Ann: {big(MANY - 1)}")
            assert len(numbers(bob.got)) == MANY
            await talk
            reading.cancel()

    with BackgroundApp(naive_server.app) as server:
        asyncio.run(chat(server.url))


async def drain(connection: ClientConnection) -> None:
    async for _ in connection:
        pass


def test_one_that_leaves_while_the_loop_waits_makes_the_next_in_the_list_miss_a_message() -> None:
    async def chat(url: str) -> None:
        async with (
            joined(url, "Ann") as (ann,),
            mute(url) as silent,
            joined(url, "Bob", "Cat") as (bob, cat),
        ):
            talk = asyncio.create_task(say_all(cat))
            await cat.until_quiet()
            await ann.connection.close()
            await asyncio.to_thread(wait_until, lambda: len(PRESENT) == 3)
            reading = asyncio.create_task(drain(silent))
            for peer in (bob, cat):
                await peer.until(f"Cat: {big(MANY - 1)}")
                await peer.until("Ann left")
            await talk
            reading.cancel()
            missing = set(numbers(cat.got)) - set(numbers(bob.got))
            assert len(numbers(cat.got)) == MANY
            assert len(missing) == 1

    with BackgroundApp(naive_server.app) as server:
        asyncio.run(chat(server.url))


def test_last_words_of_one_that_leaves_stop_at_its_own_place_in_the_list() -> None:
    async def chat(url: str) -> None:
        async with joined(url, "Ann", "Dan", "Bob") as (ann, dan, bob):
            await in_one_write(dan.connection, "the door code is 1234")
            assert await ann.until("Dan left") == await bob.until("Dan left")
            assert ann.got == ["Dan: the door code is 1234", "Dan left"]
            assert bob.got == ["Dan left"]

    with BackgroundApp(naive_server.app) as server:
        asyncio.run(chat(server.url))


def test_a_dead_peer_stops_the_rest_and_the_one_who_speaks_is_thrown_out() -> None:
    async def chat(server: BackgroundApp) -> None:
        async with (
            joined(server.url, "Ann", "Dan") as (ann, dan),
            mute(server.url),
            joined(server.url, "Bob") as (bob,),
        ):
            talk = asyncio.create_task(say_all(bob))
            await bob.until_quiet()
            talk.cancel()
            await dan.say("I wait")  # for Mute: its handler is in the loop, and doesn't see its own end
            await dan.until("Dan: I wait")
            dan.connection.transport.abort()
            await asyncio.to_thread(wait_until, lambda: len(open_connections(server)) == 3)
            assert len(PRESENT) == 4

            await ann.say("hello")
            assert await ann.closed() == ("closed", 1006, "")
            assert ann.got[-2] == "Ann: hello"
            await bob.until_quiet()
            assert "Ann: hello" not in bob.got
            assert len(PRESENT) == 3

    with BackgroundApp(naive_server.app) as server:
        asyncio.run(chat(server))
        assert says(server, "Exception in ASGI application")
