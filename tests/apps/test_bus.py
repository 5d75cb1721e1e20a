"""The bus: one interface on three engines, which are killed, restarted, cut off and missing."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest
from chat_peers import ROOT
from shared import nothing_left

from apps.bus import __main__ as starter
from apps.bus.bus import ANSWER_SECONDS, KEPT, Bus, BusDown, MessagesLost, connect
from helpers import BackgroundProcess, tapped
from helpers.background.tap import BackgroundTap

ENGINES = ["redis", "nats"]
RUNS = [pytest.param(number, marks=[pytest.mark.nightly] if number else []) for number in range(20)]


def engine(kind: str, folder: Path) -> BackgroundProcess:
    command = [sys.executable, "-m", "apps.bus", kind, "--port", "{port}", "--folder", str(folder)]
    return BackgroundProcess(command, ready="^(redis|nats)://", listens=True, scheme=kind, folder=ROOT)


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An engine of each kind, by its address."""
    redis, nats = (engine(kind, tmp_path_factory.mktemp(kind)) for kind in ENGINES)
    with redis, nats:
        yield {"memory": "memory://tests", "redis": redis.url, "nats": nats.url}


@pytest.fixture(params=["memory", *ENGINES])
def url(request: pytest.FixtureRequest, engines: dict[str, str]) -> str:
    return engines[request.param]


@pytest.fixture
def own(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BackgroundProcess]:
    """An engine that the test may kill."""
    with engine(request.param, tmp_path / "files") as running:
        yield running


@contextlib.asynccontextmanager
async def buses(url: str, *keep: int) -> AsyncIterator[list[Bus]]:
    opened = [connect(url, most) for most in keep or (0,)]
    yield opened
    for bus in opened:
        await bus.close()


class Reader:
    """Reads a channel all the time."""

    def __init__(self) -> None:
        self.got: list[tuple[int, str]] = []
        self.more = asyncio.Event()

    async def read(self, bus: Bus, channel: str, after: int | None, ready: asyncio.Event) -> None:
        messages = await bus.subscribe(channel, after)
        ready.set()
        async for message in messages:
            self.got.append(message)
            self.more.set()

    async def has(self, count: int, seconds: float = 10) -> list[str]:
        async with asyncio.timeout(seconds):
            while len(self.got) < count:
                self.more.clear()
                await self.more.wait()
        return [text for _, text in self.got]


@contextlib.asynccontextmanager
async def reading(bus: Bus, channel: str, after: int | None = None) -> AsyncIterator[Reader]:
    reader, ready = Reader(), asyncio.Event()
    task = asyncio.create_task(reader.read(bus, channel, after, ready))
    async with asyncio.timeout(5):
        await ready.wait()
    yield reader
    await bus.close()
    await asyncio.wait_for(task, 5)  # `close` ends it


def test_what_one_publishes_all_get_in_one_order_with_numbers(url: str) -> None:
    async def scene() -> None:
        async with (
            buses(url, 0, 0, 0) as (ann, bob, eve),
            reading(ann, "order") as a,
            reading(bob, "order") as b,
        ):
            texts = [f"{who} {number}" for who in ("ann", "eve") for number in range(30)] + ["ä ö\nü", ""]
            positions = [await (ann if text[:3] == "ann" else eve).publish("order", text) for text in texts]
            assert await a.has(62) == texts
            assert await b.has(62) == texts
            assert a.got == b.got == list(zip(positions, texts, strict=True))
            assert positions == list(range(1, 63))

    asyncio.run(scene())


def test_a_channel_can_be_read_again_from_any_position(url: str) -> None:
    async def scene() -> None:
        async with buses(url, 0, 0) as (ann, bob):
            for number in range(1, 21):
                await ann.publish("again", f"{number}")
            async with reading(bob, "again", after=17) as late:
                assert await late.has(3) == ["18", "19", "20"]
                await ann.publish("again", "21")
                await ann.publish("elsewhere", "22")
                assert await late.has(4) == ["18", "19", "20", "21"]

    asyncio.run(scene())


def test_who_subscribes_without_a_position_gets_what_comes_from_now_on(url: str) -> None:
    async def scene() -> None:
        async with buses(url, 0, 0) as (ann, bob):
            await ann.publish("now", "before")
            async with reading(bob, "now") as late:
                await ann.publish("now", "after")
                assert await late.has(1) == ["after"]

    asyncio.run(scene())


def test_a_subscriber_that_is_slow_holds_nobody_up_and_misses_nothing(url: str) -> None:
    async def scene() -> None:
        async with buses(url, 0, 0, 0) as (ann, bob, eve), reading(bob, "slow") as quick:
            slow = await eve.subscribe("slow", 0)
            async with asyncio.timeout(20):
                for number in range(1500):
                    await ann.publish("slow", f"{number} {'x' * 100}")
                    if number == 5:
                        assert (await anext(slow))[0] == 1
                await quick.has(1500)
                assert [(await anext(slow))[0] for _ in range(1499)] == list(range(2, 1501))
            await slow.aclose()

    asyncio.run(scene())


def test_who_asks_for_what_is_no_longer_kept_is_told_so_and_may_begin_with_the_oldest() -> None:
    async def scene() -> None:
        async with buses("memory://gap", 0, 0) as (ann, bob):
            for number in range(KEPT + 5):
                await ann.publish("gap", f"{number}")
            messages = await bob.subscribe("gap", 2)
            with pytest.raises(MessagesLost, match="gap: what came after 2 is no longer kept"):
                await anext(messages)
            assert await anext(await bob.subscribe("gap", 0)) == (6, "5")

    asyncio.run(scene())


@pytest.mark.parametrize("own", ENGINES, indirect=True)
@pytest.mark.parametrize("run", RUNS)
def test_an_engine_that_is_killed_loses_nothing_and_serves_everybody_again(
    own: BackgroundProcess, run: int
) -> None:
    async def scene() -> None:
        async with buses(own.url, 0, 100, 0) as (careful, keeper, other), reading(other, "kill", 0) as reader:
            confirmed = [f"before {number}" for number in range(200)]
            for text in confirmed:
                await careful.publish("kill", text)
            own.kill()
            begin = time.monotonic()
            with pytest.raises(BusDown, match=r"127\.0\.0\.1"):
                await careful.publish("kill", "refused")
            kept = [f"kept {number}" for number in range(100)]
            assert [await keeper.publish("kill", text) for text in kept] == [0] * 100
            with pytest.raises(BusDown, match="100 messages already wait"):
                await keeper.publish("kill", "too many")
            assert time.monotonic() - begin < 3 * ANSWER_SECONDS
            await asyncio.to_thread(own.start)
            assert await reader.has(300, seconds=5) == confirmed + kept
            assert await careful.publish("kill", "after") == 301
            assert (await reader.has(301, seconds=5))[-1] == "after"
            assert [position for position, _ in reader.got] == list(range(1, 302))

    asyncio.run(scene())


@pytest.mark.parametrize("own", ENGINES, indirect=True)
def test_a_line_that_goes_dead_is_noticed_and_what_was_missed_comes_when_it_works_again(
    own: BackgroundProcess,
) -> None:
    async def scene(tap: BackgroundTap) -> None:
        async with (
            buses(own.url, 0) as (there,),
            buses(f"{own.url.rpartition(':')[0]}:{tap.port}", 0) as (here,),
            reading(here, "line") as reader,
        ):
            await here.publish("line", "1")
            await reader.has(1)
            tap.stall()
            begin = time.monotonic()
            with pytest.raises(BusDown):
                await here.publish("line", "into the void")
            assert time.monotonic() - begin < 2 * ANSWER_SECONDS
            await there.publish("line", "2")
            tap.resume()
            async with asyncio.timeout(5):
                while "2" not in await reader.has(2):
                    await reader.has(len(reader.got) + 1)

    with tapped(own.url.replace(own.url.partition(":")[0], "http")) as tap:
        asyncio.run(scene(tap))


@pytest.mark.parametrize("kind", ENGINES)
def test_when_the_engine_has_lost_its_log_who_follows_a_position_is_told_and_others_go_on(
    kind: str, tmp_path: Path
) -> None:
    async def scene(first: BackgroundProcess) -> None:
        async with buses(first.url, 0, 0, 0) as (ann, bob, eve), reading(bob, "lost") as reader:
            strict = await eve.subscribe("lost", 0)
            for number in range(3):
                await ann.publish("lost", f"old {number}")
                await anext(strict)
            await reader.has(3)
            await asyncio.to_thread(first.kill)
            shutil.rmtree(tmp_path / "files")
            await asyncio.to_thread(first.start)
            async with asyncio.timeout(10):
                while True:
                    with contextlib.suppress(BusDown):
                        assert await ann.publish("lost", "new") == 1
                        break
            await reader.has(4)
            assert reader.got[-1] == (1, "new")
            with pytest.raises(MessagesLost, match="lost: the engine has lost what came after 3"):
                await anext(strict)

    with engine(kind, tmp_path / "files") as first:
        asyncio.run(scene(first))


@pytest.mark.parametrize("kind", ENGINES)
def test_where_there_is_no_engine_everything_is_refused_in_time(kind: str) -> None:
    async def scene(port: int) -> None:
        async with buses(f"{kind}://user:secret@127.0.0.1:{port}", 0, 1) as (careful, keeper):
            with pytest.raises(BusDown) as refused:
                await careful.publish("nobody", "hi")
            assert f"127.0.0.1:{port}" in str(refused.value)
            assert "secret" not in str(refused.value)
            with pytest.raises(BusDown):
                await careful.subscribe("nobody")
            assert await keeper.publish("nobody", "hi") == 0
            begin = time.monotonic()
        assert time.monotonic() - begin < 2 * ANSWER_SECONDS  # `close` waits no longer for what is kept

    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    asyncio.run(scene(port))


def test_the_address_says_which_engine_and_a_variable_names_the_readers_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setenv("NATS_URL", "nats://nats.example:1")
    assert connect("redis://").url == "redis://127.0.0.1:6379"
    assert connect("nats://").url == "nats://nats.example:1"
    assert connect("redis://other.example:2/3").url == "redis://other.example:2/3"
    with pytest.raises(ValueError, match="'kafka://x' isn't a bus; it begins with memory, redis"):
        connect("kafka://x")


@pytest.mark.parametrize("kind", ENGINES)
def test_an_engine_listens_on_loopback_only_and_leaves_nothing(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    command = [sys.executable, "-m", "apps.bus", kind, "--port", "{port}"]
    with (
        nothing_left(),
        BackgroundProcess(
            command, ready="^(redis|nats)://", listens=True, scheme=kind, folder=ROOT
        ) as running,
    ):
        listening = {
            connection.laddr.ip
            for program in psutil.Process().children(recursive=True)
            for connection in program.net_connections()
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == running.port
        }
        assert listening == {"127.0.0.1"}
        assert list(tmp_path.glob("bus-*"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ENGINES)
def test_a_machine_without_an_engine_is_told_what_would_do(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(SystemExit, match=f"no engine for {kind}://.*{kind.upper()}_URL"):
        starter.command(kind, 1, "files")
