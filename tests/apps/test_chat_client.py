"""The client beside the page: what it keeps, what it refuses, and that nothing of it is left."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import pytest
from shared import takes_at_most, wait_until
from small_room import SmallRoom

from apps.chat import client as chat_client
from apps.chat import resume
from apps.chat.client import CannotSend, ChatClient
from apps.chat.room import Event


def tasks() -> set[asyncio.Task[Any]]:
    """What runs on the clients' loop."""
    loop = chat_client.shared_loop()

    async def look() -> set[asyncio.Task[Any]]:
        return asyncio.all_tasks() - {asyncio.current_task()}

    return asyncio.run_coroutine_threadsafe(look(), loop).result(5)


@pytest.fixture(autouse=True)
def nothing_runs_on() -> Iterator[None]:
    yield
    try:
        wait_until(lambda: not tasks(), 5, "the end of all clients")
    finally:
        for one in made:
            one.close()  # where a test failed, the next ones are not to suffer
        made.clear()


@pytest.fixture
def room() -> Iterator[SmallRoom]:
    with SmallRoom() as room:
        yield room


made: list[ChatClient] = []


def client(room: SmallRoom, name: str = "Ann", **options: Any) -> ChatClient:
    made.append(ChatClient(f"{room.url}?name={name}", **options))
    return made[-1]


def until(client: ChatClient, state: str, seconds: float = 10) -> str:
    wait_until(lambda: client.state.name == state, seconds, f"{state}, not {client.state}")
    return client.state.text


def fetch(client: ChatClient, count: int) -> list[Event]:
    events: list[Event] = []

    def enough() -> bool:
        events.extend(event for _, event in client.drain())
        return len(events) >= count

    wait_until(enough, what=f"{count} events, {events}")
    return events


def said(who: str, text: str) -> Event:
    return {"type": "said", "who": who, "text": text}


def test_two_talk(room: SmallRoom) -> None:
    ann = client(room)
    assert until(ann, "open") == "Connected as Ann."
    bob = client(room, "Bob")
    until(bob, "open")
    bob.send("/typing")
    wait_until(lambda: ann.typing == ["Bob"])
    assert ann.members == bob.members == ["Ann", "Bob"]
    bob.send("hi")
    bob.send("/to Ann psst")
    told = {"type": "told", "who": "Bob", "to": "Ann", "text": "psst"}
    assert fetch(ann, 4)[1:] == [{"type": "joined", "who": "Bob"}, said("Bob", "hi"), told]
    assert ann.typing == []
    bob.close()
    room.wait_for("Ann")
    assert fetch(ann, 1) == [{"type": "left", "who": "Bob"}]
    assert ann.members == ["Ann"]
    ann.close()
    assert until(ann, "closed") == "You have left."
    with pytest.raises(CannotSend, match=r"^Not sent\. You have left\.$"):
        ann.send("too late")


def test_a_restarted_server_is_found_and_gets_what_was_written_meanwhile(room: SmallRoom) -> None:
    ann = client(room)
    until(ann, "open")
    room.server.stop()
    text = until(ann, "reconnecting")
    assert re.fullmatch(
        r"Reconnecting: (server stopped|the server can't be reached)\. Next try in \d s\.", text
    )
    wait_until(lambda: "can't be reached" in ann.state.text)
    written = [str(number) for number in range(chat_client.MESSAGES_KEPT)]
    for text in written:
        ann.send(text)
    with pytest.raises(CannotSend, match=r"^Not sent: 20 messages already wait for the connection\.$"):
        ann.send("one too many")
    assert ann.waiting == 20
    room.server.start()
    until(ann, "open")
    wait_until(lambda: room.heard == written)
    wait_until(lambda: ann.waiting == 0)
    ann.close()


def test_nothing_is_sent_before_the_welcome(room: SmallRoom) -> None:
    welcomes = threading.Event()
    greet = room.greet

    async def late(connection: Any, name: str) -> None:
        await asyncio.to_thread(welcomes.wait, 10)
        await greet(connection, name)

    room.greet = late  # type: ignore[method-assign]
    ann = client(room)
    ann.send("early")
    room.wait_for("Ann")
    assert ann.state == ("connecting", "Connecting …")
    ann.send("connected, and still early")
    for _ in range(3):
        tasks()  # by now the client's loop has had its turn
    assert ann.waiting == 2
    assert room.heard == []
    welcomes.set()
    wait_until(lambda: room.heard == ["early", "connected, and still early"])
    ann.close()


def test_a_refused_handshake_is_final() -> None:
    asked = []

    def refuse(connection: Any, request: Any) -> Any:
        asked.append(request.path)
        return connection.respond(HTTPStatus.FORBIDDEN, "no\n")

    with SmallRoom(process_request=refuse) as room:
        ann = client(room)
        assert until(ann, "refused") == "Given up: the server refuses with HTTP status 403."
        wait_until(lambda: not tasks())
        with pytest.raises(CannotSend, match=r"^Not sent\. Given up: .*403\.$"):
            ann.send("hi")
        ann.close()
        wait_until(lambda: not tasks())
        assert len(asked) == 1
    assert ann.state.name == "refused"


@pytest.mark.parametrize(
    ("code", "bye", "sentence"),
    [
        (1008, "the token is wrong", "The server has ended it: the token is wrong."),
        (1008, "", "The server has ended it: policy."),
        (4001, "", "The server has ended it: policy."),
    ],
)
def test_a_policy_close_is_final(room: SmallRoom, code: int, bye: str, sentence: str) -> None:
    async def refuse(connection: Any, name: str) -> None:
        if bye:
            await connection.send(json.dumps({"type": "bye", "text": bye}))
        await connection.close(code, "policy")

    room.greet = refuse  # type: ignore[method-assign]
    ann = client(room)
    assert until(ann, "refused") == sentence
    wait_until(lambda: not tasks())
    assert len(room.came_at) == 1


def test_a_server_that_hangs_up_at_once_is_not_asked_in_a_tight_loop(
    room: SmallRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume, "FIRST_PAUSE", 0.1)

    async def hang_up(connection: Any, name: str) -> None:
        await connection.close(1013, "full")

    room.greet = hang_up  # type: ignore[method-assign]
    ann = client(room)
    wait_until(lambda: len(room.came_at) == 4, 20)
    ann.close()
    pauses = [after - before for before, after in zip(room.came_at, room.came_at[1:], strict=False)]
    for pause, shortest in zip(pauses, (0.05, 0.1, 0.2), strict=True):
        assert pause >= shortest


def test_a_flood_drops_the_oldest_and_counts_them(room: SmallRoom) -> None:
    ann = client(room)
    until(ann, "open")
    room.tell(*[said("Bob", str(number)) for number in range(1500)])
    wait_until(lambda: ann.dropped == 501)
    assert [event["text"] for _, event in ann.drain()] == [str(number) for number in range(500, 1500)]
    room.tell({"type": "joined", "who": "Cat"})
    assert fetch(ann, 1) == [{"type": "joined", "who": "Cat"}]
    assert ann.members == ["Ann", "Cat"]
    ann.close()


def test_close_does_not_wait_and_ends_all_soon(room: SmallRoom) -> None:
    ann = client(room)
    until(ann, "open")
    with takes_at_most(1):
        ann.close()
        ann.close()
    with takes_at_most(3):
        room.wait_for()
    wait_until(lambda: not tasks(), 5)
    assert ann.state == ("closed", "You have left.")


def test_close_ends_in_every_state() -> None:
    """Where nobody listens, where nobody answers, and where nobody reads."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        ann = ChatClient(f"ws://127.0.0.1:{port}/ws")
        mute.accept()[0].detach()  # the client waits for the answer to its handshake
        ann.close()
        wait_until(lambda: not tasks(), 5)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    ann = ChatClient(f"ws://127.0.0.1:{port}/ws")
    assert "the server can't be reached" in until(ann, "reconnecting")
    ann.close()
    wait_until(lambda: not tasks(), 5)
    with SmallRoom() as room:
        greet = room.greet

        async def read_nothing(connection: Any, name: str) -> None:
            connection.transport.pause_reading()
            await greet(connection, name)

        room.greet = read_nothing  # type: ignore[method-assign]
        ann = client(room)
        until(ann, "open")
        for _ in range(10):
            ann.send("x" * 2**20)
        wait_until(lambda: 0 < ann.waiting < 10)
        ann.close()
        wait_until(lambda: not tasks(), 5)


def test_nobody_looks_so_it_leaves(room: SmallRoom) -> None:
    ann = client(room, forgotten_after=0.6)
    until(ann, "open")
    begin = time.monotonic()
    while time.monotonic() - begin < 1.2:
        assert ann.state.name == "open"
        ann.drain()
        time.sleep(0.05)
    wait_until(lambda: ann.state.name == "closed", 10)
    assert ann.state.text == "Nobody has looked at this page for a while, so you have left."
    room.wait_for()


def test_a_hundred_clients_take_one_thread(room: SmallRoom) -> None:
    clients = [client(room, f"member-{number}") for number in range(100)]
    for ann in clients:
        until(ann, "open", 20)
    assert [thread.name for thread in threading.enumerate()].count("chat clients") == 1
    for ann in clients:
        ann.close()
    room.wait_for()


def test_what_is_no_event_ends_it_in_words(room: SmallRoom) -> None:
    ann = client(room)
    until(ann, "open")
    room.tell("Bob: hi")
    assert until(ann, "refused").startswith("Given up: JSONDecodeError: ")
    room.wait_for()


def test_half_a_surrogate_pair_fails_where_it_is_sent(room: SmallRoom) -> None:
    ann = client(room)
    with pytest.raises(UnicodeEncodeError):
        ann.send("\ud83d")
    ann.send("\U0001f600")
    wait_until(lambda: room.heard == ["\U0001f600"])
    ann.close()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://127.0.0.1/ws?token=secret", "Given up: the address of the server is no WebSocket address."),
        ("ws://127.0.0.1:99999999/ws?token=secret", "Given up: "),
    ],
)
def test_an_address_that_is_none(url: str, sentence: str) -> None:
    ann = ChatClient(url)
    text = until(ann, "refused")
    assert text.startswith(sentence)
    assert "secret" not in text
