"""One message to everybody, and one client that never reads: who was reached, and what is said when not."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from shared import nothing_left, takes_at_most, wait_until
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.http11 import Request
from websockets.server import ServerProtocol

from benchmarks.tagged_cells import run_tagged_cells
from helpers import compare_fan_out, one_never_reads
from helpers.background.lifetime import BackgroundError, HandlerFailedError
from helpers.background.server import BackgroundServer
from helpers.background.serving import Handler
from helpers.clients.mute import mute
from helpers.clients.raw_client import NotOpenedError, RawClient, named
from helpers.experiments.children.reach_everybody import FanOut, _Listener
from helpers.experiments.children.watch_one_mute import STALLED
from helpers.experiments.fan_out import FanOutComparison, FanOutRun, FanOutWay, affordable
from helpers.experiments.never_reads import NeverReads
from helpers.figures.bars import COLOURS

members: dict[Any, Any] = {}

STAND_IN = """
import json
from urllib.parse import parse_qs, urlsplit
from websockets.asyncio.server import broadcast

members = {}
"""

GUARD = """
def tell(event):
    broadcast(members, json.dumps(event))
    for member in list(members):
        if member.transport.get_write_buffer_size() > 256 * 1024:
            del members[member]
            member.transport.abort()
"""

ROOM = """
async def room(connection):
    query = parse_qs(urlsplit(connection.request.path).query)
    name = query.get("name", ["guest"])[0]
    tell({"type": "joined", "who": name})
    members[connection] = name
    await connection.send(json.dumps({"type": "welcome", "name": name, "members": list(members.values())}))
    try:
        async for text in connection:
            tell({"type": "said", "who": name, "text": text})
    finally:
        if members.pop(connection, None):
            tell({"type": "left", "who": name})
"""


async def plain(connection: ServerConnection) -> None:
    members[connection] = None
    try:
        async for message in connection:
            broadcast(members, message)
    finally:
        del members[connection]


async def one_by_one(connection: ServerConnection) -> None:
    members[connection] = None
    try:
        async for message in connection:
            for member in list(members):
                await member.send(message)
    finally:
        del members[connection]


async def skips_the_third(connection: ServerConnection) -> None:
    members[connection] = None
    try:
        async for message in connection:
            broadcast([member for at, member in enumerate(members) if at != 2], message)
    finally:
        del members[connection]


async def forgets_the_speaker(connection: ServerConnection) -> None:
    members[connection] = None
    try:
        async for message in connection:
            broadcast([member for member in members if member is not connection], message)
    finally:
        del members[connection]


async def never_answers(connection: ServerConnection) -> None:
    async for _ in connection:
        pass


async def never_stops_talking_nonsense(connection: ServerConnection) -> None:
    while True:
        await connection.send("tick")
        await asyncio.sleep(0.05)


async def fails_on_the_fifth(connection: ServerConnection) -> None:
    members[connection] = 0
    try:
        async for message in connection:
            members[connection] += 1
            if members[connection] == 5:
                raise LookupError("the fifth")
            broadcast(members, message)
    finally:
        del members[connection]


async def closes_after_five(connection: ServerConnection) -> None:
    members[connection] = 0
    try:
        async for message in connection:
            broadcast(members, message)
            members[connection] += 1
            if members[connection] == 5:
                await connection.close(1013, "five are enough")
    finally:
        del members[connection]


async def takes_four(connection: ServerConnection) -> None:
    if len(members) == 4:
        await connection.close(1013, "four are enough")
        return
    await plain(connection)


@pytest.fixture
def room(tmp_path: Path) -> Handler:
    """The handler of a notebook with tagged cells, as chapter 05 has them."""
    cells = [(STAND_IN, ["room"]), ("raise SystemExit", []), (GUARD, ["fold", "room"]), (ROOM, ["room"])]
    notebook = {
        "cells": [
            {"cell_type": "markdown", "metadata": {"tags": ["room"]}, "source": ["no code"]},
            *(
                {"cell_type": "code", "metadata": {"tags": tags}, "source": code.splitlines(keepends=True)}
                for code, tags in cells
            ),
        ]
    }
    path = tmp_path / "05_a_room.ipynb"
    path.write_text(json.dumps(notebook), "utf-8")
    handler: Handler = run_tagged_cells(path, "room")["room"]
    return handler


def fan_out(served: Mapping[str, Any], **options: Any) -> FanOutComparison:
    return asyncio.run(compare_fan_out(served, **{"clients": [5], "messages": 3, **options}))


def watch(server: Any, **options: Any) -> NeverReads:
    return asyncio.run(one_never_reads(server, **{"seconds": 1, **options}))


def what_all_raise(measurements: Iterable[Coroutine[Any, Any, Any]]) -> list[Any]:
    """Make measurements that wait, all at the same time; what each returns or raises."""

    async def all_of_them() -> list[Any]:
        return await asyncio.gather(*measurements, return_exceptions=True)

    return asyncio.run(all_of_them())


# --- fan-out


def test_every_message_reaches_all_of_10_100_and_1000() -> None:
    with takes_at_most(60):  # 4 s alone on two cores
        result = fan_out({"one by one": one_by_one, "broadcast()": plain}, clients=[10, 100, 1000])
    assert result.clients == [10, 100, 1000]
    for way in result:
        assert [each.reached for each in way] == [10, 100, 1000]
        assert [len(each.times) for each in way] == [3, 3, 3]
        assert way.whole
    assert result.facts().splitlines()[:2] == [
        "one by one: every message reached 10 of 10, 100 of 100, 1,000 of 1,000",
        "broadcast(): every message reached 10 of 10, 100 of 100, 1,000 of 1,000",
    ]
    slow, quick = result["broadcast()"][1000].median, result["broadcast()"][10].median
    assert slow is not None
    assert quick is not None
    assert slow > 5 * quick  # a hundred times as many, some twenty microseconds each
    assert result.ratio("broadcast()", "broadcast()") == 1
    assert (result.troubles, result.note) == ([], "")


def test_a_skipped_client_and_a_speaker_that_hears_nothing_itself_are_told() -> None:
    with takes_at_most(60):
        result = fan_out(
            {"skips": skips_the_third, "others": forgets_the_speaker, "plain": plain},
            clients=[5, 8],
            messages=1,  # it is waited for a second until one is lost
        )
    assert [each.reached for each in result["skips"]] == [4]
    assert result["others"][5].reached == 4
    assert [each.reached for each in result["plain"]] == [5, 8]
    assert result["skips"][5].median is None
    assert result.facts().splitlines() == [
        "skips: a message reached 4 of 5",
        "others: a message reached 4 of 5",
        "plain: every message reached 5 of 5, 8 of 8",
    ]
    assert repr(result.counts()).splitlines()[-3].split() == ["skips", "4", "–"]
    assert "reached 4" in repr(result.picture())
    with pytest.raises(ValueError, match="no ratio"):
        result.ratio("skips", "plain", 5)
    with pytest.raises(KeyError, match="was not measured with 8 clients, but with 5"):
        result.ratio("skips", "plain", 8)


def test_a_server_that_reaches_nobody_is_an_error_in_bounded_time() -> None:
    silent = [never_answers, never_stops_talking_nonsense]
    with nothing_left(), takes_at_most(60):
        problems = what_all_raise(
            compare_fan_out({each.__name__: each}, clients=[5], messages=3) for each in silent
        )
    for each, problem in zip(silent, problems, strict=True):
        assert isinstance(problem, BackgroundError)
        words = f"'{each.__name__}': none of 5 clients got what one of them said: does the server send"
        assert words in str(problem)


def test_the_line_of_a_handler_that_fails_is_told() -> None:
    with nothing_left(), pytest.raises(HandlerFailedError, match="LookupError: the fifth") as raised:
        fan_out({"fails": fails_on_the_fifth}, messages=10)
    assert raised.value.__cause__ is not None
    assert 'raise LookupError("the fifth")' in "".join(raised.value.__cause__.__notes__)


def test_a_server_that_closes_connections_is_told_with_code_and_reason() -> None:
    result = fan_out({"closes": closes_after_five, "takes four": takes_four}, clients=[3, 6], messages=10)
    assert result["closes"][3].trouble == "the server closed 1 of 3 connections (1013 five are enough)"
    assert 0 < len(result["closes"][3].times) < 10
    assert result["takes four"][3].whole
    assert result["takes four"][6].trouble == "the server closed 2 of 6 connections (1013 four are enough)"
    assert f"takes four: {result['takes four'][6].trouble}" in result.troubles


def test_a_refused_handshake_and_nobody_there_are_told() -> None:
    with nothing_left(), pytest.raises(BackgroundError, match=r"no more: .*HTTP 403"):

        async def refused() -> None:
            async with serve(
                plain, "127.0.0.1", 0, process_request=lambda connection, _: connection.respond(403, "no")
            ) as server:
                port = server.sockets[0].getsockname()[1]
                await compare_fan_out({"refuses": f"ws://127.0.0.1:{port}"}, clients=[2])

        asyncio.run(refused())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with nothing_left(), pytest.raises(BackgroundError, match=r"0 clients are connected.*refused"):
        fan_out({"nobody": f"ws://127.0.0.1:{port}"})


def test_a_running_server_is_taken_by_its_address_or_itself() -> None:
    with BackgroundServer(plain, where="process") as server:
        result = fan_out({"address": server.url, "server": server, "handler": plain})
        assert all(way.whole for way in result)
        assert server.running
        wait_until(lambda: sum("closed: 1000" in entry.text for entry in server.log) == 10)  # politely


def test_pings_are_answered_and_frames_are_told_apart() -> None:
    class Client:
        def answer_ping(self, payload: bytes) -> None:
            ponged.append(payload)

    ponged: list[bytes] = []
    listener = _Listener(Client())  # type: ignore[arg-type]
    assert listener.whole_frames(b"\x81\x02hi\x89\x01") == b"\x81\x02hi"
    assert listener.whole_frames(b"p\x81") == b"\x89\x01p"
    assert ponged == [b"p"]
    assert listener.whole_frames(b"\x03one") == b"\x81\x03one"
    assert listener.whole_frames(b"\x81\x03two") == b"\x81\x03two"
    long = b"\x81\x7e" + (300).to_bytes(2) + b"x" * 300
    longer = b"\x82\x7f" + (70_000).to_bytes(8) + b"y" * 70_000
    assert [listener.whole_frames(long[:3]), listener.whole_frames(long[3:])] == [b"", long]
    assert [listener.whole_frames(longer[:9]), listener.whole_frames(longer[9:] + b"\x89")] == [b"", longer]
    assert listener.whole_frames(b"\x00\x88\x06" + (1008).to_bytes(2) + b"full") != b""
    assert ponged == [b"p", b""]
    assert listener.closed == "1008 full"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"clients": []}, "1 to 10,000"),
        ({"clients": [0]}, "1 to 10,000"),
        ({"messages": 0}, "1 to 1,000"),
        ({"size": 8}, "16 to 65,536"),
        ({"against": "pigeon"}, "against must be one of 'plain', not 'pigeon'"),
    ],
)
def test_wrong_arguments_of_fan_out(options: dict[str, Any], words: str) -> None:
    with nothing_left(0), pytest.raises(ValueError, match=words):
        fan_out({"plain": plain}, **options)


def test_wrong_servers() -> None:
    with nothing_left(0):
        with pytest.raises(ValueError, match="at least one"):
            fan_out({})
        with pytest.raises(ValueError, match="like ws://127"):
            fan_out({"a": "127.0.0.1:8000"})
        with pytest.raises(TypeError, match="the handler must be a function"):
            fan_out({"a": 3})


def test_what_fits_under_a_limit_of_open_files() -> None:
    assert affordable([1000, 10, 100], 4, 10_240) == ([10, 100, 1000], "")
    fits, words = affordable([10, 100, 1000], 4, 1024)
    assert fits == [10, 100, 240]
    assert words.startswith("this system lets a process open 1,024 files, so each server gets at most 240 ")
    assert words.endswith("clients instead of 1,000")


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
def test_the_limit_of_open_files_is_raised_or_kept_and_said() -> None:
    program = """
import asyncio, resource
from helpers import compare_fan_out
from test_fan_out import plain

for limits in [(96, 512), (128, 128)]:  # both processes raise the soft limit, if they may
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    print(asyncio.run(compare_fan_out({"a": plain}, clients=[10, 150], messages=2)).facts())
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [*sys.path, Path(__file__).parent]))}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, env=environment
    )
    assert done.stdout.splitlines() == [
        "a: every message reached 10 of 10, 150 of 150",
        "a: every message reached 10 of 10, 64 of 64",
        "this system lets a process open 128 files, so each server gets at most 64 clients instead of 150",
    ], done.stderr


def test_figures_by_name_as_table_and_as_picture() -> None:
    ways = {
        "a": FanOutWay("a", [FanOut(10, 10, (0.002, 0.004, 0.003)), FanOut(1000, 999, ())]),
        "b <i>": FanOutWay("b <i>", [FanOut(10, 10, (0.001, 0.001, 0.001))]),
    }
    result = FanOutComparison(ways, messages=3, size=64, against="b <i>", note="few files")
    assert result["a"][10].median == 0.003
    assert result.ratio("a", "b <i>", 10) == 3
    assert "×3.0" in repr(result)
    assert repr(result).splitlines()[-1] == "few files"
    page = result._repr_html_()
    assert "b &lt;i&gt;" in page
    assert "<i>" not in page
    assert page.count(COLOURS[0]) == 4  # a square and a bar in each group
    assert "3.00 ms, ×3.0" in page
    with pytest.raises(KeyError, match="'c' was not measured; there are 'a', 'b <i>'"):
        result["c"]


def test_it_can_be_broken_off_and_leaves_nothing() -> None:
    async def break_off() -> None:
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()

        def begins(share: float) -> None:
            loop.call_soon_threadsafe(begun.set)

        run = FanOutRun({"plain": plain}, clients=[1000], messages=1000)  # a minute
        measuring = asyncio.create_task(run.run(begins))
        await asyncio.wait_for(begun.wait(), 30)
        measuring.cancel()
        with pytest.raises(asyncio.CancelledError):
            await measuring
        await asyncio.to_thread(wait_until, lambda: not psutil.Process().children(), 8, "the end")

    with nothing_left():
        asyncio.run(break_off())


# --- one never reads


def test_a_loop_that_waits_stops_for_all() -> None:
    seen = watch(one_by_one, seconds=2)
    assert seen.stalled
    assert seen.silence > STALLED
    assert seen.watched > 2 + STALLED
    assert all(0 < count < 100 < seen.sent for count in seen.got)
    assert seen.cut_after is None
    assert seen.facts() == (
        "the healthy clients stopped getting messages; the one that never reads was not cut"
    )
    assert "never, watched for" in repr(seen)


def test_broadcast_goes_on_and_its_memory_grows() -> None:
    seen = watch(plain, seconds=3, rate=400)
    assert seen.facts() == "the healthy clients got every message; the one that never reads was not cut"
    assert seen.got == (seen.sent,) * 3
    assert seen.grown is not None
    assert seen.grown > 0.5 * seen.sent * 4000  # some goes into the socket, and noise


def test_the_guard_cuts_the_mute_one_and_nobody_else(room: Handler) -> None:
    seen = watch(room, seconds=2)
    assert seen.facts() == "the healthy clients got every message; the one that never reads was cut"
    assert seen.cut_after is not None
    assert seen.cut_after > 0
    assert seen.gone == ()
    assert seen.grown is not None
    assert seen.grown < 4 * 2**20


async def cuts_the_third(connection: ServerConnection) -> None:
    members[connection] = None
    try:
        async for message in connection:
            broadcast(members, message)
            if "-50-" in message:
                list(members)[2].transport.abort()
    finally:
        del members[connection]


def test_a_healthy_client_that_is_disconnected_is_told() -> None:
    seen = watch(cuts_the_third)
    assert seen.facts().startswith("the server disconnected healthy clients; ")
    assert (len(seen.gone), seen.got[2] < 100, seen.got[0]) == (1, True, seen.sent)
    assert "a healthy client was disconnected: ConnectionClosedError" in repr(seen)


def test_a_server_by_its_address_is_watched_and_left_running() -> None:
    with BackgroundServer(plain, where="process") as server:
        seen = watch(server.url)
        assert server.running
    assert not seen.stalled
    assert seen.grown is not None


def test_clients_that_don_t_hear_each_other_are_an_error() -> None:
    heard = {never_answers: "0 of 3", forgets_the_speaker: "2 of 3"}
    with nothing_left(), takes_at_most(30):
        problems = what_all_raise(one_never_reads(handler, seconds=1) for handler in heard)
    for words, problem in zip(heard.values(), problems, strict=True):
        assert isinstance(problem, BackgroundError)
        assert f"{words} healthy clients" in str(problem)


def test_a_message_that_the_server_refuses_is_an_error_in_words() -> None:
    async def refuses() -> None:
        async with serve(plain, "127.0.0.1", 0, max_size=1000) as server:
            port = server.sockets[0].getsockname()[1]
            await one_never_reads(f"ws://127.0.0.1:{port}", seconds=1)

    with pytest.raises(BackgroundError, match=r"messages of this size; the server closed a .*1009"):
        asyncio.run(refuses())


def test_wrong_arguments_of_never_reads() -> None:
    with nothing_left(0):
        for options in ({"seconds": 0.1}, {"healthy": 0}, {"size": 1}, {"rate": 0}):
            with pytest.raises(ValueError, match=next(iter(options))):
                watch(plain, **options)


def test_what_cannot_be_known_is_said() -> None:
    seen = NeverReads(3, False, 600, (600, 590), 0.2, (), None, None)
    assert seen.facts() == (
        "the healthy clients missed messages; the one that never reads may have been cut: "
        "the server's process isn't known"
    )
    assert repr(seen).count("not known") == 2


# --- clients for a cell


@pytest.mark.parametrize("pieces", [(1, 0), (2, 0), (-4, 0), (-1, 0), (0, 2)])
def test_what_comes_with_the_answer_stays_in_the_socket(pieces: tuple[int, int]) -> None:
    """However the answer and the first frame are cut: a negative cut is before the answer's end."""
    cut, beyond = pieces
    with socket.create_server(("127.0.0.1", 0)) as listening:
        answered = threading.Event()

        def answer() -> None:
            peer, _ = listening.accept()
            with peer:
                request = peer.recv(4096)
                protocol = ServerProtocol()
                protocol.receive_data(request)
                (upgrade,) = protocol.events_received()
                assert isinstance(upgrade, Request)
                protocol.send_response(protocol.accept(upgrade))
                said = b"".join(protocol.data_to_send())
                at = len(said) + beyond if cut == 0 else cut % len(said)
                said += b"\x81\x02hi"
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                peer.sendall(said[:at])
                time.sleep(0.05)  # so that the client meets the first piece alone
                peer.sendall(said[at:])
                answered.wait(5)

        thread = threading.Thread(target=answer)
        thread.start()
        client = RawClient(f"ws://127.0.0.1:{listening.getsockname()[1]}")
        client.complete()
        with client.socket.makefile("rb") as stream:
            assert stream.read(4) == b"\x81\x02hi"
        client.socket.close()
        answered.set()
        thread.join(5)


def test_a_mute_client_takes_little_and_its_rest_stays_with_the_server() -> None:
    async def speak() -> int:
        sizes = []

        async def handler(connection: ServerConnection) -> None:
            broadcast([connection], "x" * 500_000)
            while connection.transport.get_write_buffer_size() not in sizes:
                sizes.append(connection.transport.get_write_buffer_size())
                await asyncio.sleep(0.2)
            done.set()
            await connection.wait_closed()

        done = asyncio.Event()
        async with (
            serve(handler, "127.0.0.1", 0, close_timeout=0.2) as server,
            mute(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}") as sock,
        ):
            await asyncio.wait_for(done.wait(), 10)
            assert sock.recv(2) == b"\x81\x7f"
        return sizes[-1]

    assert asyncio.run(speak()) > 200_000


def test_a_raw_client_says_why_it_was_not_opened() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = RawClient(f"ws://127.0.0.1:{silent.getsockname()[1]}")
        peer, _ = silent.accept()
        peer.sendall(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")
        with pytest.raises(NotOpenedError, match="did not receive a valid HTTP response"):
            client.complete()
        peer.close()
        client = RawClient(f"ws://127.0.0.1:{silent.getsockname()[1]}")
        silent.accept()[0].close()
        with pytest.raises(NotOpenedError, match=r"closed the connection|Connection"):
            client.complete()


def test_names_go_into_the_query() -> None:
    assert named("ws://a:1", "Ann") == "ws://a:1/?name=Ann"
    assert named("ws://a:1/ws?room=x&name=B", "A n") == "ws://a:1/ws?room=x&name=A+n"


# --- the notebook's room


def test_tagged_cells_run_in_order_and_only_they(room: Handler, tmp_path: Path) -> None:
    result = fan_out({"room": room})
    assert result["room"].whole
    with pytest.raises(ValueError, match=r"05_a_room.ipynb has no code cell with the tag 'hall'"):
        run_tagged_cells(tmp_path / "05_a_room.ipynb", "hall")
