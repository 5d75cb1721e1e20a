"""The panels without a browser: what they tell the page, how often, and what they do when the page asks."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus

import pytest
from fake_page import FakePage
from shared import echo, run, says, until
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import InvalidStatus
from websockets.http11 import Request, Response

from helpers.background.journal import Refusal
from helpers.background.server import BackgroundServer
from helpers.background.tap import tapped
from helpers.clients.conversation import NotConnectedError
from helpers.widgets import pages
from helpers.widgets.panel import BrowserClient, ClientPanel

pytestmark = pytest.mark.usefixtures("nothing_is_printed")


@pytest.fixture
def server() -> Iterator[BackgroundServer]:
    with BackgroundServer(echo) as server:
        yield server


def test_a_panel_before_it_is_connected(server: BackgroundServer) -> None:
    ann = ClientPanel("Ann", server.url)
    page = FakePage(ann)
    assert repr(ann) == "ClientPanel('Ann'): closed"
    assert (ann.state, ann.detail, ann.log, ann.sent_count, ann.received_count) == (
        *("closed", "not connected yet"),
        *([], 0, 0),
    )
    assert page.view["state"] == "closed"
    assert page.view["log"] == []
    assert page.address == server.url


def test_the_cell_drives_and_the_page_sees(server: BackgroundServer) -> None:
    async def main() -> None:
        ann = ClientPanel("Ann", server.url)
        page = FakePage(ann)
        await ann.connect()
        assert repr(ann) == "ClientPanel('Ann'): open"
        ann.send("hi")
        assert await ann.heard("hi")
        await until(lambda: page.view["received"] == 1)
        await ann.disconnect()
        assert page.lines == [
            ("event", f"connected to {server.url}"),
            ("sent", "hi"),
            ("received", "hi"),
            ("event", "closed: 1000"),
        ]
        assert {
            "state": "closed",
            "detail": "1000",
            "sent": 1,
            "received": 1,
            "first": 0,
        }.items() <= page.view.items()
        states = [state for state, _ in itertools.groupby(view["state"] for view in page.views)]
        assert states[-1] == "closed"
        assert "open" in states

    run(main())


def test_a_page_that_only_looks_is_heard(server: BackgroundServer) -> None:
    ann = ClientPanel("Ann", server.url)
    page = FakePage(ann)
    number = page.press("look")
    assert number in page.view["heard"]
    assert page.lines == []


def test_the_page_drives_and_the_cell_sees(server: BackgroundServer) -> None:
    async def main() -> None:
        ann = ClientPanel("Ann", "ws://127.0.0.1:1")
        page = FakePage(ann)
        page.press("connect", url=server.url)
        await until(lambda: ann.state == "open")
        number = page.press("send", text="from the page")
        assert await ann.received("from the page") == "from the page"
        await until(lambda: number in page.view["heard"])
        assert page.address == server.url
        page.press("disconnect")
        await until(lambda: ann.state == "closed")
        number = page.press("send", text="too late")
        assert number in page.view["heard"]
        assert page.lines[-1] == (
            "event",
            "Ann is not connected (closed): press Connect, or await its .connect()",
        )

    run(main())


def test_the_page_may_ask_for_anything(server: BackgroundServer) -> None:
    async def main() -> None:
        ann = ClientPanel("Ann", server.url)
        page = FakePage(ann)
        page.press("connect", url="")
        await until(lambda: len(ann.log) == 1)
        assert ann.detail == "'' is not a WebSocket address; one looks like ws://127.0.0.1:8765"
        page.press("disconnect")
        page.press("connect", url=server.url)
        page.press("connect", url=server.url)
        page.press("disconnect")
        page.press("disconnect")
        page.press("connect", url=server.url)
        await until(lambda: ann.state == "open")
        page.press("send", text="half of a pair: \ud83d")
        assert "surrogates not allowed" in str(ann.log[-1].data)
        await until(lambda: page.shows("open"))
        ann.close()

    run(main())


def test_a_flood_makes_few_updates_and_ends_with_the_last_message() -> None:
    count = 10_000

    async def flood(connection: ServerConnection) -> None:
        for number in range(count):
            await connection.send(str(number))
            await asyncio.sleep(0)  # or the client, on the same loop, would be updated only now and then
        await connection.wait_closed()

    async def main(url: str) -> float:
        ann = ClientPanel("Ann", url, compression=None)
        page = FakePage(ann)
        begin = time.monotonic()
        await ann.connect()
        await ann.received(str(count - 1), timeout=50)
        seconds = time.monotonic() - begin
        await until(lambda: page.view["received"] == count)
        assert page.lines[-1] == ("received", str(count - 1))
        assert len(page.view["log"]) == 200
        assert page.view["first"] == count + 1 - 200
        assert 3 <= len(page.views) <= 20 * (seconds + 1) + 5
        await ann.disconnect()
        return seconds

    with BackgroundServer(flood, compression=None) as server:
        run(main(server.url))


def test_the_last_message_before_the_end_is_shown() -> None:
    async def burst(connection: ServerConnection) -> None:
        for number in range(300):
            await connection.send(str(number))
        await connection.close(4000, "that was all")

    async def main(url: str) -> None:
        for _ in range(20):
            ann = ClientPanel("Ann", url)
            page = FakePage(ann)
            await ann.connect()
            with pytest.raises(NotConnectedError, match="that was all"):
                await ann.received("no such message", timeout=10)
            await until(lambda page=page: page.view["state"] == "closed")  # type: ignore[misc]
            assert page.lines[-2:] == [("received", "299"), ("event", "closed: 4000 (that was all)")]
            assert (page.view["received"], page.view["detail"]) == (300, "4000 (that was all)")

    with BackgroundServer(burst) as server:
        run(main(server.url))


def test_the_view_is_never_older_than_the_client_in_the_end(server: BackgroundServer) -> None:
    """Also without a server to share the loop with, where the loop ends as soon as the connection does."""

    async def main() -> None:
        ann = ClientPanel("Ann", server.url)
        page = FakePage(ann)
        for number in range(30):
            page.press("connect", url=server.url if number % 2 else "ws://127.0.0.1:1")
            if number % 3 == 0:
                page.press("disconnect")
            if number % 5 == 0:
                await until(lambda: ann.state in ("open", "closed"))
            page.press("disconnect")
        await until(lambda: ann.state == "closed")
        await until(lambda: page.shows("closed"))

    run(main())


def test_long_and_binary_messages_are_cut_in_the_view_only(server: BackgroundServer) -> None:
    async def main() -> None:
        ann = ClientPanel("Ann", server.url)
        page = FakePage(ann)
        await ann.connect()
        long, big = "é" * 300_000, bytes(range(256)) * 100
        ann.send(long)
        ann.send(big)
        ann.send(b"\x01\x02")
        assert await ann.received(b"\x01\x02")
        assert await ann.received(long) == long
        assert await ann.received(big) == big
        assert ann.log[1].data == long
        await until(lambda: page.view["received"] == 3)
        cut = {text for direction, text in page.lines if direction == "received"}
        assert cut == {
            "é" * 400 + "… (300,000 characters)",
            f"25,600 bytes: {' '.join(f'{n:02x}' for n in range(24))}…",
            "2 bytes: 01 02",
        }
        await ann.disconnect()

    run(main())


def test_markup_goes_to_the_page_as_it_is(server: BackgroundServer) -> None:
    async def main() -> None:
        ann = ClientPanel("Ann", server.url)
        page = FakePage(ann)
        await ann.connect()
        ann.send("<script>alert(1)</script>&amp;")
        await ann.received()
        await until(lambda: page.view["received"] == 1)
        assert page.lines[-1] == ("received", "<script>alert(1)</script>&amp;")
        await ann.disconnect()

    run(main())


def test_a_new_panel_of_the_same_name_replaces_the_old(server: BackgroundServer) -> None:
    async def main() -> None:
        first = ClientPanel("Ann", server.url)
        other = ClientPanel("Bob", server.url)
        await first.connect()
        await other.connect()
        second = ClientPanel("Ann", server.url)
        await second.connect()
        await until(lambda: first.state == "closed")
        assert (second.state, other.state) == ("open", "open")
        await until(lambda: len(server.connections) == 2)
        await second.disconnect()
        await other.disconnect()

    run(main())


def test_closing_a_panel_closes_its_connection(server: BackgroundServer) -> None:
    async def main() -> None:
        ann = ClientPanel("Ann", server.url)
        await ann.connect()
        ann.close()
        await until(lambda: ann.state == "closed")
        assert ann.detail == "1000"
        ann.close()

    run(main())


def test_a_stopped_server_is_shown(server: BackgroundServer) -> None:
    async def main() -> None:
        ann = ClientPanel("Ann", server.url)
        page = FakePage(ann)
        await ann.connect()
        await asyncio.to_thread(server.stop)
        await until(lambda: page.view["state"] == "closed")
        assert (ann.detail, page.view["detail"]) == ("1001 (server stopped)", "1001 (server stopped)")

    run(main())


def test_an_address_given_to_connect_is_shown(server: BackgroundServer) -> None:
    async def main() -> None:
        ann = ClientPanel("Ann", "ws://127.0.0.1:1")
        page = FakePage(ann)
        with pytest.raises(NotConnectedError, match="nothing is listening at ws:"):
            await ann.connect()
        await ann.connect(server.url)
        assert page.address == server.url
        await ann.disconnect()

    run(main())


def test_options_pass_through() -> None:
    async def main(url: str) -> None:
        ann = ClientPanel("Ann", url, subprotocols=["chat"], max_size=5)
        await ann.connect()
        assert ann.client.connection.subprotocol == "chat"
        ann.send("more than five")
        with pytest.raises(NotConnectedError, match="1009"):
            await ann.received(timeout=10)

    with BackgroundServer(echo, subprotocols=["chat"]) as server:
        run(main(server.url))


# ---- BrowserClient: the page is played by the test ------------------------------------------------


def test_a_browser_client_without_a_browser() -> None:
    async def main() -> None:
        web = BrowserClient("Web", "ws://127.0.0.1:1")
        assert repr(web) == "BrowserClient('Web'): closed"
        assert not await web.shown(timeout=0.01)
        with pytest.raises(NotConnectedError, match="no browser shows 'Web': run its cell in JupyterLab"):
            await web.connect(timeout=0.01)
        with pytest.raises(NotConnectedError, match=r"Web is not connected \(closed\)"):
            web.send("hi")
        await web.disconnect()

    run(main())


def test_a_mode_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match="not 'tunnel'"):
        BrowserClient("Web", "ws://127.0.0.1:1", mode="tunnel")  # type: ignore[arg-type]


def test_a_browser_client_connects_talks_and_disconnects() -> None:
    async def main() -> None:
        web = BrowserClient("Web", "ws://127.0.0.1:7")
        page = FakePage(web)
        page.says("hello")
        assert (web._acting, page.told) == ("the page", [])
        opening = asyncio.ensure_future(web.connect())
        await until(lambda: page.told)
        assert page.told.pop() == {"do": "connect", "url": "ws://127.0.0.1:7", "buffers": []}
        page.state("connecting")
        page.batch(("event", "connected"))
        page.state("open")
        await opening
        assert (web.state, web.route) == ("open", "through Jupyter's proxy")
        await web.connect()
        assert page.told == []
        web.send("hi")
        web.send(b"\x00")
        assert page.told == [
            {"do": "send", "text": "hi", "buffers": []},
            {"do": "send", "buffers": [b"\x00"]},
        ]
        page.told.clear()
        page.batch(
            ("sent", "hi"),
            ("received", None),
            ("received", "hi"),
            ("received", None),
            buffers=(b"\x01", b"\x02"),
        )
        assert [await web.received() for _ in range(3)] == [b"\x01", "hi", b"\x02"]
        assert (web.sent_count, web.received_count) == (1, 3)
        page.batch(("received", "last"), skipped=5000)
        assert web.received_count == 5004
        assert web.log[-1].data == "5,000 messages came too fast for the kernel; the browser has them"
        leaving = asyncio.ensure_future(web.disconnect())
        waiting = asyncio.ensure_future(web.received("never"))
        await until(lambda: page.told)
        assert page.told.pop()["do"] == "disconnect"
        page.state("closing")
        page.state("closed", "1000")
        await leaving
        with pytest.raises(NotConnectedError, match="1000"):
            await waiting
        assert (web.state, web.detail) == ("closed", "1000")

    run(main())


def test_a_browser_client_that_is_refused() -> None:
    async def main() -> None:
        web = BrowserClient("Web", "ws://127.0.0.1:7")
        page = FakePage(web)
        page.says("hello")
        first = asyncio.ensure_future(web.connect())
        second = asyncio.ensure_future(web.connect())
        await until(lambda: len(page.told) == 2)
        page.state("connecting")
        page.state("closed", "1006: no connection directly")
        for opening in (first, second):
            with pytest.raises(
                NotConnectedError, match="Web could not connect: 1006: no connection directly"
            ):
                await opening

    run(main())


def test_a_page_that_does_not_answer() -> None:
    async def main() -> None:
        web = BrowserClient("Web", "ws://127.0.0.1:7")
        page = FakePage(web)
        page.says("hello")
        with pytest.raises(
            NotConnectedError, match=r"the page with 'Web' did not answer in 0.05 s \(state: closed\)"
        ):
            await web.connect(timeout=0.05)
        page.state("open")
        with pytest.raises(NotConnectedError, match="is it still open in a browser"):
            await web.disconnect(timeout=0.05)

    run(main())


def a_connected_page() -> tuple[BrowserClient, FakePage]:
    web = BrowserClient("Web", "ws://127.0.0.1:7")
    page = FakePage(web, "desk")
    page.says("hello")
    page.state("connecting")
    page.state("open")
    page.batch(("received", "before"))
    return web, page


def test_a_page_that_is_loaded_again_gets_the_log_and_has_no_connection() -> None:
    async def main() -> None:
        web, _ = a_connected_page()
        again = FakePage(web, "desk, loaded again")
        again.says("hello")
        assert again.told == [{"do": "answer", "buffers": []}]
        await until(lambda: web.state == "closed")  # nobody has answered
        assert web.detail == "the page was closed or reloaded"
        assert web._acting == again.id
        assert again.lines == [("received", "before")]
        with pytest.raises(NotConnectedError):
            web.send("hi")

    run(main())


def test_a_second_page_shows_what_the_first_one_does_and_ends_nothing() -> None:
    async def main() -> None:
        web, desk = a_connected_page()
        projector = FakePage(web, "projector")
        for _ in range(3):  # it says so now and then
            projector.says("hello")
            assert projector.told.pop() == {"do": "answer", "buffers": []}
            desk.says("here")
        assert (web.state, web._acting) == ("open", "desk")
        assert (projector.view["state"], projector.lines) == ("open", [("received", "before")])
        desk.batch(("sent", "one message"))
        assert projector.lines[-1] == ("sent", "one message")
        await web.connect()
        assert projector.told == []  # there is no second connection
        projector.batch(("sent", "twice"))
        projector.state("closed", "1006")
        assert (web.state, web.sent_count) == ("open", 1)

    run(main())


def test_a_person_takes_over_in_another_page() -> None:
    async def main() -> None:
        web, desk = a_connected_page()
        projector = FakePage(web, "projector")
        projector.says("hello")
        projector.state("connecting")
        assert web._acting == "projector"
        projector.state("open")
        told_again: list[str] = []
        web.send_state = told_again.append
        desk.batch(("received", "late"))
        desk.state("closed", "1000")
        assert (web.state, web.received_count) == ("open", 1)
        assert told_again == [
            "_acting",
            "_acting",
        ]  # its connection to the kernel may have been lost meanwhile
        await asyncio.sleep(pages.ANSWER_WITHIN + 0.1)  # its question to the desk is void
        assert (web.state, web._acting) == ("open", "projector")

    run(main())


def test_a_kernel_that_was_busy_waits_for_the_answer_once_more() -> None:
    async def main() -> None:
        web, desk = a_connected_page()
        FakePage(web, "projector").says("hello")
        time.sleep(pages.ANSWER_WITHIN + pages.BUSY + 0.1)  # noqa: ASYNC251 - as a cell that blocks
        await asyncio.sleep(0.1)
        assert web.state == "open"
        desk.says("here")
        await asyncio.sleep(pages.ANSWER_WITHIN + 0.1)
        assert (web.state, web._acting) == ("open", "desk")

    run(main())


@pytest.mark.parametrize("tap", [False, True])
def test_a_browser_learns_from_the_kernel_why_it_was_refused(tap: bool) -> None:
    def refuse(connection: ServerConnection, request: Request) -> Response:
        return connection.respond(HTTPStatus.FORBIDDEN, "not you\n")

    async def main(url: str) -> None:
        web = BrowserClient("Web", url)
        page = FakePage(web)
        page.says("hello")
        page.state("connecting")
        with pytest.raises(InvalidStatus):
            await connect(url, proxy=None)  # as Jupyter's proxy does it for the page
        await until(lambda: says(refusing, "403"))
        page.says("state", state="closed", detail="1006: broken off", route="", asks=url)
        assert web.detail == "1006: 'echo' says: a peer did not complete the handshake (403 Forbidden)"
        assert page.told == [{"do": "explain", "detail": web.detail, "buffers": []}]

    with BackgroundServer(echo, process_request=refuse) as refusing, tapped(refusing) as before_it:
        run(main(before_it.url if tap else refusing.url))


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("ws://127.0.0.1:1", "1006: nothing is listening at ws://127.0.0.1:1: start the server, or correct"),
        ("ws://192.0.2.1:80", "1006: broken off"),
        ("ws://127.0.0.1:x", "1006: nothing is listening at ws://127.0.0.1:x"),
    ],
)
def test_where_there_is_no_server_of_the_kernels(address: str, why: str) -> None:
    web = BrowserClient("Web", address)
    page = FakePage(web)
    page.says("hello")
    page.state("connecting")
    page.says("state", state="closed", detail="1006: broken off", route="", asks=address)
    assert web.detail.startswith(why)


def test_the_reason_of_an_earlier_refusal_is_not_told_again(server: BackgroundServer) -> None:
    server._journal.say(Refusal.because(" (403 Forbidden)"))
    server._journal.begun -= 5  # that was five seconds ago
    web = BrowserClient("Web", server.url)
    page = FakePage(web)
    page.says("hello")
    page.state("connecting")
    page.says("state", state="closed", detail="1006: broken off", route="", asks=server.url)
    assert web.detail == "1006: broken off"


def test_helper_threads_end_with_the_panels(server: BackgroundServer) -> None:
    async def main() -> None:
        panels = [ClientPanel(name, server.url) for name in "abcde"]
        for panel in panels:
            await panel.connect()
        for panel in panels:
            panel.close()
        await until(lambda: not server.connections)

    run(main())
    server.stop()
    for thread in threading.enumerate():
        if thread.name.startswith("shared background loop"):
            thread.join(5)
            assert not thread.is_alive()
