"""The ways to hear news, measured: counts, bytes, order, wide ratios; nothing left, errors in words."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import math
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import psutil
import pytest
from shared import nothing_left, wait_until

import helpers
from helpers import tapped
from helpers.background.lifetime import BackgroundError
from helpers.background.parent import Parent
from helpers.experiments import run
from helpers.experiments.push import (
    PUSH_WAYS,
    Arrival,
    PushComparison,
    PushRun,
    PushWay,
    irregular,
)
from helpers.experiments.request_reply import (
    ALL_WAYS,
    RequestComparison,
    RequestRun,
    RequestWay,
)
from helpers.experiments.ways import news_server
from helpers.widgets import progress
from helpers.widgets.compare_ways import compare_push, compare_requests
from helpers.widgets.race import Race
from helpers.wire.events import HttpRequest, HttpResponse


def requests(*args: Any, **options: Any) -> RequestComparison:
    return asyncio.run(compare_requests(*args, **options))


def push(*args: Any, **options: Any) -> PushComparison:
    return asyncio.run(compare_push(*args, **options))


@pytest.fixture(scope="module")
def every_way() -> RequestComparison:
    """All ways at a round trip of 40 ms."""
    return requests(20, ways=ALL_WAYS)


@pytest.fixture(scope="module")
def heard() -> PushComparison:
    """The four ways to hear events, at a round trip of 40 ms."""
    return push(12, gap=0.2, poll_every=1.0, seed=1)


# --- requests and replies


def test_connections_and_requests(every_way: RequestComparison) -> None:
    assert {way.name: (way.connections, way.requests) for way in every_way} == {
        "new connection": (20, 20),
        "keep-alive": (1, 20),
        "six connections": (6, 20),
        "long polling": (2, 40),
        "SSE": (2, 21),
        "WebSocket": (1, 1),
        "pipelined": (1, 1),
    }


def test_websocket_bytes_are_those_of_the_rfc(every_way: RequestComparison) -> None:
    for way in ("WebSocket", "pipelined"):
        assert every_way[way].up == 64 + 2 + 4  # the header and the mask: RFC 6455, 5.2
        assert every_way[way].down == 64 + 2
        assert every_way[way].bytes_per_message == 136


@pytest.mark.parametrize(("size", "header"), [(126, 4), (65_536, 10)])
def test_websocket_bytes_for_each_length_form(size: int, header: int) -> None:
    way = requests(10, size=size, round_trip=0, ways=["WebSocket"])["WebSocket"]
    assert (way.up, way.down) == (size + header + 4, size + header)
    assert way.lost == 0


def test_http_bytes_by_the_clients_headers(every_way: RequestComparison) -> None:
    ways = ("new connection", "keep-alive", "WebSocket")
    least, browser = (
        requests(10, round_trip=0, ways=ways, headers=headers) for headers in ("least", "browser")
    )
    library = every_way
    for name in ways[:2]:
        assert least[name].lost == library[name].lost == browser[name].lost == 0
        assert least[name].up < library[name].up < browser[name].up
        assert least[name].down == library[name].down == browser[name].down
    assert library["new connection"].bytes_per_message == library["keep-alive"].bytes_per_message + 38
    assert {result["WebSocket"].bytes_per_message for result in (least, library, browser)} == {136}
    assert least["WebSocket"].opening_bytes < browser["WebSocket"].opening_bytes
    assert 3 < library.ratio("keep-alive", "WebSocket", of="bytes") < 3.8
    assert browser.ratio("keep-alive", "WebSocket", of="bytes") > 5


def test_the_browsers_request_is_what_chromium_sends() -> None:
    with news_server() as server, tapped(server) as tap:

        async def ask() -> None:
            from helpers.experiments.children.http_client import HttpClient

            peer = HttpClient(tap.url, "browser")
            await peer.post("/echo", "x" * 64)
            await peer.close()

        asyncio.run(ask())
        (request,) = (event for event in tap.events() if isinstance(event, HttpRequest))
    recorded = 625 - len("Headless")  # of Chromium 156 on Linux, fetch() of 64 bytes; see http_headers.py
    assert request.size == recorded


def test_a_round_trip_costs_the_same_on_an_open_connection_and_twice_on_a_new_one(
    every_way: RequestComparison,
) -> None:
    assert 0.8 < every_way.ratio("keep-alive", "WebSocket", of="fastest") < 1.4
    assert 1.6 < every_way.ratio("new connection", "WebSocket", of="fastest") < 2.4
    under_way = {way.name: sum(way.times) / way.wall for way in every_way}  # at a time, on the average
    assert under_way["pipelined"] > 8
    assert under_way["six connections"] > 2
    assert all(number < 1.01 for name, number in under_way.items() if name in ("keep-alive", "WebSocket"))
    assert min(way.median for way in every_way) >= 0.04
    assert every_way["WebSocket"].fastest < 0.075
    assert every_way["WebSocket"].first > 0.12  # TCP, upgrade, message
    assert every_way["keep-alive"].first > 0.08


def test_nothing_is_lost_and_one_connection_keeps_the_order(every_way: RequestComparison) -> None:
    assert all(way.lost == 0 for way in every_way)
    assert all(way.overtaken == 0 for way in every_way if way.name != "six connections")


def test_figures_in_code_and_as_text(every_way: RequestComparison) -> None:
    assert [way.name for way in every_way] == list(ALL_WAYS)
    assert "pipelined" in repr(every_way)
    assert repr(every_way) == repr(every_way.table())
    counts = repr(every_way.counts()).splitlines()
    assert counts[0] == "20 messages of 64 bytes and their replies, round trip 40 ms, headers: library"
    assert counts[-2].split() == ["WebSocket", "20", "1", "1", "429", "70", "66", "0"]
    page = every_way._repr_html_()
    assert page.count("<table") == 3
    assert "×1.00" in page
    with pytest.raises(KeyError, match="'telegraph' was not measured; there are 'new connection', "):
        every_way["telegraph"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ways": ["pigeon"]}, "there is no way 'pigeon': choose from 'new connection', 'keep-alive'"),
        ({"ways": []}, "at least one"),
        ({"ways": ["WebSocket", "WebSocket"]}, "each once"),
        ({"messages": 5}, "10 or more"),
        ({"size": 0}, "1 to 65,536"),
        ({"round_trip": -1}, "0 to 2"),
        ({"headers": "large"}, "'least', 'library', 'browser', not 'large'"),
    ],
)
def test_wrong_arguments_are_told_before_anything_starts(options: dict[str, Any], words: str) -> None:
    with nothing_left(0), pytest.raises(ValueError, match=words):
        requests(**options)


# --- push


def test_every_event_comes_once_and_in_order_in_all_ways(heard: PushComparison) -> None:
    assert [way.name for way in heard] == list(PUSH_WAYS)
    for way in heard:
        assert [arrival.number for arrival in way.arrivals] == list(range(12))
        assert (way.lost, way.twice, way.overtaken, way.trouble) == (0, 0, 0, "")
        assert way.connections == 1


def test_push_comes_within_one_network_delay_and_polling_later(heard: PushComparison) -> None:
    for name in ("long polling", "SSE", "WebSocket"):
        assert 0.02 <= min(heard[name].delays) < 0.038
        assert heard[name].median < 0.02 + 0.1
    # A busy machine only adds to a delay
    assert heard["polling"].median > 4 * min(heard["WebSocket"].delays)
    assert heard["polling"].p99 < 1 + 0.5


def test_bytes_and_requests_of_push(heard: PushComparison) -> None:
    assert (heard["SSE"].up, heard["WebSocket"].up) == (0, 0)
    assert heard["WebSocket"].down == 64 + 2
    assert heard["SSE"].down == len("data: ") + 64 + 2 + len("48\r\n") + 2  # in chunks: RFC 9112, 7.1
    assert heard["SSE"].requests == heard["WebSocket"].requests == 1
    assert heard["long polling"].requests <= 12
    assert heard["long polling"].bytes_per_message > 3 * heard["WebSocket"].bytes_per_message


def test_long_polling_lags_in_a_burst() -> None:
    result = push(20, burst=10, gap=0.4, ways=["long polling", "WebSocket"])
    # A busy machine only adds to a lag: the slowest of one is compared with the quickest of the other.
    assert max(result["long polling"].delays) > 2 * min(result["WebSocket"].delays)
    assert result["long polling"].requests < 20
    assert result["long polling"].lost == result["WebSocket"].lost == 0


def test_a_broken_connection_loses_events_and_says_so() -> None:
    measuring = PushRun(6, gap=0.15, ways=["SSE", "WebSocket"], seed=1)

    def cut(share: float) -> None:
        if len(measuring.arrivals["WebSocket"]) >= 2:
            assert measuring.taps is not None
            measuring.taps["WebSocket"].cut()

    result = asyncio.run(measuring.run(cut))
    assert result["SSE"].lost == 0
    assert 0 < result["WebSocket"].lost <= 4
    assert result["WebSocket"].trouble
    assert repr(result.counts()).splitlines()[-1].split()[-3:] == [str(result["WebSocket"].lost), "0", "0"]


def test_lost_doubled_and_overtaken_events_are_counted() -> None:
    def way(*numbers: int) -> PushWay:
        arrivals = tuple(Arrival(number, 0.0, 0.1) for number in numbers)
        return PushWay("a", 1, 1, 0, 0.0, 0.0, events=5, arrivals=arrivals, trouble="")

    assert [way(0, 1, 2, 3, 4).lost, way(0, 4).lost, way().lost] == [0, 3, 5]
    assert [way(0, 1, 1).twice, way(0, 1).twice] == [1, 0]
    assert [way(0, 2, 1, 3).overtaken, way(3, 0, 1).overtaken, way(0, 1, 1, 2).overtaken] == [1, 2, 0]
    assert way().median == math.inf


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ways": ["pipelined"]}, "there is no way 'pipelined'"),
        ({"events": 0}, "1 to 10,000"),
        ({"events": 5, "burst": 6}, "must be 1 to 5"),
        ({"size": 24}, "25 to 65,536"),
        ({"gap": 0}, "0.001 or more"),
        ({"events": 1000, "gap": 1}, "would take 1,000 s"),
    ],
)
def test_wrong_arguments_for_push(options: dict[str, Any], words: str) -> None:
    with nothing_left(0), pytest.raises(ValueError, match=words):
        push(**options)


def test_moments_are_irregular_and_repeat_with_a_seed() -> None:
    moments = irregular(50, 0.2, 1, begin=1, seed=3)
    gaps = [later - before for before, later in pairwise(moments)]
    assert moments[0] == 1
    assert 0.1 <= min(gaps) < 0.15 < 0.25 < max(gaps) <= 0.3
    assert irregular(50, 0.2, 1, begin=1, seed=3) == moments != irregular(50, 0.2, 1, begin=1, seed=4)
    assert irregular(5, 1.0, 4, begin=0, seed=1)[:4] == [0, 0.002, 0.004, 0.006]


# --- what it leaves, and what it says when something fails


def test_it_leaves_nothing_and_tells_its_progress() -> None:
    requests(10, round_trip=0, ways=["WebSocket"])
    for measuring in (
        RequestRun(10, round_trip=0.01, ways=ALL_WAYS),
        PushRun(3, gap=0.1, poll_every=0.1),
    ):
        shares: list[float] = []
        with nothing_left():
            asyncio.run(measuring.run(shares.append))
        assert shares == sorted(shares)
        assert shares[-1] == 1


def test_a_server_that_dies_is_told_in_words() -> None:
    def kill(share: float) -> None:
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # it has been dying since the last report
                if child.cmdline()[1:3] == ["-m", "apps.news"]:
                    child.kill()

    with (
        nothing_left(),
        pytest.raises(BackgroundError, match="'news server' is not running: the program has ended"),
    ):
        asyncio.run(RequestRun(1000, ways=["keep-alive", "WebSocket"]).run(kill))


def test_a_client_that_dies_is_told_in_words() -> None:
    def kill(share: float) -> None:
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if "helpers.background.parent" in " ".join(child.cmdline()):
                    child.terminate()

    with nothing_left(), pytest.raises(BackgroundError, match="the child process has ended"):
        asyncio.run(RequestRun(1000, ways=["WebSocket"]).run(kill))


class Measuring(run.Run[Any]):
    """A run of any function; what it reports is its progress."""

    def __init__(self, function: Callable[..., Any], seconds: float = 10) -> None:
        super().__init__()
        self.function, self.seconds = function, seconds

    async def run(self, progress: run.Progress = run.ignore) -> Any:
        async with self._measuring(self.function, seconds=self.seconds) as child:
            async for share in child.reports():
                progress(share)
            return await asyncio.wrap_future(child.result)


def half_way(parent: Parent) -> int:
    parent.report(0.5)
    return 7


def refused(parent: Parent) -> None:
    raise ConnectionRefusedError("nobody listens")


def endless(parent: Parent) -> None:
    parent.report(0.5)
    parent.order().result()


@pytest.mark.parametrize(
    ("measuring", "words"),
    [
        (Measuring(endless, 0.3), r"the client gave up: not done after 0\.3 s"),
        (Measuring(refused), "the client gave up: ConnectionRefusedError: nobody listens"),
    ],
)
def test_a_client_that_gives_up_says_why(measuring: Measuring, words: str) -> None:
    with nothing_left(), pytest.raises(BackgroundError, match=words):
        asyncio.run(measuring.run())


@pytest.mark.parametrize("early", [True, False])
def test_a_run_that_was_stopped_says_so(early: bool) -> None:
    measuring = Measuring(endless)
    told = []

    def stop(share: float) -> None:
        told.append(share)
        measuring.stop()

    if early:
        measuring.stop()
    with nothing_left(), pytest.raises(BackgroundError, match=r"^it was broken off$"):
        asyncio.run(measuring.run(stop))
    assert bool(told) is not early


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_server_and_client_end_with_a_killed_parent() -> None:
    program = "import asyncio, helpers; asyncio.run(helpers.compare_requests(10_000))"
    parent = subprocess.Popen([sys.executable, "-c", program])
    family = psutil.Process(parent.pid)

    def grown() -> bool:
        commands = [" ".join(child.cmdline()) for child in family.children(recursive=True)]
        return all(any(program in words for words in commands) for program in ("apps.news", "parent"))

    wait_until(grown, 30)
    children = family.children(recursive=True)
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


def test_the_server_speaks_each_way_to_anybody() -> None:
    with news_server() as server, tapped(server) as tap:

        async def ask() -> tuple[str, str, bytes, list[str]]:
            import aiohttp

            async with aiohttp.ClientSession(tap.url) as session:
                await session.post("/say?channel=a", data="one")
                await session.post("/say?channel=a", data="two")
                polled = await (await session.get("/poll?channel=a&after=1")).text()
                held = await (await session.get("/long-poll?channel=a")).text()
                async with session.get("/events?channel=a&after=1") as stream:
                    line = await stream.content.readline()
                async with session.ws_connect("/websocket?channel=a", compress=0) as websocket:
                    pushed = [await websocket.receive_str(), await websocket.receive_str()]
                return polled, held, line, pushed

        assert asyncio.run(ask()) == ("two", "one\ntwo", b"data: two\n", ["one", "two"])
        statuses = {event.status for event in tap.events() if isinstance(event, HttpResponse)}
        assert statuses == {101, 200, 204}


# --- figures


def test_what_a_message_costs_and_how_ways_compare() -> None:
    def way(name: str, up: float, down: float, times: tuple[float, ...], wall: float) -> RequestWay:
        return RequestWay(name, 1, 1, 0, up, down, 5, first=0.1, times=times, wall=wall, lost=0, overtaken=0)

    ways = [
        way("WebSocket", 70, 66, (0.04, 0.04, 0.04, 0.1), 0.22),
        way("pipelined", 70, 66, (0.04, 0.04, 0.04, 0.1), 0.08),
        way("keep-alive", 247, 209, (0.05, 0.09, 0.09), 0.23),
    ]
    result = RequestComparison({each.name: each for each in ways}, "three ways")
    assert result["WebSocket"].per_message == result["WebSocket"].median == 0.04
    assert result["WebSocket"].p99 == 0.1
    assert result["pipelined"].per_message == 0.02
    assert result.ratio("pipelined", "WebSocket") == 0.5
    assert result.ratio("keep-alive", "WebSocket", of="fastest") == pytest.approx(1.25)
    assert result.ratio("keep-alive", "WebSocket") == pytest.approx(2.25)
    assert result.ratio("keep-alive", "WebSocket", of="bytes") == pytest.approx(456 / 136)


# --- the race, without a browser


def test_the_race_runs_from_a_cell_and_prints_what_came() -> None:
    async def race() -> tuple[Race, PushComparison]:
        race = Race(4, gap=0.15, poll_every=0.3, seed=1)
        assert repr(race).splitlines()[0] == "Race: not started"
        result = await race.run()
        return race, result

    with nothing_left():
        race, result = asyncio.run(race())
    assert [way.lost for way in result] == [0, 0, 0, 0]
    assert repr(race).startswith("Race: done: no events lost, none out of order\n4 events of 64 bytes")
    assert race.result is result
    view = race._view
    assert view["state"] == "done"
    assert [len(lane["dots"]) for lane in view["lanes"]] == [4, 4, 4, 4]
    assert view["published"] == sorted(view["published"])
    assert view["published"][0] == 0
    race.close()


def test_closing_a_race_breaks_it_off() -> None:
    race = Race(100, gap=1)
    with nothing_left():
        race.start()
        race.start()  # while it runs: nothing
        wait_until(lambda: race._run.arrivals["WebSocket"], 30)
        with pytest.raises(BackgroundError, match="has not ended"):
            race.result  # noqa: B018
        race.close()
        wait_until(lambda: not race.running)
    with pytest.raises(BackgroundError, match="broken off"):
        race.result  # noqa: B018


def test_a_race_has_at_most_200_events() -> None:
    with pytest.raises(ValueError, match="1 to 200"):
        Race(201)


# --- the progress bar


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What a notebook shows."""
    shown: list[object] = []
    monkeypatch.setattr(progress, "display", shown.append)
    monkeypatch.setattr(progress, "in_a_notebook", lambda: True)
    return shown


measure = progress.comparison("measure", Measuring)


def test_in_a_notebook_a_bar_is_shown_and_taken_away_at_the_end(
    shown: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = []
    monkeypatch.setattr(progress.ProgressBar, "close", lambda bar: values.append(bar.value))
    assert asyncio.run(measure(half_way)) == 7
    assert [repr(bar) for bar in shown] == ["Measuring …"]
    assert values == [50]
    with pytest.raises(BackgroundError, match="nobody listens"):
        asyncio.run(measure(refused))
    assert values == [50, 0]


def test_outside_a_notebook_there_is_no_bar(shown: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "in_a_notebook", lambda: False)
    assert asyncio.run(measure(half_way)) == 7
    assert shown == []


def test_a_comparison_is_one_function_with_the_options_of_its_run() -> None:
    assert helpers.compare_push is compare_push
    assert compare_push.__name__ == "compare_push"
    assert list(inspect.signature(compare_push).parameters) == list(inspect.signature(PushRun).parameters)
    assert compare_push.__doc__ == PushRun.__doc__
