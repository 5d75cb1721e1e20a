"""The child kernel: what it reports, that it finds lost cells, and that nothing of it stays behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import nbclient
import nbformat
import psutil
import pytest

from helpers.background import kernel as kernel_module
from helpers.background.kernel import ChildKernel, Outcome, Outcomes

T = TypeVar("T")

FOLLOWERS = ["print('two')", "print('three')"]


def in_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a test's coroutine with a deadline."""
    return asyncio.run(asyncio.wait_for(coroutine, 60))


async def pid_of(kernel: ChildKernel) -> int:
    return int((await kernel.run("import os; os.getpid()")).result)


def assert_gone(pid: int) -> None:
    try:
        psutil.Process(pid).wait(10)
    except psutil.NoSuchProcess:
        return


@pytest.fixture(scope="module")
def talk() -> Iterator[Callable[[Callable[[ChildKernel], Coroutine[Any, Any, Any]]], Any]]:
    """What holds a conversation with a kernel that several tests share."""
    with asyncio.Runner() as runner:
        kernel = ChildKernel()
        runner.run(kernel.__aenter__())
        yield lambda conversation: runner.run(asyncio.wait_for(conversation(kernel), 60))
        runner.run(kernel.__aexit__(None, None, None))


def test_a_cell_reports_what_it_printed_showed_and_raised(talk: Callable[..., Any]) -> None:
    async def conversation(kernel: ChildKernel) -> list[Outcome]:
        return [
            await kernel.run("import sys; print('out'); print('err', file=sys.stderr); 6 * 7"),
            await kernel.run("import asyncio; answer = await asyncio.sleep(0, 'awaited')"),
            await kernel.run("answer"),
            await kernel.run("print('before'); 1 / 0"),
            await kernel.run("display({'x': 1})"),
            await kernel.run("input('name? ')"),
            await kernel.run("raise KeyboardInterrupt"),
        ]

    both, awaited, kept, raised, shown, asked, stopped = talk(conversation)
    assert (both.printed, both.warned, both.result, both.error) == ("out\n", "err\n", "42", "")
    assert (both.state, str(both)) == ("done", "out\n42")
    assert (awaited.state, str(awaited)) == ("done", "")
    assert kept.result == "'awaited'"
    assert (raised.printed, raised.error) == ("before\n", "ZeroDivisionError: division by zero")
    assert raised.state == "raised ZeroDivisionError: division by zero"
    assert shown.printed == "{'x': 1}\n"
    assert "does not support input requests" in asked.error
    assert stopped.state == "raised KeyboardInterrupt"


def test_all_that_a_cell_printed_is_there(talk: Callable[..., Any]) -> None:
    outcome = talk(lambda kernel: kernel.run("for number in range(500): print(number, flush=True)"))
    assert outcome.printed.split() == [str(number) for number in range(500)]


def test_cells_sent_together_run_in_order_and_are_skipped_after_an_error(talk: Callable[..., Any]) -> None:
    cells = ["x = 1", "print(x)\nprint(x + 1)", "x / 0", "x = 2"]
    assert repr(talk(lambda kernel: kernel.run_all(cells, timeout=30))).splitlines() == [
        "cell 1  done",
        "cell 2  done  → 1 2",
        "cell 3  raised ZeroDivisionError: division by zero",
        "cell 4  skipped: an earlier cell raised",
    ]
    assert talk(lambda kernel: kernel.run("x")).result == "1"


def test_two_tasks_may_use_one_kernel(talk: Callable[..., Any]) -> None:
    async def conversation(kernel: ChildKernel) -> list[Outcome]:
        return await asyncio.gather(*(kernel.run(f"{number} * 2") for number in range(5)))

    assert [outcome.result for outcome in talk(conversation)] == ["0", "2", "4", "6", "8"]


def test_it_is_this_python_with_a_profile_of_its_own_and_ends_with_a_cell_that_does_not() -> None:
    """Cells that take too long are told from lost ones."""

    async def conversation() -> tuple[Outcome, Outcomes, int]:
        async with ChildKernel() as kernel:
            pid = await pid_of(kernel)
            place = await kernel.run("import sys; print(sys.executable); print(get_ipython().ipython_dir)")
            cells = ["print('at once')", "while True: pass", "1"]
            return place, await kernel.run_all(cells, timeout=2), pid

    place, outcomes, pid = in_loop(conversation())
    executable, profile = place.printed.splitlines()
    assert executable == sys.executable
    assert Path(profile).parent.name.startswith("kernel-")
    assert not Path(profile).exists()
    assert [outcome.state for outcome in outcomes] == ["done", "no answer after 2 s", "no answer after 2 s"]
    assert str(outcomes[1]) == "no answer after 2 s"
    assert_gone(pid)


NESTED = [
    ("nest_asyncio", "asyncio.run(asyncio.sleep(0.5))", "lost"),
    ("nest_asyncio", "asyncio.get_event_loop().run_until_complete(asyncio.sleep(0.5))", "lost"),
    ("nest_asyncio", "await asyncio.sleep(0.5)", "done"),
    ("nest_asyncio2", "asyncio.run(asyncio.sleep(0.5))", "done"),
]
"""Which module, how the first cell waits, and what becomes of the cells behind it."""


def test_a_nested_run_loses_the_cells_that_wait_behind_it() -> None:
    async def conversation(module: str, first: str) -> tuple[Outcomes, Outcome]:
        async with ChildKernel() as kernel:
            assert (await kernel.run(f"import asyncio, {module}; {module}.apply()")).state == "done"
            return await kernel.run_all([first, *FOLLOWERS], timeout=30), await kernel.run("'still there'")

    async def all_conversations() -> list[tuple[Outcomes, Outcome]]:
        return await asyncio.gather(*(conversation(module, first) for module, first, _ in NESTED))

    before = (asyncio.run, asyncio.Task, asyncio.SelectorEventLoop.run_until_complete)
    told = in_loop(all_conversations())
    assert (asyncio.run, asyncio.Task, asyncio.SelectorEventLoop.run_until_complete) == before
    assert not hasattr(asyncio, "_nest_patched")  # the patch in the child leaves this process alone
    for (_, _, followers), (outcomes, after) in zip(NESTED, told, strict=True):
        assert [outcome.state.partition(":")[0] for outcome in outcomes] == ["done", followers, followers]
        assert [outcome.printed for outcome in outcomes[1:]] == (
            ["two\n", "three\n"] if followers == "done" else ["", ""]
        )
        assert ("cannot enter context" in outcomes[0].warned) == (followers == "lost")
        assert after.result == "'still there'"


def test_a_kernel_that_ends_is_noticed_before_the_time_is_up() -> None:
    async def conversation() -> Outcomes:
        async with ChildKernel() as kernel:
            return await kernel.run_all(
                ["1", "import os, time; time.sleep(0.5); os._exit(3)", "2"], timeout=50
            )

    assert [outcome.state for outcome in in_loop(conversation())] == [
        "done",
        "no answer: the kernel ended",
        "no answer: the kernel ended",
    ]


def test_it_runs_only_inside_its_block() -> None:
    async def conversation() -> None:
        kernel = ChildKernel()
        with pytest.raises(RuntimeError, match="async with ChildKernel"):
            await kernel.run("1")
        for _ in range(2):
            async with kernel:
                assert (await kernel.run("6 * 7")).result == "42"
        with pytest.raises(RuntimeError, match="async with ChildKernel"):
            await kernel.run("1")

    in_loop(conversation())


def test_an_error_or_a_cancellation_in_the_block_ends_the_kernel() -> None:
    pids: list[int] = []

    async def fails() -> None:
        async with ChildKernel() as kernel:
            pids.append(await pid_of(kernel))
            raise LookupError("mine")

    async def waits(ready: asyncio.Event) -> None:
        async with ChildKernel() as kernel:
            pids.append(await pid_of(kernel))
            ready.set()
            await kernel.run("import time; time.sleep(60)", timeout=60)

    async def cancels() -> None:
        ready = asyncio.Event()
        task = asyncio.create_task(waits(ready))
        await ready.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with pytest.raises(LookupError, match="mine"):
        in_loop(fails())
    in_loop(cancels())
    assert len(pids) == 2
    for pid in pids:
        assert_gone(pid)


def test_a_kernel_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "raise SystemExit('no such thing here')"]
    monkeypatch.setattr(kernel_module, "get_kernel_dict", lambda: {"argv": argv, "language": "python"})
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    async def conversation() -> None:
        async with ChildKernel():
            raise AssertionError("it started")

    with pytest.raises(RuntimeError, match=r"did not start(?s:.*)no such thing here"):
        in_loop(conversation())
    assert list(tmp_path.iterdir()) == []


def test_nothing_stays_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    process = psutil.Process()

    def held() -> tuple[int, int, list[psutil.Process]]:
        descriptors = process.num_handles() if sys.platform == "win32" else process.num_fds()
        return descriptors, process.num_threads(), process.children()

    kernels: list[ChildKernel] = []

    async def conversation() -> None:
        async def once() -> None:
            async with ChildKernel() as kernel:
                kernels.append(kernel)
                assert (await kernel.run("6 * 7")).result == "42"

        await once()
        await once()  # and what earlier tests left ending has ended
        before, tasks = held(), asyncio.all_tasks()
        await once()
        after = held()
        assert all(now <= then for now, then in zip(after[:2], before[:2], strict=True)), (before, after)
        assert after[2] == before[2]
        assert asyncio.all_tasks() == tasks

    in_loop(conversation())
    assert list(tmp_path.iterdir()) == []


def test_it_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    script = """
        import asyncio
        from helpers.background.kernel import ChildKernel

        async def main():
            async with ChildKernel() as kernel:
                print((await kernel.run("import os; os.getpid()")).result, flush=True)
                await kernel.run("import asyncio; await asyncio.sleep(60)", timeout=60)

        asyncio.run(main())
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "TEMP": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        parent.send_signal(signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
        parent.wait(10)
        assert_gone(pid)


def test_it_works_in_a_notebook_cell_without_a_warning() -> None:
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(code)
            for code in (
                "from helpers.background.kernel import ChildKernel",
                "async with ChildKernel() as kernel:\n    print(await kernel.run('6 * 7'))",
                "async with ChildKernel() as kernel:\n"
                "    await kernel.run('import asyncio, nest_asyncio; nest_asyncio.apply()')\n"
                "    outcomes = await kernel.run_all(['asyncio.run(asyncio.sleep(0.5))', '2'], timeout=30)\n"
                "outcomes",
                "import asyncio, os; hasattr(asyncio, '_nest_patched')",
            )
        ]
    )
    client = nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3")
    client.execute(env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    shown = [
        output.get("text") or output["data"]["text/plain"]
        for cell in notebook.cells
        for output in cell.outputs
    ]
    assert shown == [
        "42\n",
        "cell 1  done\ncell 2  lost: the kernel answered a later request, never this one",
        "False",
    ]
