"""In a real kernel: what a cell shows, and what is left when the kernel exits, restarts or is killed."""

from __future__ import annotations

import signal
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client.manager import KernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from shared import talk, wait_until


class Kernel:
    """A kernel whose cells are run one by one; what it prints itself goes into a file."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.manager = KernelManager(kernel_name="python3", transport_encryption="auto")
        self.file = log.open("w")  # a restart gives it to the next kernel
        self.manager.start_kernel(stdout=self.file, stderr=self.file)
        self.connect()

    def connect(self) -> None:
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=30)

    @property
    def pid(self) -> int:
        assert isinstance(self.manager.provisioner, LocalProvisioner)
        assert self.manager.provisioner.process is not None
        return self.manager.provisioner.process.pid

    def run(self, cell: str) -> tuple[str, str]:
        """Run a cell; returns what it printed on stdout, and on stderr or as a traceback."""
        out: list[str] = []
        red: list[str] = []

        def hear(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "stream":
                (out if content["name"] == "stdout" else red).append(content["text"])
            elif message["msg_type"] == "error":
                red.extend(content["traceback"])

        self.client.execute_interactive(textwrap.dedent(cell), timeout=30, output_hook=hear)
        return "".join(out), "".join(red)

    def end(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.file.close()


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    """A kernel for a test that ends or fills it."""
    kernel = Kernel(tmp_path / "kernel.log")
    yield kernel
    kernel.end()


@pytest.fixture(scope="module")
def same_kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """One kernel for all tests whose cells leave it in order, which is what each of them says at its end."""
    kernel = Kernel(tmp_path_factory.mktemp("kernel") / "kernel.log")
    yield kernel
    kernel.end()


EVERYTHING = """
    import sys
    from helpers.background.app import BackgroundApp
    from helpers.background.process import BackgroundProcess
    from helpers.background.server import BackgroundServer

    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    async def app(scope, receive, send):
        assert scope["type"] == "http"

    async def clings(connection):
        while True:
            try:
                await connection.recv()
            except BaseException:
                pass

    places = ["shared", "own", "process"]
    servers = [BackgroundServer(echo, where=where, name=where).start() for where in places]
    stuck = [BackgroundServer(clings, where=where, name="stuck " + where).start() for where in places[1:]]
    web = BackgroundApp(app).start()
    waits = "import time; time.sleep(999)"
    starts = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {waits!r}])"
    command = [sys.executable, "-c", f"{starts}; print('up', flush=True); {waits}"]
    program = BackgroundProcess(command, ready="up").start()
    print(*[server.url for server in servers])
"""

STICK = """
    import asyncio
    from websockets.asyncio.client import connect
    clients = [await connect(server.url, proxy=None) for server in servers + stuck]
    for client in clients[-2:]:
        client.transport.abort()
    await asyncio.sleep(0.3)
"""


def started(kernel: Kernel) -> tuple[list[str], list[psutil.Process]]:
    out, red = kernel.run(EVERYTHING)
    assert red == ""
    assert kernel.run(STICK) == ("", "")
    children = psutil.Process(kernel.pid).children(recursive=True)
    assert len(children) == 5  # two child servers; the guard, its program and what that started
    return out.split(), children


def test_exit_and_restart_stop_everything_without_a_traceback(kernel: Kernel) -> None:
    _, children = started(kernel)
    kernel.client.stop_channels()
    kernel.manager.restart_kernel(now=False)
    kernel.connect()
    wait_until(lambda: not any(child.is_running() for child in children), what="the end of the children")
    urls, _ = started(kernel)
    assert talk(urls[0]) == "hi"
    kernel.client.stop_channels()
    kernel.manager.shutdown_kernel(now=False)
    assert "Traceback" not in kernel.log.read_text()
    assert "Error" not in kernel.log.read_text()


@pytest.mark.parametrize("how", ["group", "process"])
def test_a_killed_kernel_leaves_no_orphans(kernel: Kernel, how: str) -> None:
    _, children = started(kernel)
    if how == "group":  # as Jupyter does it
        kernel.manager.shutdown_kernel(now=True)
    else:
        psutil.Process(kernel.pid).send_signal(signal.SIGKILL)
    wait_until(lambda: not any(child.is_running() for child in children), what="the end of the children")
    assert "Traceback" not in kernel.log.read_text()


def test_an_interrupt_leaves_everything_alive(kernel: Kernel) -> None:
    urls, children = started(kernel)
    request = kernel.client.execute("import time; print('in it'); time.sleep(60)")
    while kernel.client.get_iopub_msg(timeout=10)["content"].get("text") != "in it\n":
        pass
    kernel.manager.interrupt_kernel()
    reply = kernel.client.get_shell_msg(timeout=10)
    assert reply["parent_header"]["msg_id"] == request
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    assert [talk(url) for url in urls] == ["hi", "hi", "hi"]
    assert all(child.is_running() for child in children)


WORKS_APART = """
    import asyncio, time
    from helpers import BackgroundServer, Probe, apart
    from helpers.experiments.request_reply import RequestRun

    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    def forever(progress):
        progress("in it")
        while True:
            print("not for the page")
            time.sleep(0.01)
"""


def interrupted(kernel: Kernel, cell: str, meanwhile: Callable[[], object] = lambda: None) -> str:
    """Interrupt a cell when it has printed `in it`; returns the name of the error that ends it."""
    request = kernel.client.execute(textwrap.dedent(cell), stop_on_error=False)
    while "in it\n" not in kernel.client.get_iopub_msg(timeout=20)["content"].get("text", ""):
        pass  # what is printed within a fifth of a second comes as one text
    meanwhile()
    kernel.manager.interrupt_kernel()
    reply = kernel.client.get_shell_msg(timeout=20)
    assert reply["parent_header"]["msg_id"] == request
    return str(reply["content"]["ename"])


@pytest.mark.skipif(sys.platform == "win32", reason="signals don't wake a loop on Windows")
@pytest.mark.parametrize("waits", ["asyncio.sleep(60)", "asyncio.Event().wait()"])
def test_an_interrupt_ends_a_cell_that_awaits(same_kernel: Kernel, waits: str) -> None:
    same_kernel.run("import asyncio, helpers")
    assert interrupted(same_kernel, f"print('in it')\nawait {waits}") == "CancelledError"
    assert same_kernel.run("print(await asyncio.sleep(0.01, 'in order'))") == ("in order\n", "")


@pytest.mark.parametrize(
    "cell",
    [
        "await apart(forever, progress=print)",
        """
        with BackgroundServer(echo) as server:
            async with Probe(server.url):
                print("in it")
                await asyncio.sleep(60)
        """,
        "await RequestRun(1000).run(lambda share: print('in it'))",
    ],
)
def test_an_interrupted_cell_takes_its_children_along(same_kernel: Kernel, cell: str) -> None:
    assert same_kernel.run(WORKS_APART) == ("", "")
    before: list[psutil.Process] = []
    children = psutil.Process(same_kernel.pid).children
    assert interrupted(same_kernel, cell, lambda: before.extend(children())) in (
        "CancelledError",
        "KeyboardInterrupt",
    )
    assert before
    assert children() == []
    out, red = same_kernel.run("print(await apart(sum, [1, 2]))")
    assert (out, red) == ("3\n", "")


def test_what_fails_apart_shows_the_readers_own_line(same_kernel: Kernel) -> None:
    same_kernel.run(WORKS_APART)
    out, red = same_kernel.run("""
        def fails():
            print("my last words")
            raise ValueError("no such room")  # the reader's line

        await apart(fails)
    """)
    assert out == ""
    assert "ValueError" in red
    assert "# the reader's line" in red
    assert "my last words" in red


@pytest.mark.parametrize("where", ["shared", "process"])
def test_the_cell_shows_the_readers_own_line(same_kernel: Kernel, where: str) -> None:
    _, red = same_kernel.run(f"""
        from helpers.background.server import BackgroundServer
        from websockets.asyncio.client import connect
        import asyncio, random

        class Greeting:
            def __str__(self):
                return "hello " + random.choice(["you"])

        async def handler(connection):
            await connection.send(str(Greeting()))
            raise ValueError("no such room")  # the reader's line

        server = BackgroundServer(handler, where="{where}").start()
        async with connect(server.url, proxy=None) as client:
            assert await client.recv() == "hello you"
            await client.wait_closed()
        while not any("failed" in entry.text for entry in server.log):
            await asyncio.sleep(0.01)
    """)
    assert red == ""
    _, red = same_kernel.run("server.url")
    assert "HandlerFailedError" in red
    assert "the reader's line" in red
    assert same_kernel.run("print(server.url == server.url); server.stop()") == ("True\n", "")


@pytest.mark.parametrize("where", ["shared", "process"])
def test_running_a_cell_again_takes_the_same_port_and_a_blocking_handler_is_shown(
    same_kernel: Kernel, where: str
) -> None:
    cell = f"""
        import asyncio, time
        from helpers.background.server import BackgroundServer
        from websockets.asyncio.client import connect

        async def naps(connection):
            time.sleep(1.2)

        server = BackgroundServer(naps, where="{where}").start()
        print(server.port)
        async with connect(server.url, proxy=None) as client:
            await client.wait_closed()
        server.check()
    """
    (first, warned), (second, again) = same_kernel.run(cell), same_kernel.run(cell)
    assert same_kernel.run("server.halt()") == ("", "")
    assert first == second
    for red in (warned, again):
        assert "BlockedLoopWarning" in red
        assert "naps(): time.sleep(1.2)" in red
        assert "Traceback" not in red
