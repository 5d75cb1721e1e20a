"""The door: who comes in and who doesn't, what they may do, and what one stranger may cost."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import wait_until
from websockets.asyncio.client import ClientConnection, connect
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from apps.bucket import Bucket
from apps.door import limits, people
from apps.door import server as door_server
from apps.door.headers import name_and_password, on_one_line, token_of
from apps.door.messages import BadRequest, read_request
from apps.door.people import People, Right
from apps.door.server import Door
from apps.door.tickets import Pass, Passes, Refused
from apps.origins import is_ours, objection
from helpers.clients.mute import mute

ROOT = Path(__file__).resolve().parents[2]


class Clock:
    """A clock that is set by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


# --- tickets


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def passes(clock: Clock) -> Passes:
    return Passes(b"k" * 32, clock=clock)


def refused(passes: Passes, text: str) -> str:
    with pytest.raises(Refused) as caught:
        passes.read(text)
    return str(caught.value)


def test_a_ticket_is_good_once_and_for_a_while(passes: Passes, clock: Clock) -> None:
    session = passes.session("ann", 3600)
    ticket = passes.ticket(session)
    text = passes.text(ticket)
    assert passes.spend(passes.read(text)) == ticket
    assert refused(passes, text) == "this pass has been used"
    assert passes.read(passes.text(session)) == session, "a session is good again and again"
    late = passes.text(passes.ticket(session))
    clock.now += 30
    assert refused(passes, late) == "this pass has ended"


def test_a_session_ends_and_takes_its_tickets_along(passes: Passes, clock: Clock) -> None:
    session, other = passes.session("ann", 3600), passes.session("ann", 10)
    ticket = passes.text(passes.ticket(session))
    passes.end_session(session)
    assert refused(passes, passes.text(session)) == refused(passes, ticket) == "this pass has been used"
    assert passes.seconds_left(session) == 0
    assert passes.seconds_left(other) == 10
    assert passes.ticket(other).until == other.until, "a ticket outlives no session"
    clock.now += 10
    assert refused(passes, passes.text(other)) == "this pass has ended"


def test_what_is_spent_is_forgotten_when_it_would_be_refused_anyway(passes: Passes, clock: Clock) -> None:
    session = passes.session("ann", 3600)
    for _ in range(50):
        passes.spend(passes.ticket(session))
    clock.now += 31
    passes.spend(passes.ticket(session))
    assert len(passes._spent) == 1


def test_a_clock_that_is_set_back_makes_no_ticket_good_again(passes: Passes, clock: Clock) -> None:
    session = passes.session("ann", 3600)
    ticket = passes.ticket(session)
    passes.spend(ticket)
    clock.now += 31
    passes.spend(passes.ticket(session))
    clock.now -= 31
    assert refused(passes, passes.text(ticket)) == "this pass has ended"


def test_a_ticket_buys_no_ticket(passes: Passes) -> None:
    with pytest.raises(Refused, match="buys no ticket"):
        passes.ticket(passes.ticket(passes.session("ann", 3600)))


@given(st.text(max_size=80))
def test_no_text_is_a_pass_by_chance(text: str) -> None:
    assert refused(Passes(b"k" * 32), text).startswith("this is no pass")


@given(st.data())
def test_a_pass_that_was_changed_is_none(data: st.DataObject) -> None:
    passes = Passes(b"k" * 32)
    text = passes.text(Pass("number", "ann", 1e10, "number", 1e10))
    at = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.characters())
    changed = text[:at] + letter + text[at + 1 :]
    if changed != text:
        assert refused(passes, changed).startswith("this is no pass")
    assert refused(Passes(b"K" * 32), text) == "this is no pass of ours"


# --- origins, headers, messages, buckets


@pytest.mark.parametrize(
    ("origin", "host", "ours"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1:8000", True),
        ("https://door.example", "door.example", True),
        ("http://DOOR.example:80", "door.example", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("https://friend.example", "door.example", True),
        ("http://127.0.0.1:9000", "127.0.0.1:8000", False),
        ("http://localhost:8000", "127.0.0.1:8000", False),
        ("https://door.example.evil.example", "door.example", False),
        ("https://evil.example/door.example", "door.example", False),
        ("https://door.example@evil.example", "door.example", False),
        ("https://door.example:99999999999", "door.example", False),
        ("http://friend.example", "door.example", False),
        ("null", "door.example", False),
        ("", "", False),
        ("file://", "door.example", False),
    ],
)
def test_a_page_may_connect_where_it_is_from(origin: str, host: str, ours: bool) -> None:
    assert is_ours(origin, host, ["https://friend.example"]) is ours
    assert (objection(Headers(Origin=origin, Host=host), ["https://friend.example"]) is None) is ours


@given(st.text(), st.text())
def test_any_origin_is_answered(origin: str, host: str) -> None:
    assert is_ours(origin, host) in (True, False)
    assert not is_ours(origin, "door.example") or "door.example" in origin.lower()


def test_two_origins_are_none_and_programs_send_none() -> None:
    headers = Headers(Host="door.example", Origin="https://door.example")
    assert objection(headers) is None
    headers["Origin"] = "https://evil.example"
    assert objection(headers)
    assert objection(Headers(Host="door.example")) is None


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126)))
def test_any_header_is_read(text: str) -> None:
    token_of(Headers(Cookie=text))
    name_and_password(Headers(Authorization=f"Basic {text}"))
    assert token_of(Headers(Authorization=f"Bearer {text}")) == text.strip()


def test_the_cookie_is_found_among_others() -> None:
    assert token_of(Headers(Cookie="_xsrf=2|door=no; door=abc.def; username-127-0-0-1=x")) == "abc.def"
    assert token_of(Headers(Cookie="backdoor=abc")) == ""
    assert name_and_password(Headers(Authorization="Basic YW5uOmE6Yg==")) == ("ann", "a:b")


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("hello", "malformed"),
        ("[1]", "Expected `object`"),
        ('{"type": "say", "room": "lobby"}', "missing required field `text`"),
        ('{"type": "say", "room": "lobby", "text": ""}', "length >= 1"),
        ('{"type": "say", "room": "lobby", "text": "x", "admin": true}', "unknown field"),
        ('{"type": "say", "room": "lobby", "text": ["x"]}', "Expected `str`, got `array`"),
        ('{"type": "say", "room": "lobby", "text": "x", "id": NaN}', "malformed"),
        ('{"type": "say", "room": "lobby", "text": "x", "id": 1e999}', "out of range"),
        ('{"type": "say", "room": "lobby", "text": "x", "id": ' + "9" * 5000 + "}", "out of range"),
        ('{"type": "say", "room": "lobby", "text": "\\ud800 and more"}', "malformed"),
        ('{"type": "say", "room": "\ud800", "text": "x"}', "Unicode"),
        ("[" * 8000, "Expected `object`"),
        ('{"type": "say", "room": ' + "[" * 8000, "Expected `str`"),
        ('{"type": "fly"}', "no such request"),
        ("", "truncated"),
        (b"x", "text, not bytes"),
    ],
)
def test_a_wrong_message_is_refused_in_words(message: str | bytes, words: str) -> None:
    with pytest.raises(BadRequest, match=re.escape(words)) as caught:
        read_request(message)
    assert len(str(caught.value)) <= 200


@settings(max_examples=40)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_any_json_is_a_request_or_refused(what: object) -> None:
    for text in (json.dumps(what), json.dumps({"type": "say", "room": what, "text": "x"})):
        with contextlib.suppress(BadRequest):
            read_request(text)


def test_a_bucket_lets_a_burst_through_and_then_a_steady_rate(clock: Clock) -> None:
    bucket = Bucket(2, 5, clock)
    assert [bucket.take() for _ in range(6)] == [True] * 5 + [False]
    clock.now += 0.5
    assert [bucket.take() for _ in range(2)] == [True, False]
    clock.now += 1000
    assert sum(bucket.take() for _ in range(10)) == 5, "it never holds more than its size"


def test_a_line_of_the_log_stays_one_line() -> None:
    assert on_one_line("ann\nbob is admin\x1b[2J") == r"ann\nbob is admin\x1b[2J"
    assert len(on_one_line("x" * 10_000)) < 110


# --- the server


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "COST", {"n": 2, "r": 8, "p": 1})


def everybody() -> People:
    made = People()
    made.add("ann", "ann's", {"lobby": Right.OWN, "office": Right.OWN})
    made.add("bob", "bob's", {"lobby": Right.WRITE})
    made.add("eve", "eve's", {"lobby": Right.READ})
    return made


@contextlib.asynccontextmanager
async def opened(**options: Any) -> AsyncIterator[tuple[Door, str]]:
    door = Door(everybody(), **options)
    async with door.serving("127.0.0.1", 0) as url:
        yield door, url


def ws(url: str, query: str = "") -> str:
    return url.replace("http", "ws") + "/" + query


async def get(url: str, **options: Any) -> tuple[int, Any, str]:
    """Status, what came (JSON or text), and the cookie."""
    async with aiohttp.ClientSession() as session, session.get(url, **options) as answer:
        text = await answer.text()
        kind = answer.headers.get("Content-Type", "")
        what = json.loads(text) if "json" in kind else text
        return answer.status, what, answer.headers.get("Set-Cookie", "")


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"}


async def log_in(url: str, name: str = "ann") -> str:
    status, what, _ = await get(f"{url}/login", headers=basic(name, f"{name}'s"))
    assert status == 200
    return str(what["token"])


@contextlib.asynccontextmanager
async def inside(url: str, *names: str) -> AsyncIterator[list[ClientConnection]]:
    """Connections of those people, who have been welcomed."""
    async with contextlib.AsyncExitStack() as stack:
        came = []
        for name in names:
            bearer = {"Authorization": f"Bearer {await log_in(url, name)}"}
            came.append(
                await stack.enter_async_context(connect(ws(url), proxy=None, additional_headers=bearer))
            )
            assert (await hear(came[-1], "welcome"))["who"] == name
        yield came


async def hear(connection: ClientConnection, kind: str) -> Any:
    async with asyncio.timeout(10):
        while True:
            if (message := json.loads(await connection.recv()))["type"] == kind:
                return message


async def ask(connection: ClientConnection, kind: str, **fields: Any) -> None:
    await connection.send(json.dumps({"type": kind, **fields}))


async def closed(connection: ClientConnection) -> tuple[int, str]:
    """How a connection ends, which it does by itself."""
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(10):
            while True:  # what comes before the end
                await connection.recv()
    return connection.close_code or 0, connection.close_reason or ""


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work())


def test_four_ways_to_say_who_you_are() -> None:
    async def come_in() -> None:
        async with opened() as (_, url):
            session = await log_in(url)
            cookies, bearer = {"Cookie": f"a=b; door={session}"}, {"Authorization": f"Bearer {session}"}
            _, bought, _ = await get(f"{url}/ticket", headers=bearer)
            for query, headers in [("", cookies), ("", bearer), (f"?ticket={bought['ticket']}", {})]:
                async with connect(ws(url, query), proxy=None, additional_headers=headers) as ann:
                    welcome = await hear(ann, "welcome")
                    assert welcome["rooms"] == {"lobby": "own", "office": "own"}
            async with connect(ws(url), proxy=None) as ann:
                await ask(ann, "enter", token=session)
                assert (await hear(ann, "welcome"))["who"] == "ann"
            with pytest.raises(InvalidStatus, match="401"):
                await connect(ws(url, f"?ticket={bought['ticket']}"), proxy=None)

    run(come_in)


def test_a_login_gives_a_cookie_that_no_script_reads() -> None:
    async def look() -> None:
        async with opened() as (_, url):
            status, _, cookie = await get(f"{url}/login", headers=basic("ann", "ann's"))
            assert status == 200
            assert {"HttpOnly", "SameSite=Strict", "Max-Age=3600"} <= set(cookie.split("; "))
            for name, password in [("ann", "wrong"), ("nobody", ""), ("", "")]:
                assert (await get(f"{url}/login", headers=basic(name, password)))[0] == 403
            assert (await get(f"{url}/login"))[0] == 403
            assert (await get(f"{url}/ticket"))[0] == 401
            assert (await get(f"{url}/etc/passwd"))[0] == 404

    run(look)


def test_passwords_are_tried_slowly_and_others_log_in_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LOGINS_AT_ONCE", 3)

    async def guess() -> None:
        async with opened() as (_, url):
            tries = [await get(f"{url}/login", headers=basic("ann", str(n))) for n in range(5)]
            assert [status for status, _, _ in tries] == [403] * 3 + [429] * 2
            assert await log_in(url, "bob")

    run(guess)


@pytest.mark.parametrize(
    "first", ['{"type": "enter", "token": "x"}', '{"type": "log out"}', "hello", b"x", None]
)
def test_one_who_says_nothing_of_use_is_sent_away(first: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ENTER_SECONDS", 0.2)

    async def knock() -> None:
        async with opened() as (door, url), connect(ws(url), proxy=None) as stranger:
            if first is not None:
                await stranger.send(first)
            assert (await closed(stranger))[0] == 1008
            assert not door.guests

    run(knock)


def test_a_page_from_elsewhere_gets_nothing_with_your_cookie() -> None:
    async def hijack() -> None:
        async with opened(origins=["https://friend.example"]) as (_, url):
            cookie = {"Cookie": f"door={await log_in(url)}"}
            for origin in ("https://evil.example", "null", url.replace("127.0.0.1", "localhost")):
                with pytest.raises(InvalidStatus, match="403"):
                    await connect(ws(url), proxy=None, origin=Origin(origin), additional_headers=cookie)
                assert (await get(f"{url}/ticket", headers={**cookie, "Origin": origin}))[0] == 403
            for origin in (url, "https://friend.example"):
                async with connect(
                    ws(url), proxy=None, origin=Origin(origin), additional_headers=cookie
                ) as ann:
                    assert await hear(ann, "welcome")

    run(hijack)


def test_rights_are_looked_at_for_each_message() -> None:
    async def talk() -> None:
        async with opened() as (_, url), inside(url, "ann", "bob", "eve") as (ann, bob, eve):
            await ask(bob, "say", room="lobby", text="<b>hi</b>")
            for each in (ann, bob, eve):
                assert await hear(each, "said") == {
                    "type": "said",
                    "room": "lobby",
                    "who": "bob",
                    "text": "<b>hi</b>",
                }
            for room in ("office", "cellar"):
                await ask(bob, "say", room=room, text="let me in", id=7)
                error = await hear(bob, "error")
                assert error == {"type": "error", "text": "you may not do that in this room", "id": 7}
            await ask(eve, "say", room="lobby", text="x")
            assert (await hear(eve, "error"))["id"] is None
            await ask(bob, "expel", room="lobby", who="ann")
            assert await hear(bob, "error")
            for nobody in ("Bob", "nobody", "ann\n"):
                await ask(ann, "expel", room="lobby", who=nobody, id=8)
                error = await hear(ann, "error")
                assert error == {"type": "error", "text": f"there is no {nobody} here", "id": 8}
            await ask(ann, "expel", room="lobby", who="bob")
            for each in (ann, bob):
                assert await hear(each, "expelled") == {"type": "expelled", "room": "lobby", "who": "bob"}
            assert (await hear(bob, "rights"))["rooms"] == {}
            await ask(ann, "expel", room="lobby", who="bob")
            assert (await hear(ann, "error"))["text"] == "there is no bob here", "not any more"
            await ask(bob, "say", room="lobby", text="but I was in")
            assert await hear(bob, "error")
            await ask(ann, "say", room="lobby", text="without bob")
            assert (await hear(eve, "said"))["text"] == "without bob"
            await ask(bob, "enter", token="x")
            assert json.loads(await bob.recv())["type"] == "error", "he has heard nothing of it"

    run(talk)


def test_what_isnt_for_everybody_stays_in_its_room() -> None:
    async def whisper() -> None:
        async with opened() as (_, url), inside(url, "ann", "bob") as (ann, bob):
            await ask(ann, "say", room="office", text="secret")
            await ask(ann, "say", room="lobby", text="open")
            assert (await hear(bob, "said"))["text"] == "open"

    run(whisper)


def test_a_connection_ends_with_its_session_and_a_new_pass_prolongs_it() -> None:
    async def stay() -> None:
        async with opened(session_seconds=0.6) as (door, url), inside(url, "ann", "bob") as (ann, bob):
            longer = door.passes.text(door.passes.session("bob", 3600))
            await ask(bob, "enter", token=longer)
            await hear(bob, "welcome")
            await ask(ann, "enter", token=longer, id=1)
            assert (await hear(ann, "error"))["text"] == "that is somebody else's pass"
            assert await closed(ann) == (1008, "your session has ended")
            await ask(bob, "say", room="lobby", text="still here")
            assert await hear(bob, "said")

    run(stay)


def test_who_talks_without_a_pause_is_ended_with_the_session_as_well() -> None:
    async def stay() -> None:
        async with opened(session_seconds=0.4) as (_, url), inside(url, "ann") as (ann,):
            with pytest.raises(ConnectionClosed):
                while True:
                    await ask(ann, "say", room="lobby", text="x")
                    await asyncio.sleep(0.05)
            assert ann.close_reason == "your session has ended"

    run(stay)


def test_logging_out_ends_all_connections_of_the_session_and_no_other() -> None:
    async def leave() -> None:
        async with opened() as (door, url), inside(url, "ann", "ann") as (other, _):
            session = await log_in(url)
            bearer = {"Authorization": f"Bearer {session}"}
            ticket = door.passes.text(door.passes.ticket(door.passes.read(session)))
            async with (
                connect(ws(url), proxy=None, additional_headers=bearer) as one,
                connect(ws(url, f"?ticket={ticket}"), proxy=None) as two,
            ):
                await hear(one, "welcome")
                await ask(two, "log out")
                assert await closed(one) == await closed(two) == (1008, "you have logged out")
            with pytest.raises(InvalidStatus, match="401"):
                await connect(ws(url), proxy=None, additional_headers=bearer)
            await ask(other, "say", room="lobby", text="still here")
            assert await hear(other, "said")

    run(leave)


def test_somebody_has_some_connections_and_not_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PERSON_CONNECTIONS", 2)

    async def crowd() -> None:
        async with opened() as (door, url), inside(url, "ann", "ann", "bob"):
            ticket = door.passes.text(door.passes.ticket(door.passes.session("ann", 60)))
            async with connect(ws(url, f"?ticket={ticket}"), proxy=None) as third:
                assert await closed(third) == (1013, "you have too many connections")

    run(crowd)


def test_an_address_has_some_connections_and_not_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ADDRESS_CONNECTIONS", 3)
    monkeypatch.setattr(limits, "HEAD_SECONDS", 0.5)

    async def crowd() -> None:
        async with opened() as (door, url):
            port = int(url.rpartition(":")[2])
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(6)]
            with pytest.raises(aiohttp.ClientError):
                await get(f"{url}/")
            for reader, _ in held:
                assert await reader.read() == b"", "those who ask for nothing are cut off in time"
            await wait_for(lambda: not door.addresses)
            for _, writer in held:
                writer.close()
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            assert (await get(f"{url}/"))[0] == 429
            for _, writer in held:
                writer.close()

    run(crowd)


async def wait_for(condition: Callable[[], object]) -> None:
    await asyncio.to_thread(wait_until, condition)


def test_a_flood_is_answered_by_errors_and_then_a_close() -> None:
    async def flood() -> None:
        async with opened() as (_, url), inside(url, "bob", "ann") as (bob, ann):
            for _ in range(limits.MESSAGES_AT_ONCE + 60):
                with contextlib.suppress(ConnectionClosed):
                    await ask(bob, "say", room="lobby", text="x")
            assert (await hear(bob, "error"))["text"] == "you are too fast"
            assert await closed(bob) == (1008, "too many errors")
            await ask(ann, "say", room="lobby", text="quiet now")
            heard = 0
            while (await hear(ann, "said"))["text"] == "x":
                heard += 1
            assert limits.MESSAGES_AT_ONCE <= heard < limits.MESSAGES_AT_ONCE + 15

    run(flood)


def test_one_who_is_silent_for_long_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "IDLE_SECONDS", 0.2)

    async def be_silent() -> None:
        async with opened() as (_, url), inside(url, "ann") as (ann,):
            assert await closed(ann) == (1008, "you have been silent for too long")

    run(be_silent)


def test_one_who_reads_nothing_is_cut_off_and_the_others_hear_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "MESSAGES_AT_ONCE", 100_000)
    monkeypatch.setattr(limits, "SEND_SECONDS", 0.3)

    async def talk() -> None:
        async with opened() as (door, url), inside(url, "ann", "bob") as (ann, bob):
            ticket = door.passes.text(door.passes.ticket(door.passes.session("eve", 60)))
            async with mute(ws(url, f"?ticket={ticket}")):
                await wait_for(lambda: len(door.guests) == 3)
                sent = 0
                while len(door.guests) == 3:
                    await ask(ann, "say", room="lobby", text=f"{sent:04}" + "x" * 990)
                    for each in (ann, bob):
                        assert (await hear(each, "said"))["text"][:4] == f"{sent:04}"
                    sent += 1
                    assert sent < 5_000

    run(talk)


def test_a_message_has_some_bytes_and_comes_as_it_is() -> None:
    async def send() -> None:
        async with opened() as (_, url), inside(url, "ann", "bob") as (ann, bob):
            await ask(bob, "say", room="lobby", text="\U0001f40d" * 1000)
            assert await hear(ann, "said")
            assert ann.protocol.extensions == []
            await ask(bob, "say", room="lobby", text="x" * 20_000)
            assert (await closed(bob))[0] == 1009

    run(send)


def test_the_log_says_who_came_and_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "door")

    async def come_and_go() -> None:
        async with opened() as (door, url):
            ticket = door.passes.text(door.passes.ticket(door.passes.session("ann", 60)))
            async with connect(ws(url, f"?ticket={ticket}"), proxy=None) as ann:
                await ask(ann, "say", room="lobby\nann logged in", text="psst")
                await hear(ann, "error")
            for _ in range(200):
                with contextlib.suppress(InvalidStatus):
                    await connect(ws(url, f"?ticket={ticket}"), proxy=None)
            assert ticket[:40] not in caplog.text
            await asyncio.sleep(0.3)
            async with inside(url, "bob"):
                pass

    run(come_and_go)
    records = [record for record in caplog.records if record.name == "door"]
    lines = [record.getMessage() for record in records]
    assert "127.0.0.1 came in as ann" in lines
    assert "127.0.0.1 may not: WRITE in lobby\\nann logged in" in lines
    seconds = records[-1].created - records[0].created  # each that is written says how many weren't
    assert len(lines) < limits.LOG_LINES_AT_ONCE + 2 * limits.LOG_LINES_PER_SECOND * seconds + 10
    assert any("too many to write down" in line for line in lines)
    assert "psst" not in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_it_speaks_tls_and_its_cookie_stays_there() -> None:
    authority = trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    client_side = ssl.create_default_context()
    authority.configure_trust(client_side)

    async def come_in() -> None:
        async with opened(context=server_side) as (_, url):
            assert url.startswith("https://")
            login = await get(f"{url}/login", headers=basic("ann", "ann's"), ssl=client_side)
            assert "Secure" in login[2].split("; ")
            bearer = {"Authorization": f"Bearer {login[1]['token']}"}
            options = {"proxy": None, "additional_headers": bearer}
            async with connect(ws(url), ssl=client_side, **options) as ann:  # type: ignore[arg-type]
                assert await hear(ann, "welcome")
            with pytest.raises(ssl.SSLCertVerificationError):
                await connect(ws(url), **options)  # type: ignore[arg-type]

    run(come_in)


@contextlib.contextmanager
def from_a_terminal(*options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str], int]]:
    """The program, the passwords that it has printed, and its port."""
    command = [sys.executable, "-m", "apps.door", "--port", "0", *options]
    program = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert program.stdout
        words: dict[str, str] = {}
        for line in program.stdout:
            if found := re.match(r"(\w+) comes in with the password (\S+)", line):
                words[found[1]] = found[2]
            elif line.startswith("Door at "):
                break
        yield program, words, int(line.strip().rpartition(":")[2])
    finally:
        program.kill()
        program.communicate()


def test_it_runs_from_a_terminal_and_says_goodbye_in_time() -> None:
    with from_a_terminal() as (program, words, port):
        listens = psutil.Process(program.pid).net_connections()
        assert {found.laddr.ip for found in listens if found.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
        assert set(words) == {"ann", "bob", "eve"}
        assert len(set(words.values())) == 3

        async def talk() -> None:
            url = f"http://127.0.0.1:{port}"
            status, what, _ = await get(f"{url}/login", headers=basic("ann", words["ann"]))
            assert status == 200
            async with connect(ws(url), proxy=None) as ann:
                await ask(ann, "enter", token=what["token"])
                await hear(ann, "welcome")
                with socket.create_connection(("127.0.0.1", port)):  # one who asks for nothing
                    program.send_signal(signal.SIGTERM)
                    assert await closed(ann) == (1012, "restarting")
                    await asyncio.to_thread(program.wait, 10)

        asyncio.run(talk())
        assert program.stderr
        assert "Traceback" not in program.stderr.read()
    assert door_server.SESSION_SECONDS == 3600


@pytest.mark.parametrize("kind", ["%s%d", "x" * 5000, "\u202e\\n"])
def test_what_a_stranger_says_first_comes_back_neither_in_the_close_nor_in_the_log(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "door")

    async def knock() -> tuple[int, str]:
        async with opened() as (_, url), connect(ws(url), proxy=None) as stranger:
            await stranger.send(f'{{"type": "{kind}", "{kind}": 1}}')
            return await closed(stranger)

    assert asyncio.run(knock()) == (1008, "there is no such request")
    assert caplog.messages == ["127.0.0.1 was refused: there is no such request"]
