"""The chat's server and its page, started and ended together:

    python -m apps.chat

prints the addresses of both. Ctrl-C ends them. When one of them ends by itself, its last words are printed
and the other ends, too. `--port 8600` is for the page and `--server-port 8700` for the server; 0 takes a free
port. With CHAT_TOKEN in the environment, only those who bring the token get in, and the address that is
printed has it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from pathlib import Path
from urllib.parse import urlencode

from apps.chat.limits import HEAD_BYTES
from apps.options import between

HERE = Path(__file__).resolve().parent
LAST_WORDS = 15  # lines
TIME_TO_END = 5.0  # seconds, after which a program that was asked to end is killed

WITH_US = """
import os, runpy, signal, sys, threading, time

def end_with_the_program_that_started_us():
    os.read(0, 1)  # there is nothing to read: it returns when the other end of the pipe is closed
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(3)
    os._exit(1)  # Streamlit does not hear it when it has no standard output any more

threading.Thread(target=end_with_the_program_that_started_us, daemon=True).start()
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""  # instead of `python -m`: a program that is killed can't end those that it has started

if sys.platform == "win32":
    END, FLAGS, GROUP = signal.CTRL_BREAK_EVENT, subprocess.CREATE_NEW_PROCESS_GROUP, None
else:
    END, FLAGS, GROUP = signal.SIGTERM, 0, 0


class Program:
    """A Python program that runs alongside this one; in a `with` block, at whose end it ends.

    It has a process group of its own, so that Ctrl-C reaches only us, and we end them one after another.

    Args:
        name: what to call it.
        url: where it will be.
        arguments: what comes after `python -m`.
        ready: what it prints when it can be used.
        **environment: variables to set for it.
    """

    def __init__(self, name: str, url: str, arguments: list[str], *, ready: str, **environment: str) -> None:
        self.name, self.url = name, url
        self.ready = asyncio.Event()
        self.words: deque[str] = deque(maxlen=LAST_WORDS)
        self._arguments = arguments
        self._ready_text = ready
        self._environment = environment

    async def __aenter__(self) -> Program:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-u", "-c", WITH_US, *self._arguments),
            cwd=HERE.parents[1],
            env=os.environ | self._environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            creationflags=FLAGS,
            process_group=GROUP,
        )
        self.ended = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            if self._process.returncode is None:
                self._process.send_signal(END)
                await asyncio.wait([self.ended], timeout=TIME_TO_END)
        finally:
            if self._process.returncode is None:
                self._process.kill()

    async def _listen(self) -> None:
        """Keep what it prints, until it has ended."""
        assert self._process.stdout
        async for line in self._process.stdout:
            self.words.append(line.decode("utf-8", "replace").rstrip())
            if self._ready_text in self.words[-1]:
                self.ready.set()
        await self._process.wait()


async def tell(*programs: Program) -> None:
    """Print where the programs are, as soon as all of them can be used."""
    for program in programs:
        await program.ready.wait()
    for program in programs:
        print(f"{program.name:10}  {program.url}")
    print("Ctrl-C ends both.", flush=True)


async def run(page_port: int, server_port: int) -> str:
    """Run both until one of them has ended; return what to say about it."""
    end_at_a_signal()
    token = os.environ.get("CHAT_TOKEN", "")
    page_options = {
        "server.address": "127.0.0.1",
        "server.port": page_port,
        "server.headless": "true",  # opens no browser and asks for no e-mail address
        "browser.gatherUsageStats": "false",
    }
    server = Program(
        "the server",
        f"ws://127.0.0.1:{server_port}/ws",
        ["apps.chat.server", f"--port={server_port}"],
        ready="Uvicorn running",
    )
    page = Program(
        "the page",
        f"http://127.0.0.1:{page_port}" + (f"/?{urlencode({'token': token})}" if token else ""),
        ["streamlit", "run", str(HERE / "page.py"), *(f"--{k}={v}" for k, v in page_options.items())],
        ready="URL: ",
        CHAT_URL=server.url,
        WEBSOCKETS_MAX_LINE_LENGTH=str(HEAD_BYTES),  # Streamlit listens with `websockets`, too
        CHAT_TOKEN="",  # each visitor brings it
    )
    async with server, page:
        told = asyncio.create_task(tell(page, server))
        await asyncio.wait([server.ended, page.ended], return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        first = server if server.ended.done() else page
        return "\n".join(
            [f"{first.name.capitalize()} has ended, and so does the chat. Its last words:", *first.words]
        )


def end_at_a_signal() -> None:
    """Have the signals that ask a program to end cancel what runs now, so that its `with` blocks end."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number and signal.getsignal(number) != signal.SIG_IGN:  # as `nohup` does
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(task.cancel))


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def main() -> None:
    """Read the command line, and run the chat."""
    parser = argparse.ArgumentParser("python -m apps.chat", description="Start the chat's server and page.")
    parser.add_argument(
        "--port", type=between(0, 65_535), default=8501, help="of the page (%(default)s); 0: any free one"
    )
    parser.add_argument(
        "--server-port", type=between(0, 65_535), default=8000, help="of the server (%(default)s)"
    )
    given = parser.parse_args()
    with contextlib.suppress(asyncio.CancelledError):
        sys.exit(asyncio.run(run(given.port or free_port(), given.server_port or free_port())))


if __name__ == "__main__":
    main()
