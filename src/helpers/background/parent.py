"""The child's end of the pipe between the kernel and a child process; `child.py` has the kernel's."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable
from concurrent.futures import Future
from typing import Any

from helpers.background.lifetime import BackgroundError
from helpers.background.parcel import packed, packed_error, unpacked
from helpers.background.pipe import Mailbox, receive, send
from helpers.readers_code import in_words

GRACE = 2
"""How long a child may go on when the kernel has ended, in seconds."""


class Parent:
    """The kernel, as its child sees it: told by reports, it gives orders.

        def count(parent):
            parent.report("ready")
            enough = parent.order()
            while not enough.done():
                ...

    What anybody prints goes to standard error from now on, so that it can't be taken for a report.
    """

    def __init__(self) -> None:
        sys.stdout.flush()
        self._reports = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        self._lock = threading.Lock()
        self._orders = Mailbox()

    def report(self, what: object) -> None:
        """Tell the kernel something. It does not wait."""
        self._send("report", packed(what))

    def order(self) -> Future[Any]:
        """The next thing that the kernel says: `.result()` waits for it, in a coroutine `wrap_future` does.

        Where the kernel has ended, the future raises `EOFError`, and the process ends two seconds later.
        """
        return self._orders.get()

    def _send(self, kind: str, content: bytes) -> None:
        with contextlib.suppress(BrokenPipeError), self._lock:  # the kernel has ended, and so will we
            send(self._reports, kind.encode() + b" " + content)

    def _hear(self) -> None:
        try:
            while (order := receive(sys.stdin.buffer)) is not None:
                self._orders.put(unpacked(order))
        except Exception as error:
            print(f"an order can't be unpacked in the child process: {in_words(error)}", file=sys.stderr)
        self._orders.close(EOFError("no more orders can come"))
        time.sleep(GRACE)
        os._exit(1)

    def _carry_out(self) -> None:
        try:
            sys.path[:] = json.loads(receive(sys.stdin.buffer) or b"[]")
            parcel = receive(sys.stdin.buffer) or b""
            threading.Thread(target=self._hear, name="orders from the kernel", daemon=True).start()
            function, args = unpacked(parcel)
        except Exception as error:
            self._fail(f"what was copied can't be unpacked in the child process: {in_words(error)}", error)
            return
        try:
            result = function(self, *args)
            if inspect.isawaitable(result):
                result = asyncio.run(_waits_for(result))
        except (SystemExit, KeyboardInterrupt) as error:
            self._fail(f"the function raised {in_words(error)}, which would end the kernel", error)
        except Exception as error:
            self._send("failed", packed_error(error))
        else:
            self._return(result)

    def _return(self, result: object) -> None:
        try:
            parcel = packed(result)
        except Exception as error:
            self._fail(f"what the function returned can't be copied into the kernel: {in_words(error)}")
        else:
            self._send("result", parcel)

    def _fail(self, words: str, error: BaseException | None = None) -> None:
        failure = BackgroundError(words).with_traceback(error.__traceback__ if error else None)
        self._send("failed", packed_error(failure))


async def _waits_for(result: Awaitable[Any]) -> Any:
    return await result


def main() -> None:
    """Do what the kernel sends, and end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # interrupting the kernel is not for us
    Parent()._carry_out()
    os._exit(0)  # whatever threads the function has left behind
