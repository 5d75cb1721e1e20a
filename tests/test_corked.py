"""What a client's connection writes at once, what it holds back, and for how long."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from helpers.background.server import BackgroundServer
from helpers.clients.client import Client
from helpers.clients.corked import CORKED, CorkedConnection, _Corked


class Recording:
    """A transport that notes what is done to it."""

    def __init__(self) -> None:
        self.done: list[bytes | str] = []
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.done.append(data)

    def write_eof(self) -> None:
        self.done.append("eof")

    def close(self) -> None:
        self.done.append("close")

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted or "close" in self.done

    def get_write_buffer_size(self) -> int:
        return 1000


def after_a_pass(*calls: Callable[[Any], object]) -> tuple[list[bytes | str], list[bytes | str]]:
    """What a transport was told when `calls` had been made in one pass of a loop, and one pass later."""

    async def main() -> tuple[list[bytes | str], list[bytes | str]]:
        transport = Recording()
        corked = _Corked(transport, asyncio.get_running_loop())  # type: ignore[arg-type]
        for call in calls:
            call(corked)
        at_once = transport.done.copy()
        await asyncio.sleep(0)
        return at_once, transport.done

    return asyncio.run(main())


def write(data: bytes) -> Callable[[Any], object]:
    return lambda corked: corked.write(data)


def test_the_first_goes_at_once_and_the_others_together() -> None:
    at_once, later = after_a_pass(write(b"one "), write(b"two "), write(b"three"))
    assert at_once == [b"one "]
    assert later == [b"one ", b"two three"]


def test_each_pass_begins_anew() -> None:
    async def main() -> list[bytes | str]:
        transport = Recording()
        corked = _Corked(transport, asyncio.get_running_loop())  # type: ignore[arg-type]
        for _ in range(2):
            corked.write(b"one ")
            corked.write(b"two ")
            corked.write(b"three")
            await asyncio.sleep(0)
        return transport.done

    assert asyncio.run(main()) == [b"one ", b"two three"] * 2


def test_no_more_than_so_much_is_held_back() -> None:
    half = b"x" * (CORKED // 2)
    at_once, later = after_a_pass(write(b"one"), write(half), write(half), write(b"last"))
    assert at_once == [b"one", half + half]
    assert later == [b"one", half + half, b"last"]


@pytest.mark.parametrize(("end", "told"), [("close", "close"), ("write_eof", "eof")])
def test_what_is_held_back_goes_before_the_end(end: str, told: str) -> None:
    at_once, later = after_a_pass(write(b"one"), write(b"two"), lambda corked: getattr(corked, end)())
    assert at_once == later == [b"one", b"two", told]


def test_nothing_is_written_to_a_connection_that_was_broken_off() -> None:
    _, later = after_a_pass(write(b"one"), write(b"two"), lambda corked: corked.abort())
    assert later == [b"one"]


def test_what_is_held_back_counts_as_waiting() -> None:
    sizes: list[int] = []
    look: Callable[[Any], object] = lambda corked: sizes.append(corked.get_write_buffer_size())  # noqa: E731
    after_a_pass(look, write(b"one"), look, write(b"two"), look)
    assert sizes == [1000, 1000, 1003]


def test_a_hundred_messages_take_two_writes() -> None:
    writes: list[int] = []
    threads: set[int] = set()

    class Counted(CorkedConnection):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            write = transport.write  # type: ignore[attr-defined]

            class Counting:
                def __getattr__(self, name: str) -> Any:
                    return getattr(transport, name)

                def write(self, data: bytes) -> None:
                    writes.append(len(data))
                    threads.add(threading.get_ident())
                    write(data)

            super().connection_made(Counting())  # type: ignore[arg-type]

    got: list[str | bytes] = []

    async def collect(connection: ServerConnection) -> None:
        async for message in connection:
            got.append(message)

    async def main(url: str) -> None:
        ann = Client("Ann", url, compression=None, create_connection=Counted)
        await ann.connect()
        writes.clear()

        async def send() -> None:
            for number in range(100):
                ann.send(f"{number:060}")

        assert ann.loop is not None
        await asyncio.wrap_future(ann.loop.submit(send()))
        ann.send("the last, from here")
        await ann.disconnect()

    with BackgroundServer(collect, where="own", compression=None) as server:
        asyncio.run(main(server.url))
    assert got == [*(f"{number:060}" for number in range(100)), "the last, from here"]
    assert sum(writes) == 100 * (6 + 60) + (6 + 19) + (6 + 2)  # RFC 6455 §5.2, and the close frame
    assert len(writes) <= 4  # the first, the others, the last, and the close frame
    assert len(threads) == 1
    assert threading.get_ident() not in threads
