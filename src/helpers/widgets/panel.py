"""The panels: a conversation that a person sees and drives, in the kernel or in the browser."""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import contextvars
import threading
import time
import weakref
from typing import Any, ClassVar, Literal

import anywidget
import traitlets

from helpers.arguments import address
from helpers.background.loops import BackgroundLoop
from helpers.clients.client import Client, why_refused
from helpers.clients.conversation import Conversation, Data, Message, NotConnectedError, State, Wanted
from helpers.widgets.pages import UPDATES_PER_SECOND, Pages
from helpers.widgets.scripts import script, style
from helpers.wire.tap import HasUrl

LONGEST_LINE = 400


class Panel(anywidget.AnyWidget):
    """What both panels show: name, state, address, message log, counters, a field to write in.

    The log is sent to the page at most 20 times a second and holds the last 200 messages, so that a
    flood neither freezes the page nor gets lost on the way; all messages are counted.
    """

    _esm = script("panel.js")
    _css = style("panel.css")
    _kind = traitlets.Unicode("kernel").tag(sync=True)
    _mode = traitlets.Unicode("proxy").tag(sync=True)
    _address = traitlets.Unicode().tag(sync=True)
    _view = traitlets.Dict().tag(sync=True)
    name = traitlets.Unicode().tag(sync=True)

    def __init__(self, conversation: Conversation, url: str | HasUrl, **traits: Any) -> None:
        self._conversation = conversation
        super().__init__(
            name=conversation.name, _address=address(url), _view=_as_shown(conversation), **traits
        )
        self.on_msg(self._from_the_page)

    @property
    def state(self) -> State:
        """`"closed"`, `"connecting"`, `"open"` or `"closing"`."""
        return self._conversation.state

    @property
    def detail(self) -> str:
        """More about the state: after a close its code and reason, or why there is no connection."""
        return self._conversation.detail

    @property
    def log(self) -> list[Message]:
        """The last 200 messages and events, oldest first."""
        return self._conversation.log

    @property
    def sent_count(self) -> int:
        """How many messages were sent."""
        return self._conversation.sent_count

    @property
    def received_count(self) -> int:
        """How many messages were received."""
        return self._conversation.received_count

    async def received(self, wanted: Wanted = None, *, timeout: float = 2) -> Data:
        """Wait for a message, or take one that has come already. Each is given out once.

        Args:
            wanted: the message itself, or a function that says whether it is the one; None takes any.
            timeout: how long to wait, in seconds.

        Returns:
            The message.

        Raises:
            TimeoutError: it did not come in time; the message says what came instead.
            NotConnectedError: the connection is closed, or was closed meanwhile. (Before the first
                connection it waits: a person may be about to press Connect.)
        """
        return await self._conversation.received(wanted, timeout=timeout)

    async def heard(self, text: str, *, timeout: float = 1) -> bool:
        """Whether a message with `text` in it has come, or comes in time; like `received`, it takes it.

        Args:
            text: what to look for in text messages.
            timeout: how long to wait, in seconds.

        Raises:
            NotConnectedError: the connection is closed, or was closed meanwhile.
        """
        return await self._conversation.heard(text, timeout=timeout)

    def _from_the_page(self, widget: object, content: dict[str, Any], buffers: list[memoryview]) -> None:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}): {self.state}"


class ClientPanel(Panel):
    """A WebSocket client in the kernel that a person drives, and the next cell as well.

        ann = ClientPanel("Ann", server.url)
        await ann.connect()
        ann.send("hi")

    It lives on the background loop, so it receives while a cell runs. A new panel of the same name
    (you run the cell again) closes the connection of the one before.

    Args:
        name: who it is.
        url: the server's address, or the server.
        **options: every other option of `websockets.asyncio.client.connect`, such as `subprotocols`.
    """

    _by_name: ClassVar[weakref.WeakValueDictionary[str, ClientPanel]] = weakref.WeakValueDictionary()

    def __init__(self, name: str, url: str | HasUrl, **options: Any) -> None:
        self._made_in = contextvars.copy_context()
        self._client = Client(name, url, changed=self._changed, **options)
        self._heard: collections.deque[int] = collections.deque(maxlen=20)
        self._armed_on: BackgroundLoop | None = None
        self._shown_at = 0.0
        self._showing = threading.Lock()
        super().__init__(self._client, url)
        before = self._by_name.get(name)
        if before is not None:
            if before.state == "open":
                before._client.note(f"a newer panel named {name!r} takes over")
            before._client.end()
        self._by_name[name] = self

    @property
    def client(self) -> Client:
        """The client without its view."""
        return self._client

    async def connect(self, url: str | None = None) -> None:
        """Connect, and return when the connection is open.

        Args:
            url: another address than the one shown.

        Raises:
            NotConnectedError: there is no connection, and why.
        """
        if url is not None:
            self._address = url
        await self._client.connect(self._address)

    async def disconnect(self) -> None:
        """Close the connection with 1000 (normal closure), and return when it is closed."""
        await self._client.disconnect()

    def send(self, message: Data) -> None:
        """Send a message: text, or bytes for a binary one. Returns at once; messages keep their order.

        Raises:
            NotConnectedError: the connection isn't open.
        """
        self._client.send(message)

    def close(self) -> None:
        """Close the connection and take the panel off the page."""
        if hasattr(self, "_client"):  # ipywidgets closes a panel whose construction failed, too
            self._client.end()
        super().close()

    def _from_the_page(self, widget: object, content: dict[str, Any], buffers: list[memoryview]) -> None:
        try:
            if content["do"] == "connect":
                self._address = content["url"]
                self._client.begin(content["url"])
            elif content["do"] == "disconnect":
                self._client.end()
            elif content["do"] == "send":
                self._client.send(content["text"])
        except (NotConnectedError, UnicodeEncodeError) as error:
            self._client.note(str(error))
        self._heard.append(content["number"])
        self._changed()

    def _changed(self) -> None:
        """Have the page updated: soon after a pause, within a twentieth of a second in a flood."""
        loop = self._client.loop
        if loop is None:
            self._show()  # nobody would do it later
            return
        if self._armed_on is loop:
            return
        self._armed_on = loop
        wait = max(0.0, self._shown_at + 1 / UPDATES_PER_SECOND - time.monotonic())
        if threading.current_thread() is loop.thread:
            loop.asyncio_loop.call_later(wait, self._show)
            return
        try:
            loop.asyncio_loop.call_soon_threadsafe(loop.asyncio_loop.call_later, wait, self._show)
        except RuntimeError:  # the connection was closed meanwhile, and the loop with it
            self._show()

    def _show(self) -> None:
        with self._showing:  # or an older view might replace a newer one
            self._armed_on = None
            self._shown_at = time.monotonic()
            view = {**_as_shown(self._client), "heard": list(self._heard)}
            self._made_in.copy().run(self._tell_the_page, view)

    def _tell_the_page(self, view: dict[str, Any]) -> None:
        """Update the page, in the context of the cell that made the panel.

        ipykernel 7.4 handles what comes from a widget on the thread that has last sent to it (the routing of
        `ipykernel.comm.Comm`), and finds that thread in the context. In another context, a click would be
        handled on the main thread or on a subshell's, depending on what had connected the panel.
        """
        self._view = view


class BrowserClient(Panel):
    """A WebSocket client in the reader's own browser, opened by JavaScript, with the same panel.

        web = BrowserClient("Your browser", server.url)
        web                                  # show it, press Connect
        await web.received("hi")

    The page finds the way to the kernel's server by itself: through Jupyter's proxy, below the page's own
    address, so that it works on Binder too; directly, where the page is not Jupyter's. It says which it took.
    It goes on while the kernel is busy. Through the proxy close codes and reasons arrive as 1005 or 1006,
    and `open` means that the proxy has answered, not yet the server.

    Where the notebook is open in several tabs, one of them connects; the others show the same, and a person
    can connect there instead.

    Args:
        name: who it is.
        url: the server's address as the kernel sees it, or the server.
        mode: `"proxy"`, or `"direct"` for a browser on the kernel's own machine.
    """

    _acting = traitlets.Unicode().tag(sync=True)

    def __init__(self, name: str, url: str | HasUrl, *, mode: Literal["proxy", "direct"] = "proxy") -> None:
        if mode not in ("proxy", "direct"):
            raise ValueError(f'mode must be "proxy" or "direct", not {mode!r}')
        self.route = ""
        """Which way the page took, in words; empty before it has connected."""
        self._shown = concurrent.futures.Future[None]()
        self._asked: list[tuple[State, concurrent.futures.Future[bool]]] = []
        self._pages = Pages(lambda: self._tell({"do": "answer"}), self._another_page_acts)
        self._began = 0.0
        super().__init__(Conversation(name), url, _kind="browser", _mode=mode)

    async def shown(self, timeout: float = 5) -> bool:
        """Whether a browser shows this panel; waits for one at most `timeout` seconds."""
        await asyncio.wait([asyncio.wrap_future(self._shown)], timeout=timeout)
        return self._shown.done()

    async def connect(self, *, timeout: float = 5) -> None:
        """Have the browser connect, and return when it says that the connection is open.

        Args:
            timeout: how long to wait, in seconds.

        Raises:
            NotConnectedError: no browser shows the panel, or there is no connection, and why.
        """
        if not await self.shown(timeout):
            raise NotConnectedError(f"no browser shows {self.name!r}: run its cell in JupyterLab")
        if self.state == "open":
            return
        if not await self._ask("open", {"do": "connect", "url": self._address}, timeout):
            raise NotConnectedError(f"{self.name} could not connect: {self.detail}")

    async def disconnect(self, *, timeout: float = 5) -> None:
        """Have the browser close the connection with 1000, and return when it says that it is closed.

        Args:
            timeout: how long to wait, in seconds.

        Raises:
            NotConnectedError: the page doesn't answer.
        """
        if self.state != "closed":
            await self._ask("closed", {"do": "disconnect"}, timeout)

    def send(self, message: Data) -> None:
        """Have the browser send a message: text, or bytes for a binary one.

        Raises:
            NotConnectedError: the connection isn't open.
        """
        if self.state != "open":
            raise NotConnectedError(f"{self.name} is not connected ({self.state}): press Connect")
        if isinstance(message, str):
            self._tell({"do": "send", "text": message})
        else:
            self._tell({"do": "send"}, [message])

    async def _ask(self, wanted: State, content: dict[str, Any], timeout: float) -> bool:
        """Tell the page to do something; whether it came to the state that is wanted, or else was closed."""
        asked = (wanted, concurrent.futures.Future[bool]())
        self._asked.append(asked)
        self._tell(content)
        try:
            await asyncio.wait([asyncio.wrap_future(asked[1])], timeout=timeout)
        finally:
            self._asked.remove(asked)
        if not asked[1].done():
            raise NotConnectedError(
                f"the page with {self.name!r} did not answer in {timeout:g} s (state: {self.state}); "
                "is it still open in a browser?"
            )
        return asked[1].result()

    def _tell(self, content: dict[str, Any], buffers: list[bytes] | None = None) -> None:
        super().send(content, buffers)

    def _from_the_page(self, widget: object, content: dict[str, Any], buffers: list[memoryview]) -> None:
        page, pages = content["page"], self._pages
        if content["do"] == "hello":
            if not self._shown.done():
                self._shown.set_result(None)
            pages.hello(page)
        elif content["do"] == "state" and content["state"] == "connecting":
            self._began = time.monotonic()
            pages.takes(page)
        if pages.heard(page):
            if content["do"] == "state":
                self._has_come_to(content)
            elif content["do"] == "batch":
                self._has_happened(content, buffers)
        elif content["do"] != "hello":
            self.send_state("_acting")  # it may have missed that another page acts
        if pages.several:
            self._view = _as_shown(self._conversation)

    def _another_page_acts(self, gone: bool) -> None:
        conversation = self._conversation
        if gone and conversation.state != "closed":
            conversation.enter("closed", "the page was closed or reloaded")
        with self.hold_sync():
            self._view = _as_shown(conversation)
            self._acting = self._pages.acting

    def _has_come_to(self, content: dict[str, Any]) -> None:
        """The page's connection has come to another state."""
        self.route, detail = content["route"], content["detail"]
        why = why_refused(content["asks"], self._began) if content.get("asks") else ""
        if why:
            detail = f"{detail.partition(':')[0]}: {why}"
            self._tell({"do": "explain", "detail": detail})
        self._conversation.enter(content["state"], detail)
        for wanted, settled in list(self._asked):
            if self.state in (wanted, "closed") and not settled.done():
                settled.set_result(self.state == wanted)

    def _has_happened(self, content: dict[str, Any], buffers: list[memoryview]) -> None:
        """The page has sent and received."""
        conversation, binary = self._conversation, iter(buffers)
        for direction, text in content["lines"]:
            data = next(binary).tobytes() if text is None else text
            if direction == "event":
                conversation.note(str(data))
            else:
                (conversation.came if direction == "received" else conversation.sent)(data)
        if content["skipped"]:
            conversation.missed(content["skipped"], "came too fast for the kernel; the browser has them")


def _as_shown(conversation: Conversation) -> dict[str, Any]:
    now = conversation.snapshot()
    lines = [[message.at, message.direction, _as_text(message.data)] for message in now.log]
    return {**now._asdict(), "log": lines}


def _as_text(data: Data) -> str:
    if isinstance(data, str):
        return data if len(data) <= LONGEST_LINE else f"{data[:LONGEST_LINE]}… ({len(data):,} characters)"
    more = "…" if len(data) > 24 else ""
    return f"{len(data):,} bytes: {data[:24].hex(' ')}{more}"
