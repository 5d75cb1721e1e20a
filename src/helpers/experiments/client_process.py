"""A client in a child process: what is measured shares neither interpreter nor event loop with the kernel."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

from helpers.background.ends_with_parent import OWN_GROUP
from helpers.background.lifetime import BackgroundError
from helpers.experiments.run import Result, Run

Report = Callable[[str, object], None]


class ClientProcess:
    """The kernel's end: hands over a plan, gets reports, and ends the child when it is left.

    with ClientProcess() as client:
        client.tell({"kind": "requests", ...})
        for kind, content in client.reports():
            ...
    """

    def __enter__(self) -> Self:
        self._said = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "helpers.experiments.client"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            **OWN_GROUP,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._said.close()

    @property
    def pid(self) -> int:
        """The child's process number."""
        return self._process.pid

    def kill(self) -> None:
        """End the child at once, from any thread; `reports` then raises."""
        self._process.kill()

    def tell(self, content: object) -> None:
        """Send the child a line; that it has ended is told by `reports`."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(json.dumps(content).encode() + b"\n")
            self._process.stdin.flush()

    def reports(self) -> Iterator[tuple[str, Any]]:
        """What the child tells, until it says that it is done.

        Raises:
            BackgroundError: it could not do what it was told, or it ended before.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            kind, content = json.loads(line)
            if kind == "failed":
                raise BackgroundError(f"the client gave up: {content}")
            yield kind, content
            if kind == "result":
                return
        self._process.wait()
        raise BackgroundError(
            f"the client's process ended before it was done (status {self._process.returncode}). "
            f"It printed:\n{self._last_words()}"
        )

    def _last_words(self) -> str:
        self._said.seek(0)
        return "\n".join(self._said.read().decode(errors="replace").strip().splitlines()[-10:]) or "(nothing)"


class ClientRun(Run[Result]):
    """What a client process carries out, and another thread can break off."""

    def __init__(self) -> None:
        self._running: ClientProcess | None = None
        self._stopped = False

    def stop(self) -> None:
        """Break it off, from any thread; `run` then raises a `BackgroundError`."""
        self._stopped = True
        if self._running is not None:
            self._running.kill()

    @contextlib.contextmanager
    def _client(self) -> Iterator[ClientProcess]:
        """
        Raises:
            BackgroundError: it was broken off, before or meanwhile.
        """
        with ClientProcess() as client:
            self._running = client
            try:
                if self._stopped:
                    raise BackgroundError("it was broken off")
                yield client
            except BackgroundError:
                if self._stopped:
                    raise BackgroundError("it was broken off") from None
                raise


class Orders:
    """The child's end of the pipe: what the kernel tells. The child ends when the pipe does."""

    def __init__(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # interrupting the kernel is told by the pipe's end
        self._lines: list[Any] = []
        self._came = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def next(self) -> Any:
        """The next line, when it comes."""
        with self._came:
            self._came.wait_for(lambda: self._lines)
            return self._lines.pop(0)

    def _read(self) -> None:
        for line in sys.stdin.buffer:
            with self._came:
                self._lines.append(json.loads(line))
                self._came.notify()
        os._exit(0)


def report(kind: str, content: object) -> None:
    """Tell the kernel something, from the child."""
    sys.stdout.buffer.write(json.dumps([kind, content]).encode() + b"\n")
    sys.stdout.buffer.flush()
