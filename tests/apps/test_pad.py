"""The pad's server and client: what it has acknowledged outlives it; Yjs itself ends with the same text."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from apps.pad import server as pad
from apps.pad.client import PadClient
from apps.pad.document import STEP_1, STEP_2, Document, write
from apps.pad.server import PadServer
from apps.pad.store import Store

ROOT = Path(__file__).resolve().parents[2]
YJS = Path(__file__).with_name("yjs")


@contextlib.asynccontextmanager
async def serving(path: Path | str = ":memory:") -> AsyncIterator[str]:
    async with PadServer(path).serving("127.0.0.1", 0) as url:
        yield url.replace("http", "ws")


@contextlib.asynccontextmanager
async def editing(url: str, *names: str) -> AsyncIterator[list[PadClient]]:
    """Clients in one room, who leave at the end."""
    clients = [PadClient(name) for name in names]
    for client in clients:
        await client.connect(f"{url}/plans")
    try:
        yield clients
    finally:
        for client in clients:
            await client.disconnect()


def test_letters_cursors_and_undo_cross() -> None:
    async def edit() -> None:
        async with serving() as url, editing(url, "Ann", "Bob") as (ann, bob):
            ann.insert(0, "hello wörld")
            await bob.until(lambda: bob.text == "hello wörld")
            bob.select(6, 11)
            await ann.until(lambda: ann.people == {"Bob": 11})
            ann.edit((0, 5, "good"), (4, 0, " old"))
            await bob.until(lambda: ann.people == {"Bob": 14} and bob.text == "good old wörld")
            bob.delete(9, 1)
            ann.undo()
            await asyncio.gather(ann.synced(), bob.synced())
            await ann.until(lambda: ann.text == "hello örld")
            ann.redo()
            await bob.until(lambda: bob.text == "good old örld")
            await bob.disconnect()
            await ann.until(lambda: ann.people == {})
            with pytest.raises(ConnectionError):
                await bob.synced()

    asyncio.run(edit())


def test_what_was_edited_offline_is_merged() -> None:
    async def edit() -> None:
        async with serving() as url, editing(url, "Ann", "Bob") as (ann, bob):
            ann.insert(0, "middle")
            await bob.until(lambda: bob.text)
            await bob.disconnect()
            for number in range(30):
                bob.insert(number, "b")
                ann.insert(len(ann.text), "a")
            assert not bob.connected
            await bob.connect(f"{url}/plans")
            await ann.until(lambda: ann.text == bob.text == "b" * 30 + "middle" + "a" * 30)
            await ann.until(lambda: "Bob" in ann.people)

    asyncio.run(edit())


def test_a_server_that_is_killed_loses_nothing_that_it_has_acknowledged(tmp_path: Path) -> None:
    file = tmp_path / "pad.sqlite"

    async def edit() -> None:
        command = [sys.executable, "-m", "apps.pad", "--port", "0", "--file", str(file)]
        acknowledged = ""
        for _ in range(2):
            server = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
            assert server.stdout
            url = (await server.stdout.readline()).decode().split()[-1].replace("http", "ws")
            ann = PadClient("Ann")
            await ann.connect(f"{url}/plans")
            assert ann.text == acknowledged
            for number in range(50):
                ann.insert(len(ann.text), f"{number} ")
            await ann.synced()
            acknowledged = ann.text
            server.kill()
            await server.wait()
            await ann.disconnect()

    asyncio.run(edit())


def test_an_edit_of_a_page_is_numbered_across_restarts(tmp_path: Path) -> None:
    async def edit() -> None:
        async with serving(tmp_path / "pad.sqlite") as url, connect(f"{url}/?room=plans", proxy=None) as pat:
            joined = await join(pat, name="Pat")
            await pat.send(json.dumps({"type": "edit", "number": 1, "revision": 0, "splices": [[0, 0, "x"]]}))
            change = await hear(pat, "change")
            assert (change["by"], change["number"]) == (joined["id"], 1)
        async with serving(tmp_path / "pad.sqlite") as url, connect(f"{url}/?room=plans", proxy=None) as pat:
            again = await join(pat, name="Pat", seat=joined["seat"], run=joined["run"])
            assert (again["text"], again["number"], again["seat"]) == ("x", 1, joined["seat"])

    asyncio.run(edit())


async def hear(page: ClientConnection, kind: str) -> Any:
    async with asyncio.timeout(10):
        while (message := json.loads(await page.recv()))["type"] != kind:
            pass
        return message


async def join(page: ClientConnection, **more: Any) -> Any:
    await page.send(json.dumps({"type": "join", **more}))
    return await hear(page, "joined")


def test_rubbish_gets_an_answer_and_disturbs_nobody() -> None:
    async def edit() -> None:
        async with serving() as url, editing(url, "Ann") as (ann,):
            for rubbish in (
                b"\0\1\3abc",
                b"\x07",
                "text",
                write(STEP_2, b"\xff\xff\xff\xff\x07"),
                write(STEP_1, b"\5"),
            ):
                async with connect(f"{url}/plans", proxy=None) as eve:
                    await eve.send(rubbish)
                    with pytest.raises(ConnectionClosed) as closed:
                        async with asyncio.timeout(10):
                            while True:
                                await eve.recv()
                    assert closed.value.rcvd
                    assert closed.value.rcvd.code == 1007
            async with connect(f"{url}/?room=plans", proxy=None) as eve:
                for rubbish in (
                    "{",
                    '{"type":"edit"}',
                    '{"type":"caret","revision":0,"caret":[0,0]}',
                    b"\xff",
                ):
                    await eve.send(rubbish)
                    assert (await hear(eve, "error"))["text"]
                await join(eve, name="Eve" * 1000)
                for splices in (
                    [[0, 1, ""]],
                    [[-1, 0, "x"]],
                    [[0, 0, "\ud83d"]],
                    [[0, 0]],
                    [[0, 0, ""]] * 1001,
                ):
                    edit = {"type": "edit", "number": 9, "revision": 0, "splices": splices}
                    await eve.send(json.dumps(edit))
                    assert (await hear(eve, "error"))["text"]
                ann.insert(0, "still here")
                assert (await hear(eve, "change"))["splices"] == [[0, 0, "still here"]]
                for _ in range(pad.ERRORS):
                    await eve.send("{")
                await asyncio.wait_for(eve.wait_closed(), 10)
                assert eve.close_code == 1008
            await ann.synced()

    asyncio.run(edit())


def test_who_may_connect_where() -> None:
    async def knock(url: str, origin: str | None = None) -> int:
        try:
            async with connect(url, proxy=None, origin=origin):  # type: ignore[arg-type]
                return 101
        except InvalidStatus as error:
            return error.response.status_code

    async def edit() -> None:
        async with serving() as url:
            own = url.replace("ws", "http")
            assert [await knock(f"{url}/plans", origin) for origin in (None, own)] == [101] * 2
            for stranger in ("https://evil.example", "null", "http://127.0.0.1.evil.example", "http://["):
                assert await knock(f"{url}/plans", stranger) == 403
            for nowhere in ("/Plans", "/a/b", "/" + 41 * "x", "/?room=../x", "/%2e"):
                assert await knock(url + nowhere) == 404

    asyncio.run(edit())


def test_one_who_reads_nothing_is_cut_off_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pad, "MOST_UNREAD", 2**16)
    monkeypatch.setattr("apps.pad.room.LARGEST", 2**30)

    async def edit() -> None:
        async with serving() as url, editing(url, "Ann", "Bob", "Mute") as (ann, bob, mute):
            await ann.until(lambda: "Mute" in ann.people)
            assert mute._connection
            mute._connection.transport.pause_reading()
            while "Mute" in ann.people:
                ann.edit((0, len(ann.text), f"{len(ann.text)} " + "x" * 300_000))
                await ann.synced()
            await bob.until(lambda: bob.text == ann.text)
            mute._connection.transport.abort()

    asyncio.run(asyncio.wait_for(edit(), 30))


def test_a_disk_that_fails_delays_and_loses_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pad, "DISK_PAUSE", 0.01)
    failures = iter([sqlite3.OperationalError("disk full")] * 3)
    add = Store.add

    def fail_first(store: Store, rows: Any) -> None:
        if error := next(failures, None):
            raise error
        add(store, rows)

    monkeypatch.setattr(Store, "add", fail_first)

    async def edit() -> None:
        async with serving(tmp_path / "pad.sqlite") as url, editing(url, "Ann") as (ann,):
            ann.insert(0, "patience")
            await ann.synced()
            assert next(failures, None) is None
        async with serving(tmp_path / "pad.sqlite") as url, editing(url, "Bob") as (bob,):
            assert bob.text == "patience"

    asyncio.run(edit())


def test_many_updates_become_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pad, "COMPACT_AFTER", 20)
    file = tmp_path / "pad.sqlite"

    async def edit() -> None:
        async with serving(file) as url, editing(url, "Ann") as (ann,):
            for number in range(50):
                ann.insert(number, "x")
                await ann.synced()

    asyncio.run(edit())
    store = Store(file)
    updates = store.load("plans")
    store.close()
    assert 0 < len(updates) <= 20
    document = Document()
    for update in updates:
        document.apply(update)
    assert str(document) == "x" * 50


def test_a_full_disk_stops_no_server_that_only_wants_to_merge(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pad, "COMPACT_AFTER", 3)

    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Store, "replace", fail)

    async def edit() -> None:
        async with serving(tmp_path / "pad.sqlite") as url, editing(url, "Ann") as (ann,):
            for number in range(10):
                ann.insert(number, "x")
                await ann.synced()
        async with serving(tmp_path / "pad.sqlite") as url, editing(url, "Bob") as (bob,):
            assert bob.text == "x" * 10

    asyncio.run(edit())
    assert "can't merge the changes of plans, trying again later: database or disk is full" in caplog.text


def test_a_file_has_one_server_at_a_time_and_others_may_read_it(tmp_path: Path) -> None:
    async def edit() -> None:
        for letter in "ab":
            async with serving(tmp_path / "pad.sqlite") as url, editing(url, "Ann") as (ann,):
                ann.insert(0, letter)
                await ann.synced()
                with pytest.raises(sqlite3.OperationalError, match="another server uses"):
                    async with serving(tmp_path / "pad.sqlite"):
                        pass
                with contextlib.closing(Store(tmp_path / "pad.sqlite")) as store:
                    assert store.load("plans")
                assert ann.text in ("a", "ba")

    asyncio.run(edit())


def test_one_who_asks_often_gets_each_answer_and_they_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pad, "LARGEST", 500_000)  # that may wait; the text may be larger
    batches, send = [], PadServer._send
    add, disk = Store.add, threading.Event()
    disk.set()

    def wait_and_add(store: Store, rows: Any) -> None:
        assert disk.wait(20)
        add(store, rows)

    monkeypatch.setattr(Store, "add", wait_and_add)

    def note(server: PadServer, room: Any, batch: Any) -> None:
        batches.append(sum(len(each.message) for each in batch))
        send(server, room, batch)

    monkeypatch.setattr(PadServer, "_send", note)

    async def edit() -> None:
        async with serving() as url, editing(url, "Ann") as (ann,):
            ann.insert(0, "x" * 300_000)
            await ann.synced()
            async with connect(f"{url}/plans", proxy=None, max_size=None) as eve:
                await eve.recv()
                disk.clear()
                ann.insert(0, "y")
                for _ in range(100):
                    await eve.send(write(STEP_1, Document().state()))
                for _ in range(1000):  # time to read them all, if nothing stops it
                    await asyncio.sleep(0)
                disk.set()
                answers = 0
                while answers < 100:
                    answers += len(await eve.recv()) > 300_000
                await ann.synced()

    asyncio.run(asyncio.wait_for(edit(), 30))
    assert max(batches) < 1_000_000


def test_one_who_sends_too_fast_is_read_more_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pad, "BURST", 2)
    monkeypatch.setattr(pad, "MESSAGES_PER_SECOND", 20)

    async def types() -> float:
        async with serving() as url, connect(f"{url}/?room=plans", proxy=None) as pat:
            await join(pat, name="Pat")
            begun = time.monotonic()
            for number in range(1, 11):
                edit = {"type": "edit", "number": number, "revision": number - 1, "splices": [[0, 0, "x"]]}
                await pat.send(json.dumps(edit))
            for _ in range(10):
                await hear(pat, "done")
            return time.monotonic() - begun

    assert asyncio.run(types()) > 0.3  # eight of the ten had to wait for 0.05 s each


def test_a_page_is_told_what_it_can_undo_and_which_edit_was_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.pad.room.LARGEST", 1000)

    async def edit() -> None:
        async with serving() as url, connect(f"{url}/?room=plans", proxy=None) as pat:
            joined = await join(pat, name="Pat")
            assert (joined["undo"], joined["redo"]) == (False, False)
            requests: list[dict[str, Any]] = [{"type": "edit", "splices": [[0, 0, "x"]]}, {"type": "undo"}]
            told = []
            for number, request in enumerate([*requests, {"type": "undo", "again": True}], 1):
                await pat.send(json.dumps(request | {"number": number, "revision": number - 1}))
                told.append(await hear(pat, "done"))
            assert [(done["undo"], done["redo"]) for done in told] == [
                (True, False),
                (False, True),
                (True, False),
            ]
            large = {"type": "edit", "number": 4, "revision": 3, "splices": [[0, 0, "x" * 1000]]}
            await pat.send(json.dumps(large))
            assert (await hear(pat, "error"))["number"] == 4

    asyncio.run(edit())


# --- real Yjs clients


@pytest.fixture(scope="module")
def yjs() -> Path:
    """A folder with Yjs and y-websocket from npm, installed once for each set of versions."""
    if not shutil.which("npm") and not os.environ.get("CI"):
        pytest.skip("needs Node.js and npm, for Yjs itself")
    wanted = hashlib.sha256((YJS / "package.json").read_bytes()).hexdigest()[:12]
    folder = ROOT / ".cache" / f"yjs-{wanted}"
    if not folder.exists():
        folder.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as made:
            shutil.copy(YJS / "package.json", made)
            command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"]
            installed = subprocess.run(command, cwd=made, capture_output=True, text=True, check=False)
            if installed.returncode and not os.environ.get("CI"):
                pytest.skip(f"can't install Yjs: {installed.stderr[-200:]}")
            assert installed.returncode == 0, installed.stderr
            os.mkdir(Path(made, "whole"))
            for name in ("package.json", "node_modules"):
                os.rename(Path(made, name), Path(made, "whole", name))
            with contextlib.suppress(OSError):  # another process was quicker
                os.rename(Path(made, "whole"), folder)
    shutil.copy(YJS / "peer.mjs", folder)
    return folder


class YjsPeer:
    """A Yjs replica in Node.js."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, folder: Path, url: str, name: str) -> YjsPeer:
        command = ["node", str(folder / "peer.mjs"), url, "plans", name]
        pipe = asyncio.subprocess.PIPE
        peer = cls(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe))
        assert await peer.do("synced")
        return peer

    async def do(self, command: str) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{command}\n".encode())
        return json.loads(await asyncio.wait_for(self._process.stdout.readline(), 20))

    async def until(self, command: str, expected: Any) -> None:
        async with asyncio.timeout(20):
            while (seen := await self.do(command)) != expected:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert seen == expected

    async def end(self) -> None:
        assert self._process.stdin
        self._process.stdin.write(b"end\n")
        await self._process.wait()


def test_yjs_and_pycrdt_edit_together_and_end_with_the_same_text(yjs: Path) -> None:
    async def edit() -> None:
        async with serving() as url, editing(url, "Ann", "Bob") as (ann, bob):
            yve, yul = await asyncio.gather(YjsPeer.start(yjs, url, "Yve"), YjsPeer.start(yjs, url, "Yul"))

            async def type_here(who: PadClient, letter: str) -> None:
                for number in range(40):
                    who.insert(number * len(who.text) // 40, letter)
                    if number % 10 == 0:
                        await who.synced()

            await yul.do("cut")
            await asyncio.gather(
                type_here(ann, "ä"), type_here(bob, "b"), yve.do("edit 40"), yul.do("edit 40")
            )
            await yul.do("back")
            await asyncio.gather(yul.do("synced"), ann.synced(), bob.synced())
            await ann.until(lambda: "ä" in ann.text and "b" in ann.text and "Y" in ann.text)
            await yve.do("insert 0 [yve]")
            await yul.do("insert 0 [yul]")
            await ann.until(lambda: "[yve]" in ann.text and "[yul]" in ann.text)
            await bob.until(lambda: bob.text == ann.text)
            await asyncio.gather(yve.until("text", ann.text), yul.until("text", ann.text))

            # after a cut, Yjs believes, and says, only what has a higher clock
            ann.select(3)
            bob.select(5)
            await asyncio.gather(yve.do("select 7"), yul.do("select 9"))
            there = {"Ann": 3, "Bob": 5, "Yve": 7, "Yul": 9}
            await yul.until("people", there)
            await ann.until(lambda: {"Ann": 3, **ann.people} == there)
            await yve.end()
            await ann.until(lambda: "Yve" not in ann.people)
            await yul.end()

    asyncio.run(edit())


def test_a_page_has_to_join_and_not_only_to_say_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pad, "JOIN_SECONDS", 0.1)

    async def talk() -> None:
        async with serving() as url, connect(f"{url}/?room=plans", proxy=None) as page:
            await page.send("rubbish")
            with pytest.raises(ConnectionClosed):
                async with asyncio.timeout(10):
                    while True:
                        await page.recv()

    asyncio.run(talk())


def test_a_page_that_has_not_joined_keeps_its_room_and_joins_no_full_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pad, "MOST_MEMBERS", 1)
    monkeypatch.setattr(pad, "MOST_OPEN", 1)

    async def talk() -> tuple[int | None, int | None]:
        async with (
            serving() as url,
            connect(f"{url}/?room=a", proxy=None) as ann,
            connect(f"{url}/?room=a", proxy=None) as bob,
            connect(f"{url}/?room=b", proxy=None) as cy,
            asyncio.timeout(10),
        ):
            await cy.wait_closed()  # there is no place for another room
            await ann.send(json.dumps({"type": "join", "name": "Ann"}))
            assert json.loads(await ann.recv())["type"] == "joined"
            await bob.send(json.dumps({"type": "join", "name": "Bob"}))
            await bob.wait_closed()
            return cy.close_code, bob.close_code

    assert asyncio.run(talk()) == (1013, 1013)
