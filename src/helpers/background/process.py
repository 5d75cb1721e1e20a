"""A program in a child process alongside the kernel, which ends with the kernel."""

from __future__ import annotations

import collections
import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from helpers.arguments import kind, number
from helpers.background import ends_with_parent
from helpers.background.lifetime import Background, BackgroundError
from helpers.sockets import listening_socket

ATTEMPTS = 3
"""How often a program is started when the port that was free is taken before it listens on it."""

_PORT_IS_TAKEN = re.compile(
    r"(address|port)\b.*\b(in use|not available)|only one usage of each socket address", re.IGNORECASE
)


class BackgroundProcess(Background):
    """Keep a program running in the background, for example a server started by its command line.

        web = BackgroundProcess([sys.executable, "-m", "http.server", "{port}"], ready="Serving").start()
        print(web.url, web.output[-1])
        web.stop()

    Args:
        command: the program and its arguments; `{port}` in them becomes the port.
        ready: a regular expression; the program is up when it prints a line in which this is found.
        listens: it is up only when somebody listens on the port as well: a program with several worker
            processes may say that it runs before they do.
        name: what it is called in messages; the command by default.
        host: what `url` says; the program listens where its own options tell it.
        port: what `{port}` becomes; 0 chooses a free one, and another if that one is taken meanwhile.
        seconds: how long it may take until it is ready.
        scheme: what `url` begins with.
        environment: variables to set on top of the kernel's.
        folder: where it runs; the kernel's folder by default.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        ready: str,
        listens: bool = False,
        name: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        seconds: float = 30,
        scheme: str = "http",
        environment: Mapping[str, str] | None = None,
        folder: str | Path | None = None,
    ) -> None:
        if not isinstance(command, list | tuple) or not command:
            raise TypeError(f'the command must be a list, like ["python", "server.py"], not {command!r}')
        for part in command:
            kind(part, "each part of the command", str, Path, words="a string or a path")
        self.command = [os.fspath(part) for part in command]
        number(seconds, "seconds")
        super().__init__(name or " ".join([Path(self.command[0]).name, *self.command[1:]]), host, port)
        self._ready = re.compile(ready)
        self._listens = listens
        self._seconds = seconds
        self._uri_scheme = scheme
        self._environment = environment
        self._folder = folder
        self._output: collections.deque[str] = collections.deque(maxlen=1000)
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._is_ready = threading.Event()

    @property
    def output(self) -> list[str]:
        """What it printed so far, the last 1,000 lines."""
        return list(self._output)

    def kill(self) -> None:
        """Kill the program and what it has started, as `kill -9` does: it can't tidy up.

        `start()` starts it again, on the same port.

        Raises:
            BackgroundError: it doesn't run.
        """
        if self._process is None or not self.running:
            raise BackgroundError(f"{self.name!r} is not running")
        for program in psutil.Process(self._process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                program.kill()
        self._process.wait()

    @property
    def _scheme(self) -> str:
        return self._uri_scheme

    def _start(self) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with listening_socket(self.host, self.port, or_any=not self._fixed_port) as sock:
                    self.port = sock.getsockname()[1]
            except OSError as error:
                raise self._port_error(error) from None
            try:
                self._start_program()
                return
            except BackgroundError:
                if self._fixed_port or attempt == ATTEMPTS or not self._port_was_lost():
                    raise
            self._journal.say(
                f"port {self.port} was taken before the program listened on it; trying another one"
            )
            self.port = 0

    def _port_was_lost(self) -> bool:
        """Whether the program ended because another one was quicker to take the port that was free."""
        return self._process is not None and bool(_PORT_IS_TAKEN.search("\n".join(self._output)))

    def _start_program(self) -> None:
        self._output.clear()
        self._is_ready.clear()
        command = [part.replace("{port}", str(self.port)) for part in self.command]
        listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
        direct = listed if listed == "*" else f"127.0.0.1,localhost,{listed}"
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", ends_with_parent.__file__, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                cwd=self._folder,
                env={"PYTHONUNBUFFERED": "1", **os.environ, "no_proxy": direct, **(self._environment or {})},
                **ends_with_parent.OWN_GROUP,
            )
        except OSError as error:
            raise BackgroundError(f"{self.name!r} can't be started: {error}") from None
        self._reader = threading.Thread(target=self._read, name=f"output of {self.name!r}", daemon=True)
        self._reader.start()
        try:
            ready = self._becomes_ready(time.monotonic() + self._seconds)
        except BaseException:  # the kernel was interrupted
            self._free()
            raise
        ended = self._process.poll() is not None
        if ended or not ready:
            self._free()
            why = "ended" if ended else f"was not ready in {self._seconds:g} s"
            raise BackgroundError(f"{self.name!r} {why}. It printed:\n{self._last_words()}")

    def _becomes_ready(self, deadline: float) -> bool:
        assert self._process is not None
        self._is_ready.wait(self._seconds)
        while self._is_ready.is_set() and self._process.poll() is None and time.monotonic() < deadline:
            if not self._listens or self._somebody_listens():
                return True
            time.sleep(0.01)
        return False

    def _somebody_listens(self) -> bool:
        with socket.socket() as visitor:
            return visitor.connect_ex((self.host, self.port)) == 0

    def _last_words(self) -> str:
        return "\n".join(self.output[-10:]) or "(nothing)"

    def _why_ended(self) -> str | None:
        assert self._process is not None
        assert self._reader is not None
        if self._process.poll() is None:
            return None
        self._reader.join(1)
        return f"the program has ended (status {self._process.returncode}). It printed:\n{self._last_words()}"

    def _stop(self, reason: str, seconds: float | None) -> None:
        self._free()

    def _free(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._reader is not None
        self._process.stdin.close()
        self._process.wait()
        self._reader.join()
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._output.append(line.rstrip())
            if not self._is_ready.is_set() and self._ready.search(line):
                self._is_ready.set()
        if not self._is_ready.is_set():
            self._process.wait()
            self._is_ready.set()
        self._journal.say("the program has ended")
