"""A `websockets` server in a child process: both ends, the kernel's and the child's."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from helpers.background.child import Child
from helpers.background.journal import LeftBehind, Reporter
from helpers.background.lifetime import BackgroundError
from helpers.background.loop_server import LoopServer
from helpers.background.parcel import packed_error, unpacked_error
from helpers.background.parent import Parent
from helpers.background.serving import Handler
from helpers.sockets import raise_file_limit


class ChildServer:
    """Serves a handler in a child process. Returns from its construction when the child listens.

    Args:
        handler: called for each connection, in the child.
        address: host, port, and whether any free port will do where that one is taken.
        options: for `websockets.asyncio.server.serve`.
        reporter: takes what happens.

    Raises:
        BackgroundError: the handler can't be copied, or the child ended before it listened.
        OSError: the port can't be used.
    """

    def __init__(
        self, handler: Handler, address: tuple[str, int, bool], options: dict[str, Any], reporter: Reporter
    ) -> None:
        self._reporter = reporter
        self._listens: Future[int] = Future()
        self._child = Child(
            _serve,
            handler,
            address,
            options,
            heard=self._hear,
            printed=lambda text: reporter.say(f"the child process printed: {text}"),
        )
        try:
            wait([self._listens, self._child.result], 20, return_when=FIRST_COMPLETED)
        except BaseException:  # the kernel was interrupted
            self._child.close()
            raise
        if not self._listens.done():
            self._child.close()
            raise self._child.result.exception() or BackgroundError("the child process does not listen")
        self.port = self._listens.result()

    def ended(self) -> str | None:
        """Why the child no longer runs; None while it does."""
        return self._child.ended()

    def close(self, seconds: float, reason: str) -> None:
        """End the child: politely, and after `seconds` by force."""
        self._child.tell((seconds, reason))
        if not self._child.close(seconds + 1.5):
            self._reporter.say("the child process did not end in time and was killed")

    def _hear(self, report: tuple[str, Any]) -> None:
        kind, content = report
        if kind == "port":
            self._listens.set_result(content)
        elif kind == "say":
            self._reporter.say(content)
        elif kind == "block":
            if not isinstance(content, LeftBehind):  # that code ends with the child
                self._reporter.block(content)
        else:
            self._reporter.fail(unpacked_error(content))


class _ToTheKernel:
    """A `Reporter` in the child."""

    def __init__(self, parent: Parent) -> None:
        self._parent = parent

    def say(self, text: str) -> None:
        self._parent.report(("say", text))

    def fail(self, error: Exception) -> None:
        self._parent.report(("fail", packed_error(error)))

    def block(self, text: str) -> None:
        self._parent.report(("block", text))


def _serve(parent: Parent, handler: Handler, address: tuple[str, int, bool], options: dict[str, Any]) -> None:
    raise_file_limit()  # a measured server may hold a thousand connections
    reporter = _ToTheKernel(parent)
    server = LoopServer(handler, address, options, reporter, own_loop="loop of the child process")
    parent.report(("port", server.port))
    try:
        seconds, reason = parent.order().result()
    except EOFError:
        seconds, reason = 0, "the kernel has ended"
    server.close(seconds, reason)
