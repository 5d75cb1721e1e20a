"""A `websockets` server in a child process: both ends of the pipe between the kernel and the child.

The parent sends the handler; the child answers with a line of JSON for its port and for each event.
The child ends when the parent closes the pipe, which also happens when the parent is killed.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import pickle
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

import cloudpickle

from helpers.background.lifetime import BackgroundError, listening_socket
from helpers.background.places import in_words, readers_line
from helpers.background.server import Handler, Serving


class ChildServer:
    """The parent's end. Returns from its construction when the child listens.

    Args:
        handler: called for each connection, in the child.
        address: host, port, and whether any free port will do where that one is taken.
        options: for `websockets.asyncio.server.serve`.
        say: takes a sentence about what happened.
        fail: takes what the handler raised.

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
    ) -> None:
        self._say = say
        self._fail = fail
        self._listens = threading.Event()
        self._refused: OSError | None = None
        self.port = 0
        try:
            parcel = cloudpickle.dumps((handler, address, options))
        except Exception as error:
            raise BackgroundError(
                f"the handler can't be copied into a child process ({in_words(error)}): "
                "create what can't be copied, like sockets and locks, inside the handler"
            ) from error
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from helpers.background.child import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._reader = threading.Thread(target=self._read, name="child server reader", daemon=True)
        self._reader.start()
        self._write(json.dumps(sys.path).encode() + b"\n")
        self._write(base64.b64encode(parcel) + b"\n")
        self._listens.wait(20)
        if not self.port:
            self.close()
            raise self._refused or BackgroundError("the child process ended before it listened; see .events")

    def close(self, seconds: float = 1, reason: str = "") -> None:
        """End the child: politely, and after `seconds` by force."""
        assert self._process.stdin is not None
        self._write(json.dumps([seconds, reason]).encode() + b"\n")
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(seconds + 1.5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            self._say("the child process did not end in time and was killed")
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _write(self, line: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except (BrokenPipeError, OSError):
            self._say("the child process has ended")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                kind, content = json.loads(line)
            except ValueError:
                self._say(f"the child process printed: {line.decode(errors='replace').rstrip()}")
                continue
            if kind == "port":
                self.port = content
                self._listens.set()
            elif kind == "refused":
                self._refused = OSError(*content)
            elif kind == "event":
                self._say(content)
            else:
                self._fail(_rebuilt(content))
        self._listens.set()


def _rebuilt(content: dict[str, Any]) -> Exception:
    try:
        error = pickle.loads(base64.b64decode(content["pickle"]))
    except Exception:  # whatever its class does when it is loaded, its words are there
        error = RuntimeError(content["text"])
    stack = [traceback.FrameSummary(*place) for place in content["stack"]]
    where = readers_line(stack)
    if where:
        error.add_note(f"in the child process, at {where}")
    return error  # type: ignore[no-any-return]


def main() -> None:
    """The child's end: serve until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # interrupting the kernel is not for us
    sys.path[:] = json.loads(sys.stdin.buffer.readline())
    handler, (host, port, or_any), options = pickle.loads(base64.b64decode(sys.stdin.buffer.readline()))
    try:
        sock = listening_socket(host, port, or_any=or_any)
    except OSError as error:
        _tell("refused", [error.errno, error.strerror])
        return
    asyncio.run(_serve(handler, options | {"sock": sock}))


async def _serve(handler: Handler, options: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[tuple[float, str]] = loop.create_future()
    serving = Serving(
        handler, lambda text: _tell("event", text), lambda error: _tell("failure", _taken_apart(error))
    )
    port = options["sock"].getsockname()[1]
    await serving.open(options)
    threading.Thread(target=_wait_for_the_end, args=(loop, ended), daemon=True).start()
    _tell("port", port)
    await serving.close(*await ended)


def _wait_for_the_end(loop: asyncio.AbstractEventLoop, ended: asyncio.Future[tuple[float, str]]) -> None:
    line = sys.stdin.buffer.readline()
    loop.call_soon_threadsafe(
        ended.set_result, tuple(json.loads(line)) if line else (0, "the kernel has ended")
    )


def _taken_apart(error: Exception) -> dict[str, Any]:
    try:
        pickled = cloudpickle.dumps(error)
    except Exception:  # an exception that can't be pickled still has its words
        pickled = b""
    stack = [
        (place.filename, place.lineno, place.name) for place in traceback.extract_tb(error.__traceback__)
    ]
    return {"pickle": base64.b64encode(pickled).decode(), "text": in_words(error), "stack": stack}


def _tell(kind: str, content: object) -> None:
    sys.stdout.buffer.write(json.dumps([kind, content]).encode() + b"\n")
    sys.stdout.buffer.flush()
