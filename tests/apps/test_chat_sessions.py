"""A chat whose connections are cut: what was said arrives once, in order, or it is said what is missing."""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from shared import takes_at_most, wait_until

from apps.chat import resume, sessions
from apps.chat import server as chat_server
from apps.chat.client import CannotSend, ChatClient
from apps.chat.server import app, manager
from helpers.background.app import BackgroundApp
from helpers.background.tap import BackgroundTap, tapped

KEY = "0123456789abcdef"
CUTS = 200


@pytest.fixture
def server() -> Iterator[BackgroundApp]:
    with BackgroundApp(chat_server.app) as server:
        yield server


talkers: list[Talker] = []


@pytest.fixture(autouse=True)
def all_leave() -> Iterator[None]:
    yield
    while talkers:
        talkers.pop().client.close()


class Talker:
    """A client that says `Ann 1`, `Ann 2` … and keeps what it hears."""

    def __init__(self, url: str, name: str) -> None:
        self.name, self.said = name, 0
        self.events: list[dict[str, Any]] = []
        talkers.append(self)
        self.client = ChatClient(f"{url.replace('http', 'ws', 1)}/ws?name={name}")

    def say(self) -> None:
        try:
            self.client.send(f"{self.name} {self.said + 1}")
        except CannotSend:
            return
        self.said += 1

    def listen(self) -> None:
        for _, event in self.client.drain():
            if event["type"] == "welcome":
                self.events += resume.unseen(self.events, event["history"])
            self.events.append(event)

    def now_heard(self) -> list[str]:
        self.listen()
        return self.heard

    @property
    def heard(self) -> list[str]:
        return [event["text"] for event in self.events if event["type"] == "said"]

    def heard_all_of(self, other: Talker) -> bool:
        self.listen()
        return len(self.of(other)) >= other.said and not other.client.waiting

    def of(self, other: Talker) -> list[str]:
        return [text for text in self.heard if text.startswith(f"{other.name} ")]

    def missed(self) -> list[str]:
        self.listen()
        return [event["text"] for event in self.events if event["type"] == "missed"]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(resume, "LONGEST_PAUSE", 0.04)


@pytest.fixture
def tap(server: BackgroundApp) -> Iterator[BackgroundTap]:
    with tapped(server) as tap:
        yield tap


@pytest.fixture
def two(tap: BackgroundTap, quick: None) -> list[Talker]:
    two = [Talker(tap.url, "Ann"), Talker(tap.url, "Bob")]
    for one in two:
        wait_until(lambda one=one: one.client.state.name == "open")  # type: ignore[misc]
    return two


def all_is_well(two: list[Talker]) -> None:
    for one in two:
        for other in two:
            wait_until(lambda one=one, other=other: one.heard_all_of(other), 15)  # type: ignore[misc]
            assert one.of(other) == [f"{other.name} {number}" for number in range(1, other.said + 1)]
    assert two[0].heard == two[1].heard, "everybody hears all in the same order"


def test_200_cuts_at_random_bytes(tap: BackgroundTap, two: list[Talker]) -> None:
    chance = random.Random(11)
    with takes_at_most(30):
        while tap.stats.connections < CUTS + 2:
            tap.shape(cut_after_bytes=chance.randint(1, 4000))
            for one in two:
                one.say()
                one.listen()
            time.sleep(0.005)
        tap.shape(cut_after_bytes=None)
        all_is_well(two)
    assert two[0].said > 100
    assert [one.missed() for one in two] == [[], []]
    assert list(manager.rooms["lobby"].members) == ["Ann", "Bob"]  # type: ignore[index]


@pytest.mark.parametrize("first", ["Ann", "Bob"])
def test_in_another_epoch_nothing_that_was_said_comes_twice(
    server: BackgroundApp, tap: BackgroundTap, quick: None, first: str
) -> None:
    """The server ends when Bob has heard Ann, and before Ann could hear that she was heard."""
    with tapped(server) as taps_bob:
        two = ann, bob = [Talker(tap.url, "Ann"), Talker(taps_bob.url, "Bob")]
        wait_until(lambda: all(one.client.state.name == "open" for one in two))
        ann.say()
        all_is_well(two)
        tap.stall("to_client")
        ann.say()
        wait_until(lambda: "Ann 2" in bob.now_heard())
        assert ann.client.waiting == 1
        server.stop()
        for way in (tap, taps_bob):
            way.stall()
            way.cut()
        server.start()
        for way, back in [(tap, ann), (taps_bob, bob)][:: 1 if first == "Ann" else -1]:
            way.resume()
            wait_until(lambda back=back: back.missed() and back.heard_all_of(back))  # type: ignore[misc]
        ann.say()
        wait_until(lambda: bob.heard_all_of(ann) and ann.heard_all_of(ann))
        assert ann.of(ann) == ["Ann 1", "Ann 2", "Ann 3"]
        assert bob.of(ann) == ["Ann 1", "Ann 2", "Ann 3"]
        for one in two:
            (missed,) = one.missed()
            assert missed.startswith("something may be missing")


def test_who_was_away_for_too_long_is_told_what_it_has_not_got(
    tap: BackgroundTap, two: list[Talker], server: BackgroundApp
) -> None:
    ann, bob = two
    tap.shape(refuse=True)
    tap.cut()
    wait_until(lambda: not any(one.line for one in manager.sessions.values()))
    for session in manager.sessions.values():
        session.replay._messages = 3
    for number in range(4):
        request = urllib.request.Request(f"{server.url}/tell", json.dumps({"text": str(number)}).encode())
        urllib.request.urlopen(request).close()
    tap.shape(refuse=False)
    wait_until(lambda: ann.missed() and bob.missed())
    assert "the oldest kept is number" in ann.missed()[0]
    wait_until(lambda: ann.client.state.name == "open")
    ann.say()
    all_is_well([ann, ann])
    assert ann.client.members == ["Ann", "Bob"]


def test_a_place_is_kept_for_a_while(
    tap: BackgroundTap, two: list[Talker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "AWAY_SECONDS", 0.1)
    tap.shape(refuse=True)
    tap.cut()
    wait_until(lambda: not manager.sessions)
    assert not manager.rooms["lobby"].members  # type: ignore[index]


@pytest.fixture
def web() -> Iterator[TestClient]:
    with TestClient(app) as web:
        yield web


def enter(web: TestClient, key: str = KEY, seen: str = "- 0", name: str = "Ann") -> Any:
    return web.websocket_connect(f"/ws?name={name}", headers={"Chat-Session": key, "Chat-Seen": seen})


def begin(connection: Any) -> str:
    session = connection.receive_json()
    assert session.pop("epoch")
    assert session == {"type": "session", "after": 0, "heard": 0, "missed": ""}
    assert connection.receive_json()["type"] == "welcome"
    return str(manager.sessions[KEY, "lobby"].replay.epoch)


def test_a_message_is_heard_once_and_acknowledged_each_time(web: TestClient) -> None:
    with enter(web) as ann:
        begin(ann)
        for number in (1, 1, 2, 1):
            ann.send_text(f"{number} text {number}")
        got = [ann.receive_json() for _ in range(6)]
    assert [one["text"] for one in got if one["type"] == "said"] == ["text 1", "text 2"]
    assert [one["n"] for one in got if one["type"] == "said"] == [2, 3]
    assert [one["n"] for one in got if one["type"] == "ack"] == [1, 1, 2, 1]


LIES = {"- 0": "", "{epoch} 0": "", "{epoch} 999": "but the last one is 2", "other 1": "may be missing"}


@pytest.mark.parametrize("seen", LIES)
def test_who_lies_about_its_place_harms_only_itself(web: TestClient, seen: str) -> None:
    with enter(web) as ann, enter(web, KEY * 2, name="Bob") as bob:
        epoch = begin(ann)
        bob.receive_json(), bob.receive_json()
        with enter(web, seen=seen.format(epoch=epoch)) as again:
            session = again.receive_json()
            assert LIES[seen] in session["missed"]
            assert session["missed"] or not LIES[seen]
            assert again.receive_json()["type"] == "welcome"
            bob.send_text("1 hi")
            assert bob.receive_json()["text"] == "hi", "the first that Bob hears of all that"


def test_who_skips_a_number_is_told_which(web: TestClient) -> None:
    with enter(web) as ann:
        begin(ann)
        ann.send_text("5 a client counts on when the server is new")
        assert ann.receive_json()["text"].startswith("a client")
        ann.receive_json()
        ann.send_text("7 seven")
        assert ann.receive_json()["text"] == "number 6 is missing: number 7 came in its place"
        assert ann.receive()["code"] == 1008


@pytest.mark.parametrize("text", ["hi", "-1 hi", "", "9" * 16, "\u0661 hi"])
def test_what_has_no_number_is_refused(web: TestClient, text: str) -> None:
    with enter(web) as ann:
        begin(ann)
        ann.send_text(text)
        assert ann.receive_json()["text"] == "a message begins with its number: `17 hello`"


@pytest.mark.parametrize(("key", "seen"), [("short", "- 0"), (KEY * 5, "- 0"), (KEY, "x"), (KEY, "e -1")])
def test_headers_of_another_form(web: TestClient, key: str, seen: str) -> None:
    with enter(web, key, seen) as stranger:
        assert stranger.receive_json()["text"].startswith("Chat-Session is 16 to 64 letters")
        assert stranger.receive()["code"] == 1008


def test_a_second_connection_takes_the_place_of_the_first(server: BackgroundApp) -> None:
    """As when the first is half open: only the client knows that it is gone."""

    async def come_twice() -> None:
        from websockets.asyncio.client import connect

        options: Any = {"proxy": None, "additional_headers": {"Chat-Session": KEY}}
        url = f"{server.url.replace('http', 'ws', 1)}/ws?name=Ann"
        async with connect(url, **options) as first:
            await first.recv(), await first.recv()
            async with connect(url, **options) as second:
                events = [json.loads(await second.recv()) for _ in range(2)]
                assert events[1]["members"] == ["Ann"]
                await asyncio.wait_for(first.wait_closed(), 5)
                assert first.close_code == 1006

    asyncio.run(come_twice())


def test_too_many_who_are_away(web: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "AWAY_SESSIONS", 1)
    with enter(web, KEY * 2, name="Zoe") as zoe:
        zoe.receive_json(), zoe.receive_json()
        for name, key in (("Ann", KEY), ("Bob", KEY[::-1])):
            with enter(web, key, name=name) as one:
                one.receive_json(), one.receive_json()
                assert zoe.receive_json() == {"n": 2 if name == "Ann" else 3, "type": "joined", "who": name}
                one.close(1006)
        assert zoe.receive_json() == {"n": 4, "type": "left", "who": "Ann"}


def test_who_says_goodbye_is_gone_at_once(web: TestClient) -> None:
    with enter(web) as ann:
        begin(ann)
        ann.close(1000)
    assert not manager.sessions
    assert not manager.rooms["lobby"].members  # type: ignore[index]


def test_a_server_that_ends_tells_each_when_to_come_back(
    server: BackgroundApp, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client waits as long as it was told."""
    ann = Talker(server.url, "Ann")
    wait_until(lambda: ann.client.state.name == "open")
    monkeypatch.setattr(chat_server, "RETURNS_PER_SECOND", 0.1)
    monkeypatch.setattr(random, "uniform", lambda least, most: most / 2)
    (client,) = manager.clients
    asyncio.run_coroutine_threadsafe(manager.close(), client._writer.get_loop()).result(10)
    wait_until(lambda: ann.client.state.name == "reconnecting")
    ann.listen()
    (bye,) = [event for event in ann.events if event["type"] == "bye"]
    assert bye["after"] == 5
    assert re.search(r"Next try in [45] s\.", ann.client.state.text)
