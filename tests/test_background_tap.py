"""A tap on the background loop: started, stopped and replaced like a server, and heard from any thread."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest
from shared import echo, nothing_left
from websockets.asyncio.client import connect

from helpers import BackgroundServer, StopButton, WireTimeline, tapped
from helpers.background.lifetime import BackgroundError, HandlerFailedError
from helpers.wire.events import Event, Frame, TcpClosed
from helpers.wire.tap import Tap


class TestListening:
    def test_past_and_present_come_once(self) -> None:
        async def main() -> None:
            with BackgroundServer(echo) as server, tapped(server) as tap:
                first: list[Event] = []
                second: list[Event] = []
                tap.listen(first.extend)
                async with connect(tap.url, proxy=None) as connection:
                    await connection.send("one")
                    await connection.recv()
                    tap.listen(second.extend, past=True)
                    await connection.send("two")
                    await connection.recv()
                    tap.tell()
                    assert first == second == tap.events()
                    assert sum(isinstance(event, Frame) for event in first) == 4

        asyncio.run(main())

    def test_the_end_is_told_when_the_tap_stops(self) -> None:
        async def main() -> None:
            told: list[Event] = []
            with BackgroundServer(echo) as server:
                async with Tap.before(server) as tap:
                    tap.listen(told.extend)
                    async with connect(tap.url, proxy=None):
                        pass
            assert told == tap.events()
            assert isinstance(told[-1], TcpClosed)

        asyncio.run(main())


class TestBackgroundTap:
    def test_it_goes_on_while_a_cell_blocks(self) -> None:
        """It is used from the thread whose loop would stand still meanwhile, and leaves nothing behind."""
        listener = socket.create_server(("127.0.0.1", 0))
        with nothing_left(), listener, tapped(f"ws://127.0.0.1:{listener.getsockname()[1]}") as tap:
            with socket.create_connection(("127.0.0.1", tap.port), 5) as client:
                accepted, _ = listener.accept()
                with accepted:
                    client.sendall(b"ping")
                    assert accepted.recv(4) == b"ping"
                    assert tap.shape(delay=0.05).delay == 0.05
                    begin = time.monotonic()
                    accepted.sendall(b"pong")
                    assert client.recv(4) == b"pong"
                    assert time.monotonic() - begin >= 0.05
            assert tap.stats.to_server.bytes == 4

    def test_run_the_cell_again(self) -> None:
        with BackgroundServer(echo) as server:
            first = tapped(server).start()
            url = first.url
            assert first.start() is first
            second = tapped(server).start()
            assert second.url == url
            assert not first.running
            with pytest.raises(BackgroundError, match="taken its place"):
                first.url  # noqa: B018
            second.stop()
            second.stop()
            assert not second.running
            assert second.start().url == url
            second.stop()

    def test_another_port_where_the_last_one_is_taken(self) -> None:
        tap = tapped("ws://127.0.0.1:9").start()
        taken = tap.port
        tap.stop()
        with socket.create_server(("127.0.0.1", taken)), tap:
            assert tap.port != taken
            assert str(tap.port) in tap.url

    def test_what_was_seen_stays(self) -> None:
        async def main() -> None:
            with BackgroundServer(echo) as server:
                async with tapped(server) as tap, connect(tap.url, proxy=None) as connection:
                    await connection.send("Hello")
                    await connection.recv()
                assert sum(isinstance(event, Frame) for event in tap.events()) >= 2
                assert tap.stats.connections == 1

        asyncio.run(main())

    def test_not_started(self) -> None:
        tap = tapped("ws://127.0.0.1:9", name="mine")
        assert repr(tap) == "<BackgroundTap 'mine' stopped>"
        for use in (lambda: tap.url, tap.events, lambda: WireTimeline(tap)):
            with pytest.raises(BackgroundError, match=r"'mine' is not running: run the cell that starts it"):
                use()

    def test_wrong_options_leave_nothing_running(self) -> None:
        with pytest.raises(ValueError, match="ws://"):
            tapped("ftp://127.0.0.1").start()
        with BackgroundServer(echo) as server, pytest.raises(ValueError, match="window"):
            tapped(server, window=0).start()

    def test_a_taken_port(self) -> None:
        with BackgroundServer(echo) as server:
            tap = tapped(server, listen_port=server.port)
            with pytest.raises(BackgroundError, match=f"port {server.port} .*your own 'echo' holds it"):
                tap.start()

    def test_what_a_listener_raises_is_raised_at_the_stop(self) -> None:
        async def main() -> None:
            with BackgroundServer(echo) as server:
                tap = tapped(server).start()
                tap.listen(lambda events: 1 / 0)  # type: ignore[arg-type]
                async with connect(tap.url, proxy=None):
                    pass
                with pytest.raises(HandlerFailedError, match="ZeroDivisionError"):
                    tap.stop()
                assert not tap.running

        asyncio.run(main())

    def test_a_button_stops_it(self) -> None:
        with BackgroundServer(echo) as server:
            tap = tapped(server).start()
            button = StopButton(tap)
            button._stop()
            assert not tap.running
            assert button.tooltip == ""

    def test_a_button_stops_what_has_taken_its_place(self) -> None:
        with BackgroundServer(echo) as server:
            button = StopButton(tapped(server).start())
            again = tapped(server).start()
            button._stop()
            assert not again.running
            assert button.tooltip == ""
