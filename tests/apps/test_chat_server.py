"""Our chat server, asked through FastAPI's TestClient: a conversation, who may come in, how it hangs up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from apps.chat import room as chat_room
from apps.chat.server import app, manager


@pytest.fixture
def web() -> Iterator[TestClient]:
    with TestClient(app) as client:  # one event loop for all connections, as in the server
        yield client


def enter(
    web: TestClient, name: str = "Ann", room: str = "lobby", more: str = "", **headers: str
) -> WebSocketTestSession:
    return web.websocket_connect(f"/ws?name={name}&room={room}{more}", headers=headers)


def events(session: WebSocketTestSession, count: int) -> list[Any]:
    return [session.receive_json() for _ in range(count)]


def test_a_conversation(web: TestClient) -> None:
    with enter(web, "Ann") as ann:
        assert ann.receive_json() == {
            "type": "welcome",
            "name": "Ann",
            "room": "lobby",
            "members": ["Ann"],
            "history": [],
        }
        ann.send_text("hi")
        said = {"type": "said", "who": "Ann", "text": "hi"}
        assert ann.receive_json() == said
        with enter(web, "Bob") as bob:
            assert bob.receive_json() == {
                "type": "welcome",
                "name": "Bob",
                "room": "lobby",
                "members": ["Ann", "Bob"],
                "history": [said],
            }
            assert ann.receive_json() == {"type": "joined", "who": "Bob"}
            bob.send_text("/typing")
            bob.send_text("hello")
            assert ann.receive_json() == {"type": "typing", "who": "Bob"}
            assert ann.receive_json() == bob.receive_json() == {"type": "said", "who": "Bob", "text": "hello"}
            ann.send_text("/to Bob psst, you")
            told = {"type": "told", "who": "Ann", "to": "Bob", "text": "psst, you"}
            assert ann.receive_json() == bob.receive_json() == told
        assert ann.receive_json() == {"type": "left", "who": "Bob"}


def test_without_name_and_room(web: TestClient) -> None:
    with web.websocket_connect("/ws") as guest:
        welcome = guest.receive_json()
    assert (welcome["name"], welcome["room"]) == ("guest", "lobby")


def refused(web: TestClient, **options: str) -> tuple[int, str]:
    with pytest.raises(WebSocketDisconnect) as caught, enter(web, **options):
        pass
    return caught.value.code, caught.value.reason


def test_the_token(web: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAT_TOKEN", "open sesame")
    wrong = (1008, "the token is missing or wrong")
    assert refused(web) == refused(web, more="&token=x") == refused(web, more="&token=") == wrong
    assert web.get("/health").status_code == web.post("/tell", json={"text": "hi"}).status_code == 403
    with enter(web, more="&token=open%20sesame") as ann:
        assert ann.receive_json()["type"] == "welcome"
    assert web.get("/health?token=open sesame").json() == {}


@pytest.mark.parametrize(
    "origin",
    [
        *["https://evil.example", "null", "http://[", "https://chat.example.org.evil", "file://", "*"],
        *["https://evil@localhost", "https://localhost:80@evil.example", "https://localhost.evil.example"],
        *["http://localhost/", "http://localhost:8888/x", "//localhost", "localhost", "http://testserver:81"],
        *["chrome-extension://localhost", "http://[::1", "http://localhost:x"],
    ],
)
def test_pages_from_elsewhere_stay_out_and_the_operator_learns_why(
    web: TestClient, origin: str, caplog: pytest.LogCaptureFixture
) -> None:
    code, reason = refused(web, origin=origin)
    assert code == 1008
    assert reason == f"pages from {origin} may not connect"
    assert f"may not connect: {reason}" in caplog.text
    answer = web.post("/tell", json={"text": "hi"}, headers={"origin": origin})
    assert (answer.status_code, answer.json()["detail"]) == (403, reason)


def test_a_page_from_nowhere_stays_out_and_a_long_origin_is_told_in_short(web: TestClient) -> None:
    assert refused(web, origin="") == (1008, "pages from nowhere may not connect")
    assert len(refused(web, origin="https://" + "x" * 60_000)[1]) < 300


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://localhost:8888"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "http://[::1]:8501"},
        {"origin": "https://chat.example.org", "host": "chat.example.org"},
        {"origin": "https://Chat.example.org", "host": "chat.example.org:443"},
        {"origin": "https://friend.example"},
        {"origin": "https://slash.example"},
        {"origin": "http://port.example:8080"},
        {"origin": "http://usual.example"},
        {"origin": "moz-extension://0af5-9b"},
    ],
)
def test_pages_that_may_connect(
    web: TestClient, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]
) -> None:
    monkeypatch.setenv(
        "CHAT_ORIGINS",
        " https://other.example, HTTPS://Friend.example ,https://slash.example/,,"
        "http://port.example:8080, http://usual.example:80, moz-extension://0af5-9b",
    )
    with enter(web, **headers) as ann:
        assert ann.receive_json()["type"] == "welcome"


@pytest.mark.parametrize("entry", ["*", "friend.example", "null", "https://a.example/chat", "https://a b"])
def test_an_entry_that_is_no_origin_is_an_error_at_the_start(
    monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    monkeypatch.setenv("CHAT_ORIGINS", f"https://other.example, {entry}")
    with pytest.raises(ValueError, match=r"CHAT_ORIGINS: .* is no origin, such as https://"), TestClient(app):
        pass


def test_tell_and_health(web: TestClient) -> None:
    assert web.post("/tell", json={"text": "hi"}).status_code == 404
    with enter(web, "Ann") as ann:
        assert web.post("/tell", json={"text": "the shop closes"}).json() == {"members": 1}
        said = {"type": "said", "who": "server", "text": "the shop closes"}
        assert events(ann, 2)[1] == said
        assert web.get("/health").json() == {"lobby": ["Ann"]}
    for wrong in ("", "{}", '{"text": ""}', f'{{"text": "{"x" * 4097}"}}', "[" * 20_000, "\xff"):
        assert web.post("/tell", content=wrong).status_code == 422
    for what in ("NaN", "Infinity", r'"half \ud83d"', r'"\udc00"', "1e999", f'"{"y" * 5000}"'):
        answer = web.post("/tell", content=f'{{"text": {what}}}')
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] in (["text"], [])
        assert len(answer.content) < 500  # what was sent isn't in it
    assert web.post("/tell", content=b"x" * 70_000).status_code == 413


def test_a_notice_finds_its_room_by_any_spelling(web: TestClient) -> None:
    with enter(web, "Ann", "The%20Attic") as ann:
        assert web.post("/tell", json={"text": "dinner", "room": " the  attic"}).json() == {"members": 1}
        assert [event["type"] for event in events(ann, 2)] == ["welcome", "said"]


def test_names_are_one_in_every_spelling(web: TestClient) -> None:
    with enter(web, "%20Ann%20%20Lee%20") as ann, enter(web, "ann%20lee", "LOBBY%20") as second:
        assert ann.receive_json()["name"] == "Ann Lee"
        assert second.receive_json()["name"] == "ann lee-2"
        second.send_text("/to ann lee psst")
        told = {"type": "told", "who": "ann lee-2", "to": "Ann Lee", "text": "psst"}
        assert events(ann, 2)[1] == second.receive_json() == told
    for name in ("server%20", "SERVER", "%EF%BD%93erver"):
        with enter(web, name) as someone:
            assert someone.receive_json()["name"].endswith("-2")
    for name in ("%20", "%E3%85%A4", "Ann%CD%8F", "%E2%80%AEnnA", "Ann%00"):
        with enter(web, name) as session:
            assert last(session) == (1008, "names have 1 to 32 printable characters")


def last(session: WebSocketTestSession) -> tuple[int, str]:
    """What a client gets at the end: `bye`, then the close code and its reason."""
    while (event := session.receive_json())["type"] != "bye":
        pass
    with pytest.raises(WebSocketDisconnect) as caught:
        session.receive_json()
    assert caught.value.reason == event["text"]
    return caught.value.code, event["text"]


def test_a_text_that_is_too_long(web: TestClient) -> None:
    with enter(web, "Ann") as ann, enter(web, "Bob") as bob:
        bob.send_text("ü" * 4096)
        bob.send_text("x" * 4097)
        bob.send_text("not heard any more")
        assert last(bob) == (1009, "a message has at most 4,096 characters")
        assert [event["type"] for event in events(ann, 4)] == ["welcome", "joined", "said", "left"]
        ann.send_text("still here")
        assert ann.receive_json()["text"] == "still here"


def test_bytes(web: TestClient) -> None:
    with enter(web) as ann:
        ann.send_bytes(b"hi")
        assert last(ann) == (1003, "send text, not bytes")


def test_where_there_is_no_place_the_reason_comes_before_the_close(
    web: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with enter(web, room="") as session:
        assert last(session) == (1008, "names have 1 to 32 printable characters")
    assert manager.rooms == {}
    monkeypatch.setattr(chat_room, "ROOM_MEMBERS", 1)
    with enter(web, "Ann") as ann, enter(web, "Bob") as bob:
        assert last(bob) == (1013, "the room is full: it has 1 members")
        ann.send_text("alone")
        assert [event["type"] for event in events(ann, 2)] == ["welcome", "said"]
        assert [client.name for client in manager.clients] == ["Ann"]
    assert not manager.clients
