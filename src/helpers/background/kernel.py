"""A second Jupyter kernel, for experiments that would spoil the reader's own.

Some patches change a whole process and cannot be taken back. A notebook that wants to show one starts a child
kernel, sends it cells as JupyterLab would, and looks at what comes back.

The messages are those of the Jupyter protocol: https://jupyter-client.readthedocs.io/en/stable/messaging.html
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from types import TracebackType
from typing import Any, Self

from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager

START_TIMEOUT = 60.0  # seconds; a kernel starts in about one
POLL_INTERVAL = 0.2  # seconds between two looks at whether the child process is still alive

WAITING = "waiting"
DONE = "done"
SKIPPED = "skipped: an earlier cell raised"
LOST = "lost: the kernel answered a later request, never this one"
ENDED = "no answer: the kernel ended"


@dataclass
class Outcome:
    """What became of one cell.

    Attributes:
        code: the cell's source.
        state: `done`; `raised` with the error; `skipped` after an earlier error; `lost` when the
            kernel answered a later request and never this one; or `no answer` with the time waited.
        printed: what it wrote to standard output, and the plain text of what it displayed.
        warned: what was written to standard error while it ran.
        result: the value of its last expression, as the kernel showed it; empty if there was none.
        error: the exception's name and message; empty if there was none.
    """

    code: str
    state: str = WAITING
    printed: str = ""
    warned: str = ""
    result: str = ""
    error: str = ""

    def __str__(self) -> str:
        """What a reader would see under the cell; in words, if the kernel gave no answer."""
        shown = "\n".join(part.rstrip("\n") for part in (self.printed, self.result, self.error) if part)
        return shown if self.answered else "\n".join(filter(None, (shown, self.state)))

    @property
    def answered(self) -> bool:
        """Whether the kernel sent a reply (also one that says that the cell raised, or was skipped)."""
        return self.state in (DONE, SKIPPED) or bool(self.error)


class Outcomes(tuple[Outcome, ...]):
    """The outcomes of cells that were sent together; its text is a table with one line for each cell."""

    __slots__ = ()

    def __repr__(self) -> str:
        lines = (
            f"cell {number}  {outcome.state}" + (f"  → {shown}" if (shown := self._shown(outcome)) else "")
            for number, outcome in enumerate(self, start=1)
        )
        return "\n".join(lines)

    @staticmethod
    def _shown(outcome: Outcome) -> str:
        return " ".join((outcome.printed + outcome.result).split())


class ChildKernel:
    """A Jupyter kernel in a child process: the same Python, an IPython profile of its own, no history.

        async with ChildKernel() as kernel:
            print(await kernel.run("6 * 7"))
            print(await kernel.run_all(["x = 1", "x / 0", "x"]))

    It ends with the `async with` block; if this process dies first, ipykernel notices within two seconds
    and ends itself. Cells reach it in the order in which they are sent.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._client: AsyncKernelClient | None = None

    async def __aenter__(self) -> Self:
        """Start the kernel and wait until it answers.

        Raises:
            RuntimeError: it runs already, or did not start; says what it wrote to standard error.
        """
        if self._client is not None:
            raise RuntimeError("this child kernel is already running: make another ChildKernel()")
        if sys.platform == "win32":  # jupyter_client's sockets work there too, by a thread of tornado's
            warnings.filterwarnings("ignore", "Proactor event loop does not implement", RuntimeWarning)
        self._folder = tempfile.TemporaryDirectory(prefix="kernel-", ignore_cleanup_errors=True)
        folder = Path(self._folder.name)
        self._manager = AsyncKernelManager(
            connection_file=str(folder / "kernel.json"), kernel_spec_manager=_ThisPython(), **_transport()
        )
        log = folder / "stderr.txt"
        try:
            with log.open("wb") as stderr:
                await self._manager.start_kernel(
                    stdout=subprocess.DEVNULL,
                    stderr=stderr,
                    env={**os.environ, "IPYTHONDIR": str(folder / "ipython")},
                )
            self._client = self._manager.client()
            self._client.start_channels(stdin=False, hb=False, control=False)
            await self._client.wait_for_ready(timeout=START_TIMEOUT)
        except RuntimeError as error:
            wrote = log.read_text(errors="replace").strip()
            await self._end()
            raise RuntimeError(f"the child kernel did not start: {error}\n{wrote}".rstrip()) from error
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the kernel, whatever it is doing."""
        await self._end()

    async def run(self, code: str, *, timeout: float = 30.0) -> Outcome:
        """Run one cell and wait for it.

        Args:
            code: the cell's source; top-level `await` is fine.
            timeout: the longest wait, in seconds.

        Returns:
            The cell's outcome. An exception in the cell is reported there, not raised here.

        Raises:
            RuntimeError: the kernel is not running.
        """
        (outcome,) = await self.run_all([code], timeout=timeout)
        return outcome

    async def run_all(self, cells: Iterable[str], *, timeout: float = 10.0) -> Outcomes:
        """Send all cells at once, as JupyterLab's *Run All* does, and wait for their replies.

        A kernel answers the requests of one channel in the order of their arrival. So each reply is followed
        by a probe, a request for the kernel's name; once that is answered, a cell that was sent before it and
        has no reply will never get one. That proves a lost cell without a long wait.

        Args:
            cells: the cells' sources.
            timeout: the longest wait for all of them together, in seconds.

        Returns:
            The outcome of each cell, in order.

        Raises:
            RuntimeError: the kernel is not running.
        """
        if isinstance(cells, str):
            raise TypeError("cells must be a list of strings; for one cell, write kernel.run(code)")
        client = self._client
        if client is None:
            raise RuntimeError("the child kernel is not running; write: async with ChildKernel() as kernel:")
        async with self._turn:
            outcomes = {client.execute(code, allow_stdin=False): Outcome(code) for code in cells}
            try:
                async with asyncio.timeout(timeout), asyncio.TaskGroup() as group:
                    group.create_task(self._read_replies(client, outcomes))
                    group.create_task(self._read_outputs(client, outcomes))
            except TimeoutError:
                _settle(outcomes.values(), f"no answer after {timeout:g} s")
            return Outcomes(outcomes.values())

    async def _read_replies(self, client: AsyncKernelClient, outcomes: dict[str, Outcome]) -> None:
        probe = None
        while any(outcome.state == WAITING for outcome in outcomes.values()):
            try:
                message = await client.get_shell_msg(timeout=POLL_INTERVAL)
            except Empty:
                if not await self._manager.is_alive():
                    _settle(outcomes.values(), ENDED)
                continue
            request = message["parent_header"].get("msg_id")
            if request == probe:
                _settle(outcomes.values(), LOST)
            elif request in outcomes:
                _take_reply(outcomes[request], message["content"])
                probe = client.kernel_info()

    async def _read_outputs(self, client: AsyncKernelClient, outcomes: dict[str, Outcome]) -> None:
        """Read until the kernel has said *idle*, the last of a request's outputs, for every answered cell."""
        finished: set[str] = set()
        while any(
            outcome.state == WAITING or (outcome.answered and request not in finished)
            for request, outcome in outcomes.items()
        ):
            try:
                message = await client.get_iopub_msg(timeout=POLL_INTERVAL)
            except Empty:
                continue
            request = message["parent_header"].get("msg_id")
            if request not in outcomes:
                continue
            if message["content"].get("execution_state") == "idle":
                finished.add(request)
            else:
                _take_output(outcomes[request], message["msg_type"], message["content"])

    async def _end(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.stop_channels()
        try:
            await self._manager.shutdown_kernel(now=True)
        finally:
            self._folder.cleanup()


class _ThisPython(KernelSpecManager):
    """Knows one kernel: ipykernel under the Python that runs this, whatever the user has installed."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(**get_kernel_dict())


def _transport() -> dict[str, str]:
    """Unix sockets in the kernel's own folder, or encrypted TCP where there are none.

    ipykernel warns about plain TCP; and a TCP port that was free can be taken before the kernel binds it.
    """
    if sys.platform == "win32":
        return {"transport": "tcp", "transport_encryption": "auto"}
    return {"transport": "ipc"}


def _take_reply(outcome: Outcome, content: dict[str, Any]) -> None:
    if content["status"] == "ok":
        outcome.state = DONE
    elif content["status"] == "aborted":
        outcome.state = SKIPPED
    else:
        outcome.error = ": ".join(filter(None, (content["ename"], content["evalue"])))
        outcome.state = f"raised {outcome.error}"


def _take_output(outcome: Outcome, kind: str, content: dict[str, Any]) -> None:
    if kind == "stream" and content["name"] == "stderr":
        outcome.warned += content["text"]
    elif kind == "stream":
        outcome.printed += content["text"]
    elif kind == "display_data":
        outcome.printed += content["data"].get("text/plain", "") + "\n"
    elif kind == "execute_result":
        outcome.result = content["data"].get("text/plain", "")


def _settle(outcomes: Iterable[Outcome], state: str) -> None:
    for outcome in outcomes:
        if outcome.state == WAITING:
            outcome.state = state
