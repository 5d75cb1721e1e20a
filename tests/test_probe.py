"""The client that asks without pause: what it measures, and that it is gone afterwards."""

from __future__ import annotations

import asyncio
import re
import time

import pytest
from shared import echo, nothing_left
from websockets.asyncio.server import serve

from helpers.background.lifetime import BackgroundError
from helpers.background.server import BackgroundServer
from helpers.clients.probe import Probe


def test_it_waits_as_long_as_the_loop_of_its_server_is_blocked() -> None:
    async def main() -> Probe:
        async with serve(echo, "127.0.0.1", 0) as server:
            async with Probe(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}") as probe:
                time.sleep(0.4)  # noqa: ASYNC251
            return probe

    with nothing_left():
        probe = asyncio.run(main())
    assert 0.35 < probe.longest < 10
    assert repr(probe).startswith(f"{len(probe.round_trips)} round trip")


def test_its_words() -> None:
    probe = Probe("ws://127.0.0.1:1")
    assert repr(probe) == "no round trips yet"
    probe.round_trips = [0.002]
    assert repr(probe) == "1 round trip, longest 2.0 ms"
    probe.round_trips = [0.001, 0.004]
    assert repr(probe) == "2 round trips, longest 4.0 ms"
    probe.round_trips = [0.001, 0.002, 1.2]
    assert repr(probe) == "3 round trips, median 2.0 ms, longest 1,200.0 ms"


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, asyncio.CancelledError])
def test_an_error_in_the_block_ends_it(error: type[BaseException]) -> None:
    async def main(server: BackgroundServer) -> None:
        async with Probe(server.url):
            raise error

    with BackgroundServer(echo) as server, nothing_left(), pytest.raises(error):
        asyncio.run(main(server))


def test_no_server_and_a_server_that_goes_away_are_told_in_words() -> None:
    async def main(server: BackgroundServer) -> None:
        async with Probe(server.url):
            await asyncio.to_thread(server.stop)

    with nothing_left():
        server = BackgroundServer(echo).start()
        url = server.url
        with pytest.raises(BackgroundError, match=f"the connection broke to {url}: .*server stopped"):
            asyncio.run(main(server))
        with pytest.raises(
            BackgroundError, match=f"no round trip to {re.escape(url)}: ConnectionRefusedError"
        ):
            asyncio.run(Probe(url).__aenter__())
