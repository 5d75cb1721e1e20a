"""For notebooks that run as tests: none found is an error, and a cell that nobody could run has failed.
A cell that is selected brings along what comes before it in its notebook.

Also which tests are left to the night, and how pytest-xdist spreads the others over its workers: what shares
something stays together, and what takes longest comes first. And a minute passes before each cell.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

NIGHTLY = bool(os.environ.get("WORKBOOK_NIGHTLY"))
"""Whether tests that are marked `nightly` run, too; `run.py test --nightly` sets the variable."""

KERNEL_STARTS = 3
"""How many times a notebook's kernel is started that dies before it answers."""

MINUTE = Path(__file__).parent / "tests" / "minute_passes.py"
"""What lets a minute pass for the connections of the process that runs it."""

LET_MINUTES_PASS = (
    f"get_ipython().minute_passes = __import__('runpy').run_path({str(MINUTE)!r})['minute_passes']"
)
"""What a kernel runs first. None of it becomes a name that a notebook could have forgotten to import."""

EACH_ALONE = ("tests/browser/test_chapters.py", "tests/test_twice.py")
"""Files in which any worker may take the next test: a test for each notebook, and there are many."""

BROWSER = "tests/browser/"
BROWSERS = 2
"""How many workers begin with browser tests: each of them starts a browser and a JupyterLab."""

LONGEST_FIRST = (
    "tests/browser/test_chapters.py",
    BROWSER,
    "tests/test_twice.py",
    "notebooks/",
    "tests/test_fan_out.py",
    "tests/test_experiments.py",
    "tests/test_run.py",
    "tests/test_chapter.py",  # short files, and each of their tests starts programs
    "tests/test_examples.py",
    "tests/test_child_kernel.py",
    "tests/test_background_kernel.py",
    "tests/apps/test_chat_main.py",
    "tests/apps/test_chat_uvicorn.py",
    "tests/apps/test_chat_nginx.py",
)
"""The order for workers; the short rest evens out the end."""


def _is_cell(item: pytest.Item) -> bool:
    return type(item).__name__ == "IPyNbCell"  # nbval's; its module has no public names


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave some tests to the night; refuse a run of the whole suite with `--nbval` without notebooks."""
    if not NIGHTLY:
        leave_to_the_night(config, items)
    spread = getattr(config, "workerinput", None)
    whole = spread["whole"] if spread else _is_whole(config)
    if whole and config.getoption("nbval", default=False) and not any(map(_is_cell, items)):
        folders = ", ".join(config.getini("testpaths"))
        problem = f"--nbval, and no notebook in {folders}"
        if spread:
            config.workeroutput["problem"] = problem  # type: ignore[attr-defined]
            items.clear()
        raise pytest.UsageError(problem)
    if spread:
        items.sort(key=_turn)


@pytest.hookimpl(trylast=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let a minute pass in a notebook's kernel before each cell, as it does while a person reads."""
    kernel = item.parent.kernel if _is_cell(item) else None  # type: ignore[union-attr]
    if not kernel or item.parent.timed_out or not kernel.is_alive():  # type: ignore[union-attr]
        return
    reply = kernel.kc.execute_interactive(
        "await get_ipython().minute_passes()",
        silent=True,
        allow_stdin=False,
        timeout=30,
        output_hook=lambda message: None,
    )["content"]
    assert reply["status"] == "ok", "\n".join(["no minute has passed", *reply["traceback"]])


def leave_to_the_night(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what is marked `nightly`."""
    left = [item for item in items if item.get_closest_marker("nightly")]
    if left:
        items[:] = [item for item in items if item not in left]
        config.hook.pytest_deselected(items=left)
        if hasattr(config, "workeroutput"):  # pytest-xdist doesn't tell it by itself
            config.workeroutput["left"] = len(left)


class WholeNotebooks:
    """Runs what comes before each selected cell, in the notebook's order: a cell alone lacks its names.

    pytest's `--lf`, `--ff` and `--sw` select and order cells in hooks of plugins that are registered after
    this file, so this one is registered later still, and its hook is the last.
    """

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None]:
        yield
        cells: dict[Path, list[Any]] = {}
        for item in filter(_is_cell, items):
            cells.setdefault(item.path, []).append(item)
        ordered: list[pytest.Item] = []
        for item in items:
            if not _is_cell(item):
                ordered.append(item)
            elif selected := cells.pop(item.path, None):
                ordered += with_those_before(selected)
        items[:] = ordered


def with_those_before(selected: list[Any]) -> list[Any]:
    """The selected cells of one notebook and those before them, in the order of the file."""
    notebook = selected[0].parent
    cells = {cell.cell_num: cell for cell in selected if cell.parent is notebook}
    last = max(cell.cell_num for cell in selected)
    if len(cells) <= last:
        cells = {cell.cell_num: cell for cell in notebook.collect()} | cells
    return [cells[number] for number in range(last + 1)]


def pytest_sessionstart(session: pytest.Session) -> None:
    """Have notebooks stay whole."""
    session.config.pluginmanager.register(WholeNotebooks())


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leave out hypothesis's summary if no test has used it: it takes half a second to import all of it."""
    plugins = session.config.pluginmanager
    if "hypothesis" not in sys.modules and plugins.has_plugin("hypothesispytest"):
        plugins.unregister(name="hypothesispytest")


def _is_whole(config: pytest.Config) -> bool:
    return config.args_source == pytest.Config.ArgsSource.TESTPATHS


def pytest_configure(config: pytest.Config) -> None:
    """Have nbval start its kernels as below."""
    if config.getoption("nbval", default=False):
        from nbval import kernel

        kernel.start_new_kernel = start_new_kernel


def start_new_kernel(kernel_name: str, startup_timeout: float = 60, **options: Any) -> tuple[Any, Any]:
    """As nbval does it, but minutes can pass in the kernel, and one that dies at its start is started again.

    It dies when another program has taken one of its ports since they were chosen, and a thousand clients of
    a test may. nbval then asks it to end, and waits forever.
    """
    from nbval import kernel

    for attempt in range(1, KERNEL_STARTS + 1):
        manager = kernel.KernelManager(
            kernel_name=kernel_name, kernel_spec_manager=kernel.NbvalKernelspecManager()
        )
        manager.start_kernel(**options)
        client = manager.client()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=startup_timeout)
            client.execute(LET_MINUTES_PASS, silent=True)
            break
        except RuntimeError:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
            if attempt == KERNEL_STARTS:
                raise
    return manager, client


def _turn(item: pytest.Item) -> tuple[int, int]:
    """Where an item belongs among those of its worker: its folder's place, then the size of what it runs."""
    begins = [begin for begin in LONGEST_FIRST if item.nodeid.startswith(begin)]
    place = LONGEST_FIRST.index(max(begins, key=len)) if begins else len(LONGEST_FIRST)
    named = re.search(r"\w+\.ipynb", item.nodeid) if item.nodeid.startswith(EACH_ALONE) else None
    runs = item.config.rootpath / "notebooks" / named[0] if named else item.path
    return place, -runs.stat().st_size


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist whether all tests were asked for; it can't see that itself."""
    node.workerinput["whole"] = _is_whole(node.config)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Say here what a worker refused, and once what it left to the night."""
    told = getattr(node, "workeroutput", {})
    if problem := told.get("problem"):
        raise pytest.UsageError(problem)
    if (left := told.get("left")) and node.gateway.id == "gw0":
        node.config.hook.pytest_deselected(items=[SimpleNamespace()] * left)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """What `-n auto` means: none for a selection of tests, which is often done before workers are up.

    Otherwise three more than there are processors, because many tests wait for something most of their time:
    those of the browser keep a processor busy for two thirds of it, the others for a third.
    """
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None  # pytest-xdist's own rule
    option = config.option
    if not _is_whole(config) or option.keyword or option.markexpr or getattr(option, "lf", False):
        return 0
    return (os.cpu_count() or 1) + 3


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep a file's tests on one worker: a notebook has one kernel, and modules have shared fixtures.

    Browser tests stay on a few workers, as long as others have something else to do.
    """
    if config.getoption("dist") != "load":  # another way was asked for
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return nodeid if nodeid.startswith(EACH_ALONE) else nodeid.partition("::")[0]

        def _assign_work_unit(self, node: Any) -> None:
            browsing = self.nodes.index(node) < BROWSERS
            fitting = (scope for scope in self.workqueue if scope.startswith(BROWSER) == browsing)
            self.workqueue.move_to_end(next(fitting, next(iter(self.workqueue))), last=False)
            super()._assign_work_unit(node)

    config.option.loadscopereorder = False  # that is by number
    return ByFile(config, log)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """After one cell timed out nbval expects the later ones to fail, and reports them as `xfailed`.

    They were not tested, so they have failed.
    """
    report = yield
    if _is_cell(item) and hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"not tested: {report.wasxfail}"
        del report.wasxfail
    return report
