"""The exercises of `13_ship_with_fastapi_and_streamlit`."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import re
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, NamedTuple

from fastapi import Depends, FastAPI, HTTPException, WebSocketDisconnect, WebSocketException
from websockets.asyncio.client import connect
from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

from helpers.checks.answer import Answer
from helpers.checks.chance import a_sentence, a_word
from helpers.checks.peers import Peer
from helpers.checks.trial import try_function
from helpers.checks.verdict import NotYet, Verdict, shown
from helpers.checks.whose import check

MORE_THAN_BUFFERS_HOLD = 2**23
"""In bytes: more than the buffers of both systems hold."""

CATCH_EACH = (
    "one failure stopped the sending for everybody: put `try`/`except` inside, around each `send_text`"
)
AWAIT_ALL = "your list has none of the slow ones: await every task you start, and note each `TimeoutError`"
AWAIT_EACH = "each `send_text` needs an `await`, and what goes wrong for one must not end it for the others"

MUTE = ("slow", "slower")
SLOW = (*MUTE, "too_late")
GONE = ("gone", "hung_up")

HUNG_UP = 'Cannot call "send" once a close message has been sent.'
"""Starlette's words where the server itself has closed the connection."""

REFUSE = 'refuse with `raise WebSocketException(1008, "the reason")`, the class from `fastapi`'
TOO_EARLY = {
    "websocket.accept": (
        "accepted",
        "the endpoint accepts; your function only returns whose ticket it is, or raises",
    ),
    "websocket.close": ("closed", REFUSE),
}
"""What an ASGI message does to a connection, and the hint where the reader's function sent it."""

SCOPE = {
    "type": "websocket",
    "scheme": "ws",
    "path": "/ws",
    "headers": [],
    "client": ("127.0.0.1", 50_000),
    "server": ("127.0.0.1", 8000),
    "subprotocols": [],
}
"""What uvicorn would tell FastAPI of a connection; without the query."""

RETURN_THE_HOLDER = "return whose ticket it is: `tickets[token]`"
SEND_TO_ALL_AT_ONCE = "send to all at the same time, `asyncio.gather(*(...))`, with half a second for each"
WAIT_HALF_A_SECOND = (
    "some never read: wait half a second for each, `async with asyncio.timeout(0.5)`, and no longer"
)
BEGIN_AFRESH = "each call begins with an empty list of its own: make it inside the function"
CANCEL_THE_LATE = (
    "don't wait for anyone who is too slow, and don't send to them later either: cancel that task"
)
BY_ITS_NAME = "FastAPI fills a parameter by its name: for `?token=...` call it `token`"
SEND_TEXT = "FastAPI's way to send a string is `await websocket.send_text(text)`"
RETURN_THE_FAILED = (
    "catch what goes wrong for each by itself: `TimeoutError` (too slow), and `WebSocketDisconnect` or "
    "`RuntimeError` (gone); and return a list of those"
)


@check
def ticket_holder(function: Any) -> Verdict:
    """Check a FastAPI dependency that knows whose ticket a token is, and refuses all others with 1008."""

    async def scenario(answer: Answer) -> str:
        for token, who in (("blue", "Ann"), ("red", "Bob"), ("blue", "Ann")):
            outcome = await _handshake(answer, function, f"token={token}")
            if outcome != who:
                raise NotYet(
                    f"with the token `{token}`: got {_in_words(outcome)}, expected `{who!r}`",
                    RETURN_THE_HOLDER if _reads_the_token(function) else BY_ITS_NAME,
                )
        nobodys = a_word()
        for query, which in (
            ("token=green", "the token `green`, which nobody has,"),
            (f"token={nobodys}", f"the token `{nobodys}`, which nobody has,"),
            ("token=BLUE", "the token `BLUE`, which nobody has,"),
            ("token=blu", "the token `blu`, which nobody has,"),
            ("token=blue%20", "the token `blue ` with a space, which nobody has,"),
            ("token=", "an empty token"),
            ("", "no token"),
        ):
            outcome = await _handshake(answer, function, query)
            if not isinstance(outcome, _Refusal):
                raise NotYet(f"with {which} got {_in_words(outcome)}, and nobody was refused", REFUSE)
            if outcome.code != 1008:
                raise NotYet(
                    f"with {which} the connection was refused with {shown(outcome.code)}, not `1008`", REFUSE
                )
            if query and not outcome.reason:
                raise NotYet(f"{which} was refused, and nobody said why", REFUSE)
        return "Ann and Bob came in, a wrong token and a missing one were refused with 1008"

    return try_function(function, scenario, arguments="", coroutine=None)


@check
def tell_all(function: Any) -> Verdict:
    """Check `async def tell_all(websockets, text)`, which gives each half a second and returns who failed."""

    async def scenario(answer: Answer) -> str:
        for rest in (2, 1, 0):  # on a machine that stands still, `late` may get no turn in its half second
            async with _room(answer) as (url, sockets), contextlib.AsyncExitStack() as stack:
                ann, _, _, bob, late, _ = [
                    await Peer.join(f"{url}/{name}")
                    for name in ("ann", "gone", "hung_up", "bob", "late", "too_late")
                ]
                for name in MUTE:
                    await stack.enter_async_context(_mute(url, answer, sockets, name))
                sockets["gone"].connection.transport.abort()
                await sockets["gone"].closed()
                sockets["hung_up"].hung_up = True
                sockets["late"].takes, sockets["too_late"].takes = 0.3, 0.8
                readers = (("Ann", ann), ("the late one, who needs 0.3 s", late), ("Bob", bob))
                everybody = [sockets[name] for name in ("ann", *SLOW, *GONE, "late", "bob")]
                failed = [sockets[name] for name in (*SLOW, *GONE)]
                try:
                    await _told(answer, everybody, failed, readers, "tea is ready")
                except NotYet:
                    if rest and sockets["late"].overslept:
                        continue
                    raise
                await _told(answer, [sockets["ann"], sockets["bob"]], [], readers[::2], a_sentence())
                await answer.watch.all_have_ended("`tell_all` has returned", CANCEL_THE_LATE)
                break
        return "those who read had the text; you named the three that were too slow and the two that are gone"

    return try_function(function, scenario, arguments="websockets, text")


async def _told(
    answer: Answer,
    sockets: list[_WebSocket],
    failed: list[_WebSocket],
    readers: Sequence[tuple[str, Peer]],
    text: str,
) -> None:
    begin = time.monotonic()
    for sock in sockets:
        sock.told = 0
    try:
        returned = await answer(list(sockets), text, within=2.2)
    except NotYet as not_yet:
        raise _with_a_hint(not_yet, answer.error) from not_yet
    took = time.monotonic() - begin
    if twice := [sock for sock in sockets if sock.told > 1]:
        raise NotYet(f"{shown(twice[0])} was sent the text {twice[0].told} times", "send it once to each")
    if isinstance(returned, list | tuple | set) and any(
        getattr(each, "takes", 0) == 0.3 for each in returned
    ):
        _check_the_list(returned, failed)
    who = "three are too slow and two are gone" if failed else "the next message goes to two who read"
    for name, peer in readers:
        heard = await peer.hears(f"{who}; {name}", hint=AWAIT_EACH)
        if heard != text:
            raise NotYet(f"{name} heard {shown(heard)}", "send the text as it is")
    _check_the_list(returned, failed)
    if (later := max(sock.began for sock in sockets) - min(sock.began for sock in sockets)) > 0.3:
        said = f"the last was sent to {later:.1f} s after the first: one after another, not at the same time"
        raise NotYet(said, SEND_TO_ALL_AT_ONCE)
    if took > 1.1:
        raise NotYet(f"it took {took:.1f} s: more than half a second for each", SEND_TO_ALL_AT_ONCE)
    for name, peer in readers:
        await peer.hears_nothing(f"after `{text}`, at {name}", within=0.02)


def _reads_the_token(function: Any) -> bool:
    """Whether FastAPI hands the token over: to a parameter of that name or alias, or with the connection."""
    text = str(inspect.signature(function))
    return bool(re.search(r"\btoken\b|WebSocket|HTTPConnection", text))


async def _handshake(answer: Answer, function: Callable[..., Any], query: str) -> Any:
    """Ask for a connection as uvicorn would, at an endpoint of FastAPI that depends on the reader's function.

    Args:
        answer: the reader's function, as it is called.
        function: the reader's function, as it is written: FastAPI reads its arguments.
        query: the query of the address.

    Returns:
        What the function returned, or the refusal.

    Raises:
        NotYet: the function raised something else, or decided by sending something itself.
    """
    sent: list[Any] = []
    returned: list[Any] = []

    @functools.wraps(function)
    async def dependency(*positional: Any, **named: Any) -> Any:
        try:
            return await _decision(answer, positional, named)
        finally:
            if sent:
                what, hint = TOO_EARLY.get(sent[0]["type"], ("answered", REFUSE))
                raise NotYet(f"the connection was {what} too early, by your function itself", hint, sure=True)

    async def endpoint(holder: Any = Depends(dependency)) -> None:  # noqa: B008 - FastAPI's way
        returned.append(holder)

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    app = FastAPI()
    app.add_api_websocket_route("/ws", endpoint)
    await app({**SCOPE, "query_string": query.encode()}, receive, send)
    return returned[0] if returned else _Refusal(sent[0]["code"], sent[0]["reason"])


async def _decision(answer: Answer, positional: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """What the reader's function returns; its `WebSocketException` is raised as it is.

    Raises:
        NotYet: it raised something else, or did not return in time.
    """
    try:
        return await answer(*positional, **named)
    except NotYet as not_yet:
        if isinstance(answer.error, WebSocketException):
            raise answer.error from None
        if isinstance(answer.error, HTTPException | KeyError | AssertionError | WebSocketDisconnect):
            raise NotYet(not_yet.verdict.said, REFUSE, sure=True) from not_yet
        raise


class _Refusal(NamedTuple):
    code: int
    reason: str


class _WebSocket:
    """A connection with the two names from Starlette that the exercise uses.

    Args:
        connection: the server's side of it.
    """

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection
        self.hung_up = False
        self.takes = 0.0
        self.overslept = False
        self.told = 0
        self.began = 0.0
        self._name = connection.request.path.strip("/") if connection.request else ""

    async def send_text(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f"send_text takes a string, not {type(text).__name__}")
        self.told, self.began = self.told + 1, time.monotonic()
        if self.hung_up:
            raise RuntimeError(HUNG_UP)
        try:
            await asyncio.sleep(self.takes)
            await self.connection.send(text)
        except asyncio.CancelledError:
            self.overslept = 0 < self.takes < time.monotonic() - self.began  # it was due before
            raise
        except ConnectionClosed:
            raise WebSocketDisconnect(1006) from None

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        self.connection.transport.abort()  # a polite close would wait for a peer that doesn't read

    async def closed(self) -> None:
        """Return when the server has noticed that the peer is gone."""
        waiting = self.connection.wait_closed()
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(waiting, self.connection.loop))

    def __repr__(self) -> str:
        return f"<WebSocket of {self._name}>"


@contextlib.asynccontextmanager
async def _room(answer: Answer) -> AsyncIterator[tuple[str, dict[str, _WebSocket]]]:
    """A server on the reader's loop, and its connections by the names in their paths."""
    sockets: dict[str, _WebSocket] = {}

    async def join(connection: ServerConnection) -> None:
        sock = _WebSocket(connection)
        sockets[sock._name] = sock
        with contextlib.suppress(ConnectionClosed):
            async for _ in connection:
                pass

    listening = socket.create_server(("127.0.0.1", 0))
    # Every accepted connection inherits the small buffer, so one that isn't read blocks its sender soon.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**16)

    async def begin() -> Server:
        return await serve(join, sock=listening, compression=None, close_timeout=0.2)

    async def finish() -> None:
        for connection in server.connections:
            connection.transport.abort()
        server.close()
        await server.wait_closed()

    server = await asyncio.wrap_future(answer.loop.submit(begin()))
    try:
        yield f"ws://127.0.0.1:{listening.getsockname()[1]}", sockets
    finally:
        await asyncio.wrap_future(answer.loop.submit(finish()))


@contextlib.asynccontextmanager
async def _mute(url: str, answer: Answer, sockets: dict[str, _WebSocket], name: str) -> AsyncIterator[None]:
    """A peer that never reads, and to whom nothing more can be sent."""
    connection = await connect(f"{url}/{name}", proxy=None, compression=None, max_queue=1)
    connection.transport.pause_reading()

    async def fill() -> None:
        while name not in sockets:  # noqa: ASYNC110 - its handler is about to begin
            await asyncio.sleep(0)
        broadcast([sockets[name].connection], "x" * MORE_THAN_BUFFERS_HOLD)

    await asyncio.wrap_future(answer.loop.submit(fill()))
    try:
        yield
    finally:
        connection.transport.abort()


def _with_a_hint(not_yet: NotYet, error: Exception | None) -> NotYet:
    """What `tell_all` raised, or that it never returned, with a hint of this exercise."""
    said = not_yet.verdict.said
    if error is None:
        return NotYet(said, WAIT_HALF_A_SECOND)
    if isinstance(error, TimeoutError | WebSocketDisconnect):
        return NotYet(said, CATCH_EACH, sure=True)
    if isinstance(error, RuntimeError) and str(error) == HUNG_UP:
        return NotYet(said, RETURN_THE_FAILED, sure=True)
    if isinstance(error, AttributeError) and isinstance(error.obj, _WebSocket):
        return NotYet(said, SEND_TEXT, sure=True)
    return not_yet


def _check_the_list(returned: Any, failed: list[_WebSocket]) -> None:
    if not isinstance(returned, list | tuple | set):
        raise NotYet(f"`tell_all` returned {shown(returned)}", "return the list of those that failed")
    named, wanted = set(map(id, returned)), set(map(id, failed))
    if named == wanted and len(returned) == len(failed):
        return
    said = f"`tell_all` returned {shown(list(returned))}, expected {shown(failed)}"
    if not failed:
        raise NotYet(f"a second time, nobody failed; {said}", BEGIN_AFRESH)
    if any(not isinstance(each, _WebSocket) for each in returned):
        raise NotYet(said, "put the websockets into the list: those that failed, and nothing else")
    if too_many := [each for each in returned if id(each) not in wanted]:
        hint = "`late` reads, and 0.3 s is within its half second" if too_many[0].takes else RETURN_THE_FAILED
        raise NotYet(said, hint)
    none_slow = not named & set(map(id, failed[: len(SLOW)]))
    late_missing = wanted - named == {id(failed[len(MUTE)])}
    slowly = "`too_late` takes 0.8 s: give each half a second, no more"
    raise NotYet(said, AWAIT_ALL if none_slow else slowly if late_missing else RETURN_THE_FAILED)


def _in_words(outcome: Any) -> str:
    if isinstance(outcome, _Refusal):
        return f"a refusal ({outcome.code}{f', {outcome.reason}' if outcome.reason else ''})"
    return shown(outcome)
