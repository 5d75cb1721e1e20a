"""The wire timeline without a browser, and the tap on the background loop."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from conversations import Peers, decode, handshake
from shared import echo
from websockets.asyncio.client import ClientConnection, connect
from websockets.frames import Opcode

from helpers import BackgroundServer, WireTimeline, tapped
from helpers.widgets.timeline import BYTES_PER_SECOND, DRAWN, KEPT, KEPT_BYTES
from helpers.widgets.timeline_rows import Row, RowMaker, as_table, excerpt, in_words, text_excerpt
from helpers.wire.events import TO_CLIENT, TO_SERVER, Direction, Event, Frame, TcpClosed, TcpOpened

Talk = Callable[[ClientConnection], Awaitable[object]]


def table_of(events: list[Event]) -> str:
    return as_table(RowMaker().rows(events))


def text_frame() -> Frame:
    (frame,) = (
        event for event in decode([*handshake(), (TO_CLIENT, bytes([0x81, 1]) + b"x")], end=False)[4:]
    )
    assert isinstance(frame, Frame)
    return frame


class FakeTap:
    """A tap whose events the test makes."""

    def __init__(self) -> None:
        self.callbacks: list[Callable[[list[Event]], None]] = []

    def listen(self, callback: Callable[[list[Event]], None], *, past: bool = False) -> Callable[[], None]:
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback) if callback in self.callbacks else None

    def tell(self) -> None:
        pass

    def show(self, *events: Event) -> None:
        for callback in list(self.callbacks):
            callback(list(events))


async def converse(talk: Talk) -> WireTimeline:
    """The timeline of one conversation with an echo server, from TCP open to TCP close."""
    with BackgroundServer(echo, compression=None) as server, tapped(server) as tap:
        timeline = WireTimeline(tap)
        async with connect(tap.url, proxy=None, compression=None) as connection:
            await talk(connection)
        closed = itertools.count(1)
        await timeline.seen(lambda event: isinstance(event, TcpClosed) and next(closed) == 2)
        return timeline


async def some_talk(connection: ClientConnection) -> None:
    await connection.send("Hello")
    await connection.recv()
    await connection.send(["To be, ", "or not"])
    await connection.recv()
    await connection.send(b"\x00\xff")
    await connection.recv()
    await (await connection.ping())
    await connection.close(1000, "bye")


TABLE = """\
no.     what                     bytes
  1  →  TCP opens
  2  →  GET /                           Upgrade: websocket
  3  ←  101 Switching Protocols         Upgrade: websocket
  4  ↔  WebSocket open
  5  →  text                        11  "Hello"
  6  ←  text                         7  "Hello"
  7  →  text                        13  first part, more follow: "To be, "
  8  →  continuation                12  next part, more follow: "or not"
  9  →  continuation                 6  last of 3 parts, together "To be, or not"
 10  ←  text                        15  "To be, or not"
 11  →  binary                       8  00 ff
 12  ←  binary                       4  00 ff
 13  →  ping                        10  4 random bytes
 14  ←  pong                         6  4 random bytes
 15  →  close                       11  1000 (normal closure) "bye"
 16  ←  close                        7  1000 (normal closure) "bye"
 17  ←  TCP ends                        the server sends no more
 18  →  TCP ends                        the client sends no more"""


class TestTable:
    def test_the_same_conversation_prints_the_same(self) -> None:
        first, second = (asyncio.run(converse(some_talk)) for _ in range(2))
        assert str(first) == repr(second) == TABLE
        assert first.frames[0].mask != second.frames[0].mask

    def test_with_times(self) -> None:
        timeline = asyncio.run(converse(some_talk))
        header, *lines = timeline.table(times=True).splitlines()
        assert header.split() == ["no.", "ms", "what", "bytes"]
        times = [float(line.split()[1]) for line in lines]
        begin = timeline.events[0].at
        assert times == pytest.approx([1000 * (event.at - begin) for event in timeline.events], abs=0.051)

    def test_the_last_lines(self) -> None:
        timeline = asyncio.run(converse(some_talk))
        lines = timeline.table(last=2).splitlines()
        assert lines[1] == "… 16 earlier"
        assert [line.split()[0] for line in lines[2:]] == ["17", "18"]

    def test_nothing(self) -> None:
        assert str(WireTimeline(FakeTap())) == "nothing on the wire yet"

    def test_connections_are_told_apart(self) -> None:
        tap = FakeTap()
        timeline = WireTimeline(tap)
        tap.show(*(TcpOpened(connection=number, direction=TO_SERVER, at=0.0) for number in (1, 2)))
        assert "#1" in str(timeline)
        assert "#2" in str(timeline)
        assert timeline.table(connection=2).splitlines()[1:] == ["  2  →  TCP opens"]

    def test_what_a_client_has_received_is_in_it(self) -> None:
        async def main() -> None:
            with BackgroundServer(echo) as server, tapped(server) as tap:
                timeline = WireTimeline(tap)
                async with connect(tap.url, proxy=None) as connection:
                    for number in range(20):
                        await connection.send(str(number))
                        assert await connection.recv() == str(number)
                        assert len(timeline.frames) == 2 * number + 2
                        assert f'"{number}"' in str(timeline).splitlines()[-1]

        asyncio.run(main())


class TestWords:
    def test_compressed(self) -> None:
        peers = Peers(server_max_window_bits=12)
        peers.send(TO_SERVER, Opcode.TEXT, b"Hello " * 20)
        peers.send(TO_SERVER, Opcode.TEXT, b"Hel", fin=False)
        peers.send(TO_SERVER, Opcode.CONT, b"lo")
        lines = table_of(decode(peers.said)).splitlines()
        assert lines[4].endswith("with permessage-deflate")
        assert '"Hello Hello' in lines[5]
        assert ", compressed 120 → " in lines[5]
        assert lines[6].endswith("first part, more follow, compressed")
        assert 'last of 2 parts, together "Hello", compressed 5 → ' in lines[7]

    def test_a_broken_rule(self) -> None:
        assert (
            "→  protocol error                  a frame from the client is not masked (RFC 6455 §5.1)"
        ) in table_of(decode([*handshake(), (TO_SERVER, b"\x81\x01x")]))

    def test_rubbish(self) -> None:
        assert "→  not WebSocket" in table_of(decode([(TO_SERVER, b"\x16\x03\x01\r\n\r\n")]))

    def test_server_sent_events_without_their_chunks(self) -> None:
        stream = b"event: tick\ndata: 1\n\n"
        said: list[tuple[Direction, bytes]] = [
            (TO_SERVER, b"GET /news HTTP/1.1\r\nHost: x\r\n\r\n"),
            (
                TO_CLIENT,
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
            ),
            (TO_CLIENT, b"%x\r\n%s\r\n0\r\n\r\n" % (len(stream), stream)),
        ]
        table = table_of(decode(said))
        assert ' 4  ←  event         21  tick: "1"' in table
        assert "chunk" not in table
        assert "text/event-stream" in table
        plain = [(way, data.replace(b"event-stream", b"plain")) for way, data in said]
        assert "chunk" in table_of(decode(plain))
        unknown = [
            (way, data.replace(b"chunked\r\n", b"chunked\r\nContent-Encoding: br\r\n")) for way, data in said
        ]
        assert "chunk" in table_of(decode(unknown))

    def test_a_plain_answer(self) -> None:
        said: list[tuple[Direction, bytes]] = [
            (TO_SERVER, b"GET / HTTP/1.1\r\n\r\n"),
            (TO_CLIENT, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nnews!"),
        ]
        lines = table_of(decode(said)).splitlines()
        assert lines[3] == "  3  ←  200 OK"
        assert lines[4] == '  4  ←  body           5  "news!"'

    @pytest.mark.parametrize(
        ("payload", "shown"),
        [
            (b"a\nb", '"a\\nb"'),
            ("a\u202eb".encode(), '"a\\u202eb"'),
            ("ä€".encode(), '"ä€"'),
            ("é".encode() * 100, f'"{"é" * 48}…"'),
            (b"\x1b[2J", "1b 5b 32 4a"),
            ("zero\u200dwidth".encode(), '"zero\\u200dwidth"'),
            (b"\xff" * 13, "ff " * 12 + "…"),
            (b"", ""),
        ],
    )
    def test_excerpts(self, payload: bytes, shown: str) -> None:
        assert excerpt(payload, len(payload)) == shown

    def test_an_excerpt_of_a_cut_payload(self) -> None:
        payload = "€".encode() * 2000
        assert excerpt(payload[:4096], len(payload)) == f'"{"€" * 48}…"'
        assert text_excerpt("x" * 49) == f'"{"x" * 48}…"'

    def test_only_random_pings_lose_their_payload(self) -> None:
        (ping,) = decode([*handshake(), (TO_CLIENT, b"\x89\x05beat!")], end=False)[4:]
        (random,) = decode([*handshake(), (TO_CLIENT, b"\x89\x04beat")], end=False)[4:]
        assert in_words(ping, steady=True).note == '"beat!"'
        assert in_words(random, steady=True).note == "4 random bytes"
        assert in_words(random).note == "62 65 61 74"

    def test_bytes_that_happen_to_be_text_are_shown_as_bytes(self) -> None:
        assert excerpt("%é!".encode(), 4, binary=True) == "25 c3 a9 21"
        assert excerpt(b"plain", 5, binary=True) == '"plain"'

    def test_a_row_for_the_page_is_bounded(self) -> None:
        header = b"X-Long: " + b"x" * 30_000
        request = b"GET / HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n\r\n"
        payload = bytes([0x82, 126]) + (20_000).to_bytes(2) + bytes(20_000)
        events = decode([(TO_SERVER, request)]) + decode([*handshake(), (TO_CLIENT, payload)])
        rows = [Row(number, event).for_page() for number, event in enumerate(events)]
        assert max(map(len, rows)) < 20_000


class TestSeen:
    def test_frames(self) -> None:
        async def main() -> None:
            tap = FakeTap()
            timeline = WireTimeline(tap)
            waiting = asyncio.ensure_future(timeline.seen(2))
            await asyncio.sleep(0)
            tap.show(text_frame())
            await asyncio.sleep(0)
            assert not waiting.done()
            threading.Thread(target=tap.show, args=[text_frame()]).start()
            assert len(await waiting) == 2  # type: ignore[arg-type]

        asyncio.run(main())

    def test_an_event_is_looked_at_once(self) -> None:
        async def main() -> None:
            tap = FakeTap()
            timeline = WireTimeline(tap)
            looked: list[Event] = []

            def second(event: Event) -> bool:
                looked.append(event)
                return len(looked) == 2

            waiting = asyncio.ensure_future(timeline.seen(second))
            frames = [text_frame(), text_frame()]
            for frame in frames:
                await asyncio.sleep(0)
                tap.show(frame)
            assert await waiting is frames[1]
            assert looked == frames

        asyncio.run(main())

    def test_too_late(self) -> None:
        async def main() -> None:
            tap = FakeTap()
            timeline = WireTimeline(tap)
            tap.show(text_frame())
            with pytest.raises(
                TimeoutError, match=r'(?s)not show 2 frames in 0.01 s, but 1 frames:.*text.*"x"'
            ):
                await timeline.seen(2, timeout=0.01)
            with pytest.raises(ZeroDivisionError):
                await timeline.seen(lambda event: 1 / 0)

        asyncio.run(main())


class TestBounds:
    def test_rows(self) -> None:
        tap = FakeTap()
        timeline = WireTimeline(tap)
        frame = text_frame()
        tap.show(*[frame] * (KEPT + 2000))
        assert len(timeline.events) == KEPT
        assert timeline.table(last=1).splitlines()[1] == f"… {KEPT + 1999:,} earlier"
        view = json.loads(timeline._view)
        assert len(view["rows"]) <= DRAWN
        assert view["frames"] == [0, KEPT + 2000]

    def test_bytes(self) -> None:
        payload = bytes([0x82, 126]) + (60_000).to_bytes(2) + bytes(60_000)
        (frame,) = decode([*handshake(), (TO_CLIENT, payload)], end=False, keep=60_000)[4:]
        tap = FakeTap()
        timeline = WireTimeline(tap)
        tap.show(*[frame] * 1000)
        assert sum(event.kept for event in timeline.events) <= KEPT_BYTES
        assert len(timeline.events) == KEPT_BYTES // frame.kept

    def test_a_flood_is_updated_seldom_and_to_its_end(self) -> None:
        tap = FakeTap()
        timeline = WireTimeline(tap)
        views: list[str] = []
        complete = threading.Event()

        def updated(change: Any) -> None:
            views.append(change["new"])
            if json.loads(change["new"])["count"] == 5000:
                complete.set()

        timeline.observe(updated, "_view")
        frame = text_frame()
        for _ in range(1000):
            tap.show(*[frame] * 5)
        assert complete.wait(5)
        assert len(views) < 50
        assert [row["n"] for row in json.loads(views[-1])["rows"]] == list(range(4701, 5001))
        assert len(views[-1]) < BYTES_PER_SECOND / 2


class TestUse:
    def test_clear(self) -> None:
        async def main() -> None:
            tap = FakeTap()
            timeline = WireTimeline(tap)
            tap.show(text_frame(), text_frame())
            timeline.clear()
            assert timeline.frames == []
            assert str(timeline) == "nothing on the wire yet"
            with pytest.raises(TimeoutError):
                await timeline.seen(1, timeout=0.01)
            tap.show(text_frame())
            assert len(await timeline.seen(1)) == 1  # type: ignore[arg-type]
            assert str(timeline).splitlines()[1].startswith("  1  ←  text")

        asyncio.run(main())

    def test_the_page_clears_and_leafs(self) -> None:
        tap = FakeTap()
        timeline = WireTimeline(tap)
        frame = text_frame()
        tap.show(*[frame] * 1000)
        sent: list[Any] = []
        timeline.send = sent.append
        timeline._from_the_page(timeline, {"do": "page", "before": 701}, [])
        assert [row["n"] for row in json.loads(sent[0]["rows"])] == list(range(401, 701))
        assert sent[0]["before"] == 701  # other pages have not asked for it
        timeline._from_the_page(timeline, {"do": "clear", "until": 999}, [])
        assert len(timeline.frames) == 1
        timeline._from_the_page(timeline, {"do": "clear", "until": 5000}, [])
        assert timeline.frames == []
        tap.show(frame)
        assert len(timeline.frames) == 1

    def test_the_text_beside_the_display_is_the_table(self) -> None:
        tap = FakeTap()
        timeline = WireTimeline(tap)
        tap.show(*[text_frame()] * 20)
        assert timeline._repr_mimebundle_()[0]["text/plain"] == timeline.table()
        assert len(timeline.table()) > 300

    def test_a_new_timeline_takes_the_place_of_the_one_before(self) -> None:
        tap = FakeTap()
        before, other, after = WireTimeline(tap), WireTimeline(FakeTap()), WireTimeline(tap)
        tap.show(text_frame())
        assert [len(timeline.frames) for timeline in (before, other, after)] == [0, 0, 1]
        after.close()
        assert tap.callbacks == []

    def test_a_timeline_made_afterwards_shows_all(self) -> None:
        async def main() -> None:
            with BackgroundServer(echo, compression=None) as server, tapped(server) as tap:
                async with connect(tap.url, proxy=None, compression=None) as connection:
                    await some_talk(connection)
            assert str(WireTimeline(tap)).splitlines()[:15] == TABLE.splitlines()[:15]

        asyncio.run(main())
