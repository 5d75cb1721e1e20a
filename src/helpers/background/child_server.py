"""A `websockets` server in a child process."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from helpers.background.child import Child
from helpers.background.lifetime import BackgroundError
from helpers.background.loops import BackgroundLoop, LoopBlockedError
from helpers.background.parcel import packed_error, unpacked_error
from helpers.background.parent import Parent
from helpers.background.serving import Handler, Serving
from helpers.sockets import listening_socket, raise_file_limit


class ChildServer:
    """Serves a handler in a child process. Returns from its construction when the child listens.

    Args:
        handler: called for each connection, in the child.
        address: host, port, and whether any free port will do where that one is taken.
        options: for `websockets.asyncio.server.serve`.
        say: takes a sentence about what happened.
        fail: takes what the handler raised.
        blocked: takes a sentence about what blocks the child's loop.

    Raises:
        BackgroundError: the handler can't be copied, or the child ended before it listened.
        OSError: the port can't be used.
    """

    def __init__(
        self,
        handler: Handler,
        address: tuple[str, int, bool],
        options: dict[str, Any],
        say: Callable[[str], None],
        fail: Callable[[Exception], None],
        blocked: Callable[[str], None],
    ) -> None:
        self._say = say
        listens: Future[int] = Future()
        takes: dict[str, Callable[[Any], object]] = {
            "port": listens.set_result,
            "event": say,
            "blocked": blocked,
            "failure": lambda error: fail(unpacked_error(error)),
        }
        self._child = Child(
            _serve,
            handler,
            address,
            options,
            heard=lambda report: takes[report[0]](report[1]),
            printed=lambda text: say(f"the child process printed: {text}"),
        )
        try:
            wait([listens, self._child.result], 20, return_when=FIRST_COMPLETED)
        finally:
            if not listens.done():
                self._child.close()
        if not listens.done():
            raise self._child.result.exception() or BackgroundError("the child process does not listen")
        self.port = listens.result()

    def ended(self) -> str | None:
        """Why the child no longer runs; None while it does."""
        return self._child.ended()

    def close(self, seconds: float = 1, reason: str = "") -> None:
        """End the child: politely, and after `seconds` by force."""
        self._child.tell((seconds, reason))
        if not self._child.close(seconds + 1.5):
            self._say("the child process did not end in time and was killed")


def _serve(parent: Parent, handler: Handler, address: tuple[str, int, bool], options: dict[str, Any]) -> None:
    """What the child does: serve until the kernel says stop, or ends."""

    def told(kind: str) -> Callable[[Any], None]:
        return lambda content: parent.report((kind, content))

    raise_file_limit()  # a measured server may hold a thousand connections
    host, port, or_any = address
    sock = listening_socket(host, port, or_any=or_any)
    loop = BackgroundLoop("loop of the child process")
    loop.hold(parent, told("event"), told("blocked"))
    serving = Serving(handler, told("event"), lambda error: parent.report(("failure", packed_error(error))))
    loop.call(serving.open(options | {"sock": sock}), timeout=10)
    parent.report(("port", sock.getsockname()[1]))
    try:
        seconds, reason = parent.order().result()
    except EOFError:
        seconds, reason = 0, "the kernel has ended"
    try:
        loop.call(serving.close(seconds, reason), timeout=seconds + 1, insist=True)
    except LoopBlockedError as error:
        parent.report(("event", str(error)))
