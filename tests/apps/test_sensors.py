"""The collector and its devices over real connections: rubbish, slow disks, kills, and nothing lost."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import aiohttp
import pytest
from shared import wait_until
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from apps.sensors import collector as module
from apps.sensors import device as devices
from apps.sensors.collector import Collector, serve_until
from apps.sensors.device import Device, fleet
from apps.sensors.store import Row, Store

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def collecting(path: Path, **options: Any) -> AsyncIterator[tuple[Collector, str]]:
    """A collector in this process; yields it and its address."""
    store, stop = Store(path), asyncio.Event()
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    collector = Collector(store, **options)
    serving = asyncio.create_task(serve_until(stop, collector, "127.0.0.1", 0, ready.set_result))
    try:
        yield collector, f"ws://127.0.0.1:{await ready}"
    finally:
        stop.set()
        await serving
        store.close()


async def until(condition: Callable[[], object]) -> None:
    await asyncio.to_thread(wait_until, condition, 20)


def readings(*numbers: int) -> str:
    return json.dumps([{"number": number, "at": time.time(), "value": 20.0} for number in numbers])


async def answers_until(connection: ClientConnection, ack: int) -> list[dict[str, Any]]:
    """What the collector answers, up to an acknowledgement."""
    seen = []
    async with asyncio.timeout(10):
        async for message in connection:
            seen.append(json.loads(message))
            if seen[-1].get("ack", -1) == ack:
                break
    return seen


def test_rubbish_is_refused_in_words_and_stops_nobody_else(tmp_path: Path) -> None:
    rubbish: list[str | bytes] = [
        "no JSON",
        b"bytes",
        "[]",
        '[{"number": 1, "at": 1, "value": NaN}]',
        readings(-1),
    ]

    async def talk() -> None:
        async with (
            collecting(tmp_path / "a.sqlite") as (collector, url),
            connect(f"{url}/device?name=good", proxy=None) as good,
            connect(f"{url}/device?name=bad", proxy=None) as bad,
        ):
            for message in rubbish:
                await bad.send(message)
            await bad.send(readings(1, 2, 2, 3))
            assert await answers_until(good, 0) == [{"ack": 0}]
            await good.send(readings(1))
            assert await answers_until(good, 1) == [{"ack": 1}]
            said = await answers_until(bad, 3)
            assert [set(each) - {"number"} for each in said] == [{"ack"}, *[{"error"}] * 6, {"ack"}]
            assert said[-2] == {"error": "number 2 came after 2: numbers must rise", "number": 2}
            assert (collector.stored, collector.refused) == (4, 6)
            for _ in range(20):
                await bad.send("again")
            await bad.wait_closed()
            assert (bad.close_code, bad.close_reason) == (1008, "more than 20 readings were wrong")
            async with connect(f"{url}/device?name=huge", proxy=None) as huge:
                await huge.send("x" * 20_000)
                await huge.wait_closed()
                assert huge.close_code == 1009
            await good.send(readings(2))
            assert await answers_until(good, 2) == [{"ack": 2}]

    asyncio.run(talk())


def test_who_is_turned_away_is_told_why_and_the_page_is_served(tmp_path: Path) -> None:
    async def ask() -> None:
        async with collecting(tmp_path / "a.sqlite") as (_, url), aiohttp.ClientSession() as session:
            for path in ("/device", "/device?name=Ann", "/device?name=" + "a" * 33, "/nowhere"):
                with pytest.raises(InvalidStatus) as refused:
                    await connect(url + path, proxy=None)
                assert refused.value.response.status_code == 403
                assert b"give the device a name" in refused.value.response.body
            web = url.replace("ws", "http")
            async with session.get(web) as page:
                assert page.headers["Content-Type"] == "text/html; charset=utf-8"
                assert "<title>Sensors</title>" in await page.text()
            async with session.get(f"{web}/secret") as missing:
                assert missing.status == 404

    asyncio.run(ask())


def test_a_client_that_somebody_else_wrote_sends_and_watches(tmp_path: Path) -> None:
    """With aiohttp."""

    async def talk() -> None:
        async with (
            collecting(tmp_path / "a.sqlite") as (_, url),
            aiohttp.ClientSession(url) as session,
            session.ws_connect("/device?name=attic") as device,
            session.ws_connect("/watch") as watching,
            session.ws_connect("/watch") as other,
        ):
            assert await device.receive_json() == {"ack": 0}
            await device.send_str(readings(1, 2))
            assert await device.receive_json() == {"ack": 2}
            assert (await other.receive_json())["alarm"] == 30.0
            for nonsense in ("?", '{"alarm": "hot"}', '{"alarm": 1, "who": 2}', "[" * 10_000):
                await watching.send_str(nonsense)
            await watching.send_json({"show": "attic"})
            await watching.send_json({"alarm": 19.5})
            told: list[dict[str, Any]] = []
            async with asyncio.timeout(10):
                while not told or told[-1].get("alarm") != 19.5:
                    told.append(await watching.receive_json())
                while (state := await other.receive_json())["alarm"] != 19.5:
                    pass
            assert sum("error" in each for each in told) == 4
            (shown,) = (each for each in told if "show" in each)
            assert sum(value == 20.0 for _, value in shown["minute"]) == 1
            assert (state["connected"], state["stored"]) == (1, 2)
            assert [name for name, *_ in state["devices"]] == ["attic"]

    asyncio.run(talk())


def test_a_burst_of_questions_stops_nobody_and_drowns_nobody(tmp_path: Path) -> None:
    async def talk() -> None:
        async with collecting(tmp_path / "a.sqlite") as (_, url):
            device = await connect(f"{url}/device?name=attic", proxy=None)
            honest = await connect(f"{url}/watch", proxy=None)
            loud = await connect(f"{url}/watch", proxy=None)
            burst = asyncio.create_task(ask_often(loud))
            number, longest = 0, 0.0
            while not burst.done():
                number += 1
                began = time.monotonic()
                await device.send(readings(number))
                await answers_until(device, number)
                longest = max(longest, time.monotonic() - began)
            await burst
            async with asyncio.timeout(10):
                while (state := json.loads(await honest.recv()))["alarm"] != 1.0:
                    pass
            assert state["devices"]
            assert number > 5
            assert longest < 2

    async def ask_often(loud: ClientConnection) -> None:
        for _ in range(200):
            for _ in range(100):
                await loud.send('{"alarm": 2}')
            await asyncio.sleep(0)
        await loud.send('{"alarm": 1}')

    asyncio.run(talk())


def test_a_device_that_comes_again_takes_over_and_goes_on_after_what_is_stored(tmp_path: Path) -> None:
    async def talk() -> None:
        async with collecting(tmp_path / "a.sqlite") as (_, url):
            first = await connect(f"{url}/device?name=attic", proxy=None)
            await first.send(readings(1, 2))
            await answers_until(first, 2)
            async with connect(f"{url}/device?name=attic", proxy=None) as second:
                assert await answers_until(second, 2) == [{"ack": 2}]
                with pytest.raises(ConnectionClosedError):
                    await first.recv()
                await second.send(readings(2, 3))  # 2 again: it isn't stored twice
                await answers_until(second, 3)

    asyncio.run(talk())
    store = Store(tmp_path / "a.sqlite")
    assert store.numbers("attic") == [1, 2, 3]
    store.close()


def test_a_device_that_is_restarted_while_the_disk_fails_gets_no_number_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DISK_PAUSE", 0.01)
    add, last = Store.add, Store.last
    asked: list[str] = []

    def fail_until_asked_again(store: Store, rows: Iterable[Row]) -> int:
        if len(asked) < 2:
            raise sqlite3.OperationalError("database or disk is full")
        return add(store, rows)

    def note(store: Store, device: str) -> int:
        number = last(store, device)
        asked.append(device)
        return number

    monkeypatch.setattr(Store, "add", fail_until_asked_again)
    monkeypatch.setattr(Store, "last", note)

    async def talk() -> Any:
        async with collecting(tmp_path / "a.sqlite") as (collector, url):
            old = await connect(f"{url}/device?name=attic", proxy=None)
            await answers_until(old, 0)
            await old.send(readings(1, 2))
            await until(lambda: collector._devices["attic"].number == 2)
            old.transport.abort()
            async with connect(f"{url}/device?name=attic", proxy=None) as new:
                return json.loads(await new.recv())

    assert asyncio.run(talk()) == {"ack": 2}


def test_a_slow_disk_stops_the_devices_and_not_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAITING_MESSAGES", 5)

    async def talk() -> tuple[int, list[str]]:
        async with collecting(tmp_path / "a.sqlite", slow=60) as (collector, url):
            devices = [await connect(f"{url}/device?name=d{n}", proxy=None) for n in range(10)]
            for device in devices:
                assert await device.recv() == '{"ack":0}'
            for device in devices:
                await device.send(readings(1))
            await until(lambda: collector.waiting() == 5)
            collector.slow = 0  # for the end
            return collector.waiting(), [device.state.name for device in devices]

    monkeypatch.setattr(module, "TIME_TO_DRAIN", 0.1)
    assert asyncio.run(talk()) == (5, ["OPEN"] * 10)


def test_a_disk_that_fails_acknowledges_nothing_until_it_works_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "DISK_PAUSE", 0.01)
    full = [True, True, False]

    def add(store: Store, rows: Iterable[Row]) -> int:
        if full.pop(0):
            raise sqlite3.OperationalError("database or disk is full")
        return add_really(store, rows)

    add_really = Store.add
    monkeypatch.setattr(Store, "add", add)

    async def talk() -> list[dict[str, Any]]:
        async with (
            collecting(tmp_path / "a.sqlite") as (_, url),
            connect(f"{url}/device?name=attic", proxy=None) as device,
        ):
            await device.send(readings(1))
            return await answers_until(device, 1)

    assert asyncio.run(talk()) == [{"ack": 0}, {"ack": 1}]
    assert caplog.text.count("can't store 1 readings, trying again: database or disk is full") == 2


@contextmanager
def program(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-u", "-m", *arguments]
    alone = {name: value for name, value in os.environ.items() if not name.startswith("WEBSOCKETS_")}
    with subprocess.Popen(command, cwd=ROOT, env=alone, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def collector_program(
    path: Path, port: int = 0, slow: float = 0
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    with program("apps.sensors.collector", f"--port={port}", f"--file={path}", f"--slow={slow}") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "collecting into" in line
        yield process, int(line.rpartition(":")[2])


@pytest.mark.parametrize("kills", [5, pytest.param(50, marks=pytest.mark.nightly)])
def test_a_collector_that_is_killed_loses_nothing_that_it_acknowledged(
    tmp_path: Path, kills: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL at random moments under load; the devices send again what was not acknowledged."""
    monkeypatch.setattr("apps.sensors.device.LONGEST_PAUSE", 0.5)  # it is about losses, not about waiting
    path, chance = tmp_path / "a.sqlite", random.Random(7)

    async def live() -> dict[str, int]:
        with collector_program(path, slow=0.05) as (process, port):
            devices = fleet(f"ws://127.0.0.1:{port}", 5, 200)
            running = [asyncio.create_task(device.run()) for device in devices]
            await all_connected(devices)
            await asyncio.sleep(chance.uniform(0, 0.3))  # what is tried here is any moment
            process.kill()
        for left in reversed(range(kills)):
            with collector_program(path, port, slow=0.05) as (process, _):
                await all_connected(devices)
                await asyncio.sleep(chance.uniform(0, 0.3))
                if left:
                    process.kill()
                else:
                    async with asyncio.timeout(20):
                        measured = {device.name: await device.finish() for device in devices}
        for task in running:
            task.cancel()
        await asyncio.wait(running)
        assert all(device.outbox is not None and device.outbox.lost == 0 for device in devices)
        return measured

    measured = asyncio.run(live())
    store = Store(path)
    for name, last in measured.items():
        assert last > 10
        assert store.numbers(name) == list(range(1, last + 1))  # each of them, and once
    store.close()


async def all_connected(devices: list[Device]) -> None:
    await until(lambda: all(device.connected for device in devices))


def test_a_collector_that_is_asked_to_end_stores_and_acknowledges_what_it_has_received(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.sqlite"

    async def live() -> int:
        with collector_program(path) as (process, port):
            async with connect(f"ws://127.0.0.1:{port}/device?name=attic", proxy=None) as device:
                for number in range(1, 300):
                    await device.send(readings(number))
                await device.recv()
                process.send_signal(signal.SIGTERM)
                with pytest.raises(ConnectionClosedError, match="1012"):
                    async with asyncio.timeout(5):
                        while True:
                            acked: int = json.loads(await device.recv())["ack"]
            assert await asyncio.to_thread(process.wait, 5) == 0
        return acked

    acked = asyncio.run(live())
    store = Store(path)
    assert store.numbers("attic") == list(range(1, acked + 1))
    store.close()


def test_everything_starts_with_one_command_and_ends_with_a_signal() -> None:
    with program("apps.sensors", "--port=0", "--count=20", "--rate=20") as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        path = Path(process.stdout.readline().split()[-1])

        async def watch() -> Any:
            cookies = {"Cookie": "; ".join(f"port-{n}={'x' * 260}" for n in range(36))}
            watch = url.replace("http", "ws") + "/watch"
            async with connect(watch, proxy=None, additional_headers=cookies) as watching:
                async with asyncio.timeout(20):
                    while (state := json.loads(await watching.recv()))["stored"] < 400:
                        pass
                    return state

        assert asyncio.run(watch())["connected"] == 20
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
        assert not path.exists()


def test_a_clock_that_is_set_back_refuses_no_honest_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = time.time

    async def talk() -> None:
        async with collecting(tmp_path / "r.sqlite") as (collector, url):
            async with connect(f"{url}/device?name=attic-1", proxy=None) as attic:
                await answers_until(attic, 0)
                message = readings(1)
                monkeypatch.setattr(time, "time", lambda: right() - 3600)
                await attic.send(message)
                assert await answers_until(attic, 1) == [{"ack": 1}]
            assert collector.refused == 0

    asyncio.run(talk())


def test_a_name_under_which_nothing_was_sent_is_forgotten(tmp_path: Path) -> None:
    async def talk() -> None:
        async with collecting(tmp_path / "r.sqlite") as (collector, url):
            for name in ("attic-1", "attic-2"):
                async with connect(f"{url}/device?name={name}", proxy=None) as device:
                    await answers_until(device, 0)
                    if name == "attic-1":
                        await device.send(readings(1))
                        await answers_until(device, 1)
            await until(lambda: list(collector._devices) == ["attic-1"])

    asyncio.run(talk())


def test_a_device_at_an_address_that_is_no_collector_goes_on() -> None:
    async def talk() -> None:
        async with serve(lambda connection: connection.send("who are you?"), "127.0.0.1", 0) as server:
            device = Device("attic-1", f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", rate=10)
            running = asyncio.create_task(device.run())
            await until(lambda: running.done() or device.trouble)
            assert device.trouble.startswith("DecodeError")
            assert not running.done()
            running.cancel()
            await asyncio.wait([running])

    asyncio.run(talk())


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("count", "-1"),
        ("count", "10001"),
        ("rate", "0"),
        ("rate", "nan"),
        ("name", "Attic"),
        ("name", "\ud800"),
    ],
)
def test_a_fleet_that_cannot_be_is_refused_on_the_command_line(
    what: str, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["device", f"--{what}={text}"])
    with pytest.raises(SystemExit):
        devices.main()
    assert f"argument --{what}: " in capsys.readouterr().err


@pytest.mark.parametrize(("unread", "cut"), [(module.UNREAD, False), (module.UNREAD + 1, True)])
def test_who_leaves_too_much_unread_is_cut_off_but_not_for_one_long_state(
    unread: int, cut: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "broadcast", lambda connections, text: None)
    watcher, text = Mock(), "x" * (2 * module.UNREAD)  # as of 5,000 devices
    watcher.transport.get_write_buffer_size.return_value = unread + len(text)
    module.tell([watcher], text)
    assert watcher.transport.abort.called == cut
