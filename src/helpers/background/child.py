"""A Python in a child process that talks with the kernel: the kernel's end. The child's is in `parent.py`."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from types import TracebackType
from typing import IO, Any, Self

from helpers.background.ends_with_parent import OWN_GROUP
from helpers.background.lifetime import BackgroundError
from helpers.background.parcel import packed, unpacked, unpacked_error
from helpers.background.pipe import Mailbox, receive, send
from helpers.readers_code import in_words


class Child:
    """Runs a function in a child process, and talks with it meanwhile.

        async with Child(count, "apples") as child:
            await asyncio.wrap_future(child.report())
            child.tell("enough")
            print(await asyncio.wrap_future(child.result))

    It ends with the block, and with the kernel, even a killed one. Interrupting a cell is nothing to the
    child itself, but it ends the block. Outside `async with` whoever made it must `close` it.

    Args:
        function: called in the child as `function(parent, *args)`, where `parent` is a
            `helpers.background.parent.Parent`; a coroutine function runs under `asyncio.run`. It is copied
            there with what it refers to.
        *args: copied as well.
        heard: is called, on another thread, with each report, instead of their waiting for `report`.
        printed: is called, on another thread, with each line that the child prints.

    Attributes:
        result: a future of what the function returns, or raises. A note says which line of the reader's
            raised it, and what the child printed.

    Raises:
        BackgroundError: the function, or one of its arguments, can't be copied.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *args: Any,
        heard: Callable[[Any], object] | None = None,
        printed: Callable[[str], object] | None = None,
    ) -> None:
        try:
            parcel = packed((function, args))
        except Exception as error:
            raise BackgroundError(
                f"the function can't be copied into a child process ({in_words(error)}): "
                "create what can't be copied, like sockets and locks, inside the function"
            ) from error
        self.result: Future[Any] = Future()
        self.result.set_running_or_notify_cancel()  # who waits for it may be cancelled; the future is not
        self._reports = Mailbox()
        self._heard = heard or self._reports.put
        self._on_print = printed
        self._printed: collections.deque[str] = collections.deque(maxlen=10)
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-c", "from helpers.background.parent import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **OWN_GROUP,
        )
        self._printer = threading.Thread(target=self._read_prints, name="prints of a child", daemon=True)
        self._listener = threading.Thread(target=self._listen, name="reports of a child", daemon=True)
        self._printer.start()
        self._listener.start()
        self._send(json.dumps(sys.path).encode())
        self._send(parcel)

    @property
    def pid(self) -> int:
        """The process number."""
        return self._process.pid

    def tell(self, what: object) -> None:
        """Send the child an order; if it has ended, `result` says so."""
        self._send(packed(what))

    def report(self) -> Future[Any]:
        """A future of the next report; if none comes, it raises what `result` does, or else `EOFError`."""
        return self._reports.get()

    async def reports(self) -> AsyncIterator[Any]:
        """All reports, as they come, until the function returns; if it raises, so does the iteration."""
        with contextlib.suppress(EOFError):
            while True:
                yield await asyncio.wrap_future(self.report())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ended(self) -> str | None:
        """Why the child no longer runs; None while it does."""
        if self._process.poll() is None:
            return None
        self._printer.join(1)
        return f"the child process has ended (status {self._process.returncode}). {self._last_words()}"

    def close(self, seconds: float = 0) -> bool:
        """End the child, unless it ends by itself within so many seconds, and wait until it is gone.

        Returns:
            Whether it ended by itself.
        """
        by_itself = self._wait_or_kill(seconds)
        self._listener.join()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # what was not yet written has no reader
            self._process.stdin.close()
        return by_itself

    def _last_words(self) -> str:
        return "It printed:\n" + ("\n".join(self._printed) or "(nothing)")

    def _send(self, message: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError), self._lock:  # ValueError: it has been closed
            send(self._process.stdin, message)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as pipe:
            try:
                outcome = self._hear_it_out(pipe)
            except Exception as error:  # whatever `heard` raised
                outcome = None, error
        self._wait_or_kill(1)
        self._printer.join(1)  # not forever: a program that the child has started may hold the pipe
        value, failure = outcome or (None, BackgroundError(self.ended()))
        if failure is None:
            self.result.set_result(value)
        else:
            if self._printed and outcome:
                failure.add_note(self._last_words())
            self.result.set_exception(failure)
        self._reports.close(failure or EOFError("the child has reported all"))

    def _hear_it_out(self, pipe: IO[bytes]) -> tuple[Any, Exception | None] | None:
        """What the function has returned or raised; None where the child ended before."""
        while (message := receive(pipe)) is not None:
            kind, _, content = message.partition(b" ")
            if kind == b"failed":
                return None, unpacked_error(content)
            try:
                what = unpacked(content)
            except Exception as error:
                return None, BackgroundError(
                    f"the child process sent what can't be unpacked: {in_words(error)}"
                )
            if kind == b"result":
                return what, None
            self._heard(what)
        return None

    def _wait_or_kill(self, seconds: float) -> bool:
        """Whether it ended by itself."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False
        return True

    def _read_prints(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as pipe:
            for line in pipe:
                text = line.decode(errors="replace").rstrip()
                self._printed.append(text)
                if self._on_print is not None:
                    self._on_print(text)
