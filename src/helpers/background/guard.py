"""Runs a program and ends it when standard input closes: so it ends with its parent, even a killed one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading


def main() -> int:
    """Run the program named by the arguments until it ends or standard input does.

    Returns:
        The program's exit status.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # interrupting the kernel is not for the program
    own_group = {"process_group": 0} if os.name == "posix" else {}
    try:
        program = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, **own_group)  # type: ignore[call-overload]
    except OSError as error:
        print(f"{sys.argv[1]} can't be started: {error.strerror}", flush=True)
        return 127
    threading.Thread(target=_end_with_the_parent, args=(program,), daemon=True).start()
    return int(program.wait())


def _end_with_the_parent(program: subprocess.Popen[bytes]) -> None:
    sys.stdin.buffer.read()
    program.terminate()
    try:
        program.wait(1)
    except subprocess.TimeoutExpired:
        program.kill()
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)  # what the program itself has started


if __name__ == "__main__":
    sys.exit(main())
