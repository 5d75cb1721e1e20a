"""Our chat server, asked through FastAPI's TestClient: the protocol, who may come in, and the limits."""

from __future__ import annotations

import json

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from apps.chat import server as chat_server
from apps.chat.server import app, manager


@pytest.fixture
def web():
    with TestClient(app) as client:  # one event loop for all connections, as in the server
        yield client


def enter(web, name="Ann", room="lobby", more="", **headers):
    return web.websocket_connect(f"/ws?name={name}&room={room}{more}", headers=headers)


def events(session, count):
    return [session.receive_json() for _ in range(count)]


def test_a_conversation(web):
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


def test_without_name_and_room(web):
    with web.websocket_connect("/ws") as guest:
        welcome = guest.receive_json()
    assert (welcome["name"], welcome["room"]) == ("guest", "lobby")


def test_a_taken_name_gets_a_number(web):
    with enter(web) as first, enter(web) as second, enter(web) as third, enter(web, "server") as fourth:
        names = [session.receive_json()["name"] for session in (first, second, third, fourth)]
    assert names == ["Ann", "Ann-2", "Ann-3", "server-2"]


def test_what_is_told_is_no_history_and_rooms_are_apart(web):
    with enter(web, "Ann Lee") as ann, enter(web, "Ann") as other, enter(web, "Cat", "attic") as cat:
        other.send_text("/to Ann Lee psst")
        assert events(ann, 3)[2] == {"type": "told", "who": "Ann", "to": "Ann Lee", "text": "psst"}
        ann.send_text("hi")
        assert ann.receive_json()["text"] == "hi"
        cat.send_text("up here")
        assert [event["type"] for event in events(cat, 2)] == ["welcome", "said"]
    with enter(web, "Bob") as bob:
        assert [said["text"] for said in bob.receive_json()["history"]] == ["hi"]


@pytest.mark.parametrize("text", ["/dance", "/", "/to Nobody hi", "/to Ann", "/to"])
def test_a_command_that_does_not_work_is_answered(web, text):
    with enter(web) as ann, enter(web, "Bob") as bob:
        ann.send_text(text)
        answer = events(ann, 3)[-1]
        assert answer["type"] == "error"
        assert "/to NAME TEXT" in answer["text"]
        ann.send_text("on we go")
        assert [event["type"] for event in events(bob, 2)] == ["welcome", "said"]


def refused(web, **options):
    with pytest.raises(WebSocketDisconnect) as caught, enter(web, **options):
        pass
    return caught.value.code, caught.value.reason


def test_the_token(web, monkeypatch):
    monkeypatch.setenv("CHAT_TOKEN", "open sesame")
    wrong = (1008, "the token is missing or wrong")
    assert refused(web) == refused(web, more="&token=x") == refused(web, more="&token=") == wrong
    assert web.get("/health").status_code == web.post("/tell", json={"text": "hi"}).status_code == 403
    with enter(web, more="&token=open%20sesame") as ann:
        assert ann.receive_json()["type"] == "welcome"
    assert web.get("/health?token=open sesame").json() == {}


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://[", "https://chat.example.org.evil"]
)
def test_pages_from_elsewhere_stay_out(web, origin):
    code, reason = refused(web, origin=origin)
    assert code == 1008
    assert reason == f"pages from {origin} may not connect"
    answer = web.post("/tell", json={"text": "hi"}, headers={"origin": origin})
    assert (answer.status_code, answer.json()["detail"]) == (403, reason)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://localhost:8888"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "http://[::1]:8501"},
        {"origin": "https://chat.example.org", "host": "chat.example.org"},
        {"origin": "https://friend.example"},
    ],
)
def test_pages_that_may_connect(web, monkeypatch, headers):
    monkeypatch.setenv("CHAT_ORIGINS", "https://other.example,https://friend.example")
    with enter(web, **headers) as ann:
        assert ann.receive_json()["type"] == "welcome"


def test_tell_and_health(web):
    assert web.post("/tell", json={"text": "hi"}).status_code == 404
    with enter(web, "Ann") as ann:
        assert web.post("/tell", json={"text": "the shop closes"}).json() == {"members": 1}
        said = {"type": "said", "who": "server", "text": "the shop closes"}
        assert events(ann, 2)[1] == said
        assert web.get("/health").json() == {"lobby": ["Ann"]}
    for wrong in ({}, {"text": ""}, {"text": "x" * 4097}):
        assert web.post("/tell", json=wrong).status_code == 422


def last(session):
    """What a client gets at the end: `bye`, then the close code and its reason."""
    while (event := session.receive_json())["type"] != "bye":
        pass
    with pytest.raises(WebSocketDisconnect) as caught:
        session.receive_json()
    assert caught.value.reason == event["text"]
    return caught.value.code, event["text"]


def test_a_text_that_is_too_long(web):
    with enter(web, "Ann") as ann, enter(web, "Bob") as bob:
        bob.send_text("ü" * 4096)
        bob.send_text("x" * 4097)
        bob.send_text("not heard any more")
        assert last(bob) == (1009, "a message has at most 4,096 characters")
        assert [event["type"] for event in events(ann, 4)] == ["welcome", "joined", "said", "left"]
        ann.send_text("still here")
        assert ann.receive_json()["text"] == "still here"


def test_bytes(web):
    with enter(web) as ann:
        ann.send_bytes(b"hi")
        assert last(ann) == (1003, "send text, not bytes")


@pytest.mark.parametrize(
    "where", [{"name": "x" * 33}, {"name": "a%0ab"}, {"name": "%E2%80%AEa"}, {"room": ""}]
)
def test_names_are_short_and_printable(web, where):
    with enter(web, **where) as session:
        assert last(session) == (1008, "names have 1 to 32 printable characters")
    assert manager.rooms == {}


def test_a_full_room(web, monkeypatch):
    monkeypatch.setattr(chat_server, "ROOM_MEMBERS", 1)
    with enter(web, "Ann") as ann, enter(web, "Bob") as bob:
        assert last(bob) == (1013, "the room is full: it has 1 members")
        with enter(web, "Bob", "attic") as upstairs:
            assert upstairs.receive_json()["members"] == ["Bob"]
        ann.send_text("alone")
        assert [event["type"] for event in events(ann, 2)] == ["welcome", "said"]


def test_an_empty_room_makes_place_for_a_new_one(web, monkeypatch):
    monkeypatch.setattr(chat_server, "ROOMS", 2)
    with enter(web, room="a") as ann, enter(web, room="b"):
        ann.receive_json()
        with enter(web, room="c") as session:
            assert last(session) == (1013, "all 2 rooms are in use")
        ann.send_text("remember this")
        ann.receive_json()
    with enter(web, room="b"), enter(web, room="a") as ann:
        assert [said["text"] for said in ann.receive_json()["history"]] == ["remember this"]
    with enter(web, room="c") as cat:
        assert cat.receive_json()["members"] == ["Ann"]
    assert list(manager.rooms) == ["b", "c"]


def test_history_is_bounded_in_number_and_in_length(web):
    with enter(web) as ann:
        ann.receive_json()
        for number in range(60):
            ann.send_text(str(number))
            ann.receive_json()
        history = [said["text"] for said in manager.rooms["lobby"].history]
        assert history == [str(number) for number in range(10, 60)]
        for _ in range(5):
            ann.send_text("x" * 4096)
            ann.receive_json()
        assert [said["text"] for said in manager.rooms["lobby"].history] == ["x" * 4096] * 4


def test_the_largest_welcome_fits_into_a_queue():
    room = chat_server.Room("\U0001f40d" * 32)
    for _ in range(1000):
        room.members[room.free_name("\U0001f40d" * 32)] = None
    for _ in range(50):
        room.remember({"type": "said", "who": "\U0001f40d" * 32 + "-1000", "text": "\x01" * (16_384 // 50)})
    text = json.dumps(room.welcome(room.name), ensure_ascii=False)
    assert 200_000 < len(text.encode()) < chat_server.OUTBOX_BYTES
