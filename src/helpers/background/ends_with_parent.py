"""Runs a program and ends it when standard input closes: so it ends with its parent, even a killed one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from typing import Any

OWN_GROUP: dict[str, Any] = {"process_group": 0} if os.name == "posix" else {}
"""For `Popen`: an interrupted or killed kernel signals its whole group, which is not for its children."""


def main() -> int:
    """Run the program named by the arguments until it ends or standard input does.

    Returns:
        The program's exit status.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # interrupting the kernel is not for the program
    try:
        program = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, **OWN_GROUP)
    except OSError as error:
        print(f"{sys.argv[1]} can't be started: {error.strerror}", flush=True)
        return 127
    threading.Thread(target=_end_with_the_parent, args=(program,), daemon=True).start()
    status = program.wait()
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(program.pid, signal.SIGKILL)  # what the program itself has started
    return int(status)


def _end_with_the_parent(program: subprocess.Popen[bytes]) -> None:
    while os.read(0, 4096):  # not sys.stdin: its lock would break the exit of the other thread
        pass
    program.terminate()
    try:
        program.wait(1)
    except subprocess.TimeoutExpired:
        program.kill()


if __name__ == "__main__":
    sys.exit(main())
