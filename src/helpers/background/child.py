"""A `websockets` server in a child process: both ends of the pipe between the kernel and the child.

The parent sends the handler; the child answers with a line of JSON for its port and for each event.
The child ends when the parent closes the pipe, which also happens when the parent is killed. What the
handler prints comes through a pipe of its own, so that it can't be taken for one of these lines.
"""

from __future__ import annotations

import base64
import collections
import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

import cloudpickle

from helpers.background.ends_with_parent import OWN_GROUP
from helpers.background.lifetime import BackgroundError
from helpers.background.loops import BackgroundLoop, LoopBlockedError
from helpers.background.serving import Handler, Serving
from helpers.readers_code import in_words, readers_line
from helpers.sockets import listening_socket, raise_file_limit


class ChildServer:
    """The parent's end. Returns from its construction when the child listens.

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
        self._fail = fail
        self._blocked = blocked
        self._listens = threading.Event()
        self._refused: OSError | None = None
        self._printed: collections.deque[str] = collections.deque(maxlen=10)
        self.port = 0
        try:
            parcel = cloudpickle.dumps((handler, address, options))
        except Exception as error:
            raise BackgroundError(
                f"the handler can't be copied into a child process ({in_words(error)}): "
                "create what can't be copied, like sockets and locks, inside the handler"
            ) from error
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-c", "from helpers.background.child import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **OWN_GROUP,
        )
        self._readers = [
            threading.Thread(target=read, name="child server reader", daemon=True)
            for read in (self._read_reports, self._read_prints)
        ]
        for reader in self._readers:
            reader.start()
        try:
            self._write(json.dumps(sys.path).encode() + b"\n")
            self._write(base64.b64encode(parcel) + b"\n")
            self._listens.wait(20)
        finally:
            if not self.port:
                self.close(0)
        if not self.port:
            raise self._refused or BackgroundError(
                f"the child process ended before it listened. It printed:\n{self._last_words()}"
            )

    def ended(self) -> str | None:
        """Why the child no longer runs; None while it does."""
        if self._process.poll() is None:
            return None
        self._join_readers()
        return (
            f"the child process has ended (status {self._process.returncode}). "
            f"It printed:\n{self._last_words()}"
        )

    def close(self, seconds: float = 1, reason: str = "") -> None:
        """End the child: politely, and after `seconds` by force."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._write(json.dumps([seconds, reason]).encode() + b"\n")
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(seconds + 1.5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            self._say("the child process did not end in time and was killed")
        self._join_readers()
        if not any(reader.is_alive() for reader in self._readers):  # a grandchild may hold the pipes
            self._process.stdout.close()
            self._process.stderr.close()

    def _last_words(self) -> str:
        return "\n".join(self._printed) or "(nothing)"

    def _join_readers(self) -> None:
        for reader in self._readers:
            reader.join(1)

    def _write(self, line: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except OSError:
            self._say("the child process has ended")

    def _read_reports(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            kind, content = json.loads(line)
            if kind == "port":
                self.port = content
                self._listens.set()
            elif kind == "refused":
                self._refused = OSError(*content)
            elif kind == "event":
                self._say(content)
            elif kind == "blocked":
                self._blocked(content)
            else:
                self._fail(_rebuilt(content))
        self._listens.set()

    def _read_prints(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            text = line.decode(errors="replace").rstrip()
            self._printed.append(text)
            self._say(f"the child process printed: {text}")


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
    raise_file_limit()  # a measured server may hold a thousand connections
    tell = _Reports()
    sys.path[:] = json.loads(sys.stdin.buffer.readline())
    handler, (host, port, or_any), options = pickle.loads(base64.b64decode(sys.stdin.buffer.readline()))
    try:
        sock = listening_socket(host, port, or_any=or_any)
    except OSError as error:
        tell("refused", [error.errno, error.strerror])
        return
    port = sock.getsockname()[1]
    loop = BackgroundLoop("loop of the child process")
    loop.hold(tell, lambda text: tell("event", text), lambda text: tell("blocked", text))
    serving = Serving(
        handler, lambda text: tell("event", text), lambda error: tell("failure", _taken_apart(error))
    )
    loop.call(serving.open(options | {"sock": sock}), timeout=10)
    tell("port", port)
    line = sys.stdin.buffer.readline()
    seconds, reason = json.loads(line) if line else (0, "the kernel has ended")
    try:
        loop.call(serving.close(seconds, reason), timeout=seconds + 1, insist=True)
    except LoopBlockedError as error:
        tell("event", str(error))
    os._exit(0)  # whatever threads the handler has left behind


class _Reports:
    """Sends reports to the parent; what anybody else prints goes to standard error from now on."""

    def __init__(self) -> None:
        sys.stdout.flush()
        self._file = os.fdopen(os.dup(1), "wb")
        self._lock = threading.Lock()
        os.dup2(2, 1)

    def __call__(self, kind: str, content: object) -> None:
        line = json.dumps([kind, content]).encode() + b"\n"
        try:
            with self._lock:
                self._file.write(line)
                self._file.flush()
        except BrokenPipeError:
            pass  # the kernel has ended, and so will we


def _taken_apart(error: Exception) -> dict[str, Any]:
    try:
        pickled = cloudpickle.dumps(error)
    except Exception:  # an exception that can't be pickled still has its words
        pickled = b""
    stack = [
        (place.filename, place.lineno, place.name) for place in traceback.extract_tb(error.__traceback__)
    ]
    return {"pickle": base64.b64encode(pickled).decode(), "text": in_words(error), "stack": stack}
