"""Runs the reader's code against real peers, with a deadline, and survives whatever it does."""

from __future__ import annotations

import ast
import asyncio
import collections
import concurrent.futures
import inspect
import socket
import textwrap
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from typing import Any, Self
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from helpers.background.loops import BackgroundLoop
from helpers.background.server import BackgroundServer
from helpers.checks.verdict import NotYet, Verdict, shown
from helpers.readers_code import in_words, readers_line
from helpers.sockets import make_narrow

DEADLINE = 3.0
"""How long a trial may take, in seconds; another second or so goes by when code has to be broken off."""

PATIENCE = 1.2
"""How long a peer waits for an answer, in seconds."""

SEND_IT = (
    "send the answer with `await connection.send(...)`, inside the loop that reads; "
    "without `await` nothing is sent"
)

READ_IT = "read the message: what did that line expect?"

GIVE_TURNS = (
    "let others have their turn: `await asyncio.sleep(...)` waits, "
    "and `await asyncio.to_thread(...)` does slow work on another thread"
)

HandlerScenario = Callable[[str, asyncio.AbstractEventLoop], Coroutine[Any, Any, str]]


class Peer:
    """The other end of the reader's handler; says in words what it missed.

    Args:
        connection: an open client connection.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    @classmethod
    async def join(cls, url: str, *, narrow: bool = False) -> Self:
        """Connect to the reader's server.

        Args:
            url: the server's address.
            narrow: whether as little as possible fits into the connection when the peer doesn't read.

        Raises:
            NotYet: the server did not answer.
        """
        sock = await _narrow_socket(url) if narrow else None
        try:
            connection = await connect(
                url,
                sock=sock,
                proxy=None,
                compression=None,
                open_timeout=PATIENCE,
                close_timeout=0.5,
                max_queue=1 if narrow else 16,
            )
        except TimeoutError:
            raise NotYet(f"another peer could not connect for {PATIENCE:g} s", GIVE_TURNS) from None
        peer = cls(connection)
        _joined.get().append(peer)
        return peer

    async def says(self, message: str) -> None:
        """Send a message; a connection that the handler has closed is noticed when something is heard."""
        with suppress(ConnectionClosed):
            await self._connection.send(message)

    async def hears(self, when: str, *, within: float = PATIENCE, hint: str = SEND_IT) -> str | bytes:
        """The next message.

        Args:
            when: the situation, for the verdict, like "after `hello`".
            within: how long to wait, in seconds.
            hint: which way to look when none comes.

        Raises:
            NotYet: none came, or the connection was closed.
        """
        try:
            return await asyncio.wait_for(self._connection.recv(), within)
        except TimeoutError:
            raise NotYet(f"{when}, nothing came for {within:g} s", hint) from None
        except ConnectionClosed:
            raise NotYet(
                f"{when}, the connection was closed ({self._connection.close_code})",
                "a connection closes when its handler returns: `send` the answer, don't `return` it, "
                "and keep reading until the peer leaves",
            ) from None

    async def hears_nothing(self, when: str, *, within: float = 0.2) -> None:
        """Make sure that no message comes.

        Raises:
            NotYet: one came.
        """
        with suppress(TimeoutError, ConnectionClosed):
            message = await asyncio.wait_for(self._connection.recv(), within)
            raise NotYet(f"{when}, there came one more message: {shown(message)}", "send it once only")

    async def leaves(self) -> None:
        """Close the connection."""
        await self._connection.close()

    def vanishes(self) -> None:
        """Break the connection off, without a word."""
        self._connection.transport.abort()


async def _narrow_socket(url: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setblocking(False)
    make_narrow(sock)
    address = urlsplit(url)
    await asyncio.get_running_loop().sock_connect(sock, (address.hostname, address.port))
    return sock


_joined: ContextVar[list[Peer]] = ContextVar("peers that joined in this trial")


async def _until_all_have_left(scenario: Coroutine[Any, Any, str]) -> str:
    peers: list[Peer] = []
    _joined.set(peers)
    try:
        return await scenario
    finally:
        for peer in peers:
            peer.vanishes()
        await asyncio.sleep(0)


def try_handler(handler: Any, scenario: HandlerScenario) -> Verdict:
    """Serve with the reader's handler, on a loop of its own, and play a scenario against it.

    Args:
        handler: the reader's `async def handler(connection)`.
        scenario: is called on another loop, with the server's address and the handler's loop; returns
            what went right, or raises `NotYet`.

    Returns:
        The verdict, within five seconds whatever the handler does.
    """
    if _unfinished(handler):
        return UNFINISHED
    name = _name(handler)
    try:
        server = BackgroundServer(handler, where="own", name=f"check of {name}", close_timeout=0.2)
    except TypeError as error:
        return _unfit(str(error))
    server.start()
    tasks = _recorded_tasks(server.loop)
    try:
        verdict, sure = _play(scenario(server.url, server.loop))
    finally:
        server._halt()  # and not stop(), which would tell what the verdict tells
    failures, blocked = server.failures, server.blocked
    if not (verdict or failures):
        failures = [death for death in map(_died_of, tasks) if death]
    return verdict if sure else _explained(verdict, handler, failures[0] if failures else None, blocked)


def _recorded_tasks(loop: asyncio.AbstractEventLoop) -> collections.deque[asyncio.Task[Any]]:
    """The tasks that are made on the loop from now on, the last thousand of them."""
    tasks: collections.deque[asyncio.Task[Any]] = collections.deque(maxlen=1000)

    def recorded(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        tasks.append(asyncio.Task(coroutine, loop=loop, **options))
        return tasks[-1]

    loop.set_task_factory(recorded)
    return tasks


def _died_of(task: asyncio.Task[Any]) -> Exception | None:
    """What a task of the reader's raised, unless its peer had left; asyncio tells only who awaits it."""
    error = task.exception() if task.done() and not task.cancelled() else None
    if not isinstance(error, Exception) or isinstance(error, ConnectionClosed):
        return None
    return error if readers_line(traceback.extract_tb(error.__traceback__)) else None


@asynccontextmanager
async def serving(handler: Callable[[ServerConnection], Awaitable[None]]) -> AsyncIterator[str]:
    """A server of ours, for an exercise in which the reader writes the client; gives its address."""
    async with serve(handler, "127.0.0.1", 0, compression=None, close_timeout=0.5) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


class Answer:
    """The reader's function, run on a loop of its own, so that it may block.

    Args:
        function: the reader's function, a coroutine function or a plain one.

    Attributes:
        error: what it raised last.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.loop = BackgroundLoop("loop of your code")
        self.blocked: str | None = None
        self.error: Exception | None = None
        self._function = function
        self._name = _name(function)
        self.loop.hold(self, blocked=self._is_blocked)

    async def __call__(self, *arguments: object, within: float = PATIENCE) -> Any:
        """Call it, and wait for what it returns.

        Raises:
            NotYet: it raised, or did not return in time.
        """
        future = self.loop.submit(self._call(arguments))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), within)
        except Exception as error:
            if self.error is not None:
                said, hint = _raised(self._name, self.error), _hint_for(self.error)
                raise NotYet(said, hint, sure=True) from error
            if not isinstance(error, TimeoutError):
                raise
            raise NotYet(
                f"`{self._name}` did not return within {within:g} s",
                "what does it wait for, and who would end the waiting?",
            ) from None

    def end(self) -> None:
        """Stop its loop, and break off what blocks it."""
        self.loop.release(self)

    def _is_blocked(self, text: str) -> None:
        self.blocked = text

    async def _call(self, arguments: tuple[object, ...]) -> Any:
        try:
            result = self._function(*arguments)
            return await result if isinstance(result, Awaitable) else result
        except (SystemExit, KeyboardInterrupt) as error:
            self.error = RuntimeError(f"{type(error).__name__}, which would end the kernel")
            raise self.error.with_traceback(error.__traceback__) from None
        except asyncio.CancelledError as error:
            if asyncio.current_task().cancelling():  # type: ignore[union-attr]
                raise
            self.error = RuntimeError("it was cancelled, by itself")
            raise self.error.with_traceback(error.__traceback__) from None
        except Exception as error:
            self.error = error  # here, because a `TimeoutError` loses its lines on its way to another loop
            raise


def try_function(
    function: Any,
    scenario: Callable[[Answer], Coroutine[Any, Any, str]],
    *,
    arguments: str,
    coroutine: bool | None = True,
) -> Verdict:
    """Play a scenario in which the reader's function is called.

    Args:
        function: the reader's function.
        scenario: is called with the function as an `Answer`, on another loop.
        arguments: the names of the function's arguments, like `"url, question"`.
        coroutine: whether it has to be a coroutine function; None lets it be one or a plain function.

    Returns:
        The verdict, within five seconds whatever the function does.
    """
    if _unfinished(function):
        return UNFINISHED
    names = arguments.split(", ")
    if not callable(function):
        return _unfit(f"the answer must be a function, not {shown(function)}")
    try:
        inspect.signature(function).bind(*names)
    except (TypeError, ValueError) as error:
        return _unfit(f"`{_name(function)}` is called as `{_name(function)}({arguments})`: {error}")
    is_coroutine = inspect.iscoroutinefunction(function)
    has_yield = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
    if (coroutine and not is_coroutine) or (coroutine is None and has_yield):
        why = " and no `yield`" if has_yield else ""
        return _unfit(f"`{_name(function)}` must be a coroutine function: write `async def`{why}")
    if coroutine is False and (is_coroutine or inspect.isasyncgenfunction(function)):
        return _unfit(f"`{_name(function)}` must be a plain function: write `def`, without `async`")
    answer = Answer(function)
    try:
        verdict, sure = _play(scenario(answer))
    finally:
        answer.end()
    return verdict if sure else _explained(verdict, function, None, answer.blocked)


def _play(scenario: Coroutine[Any, Any, str]) -> tuple[Verdict, bool]:
    """The verdict, and whether no deeper reason has to be looked for."""
    examiner = BackgroundLoop("examiner")
    examiner.hold(scenario)
    future = examiner.submit(_until_all_have_left(scenario))
    try:
        return Verdict(True, future.result(DEADLINE)), False
    except NotYet as not_yet:
        return not_yet.verdict, not_yet.sure
    except concurrent.futures.TimeoutError:
        future.cancel()
        said, hint = f"the trial was not over after {DEADLINE:g} s", "what does your code wait for?"
    except (ConnectionClosed, OSError) as error:
        said, hint = f"the connection broke: {in_words(error)}", "does your code end too early?"
    except Exception as error:  # what the reader returned may raise wherever it is looked at
        said, hint = (
            f"what you returned can't be looked at: {in_words(error)}",
            "what should it be?",
        )
    finally:
        examiner.release(scenario)
    return Verdict(False, said, hint), False


def _explained(verdict: Verdict, code: object, error: BaseException | None, blocked: str | None) -> Verdict:
    """A verdict with the deeper reason, where one is known."""
    if error:
        return Verdict(False, _raised(_name(code), error), _hint_for(error))
    if blocked and not verdict:
        return Verdict(False, blocked, GIVE_TURNS)
    return verdict


def _hint_for(error: BaseException) -> str:
    text = in_words(error)
    if "data must be str" in text:
        return "what you send must be a text (or bytes): is an `await` missing in front of what makes it?"
    if "object is not callable" in text:
        return "hand a function over by its name, and its argument apart: `f, x` instead of `f(x)`"
    return READ_IT


def _raised(name: str, error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):  # from a task group
        error = error.exceptions[0]
    where = readers_line(traceback.extract_tb(error.__traceback__))
    return f"`{name}` raised {in_words(error)}" + (f", at {where}" if where else "")


UNFINISHED = Verdict(False, "there is still a `...`", "put your own lines in its place")


def _unfit(why: str) -> Verdict:
    return Verdict(False, why, "look at the first line of the stub")


def _unfinished(code: object) -> bool:
    if code is ...:
        return True
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(code)))  # type: ignore[arg-type]
    except (OSError, TypeError, SyntaxError):
        return False
    return any(isinstance(node, ast.Constant) and node.value is ... for node in ast.walk(tree))


def _name(code: object) -> str:
    return str(getattr(code, "__name__", "your answer"))
