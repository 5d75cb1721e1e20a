"""The game's server: who comes in, what each client is told, and what strangers can't do."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from shared import until
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from apps.game import messages
from apps.game import server as game_server
from apps.game.bots import play
from apps.game.game import Game
from apps.game.gate import invitation, own_address
from apps.game.messages import View, apply
from apps.game.server import GameServer
from apps.game.world import MOST_PLAYERS


class Player:
    """A client that keeps what it has seen."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.seen: View = {"players": {}, "coins": {}}
        self.ack = self.number = 0
        self.body: dict[str, Any] = {}

    async def hear(self, kind: str) -> Any:
        """The next message of this kind; states on the way are noted."""
        async with asyncio.timeout(10):
            while True:
                message = json.loads(await self.connection.recv())
                if message["type"] in ("snapshot", "changes"):
                    if message["type"] == "snapshot":
                        self.seen = {"players": {}, "coins": {}}
                    apply(self.seen, message)
                    self.ack, self.body = message.get("ack", 0), message.get("body", {})
                if message["type"] == kind:
                    return message

    async def say(self, kind: str, **content: Any) -> None:
        await self.connection.send(json.dumps({"type": kind, **content}))

    async def move(self, x: int, y: int, dash: bool = False) -> None:
        self.number += 1
        await self.say("input", number=self.number, x=x, y=y, dash=dash)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for a state in which something is so."""
        while not condition():
            await self.hear("changes")

    @property
    def own(self) -> dict[str, Any]:
        return dict(self.seen["players"][str(self.you)])

    async def join(self, name: str, seat: str = "") -> Player:
        await self.say("join", name=name, seat=seat)
        welcome = await self.hear("welcome")
        self.you, self.seat, self.number = welcome["you"], welcome["seat"], welcome["ack"]
        await self.hear("snapshot")
        return self


@asynccontextmanager
async def serving(code: str = "") -> AsyncIterator[tuple[GameServer, str]]:
    server = GameServer(Game(1), code=code)
    async with server.serving("127.0.0.1", 0) as url:
        yield server, url.replace("http", "ws")


def visit(url: str, **options: Any) -> connect:
    return connect(url, proxy=None, **options)


def test_one_moves_and_the_other_sees_it_and_a_spectator_too() -> None:
    async def plays() -> None:
        async with serving() as (_, url), visit(url) as a, visit(url) as b, visit(url) as c:
            ann, bob, spectator = await Player(a).join("Ann"), await Player(b).join("Bob"), Player(c)
            await spectator.say("watch")
            await spectator.hear("snapshot")
            await ann.until(lambda: len(ann.seen["players"]) == 2)
            begin = ann.own["x"]
            way = 1 if begin < 800 else -1
            await ann.move(way, 0)
            await ann.until(lambda: ann.ack == 1)
            assert 0 < (ann.body["x"] - begin) * way <= 23
            for other in (bob, spectator):
                while other.seen["players"]["1"]["x"] != ann.body["x"]:
                    await other.hear("changes")
                assert other.seen["players"]["1"]["name"] == "Ann"
            await spectator.move(1, 0)
            assert "you aren't playing" in (await spectator.hear("error"))["text"]
            await bob.say("ping", time=12.5)
            assert (await bob.hear("pong"))["time"] == 12.5
            await bob.say("watch")
            await ann.until(lambda: list(ann.seen["players"]) == ["1"])

    asyncio.run(plays())


def test_one_who_comes_back_gets_its_place_and_the_older_window_is_told() -> None:
    async def comes_back() -> None:
        async with serving() as (server, url), visit(url) as w:
            await Player(w).say("watch")
            async with visit(url) as first:
                ann = await Player(first).join("Ann")
                await ann.move(0, 1)
                await ann.until(lambda: ann.ack == 1)
            watcher = Player(w)
            await watcher.until(lambda: watcher.seen["players"].get("1", {}).get("away"))
            server.game.seats[1].player.coins = 7
            async with visit(url) as second, visit(url) as third:
                again = await Player(second).join("Ann", ann.seat)
                assert (again.you, again.number, again.own["coins"]) == (1, 1, 7)
                elsewhere = await Player(third).join("Ann", ann.seat)
                assert elsewhere.you == 1
                assert "another window" in (await again.hear("bye"))["text"]
                with pytest.raises(ConnectionClosedError) as closed:
                    await again.hear("nothing more")
                assert closed.value.rcvd
                assert closed.value.rcvd.code == game_server.ELSEWHERE
                await elsewhere.hear("changes")
                assert not elsewhere.own["away"]
            await watcher.until(lambda: watcher.seen["players"]["1"]["away"])

    asyncio.run(comes_back())


def test_the_seventeenth_may_watch() -> None:
    async def comes() -> None:
        async with serving() as (server, url), visit(url) as one:
            for number in range(MOST_PLAYERS):
                server.game.sit(f"P{number}")
            late = Player(one)
            await late.say("join", name="Ann")
            assert (await late.hear("error"))["text"] == "16 are playing already: watch, or try again later"
            await late.say("watch")
            assert len((await late.hear("snapshot"))["players"]) == 16

    asyncio.run(comes())


BAD: dict[str, tuple[str | bytes, str]] = {
    "no JSON": ("hello", "this isn't JSON"),
    "bytes": (b"\x00\x01", "text messages, not binary"),
    "no object": ("[1, 2]", "this isn't a valid request"),
    "deep": ("[" * 500, "this isn't"),
    "an unknown type": ('{"type": "win"}', "'win'"),
    "no name": ('{"type": "join", "name": "  "}', "type a name"),
    "a long name": ('{"type": "join", "name": "Maximiliane-Sophie"}', "at most 16"),
    "a name with a line": ('{"type": "join", "name": "Ann\\nBob"}', "names have"),
    "a giant step": ('{"type": "input", "number": 1, "x": 9, "y": 0}', "$.x"),
    "a fraction": ('{"type": "input", "number": 1, "x": 0.5, "y": 0}', "$.x"),
    "a position": ('{"type": "input", "number": 1, "x": 1, "y": 0, "at": [1, 2]}', "unknown field"),
    "before joining": ('{"type": "input", "number": 1, "x": 1, "y": 0}', "join first"),
    "time of the wrong kind": ('{"type": "ping", "time": "now"}', "$.time"),
}


def test_each_bad_request_gets_a_clear_error_and_too_many_are_the_end() -> None:
    async def asks() -> None:
        async with serving() as (_, url), visit(url) as one, visit(url) as other:
            bad, ann = Player(one), await Player(other).join("Ann")
            for name, (text, words) in BAD.items():
                await bad.connection.send(text)
                said = (await bad.hear("error"))["text"]
                assert words in said, f"{name}: {said}"
            for _ in range(10):
                await bad.connection.send("again")
            assert "too many bad messages" in (await bad.hear("bye"))["text"]
            await ann.hear("changes")

    asyncio.run(asks())


async def _flood(player: Player) -> None:
    for _ in range(400):
        await player.say("ping", time=0)


async def _large(player: Player) -> None:
    await player.connection.send("x" * 10_000)


@pytest.mark.parametrize(
    ("attack", "code"), [(_flood, game_server.POLICY), (_large, 1009)], ids=["a flood", "a large message"]
)
def test_one_who_overdoes_it_is_closed_and_the_others_play_on(
    attack: Callable[[Player], Awaitable[None]], code: int
) -> None:
    async def attacks() -> None:
        async with serving() as (server, url), visit(url) as one, visit(url) as other:
            rude, ann = await Player(one).join("Rude"), await Player(other).join("Ann")
            with pytest.raises(ConnectionClosedError) as closed:
                await attack(rude)
                await rude.hear("nothing")
            assert closed.value.rcvd
            assert closed.value.rcvd.code == code
            await ann.until(lambda: ann.seen["players"]["1"]["away"])
            assert server.longest < 0.5

    asyncio.run(attacks())


def test_one_who_says_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    async def waits() -> None:
        async with serving() as (server, url):
            monkeypatch.setattr(game_server, "HEAD_SECONDS", 0.2)
            async with visit(url) as silent:
                with pytest.raises(ConnectionClosedError, match="say whether you want to play or watch"):
                    await Player(silent).hear("nothing")
            await until(lambda: not server.clients)

    asyncio.run(waits())


def test_one_who_reads_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(game_server, "PATIENCE", 0.3)
    monkeypatch.setattr(game_server, "MOST_WAITING", 4096)
    monkeypatch.setattr("apps.game.server.view", with_weight(messages.view))

    async def waits() -> None:
        async with serving() as (server, url):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", int(url.rpartition(":")[2])))
            mute = await connect(url, sock=sock, proxy=None, max_queue=1)
            await mute.send('{"type": "watch"}')
            await until(lambda: any(client.here for client in server.clients))
            await until(lambda: not server.clients)
            mute.transport.abort()

    asyncio.run(waits())


def with_weight(look: Callable[[Any], View]) -> Callable[[Any], View]:
    """A view that is new and large in each tick, so that the system's own buffers are full soon."""

    def heavier(world: Any) -> View:
        seen = look(world)
        seen["coins"] |= {f"{world.tick}-{number}": [0, 0, 1] for number in range(4000)}
        return seen

    return heavier


def test_without_the_code_nobody_comes_in() -> None:
    async def comes() -> None:
        async with serving("K7M2QD") as (_, url), aiohttp.ClientSession() as session:
            http = url.replace("ws", "http")
            for query, said in (("", "missing"), ("?code=AAAAAA", "wrong"), ("?code=%00", "wrong")):
                with pytest.raises(InvalidStatus, match="403"):
                    async with visit(url + query):
                        pass
                answer = await session.get(f"{http}/gate{query}")
                assert (answer.status, said in await answer.text()) == (403, True)
            async with visit(f"{url}/?code=k7m2qd") as one:
                await Player(one).join("Ann")
            assert (await session.get(f"{http}/gate?code=K7M2QD")).status == 200
            for path, status in (("/", 200), ("/draw.js", 200), ("/../server.py", 403), ("/server.py", 403)):
                assert (await session.get(http + path)).status == status

    asyncio.run(comes())


def program(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "apps.game", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        env={"PYTHONIOENCODING": "utf-8", **__import__("os").environ},
    )


def until_ready(started: subprocess.Popen[str]) -> list[str]:
    assert started.stdout
    lines: list[str] = []
    while not (lines and lines[-1].startswith("Game at ")):
        lines.append(started.stdout.readline())
        assert lines[-1], "".join(lines)
    return lines


def listens_on(started: subprocess.Popen[str]) -> set[str]:
    import psutil

    found = psutil.Process(started.pid).net_connections(kind="inet")
    return {each.laddr.ip for each in found if each.status == psutil.CONN_LISTEN}


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_from_a_terminal_it_listens_on_loopback_only_and_ends_in_time() -> None:
    started = program("--bots", "2")
    try:
        [line] = until_ready(started)
        assert listens_on(started) == {"127.0.0.1"}

        async def meets_the_bots() -> str:
            async with visit(line.split()[-1].replace("http", "ws")) as one:
                ann = await Player(one).join("Ann")
                await ann.until(lambda: len(ann.seen["players"]) == 3)
                started.send_signal(signal.SIGTERM)
                await one.wait_closed()
                return f"{one.close_code} {one.close_reason}"

        assert asyncio.run(meets_the_bots()) == "1001 the server is going down"
        assert started.communicate(timeout=10)[0] == ""
        assert started.returncode == 0
    finally:
        started.kill()


def test_the_qr_code_is_black_on_white_whatever_the_terminals_theme() -> None:
    for line in invitation("http://127.0.0.1:8000/", coloured=True).splitlines():
        assert re.fullmatch("\033\\[38;5;231;48;5;16m[█▀▄ ]+\033\\[0m", line)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_with_lan_it_says_what_is_open_and_wants_the_code() -> None:
    started = program("--lan")
    try:
        first, *qr, last = until_ready(started)
        code = re.search(r"without the code ([A-Z2-9]{6})\.", first)
        assert code
        assert first.startswith("Open to your whole network: port ")
        assert len(qr) > 10
        assert last.split()[-1].endswith(f"/?code={code[1]}")
        assert own_address() in last
        assert listens_on(started) == {"0.0.0.0"}
        url = last.split()[-1].replace("http", "ws").replace(own_address(), "127.0.0.1")

        async def comes() -> None:
            with pytest.raises(InvalidStatus, match="403"):
                async with visit(url.partition("?")[0]):
                    pass
            async with visit(url) as one:
                await Player(one).join("Ann")

        asyncio.run(comes())
    finally:
        started.kill()
        started.communicate()


def test_sixteen_bots_play_and_each_tick_is_short() -> None:
    async def plays() -> GameServer:
        async with serving() as (server, url):
            bots = [asyncio.create_task(play(url, f"Bot {number}", seed=number)) for number in range(16)]
            async with visit(url) as one:
                watcher = Player(one)
                await watcher.say("watch")
                await watcher.until(
                    lambda: sum(each["coins"] for each in watcher.seen["players"].values()) > 3
                )
            begin = time.monotonic()
        for bot in bots:
            await bot
        assert time.monotonic() - begin < 3
        return server

    assert len(asyncio.run(plays()).game.world.players) == 16


def test_ticks_that_were_late_are_made_up_for_unless_the_machine_was_asleep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def is_held_up(seconds: float) -> int:
        async with serving() as (server, url), visit(url) as one:
            watcher = Player(one)
            await watcher.say("watch")
            before = int((await watcher.hear("snapshot"))["tick"])
            time.sleep(seconds)  # noqa: ASYNC251
            for _ in range(50):
                await asyncio.sleep(0)
            return server.game.world.tick - before

    assert asyncio.run(is_held_up(0.5)) > 8
    monkeypatch.setattr(game_server, "MOST_LATE", 0.2)
    assert asyncio.run(is_held_up(0.5)) < 6
