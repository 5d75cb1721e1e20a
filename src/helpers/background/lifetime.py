"""What everything in the background has in common: start and stop, a name, a log and failures."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import errno
import threading
import warnings
from abc import ABC, abstractmethod
from types import TracebackType
from typing import ClassVar, Self
from urllib.parse import urlsplit

from helpers.arguments import kind, number
from helpers.background.journal import Journal, LogEntry
from helpers.background.loops import on_background_loop
from helpers.readers_code import in_words


class BackgroundError(RuntimeError):
    """Something in the background did not go as it should; the message says what to do."""


class HandlerFailedError(BackgroundError):
    """A handler raised in the background; `__cause__` is what it raised, with its own lines."""


class BlockedLoopWarning(RuntimeWarning):
    """A handler blocks its event loop, so that nobody else on that loop is served."""


warnings.simplefilter("always", BlockedLoopWarning, append=True)  # each time, not once a line

_CONNECTABLE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
"""Where to connect to when a server listens on all addresses."""


class Background(ABC):
    """Keeps something alive alongside the kernel, from `start()` to `stop()` or for a `with` block.

    Started with `start()`, it is known by its name: starting another of that name (you run the
    cell again) stops the first. It takes over the port, also of one that was stopped before, so that
    panels and addresses further down still lead there. What is still running when the kernel exits is
    stopped then.
    """

    _running: ClassVar[dict[int, Background]] = {}
    _named: ClassVar[dict[str, Background]] = {}
    _ports: ClassVar[dict[str, int]] = {}

    def __init__(self, name: str, host: str, port: int) -> None:
        number(port, "port", most=65_535, whole=True)
        kind(host, "host", str, words="a string")
        kind(name, "name", str, words="a string")
        self.name = name
        self.host = host
        self.port = port
        self._fixed_port = port
        self._journal = Journal()
        self._end: str | None = None
        self._end_is_news = False
        self._lock = threading.RLock()

    def start(self) -> Self:
        """Start, and return when it can be reached. Does nothing if it runs already.

        Returns:
            Itself, so that `server = BackgroundServer(handler).start()` is one line.

        Raises:
            BackgroundError: it can't start, for example because the port is taken.
        """
        _refuse_on_background_loop()
        with self._lock:
            if self.running:
                return self
            before = self._named.get(self.name)
            if before is self:
                before = None  # it has ended by itself
            if before is not None:
                before._make_way()
            self.port = self.port or self._ports.get(self.name, 0)
            self._start_afresh()
            self._ports[self.name] = self.port
            if before is not None:
                self._take_over_news(before)
            self._named[self.name] = self
        return self

    def stop(self) -> None:
        """Stop, in about a second whatever the peers do. Does nothing if it doesn't run.

        Called from a cell it blocks the kernel's loop. Clients that live on that loop can't answer
        the close meanwhile, so it waits only a fifth of a second for them; they see the close
        afterwards. `async with` and `await asyncio.to_thread(server.stop)` give them their time.

        Raises:
            HandlerFailedError: a handler failed and nobody has been told yet. It is stopped all the same.
            BackgroundError: its process had ended by itself and nobody has been told yet.
        """
        self.halt()
        self.check()

    def halt(self, *, hurry: bool = False) -> None:
        """Stop like `stop()`, but raise nothing of what went wrong in the background.

        Args:
            hurry: give peers a fifth of a second at most to answer the close.
        """
        self._halt("server stopped", hurry=hurry)

    def check(self) -> None:
        """Raise what failed in the background since you last asked; each failure is told once.

        A handler that blocked its loop is told with a `BlockedLoopWarning`.

        Raises:
            HandlerFailedError: from the handler's own exception, with the line that raised it.
            BackgroundError: its process has ended by itself; with its last words.
        """
        blocked = self.blocked
        if blocked:
            warnings.warn(f"{self.name!r}: {blocked}", BlockedLoopWarning, stacklevel=3)
        failures = self.failures
        if failures:
            more = f" (and {len(failures) - 1} more: see .log)" if len(failures) > 1 else ""
            first = failures[0]
            raise HandlerFailedError(
                f"{self.name!r} failed in the background: {in_words(first)}{more}"
            ) from first
        self._notice_end()
        if self._end_is_news:
            self._end_is_news = False
            raise BackgroundError(f"{self.name!r} is not running: {self._end}")

    @property
    def failures(self) -> list[Exception]:
        """What handlers raised since you last asked. Reading it clears it."""
        return self._journal.take_failures()

    @property
    def blocked(self) -> str | None:
        """What blocked the handler's loop since you last asked, in words. Reading it clears it."""
        return self._journal.take_blocked()

    @property
    def running(self) -> bool:
        """Whether it has been started, not been stopped, and not ended by itself."""
        return id(self) in self._running and self._why_ended() is None

    @staticmethod
    def at(url: str) -> Background | None:
        """What was started here and runs at an address of this machine; for a tap, the server behind it."""
        try:
            port = urlsplit(url).port
        except ValueError:
            return None
        found = next((b for b in Background._running.values() if port and b.port == port), None)
        return found.behind if found else None

    @property
    def behind(self) -> Background:
        """Itself, or the server that it relays to."""
        return self

    @property
    def newest(self) -> Background:
        """Itself, or the one that has taken its name and its place."""
        return self if self.running else self._named.get(self.name, self)

    @property
    def started_at(self) -> float:
        """When it was started last, as `time.monotonic` counts."""
        return self._journal.begun

    @property
    def log(self) -> list[LogEntry]:
        """What happened so far, the last 1,000 entries: peers that came and went, and what failed."""
        return self._journal.log

    @property
    def url(self) -> str:
        """The address to connect to, like `ws://127.0.0.1:40513`.

        Raises:
            BackgroundError: it doesn't run.
            HandlerFailedError: a handler failed and nobody has been told yet.
        """
        self.check()
        if not self.running:
            self._notice_end()
            why = self._end or "run the cell that starts it or .start() it"
            raise BackgroundError(f"{self.name!r} is not running: {why}")
        return self.address

    @property
    def address(self) -> str:
        """Where it is reached, or was last: `url` without its errors."""
        host = _CONNECTABLE.get(self.host, self.host)
        return f"{self._scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def _scheme(self) -> str:
        return "http"

    @abstractmethod
    def _start(self) -> None:
        """Start, set `self.port`, and return when peers can connect."""

    @abstractmethod
    def _stop(self, reason: str, seconds: float | None) -> None:
        """Stop and free everything.

        Args:
            reason: what peers are told.
            seconds: how long they may take to answer, at most; None leaves it to the subclass.
        """

    def _why_ended(self) -> str | None:
        """Why what was started no longer runs although nobody has stopped it; None while it runs."""
        return None

    def _notice_end(self) -> None:
        if self._end is None and id(self) in self._running:
            self._end = self._why_ended()
            self._end_is_news = self._end is not None

    def _start_afresh(self) -> None:
        self.halt()
        self._journal.begin()
        self._end = None
        self._end_is_news = False
        self._start()
        self._running[id(self)] = self

    def _make_way(self) -> None:
        self._halt("replaced by a newer server")
        taken = f"another {self.name!r} has taken its place; give each a name of its own, name=..."
        self._end = self._end or taken

    def _take_over_news(self, before: Background) -> None:
        """Tell what the one whose place it takes has not told yet: whoever ran the cell again has lost it."""
        if failed := before._journal.first_failure:
            self._journal.say(f"the one before had failed: {in_words(failed)}")
        if blocked := before.blocked:
            self._journal.block(f"the one before: {blocked}")

    def _halt(self, reason: str, *, hurry: bool = False) -> None:
        _refuse_on_background_loop()
        with self._lock:
            if id(self) in self._running:
                self._notice_end()
                del self._running[id(self)]
                self._stop(reason, 0.2 if hurry or _loop_runs_here() else None)
            if self._named.get(self.name) is self:
                del self._named[self.name]

    def _port_error(self, error: OSError) -> BackgroundError:
        running = list(self._running.values())
        holder = next((b for b in running if b.port == self.port and b is not self), None)
        if error.errno != errno.EADDRINUSE:
            what_to_do = "host= must be an address of this machine, and port= one that you may use"
        elif holder:
            what_to_do = f"your own {holder.name!r} holds it: stop that one first"
        else:
            what_to_do = (
                "stop the program that holds it, choose another number, or leave port= out for a free one"
            )
        why = (error.strerror or str(error)).partition(" (while")[0]
        return BackgroundError(f"port {self.port} on {self.host} can't be used ({why}): {what_to_do}")

    def __enter__(self) -> Self:
        with self._lock:
            if self.running:
                raise BackgroundError(f"{self.name!r} is already running: use `with` or start(), not both")
            self._start_afresh()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.halt()
        self._check_beside(error)

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.halt)
        self._check_beside(error)

    def _check_beside(self, error: BaseException | None) -> None:
        if error is None:
            self.check()
        for failure in self.failures:
            if error is not None:
                error.add_note(f"{self.name!r} failed in the background as well: {in_words(failure)}")

    def __repr__(self) -> str:
        where = f"at {self.address}" if self.running else "stopped"
        return f"<{type(self).__name__} {self.name!r} {where}>"


def _refuse_on_background_loop() -> None:
    if on_background_loop():
        raise BackgroundError(
            "start() and stop() wait for a background loop, so code that runs on one can't call them: "
            "write `await asyncio.to_thread(server.stop)` there"
        )


def _loop_runs_here() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@atexit.register
def _stop_everything() -> None:
    for background in list(Background._running.values()):
        with contextlib.suppress(Exception):  # the next one must be stopped all the same
            background.halt(hurry=True)  # Jupyter kills a kernel that takes more than five seconds
