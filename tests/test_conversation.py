"""What a client knows, without a network: each message is given out once, and everything is bounded."""

from __future__ import annotations

import asyncio
import threading

import pytest
from shared import run

from helpers.clients import conversation as module
from helpers.clients.conversation import SHOWN, UNCLAIMED, Conversation, NotConnectedError


@pytest.fixture
def ann() -> Conversation:
    ann = Conversation("Ann")
    ann.enter("open")
    return ann


def test_a_message_is_given_out_once(ann: Conversation) -> None:
    async def main() -> None:
        ann.came("hi")
        assert await ann.received("hi") == "hi"
        with pytest.raises(TimeoutError):
            await ann.received("hi", timeout=0.01)

    run(main())


def test_heard_says_whether_a_text_came(ann: Conversation) -> None:
    async def main() -> None:
        ann.came(b"fire!")
        ann.came("Dan: fire! fire!")
        assert await ann.heard("fire!", timeout=0.01)
        assert not await ann.heard("fire!", timeout=0.01)
        assert await ann.received() == b"fire!"
        ann.enter("closed", "1000")
        with pytest.raises(NotConnectedError, match="1000"):
            await ann.heard("fire!", timeout=0.01)

    run(main())


def test_two_who_wait_get_one_message_each(ann: Conversation) -> None:
    async def main() -> None:
        first = asyncio.ensure_future(ann.received())
        second = asyncio.ensure_future(ann.received())
        await asyncio.sleep(0)
        ann.came("1")
        ann.came("2")
        ann.came("3")
        assert [await first, await second, await ann.received()] == ["1", "2", "3"]

    run(main())


def test_the_wanted_message_is_found_among_others_and_these_keep_their_order(ann: Conversation) -> None:
    async def main() -> None:
        for number in range(5):
            ann.came(str(number))
        assert await ann.received("2") == "2"
        assert await ann.received(lambda text: int(text) > 2) == "3"
        assert [await ann.received() for _ in range(3)] == ["0", "1", "4"]

    run(main())


def test_a_predicate_waits_for_its_message(ann: Conversation) -> None:
    async def main() -> None:
        waiting = asyncio.ensure_future(ann.received(lambda data: len(data) > 3))
        await asyncio.sleep(0)
        ann.came("abc")
        ann.came(b"abcd")
        assert await waiting == b"abcd"
        assert await ann.received() == "abc"

    run(main())


def test_text_and_bytes_are_not_the_same(ann: Conversation) -> None:
    ann.came("hi")
    with pytest.raises(TimeoutError, match=r"did not receive b'hi' in 0.01 s; .*unclaimed messages: 'hi'"):
        run(ann.received(b"hi", timeout=0.01))


def test_the_timeout_says_what_came_and_how_things_stand(ann: Conversation) -> None:
    for word in ("one", "two", "three", "x" * 100):
        ann.came(word)
    with pytest.raises(TimeoutError) as failed:
        run(ann.received("hi", timeout=0.01))
    assert str(failed.value) == (
        "Ann did not receive 'hi' in 0.01 s; unclaimed messages: "
        f"'two', 'three', '{'x' * 60}'…; the state is open"
    )


def test_the_timeout_of_one_who_never_connected_says_so() -> None:
    with pytest.raises(TimeoutError) as failed:
        run(Conversation("Bob").received(timeout=0.01))
    assert str(failed.value) == (
        "Bob did not receive a message in 0.01 s; no other messages are waiting; "
        "the state is closed (not connected yet)"
    )


def test_a_message_after_the_timeout_is_there_for_the_next(ann: Conversation) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            await ann.received("hi", timeout=0.01)
        ann.came("hi")
        assert await ann.received("hi", timeout=0) == "hi"

    run(main())


def test_closing_ends_every_wait(ann: Conversation) -> None:
    async def main() -> None:
        waits = [asyncio.ensure_future(ann.received(word)) for word in ("a", "b")]
        await asyncio.sleep(0)
        ann.came("before")
        ann.enter("closed", "1001 (server stopped)")
        for wait in waits:
            with pytest.raises(
                NotConnectedError, match=r"Ann's connection is closed: 1001 \(server stopped\)"
            ):
                await wait
        assert await ann.received() == "before"
        with pytest.raises(NotConnectedError, match="1001"):
            await ann.received(timeout=60)

    run(main())


def test_a_predicate_that_raises_fails_its_own_caller_only(ann: Conversation) -> None:
    async def main() -> None:
        picky = asyncio.ensure_future(ann.received(lambda data: data["type"] == "x"))  # type: ignore[index, call-overload]
        patient = asyncio.ensure_future(ann.received("hi"))
        await asyncio.sleep(0)
        ann.came("hi")
        assert await patient == "hi"
        with pytest.raises(TypeError, match="string indices must be integers"):
            await picky

    run(main())


def test_who_gives_up_leaves_the_message_to_others(ann: Conversation) -> None:
    async def main() -> None:
        waiting = asyncio.ensure_future(ann.received())
        await asyncio.sleep(0)
        ann.came("hi")  # claimed, but not yet handed over
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await ann.received(timeout=0) == "hi"

    run(main())


def test_no_message_is_lost_or_doubled_between_timeouts_and_a_flood(ann: Conversation) -> None:
    count = 10_000
    got: list[str] = []

    def flood() -> None:
        for number in range(count):
            ann.came(str(number))
            if number % 500 == 499:
                drained.acquire()

    async def take() -> None:
        while len(got) < count:
            try:
                got.append(str(await ann.received(timeout=0.0001)))
            except TimeoutError:
                continue
            if len(got) % 500 == 0:
                drained.release()

    drained = threading.Semaphore(0)
    thread = threading.Thread(target=flood, daemon=True)
    thread.start()
    run(take())
    thread.join()
    assert got == [str(number) for number in range(count)]


def test_the_log_keeps_the_last_and_counts_all(ann: Conversation) -> None:
    for number in range(SHOWN + 50):
        ann.came(str(number))
    ann.sent("out")
    ann.note("an event")
    now = ann.snapshot()
    assert (now.received, now.sent, now.first, len(now.log)) == (SHOWN + 50, 1, 52, SHOWN)
    assert [(message.direction, message.data) for message in now.log[-3:]] == [
        ("received", "249"),
        ("sent", "out"),
        ("event", "an event"),
    ]
    assert now.log[0].data == "52"


def test_the_inbox_drops_the_oldest(ann: Conversation) -> None:
    for number in range(UNCLAIMED + 5):
        ann.came(str(number))
    assert run(ann.received()) == "5"


def test_log_and_inbox_are_bounded_in_bytes_too(ann: Conversation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_SIZE", 1000)
    for number in range(20):
        ann.came(f"{number:100d}")
    assert [int(message.data) for message in ann.log] == list(range(10, 20))
    assert int(run(ann.received())) == 10
    ann.came("y" * 200)
    assert int(run(ann.received())) == 12


def test_a_message_above_the_bound_is_kept_alone(ann: Conversation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_SIZE", 1000)
    ann.came("small")
    ann.came(b"z" * 5000)
    assert [len(message.data) for message in ann.log] == [5000]
    assert run(ann.received()) == b"z" * 5000


def test_counters_and_log_agree_whoever_writes(ann: Conversation) -> None:
    def write() -> None:
        for _ in range(5000):
            ann.came("in")
            ann.note("event")
            ann.sent("out")

    def check() -> None:
        while not stop.is_set():
            now = ann.snapshot()
            if now.first + len(now.log) < now.sent + now.received or len(now.log) > SHOWN:
                wrong.append(now)

    stop, wrong = threading.Event(), list[object]()
    checker = threading.Thread(target=check)
    writers = [threading.Thread(target=write) for _ in range(4)]
    for thread in (checker, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    checker.join()
    assert wrong == []
    assert (ann.sent_count, ann.received_count, ann.event_count) == (20_000, 20_000, 20_000)


def test_every_change_is_told() -> None:
    changes = []
    bob = Conversation("Bob", lambda: changes.append(bob.snapshot()[:4]))
    bob.enter("open")
    bob.came("in")
    bob.sent("out")
    bob.missed(3, "went by")
    bob.enter("closed", "1000")
    assert [(state, sent, received) for state, _, sent, received in changes] == [
        ("open", 0, 0),
        ("open", 0, 1),
        ("open", 1, 1),
        ("open", 1, 4),
        ("closed", 1, 4),
    ]
    assert bob.log[-1].data == "3 messages went by"
