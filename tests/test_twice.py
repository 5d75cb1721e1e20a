"""Every notebook runs twice in one kernel: a reader who runs a cell again must not meet an error.

In between, the cells that start a server are run again alone: what is further down still leads to it.
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

DRIVE = Path(__file__).with_name("drive_panels.py")
NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))

pytestmark = pytest.mark.nightly


def run_twice(path: Path) -> None:
    """Run all cells in order, then each that starts a server alone, and all of them once more.

    Raises:
        AssertionError: A cell raised; the message names the run and the cell, and holds the traceback. Or a
            panel, a tap or an address no longer led anywhere after a server's cell was run again.
    """
    notebook = nbformat.read(path, as_version=4)
    cells = list(notebook.cells)  # what is asked below takes the place of one in the notebook
    client = NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    )

    def run(name: str, index: int) -> None:
        try:
            client.execute_cell(cells[index], index)
        except CellExecutionError as error:
            text = re.sub(r"\x1b\[[0-9;]*m", "", error.traceback)
            pytest.fail(f"{path.name}, {name} run, cell {index}:\n{text}", pytrace=False)

    def ask(code: str) -> str:
        cell = client.execute_cell(nbformat.v4.new_code_cell(code), 0, store_history=False)
        return "".join(output.get("text", "") for output in cell.outputs)

    drive = f"__import__('runpy').run_path({str(DRIVE)!r})"
    reachable = f"print(await {drive}['reachable']())"
    with client.setup_kernel():
        for index in range(len(cells)):
            run("first", index)
        before = ask(reachable)
        starting = [index for index, cell in enumerate(cells) if ".start()" in cell.source]
        for index in starting:
            run("another", index)
            assert ask(reachable) == before, f"{path.name}, cell {index} was run again"
        ask(f"{drive}['stop_all']()")
        for index in starting:
            run("after a stop, another", index)
        assert ask(reachable) == before, f"{path.name}, servers were stopped and their cells run again"
        for index in range(len(cells)):
            run("second", index)


def test_there_are_notebooks() -> None:
    assert PATHS, f"no notebook in {NOTEBOOKS}"


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_notebook_runs_twice(path: Path) -> None:
    run_twice(path)


def write(path: Path, *sources: str) -> Path:
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in sources]), path)
    return path


def test_a_second_run_that_fails_is_reported(tmp_path: Path) -> None:
    path = write(tmp_path / "once.ipynb", "1 + 1", "assert 'taken' not in globals()\ntaken = True")
    with pytest.raises(pytest.fail.Exception, match=r"(?s)once.ipynb, second run, cell 1:.*AssertionError"):
        run_twice(path)


def test_a_server_that_moves_is_reported(tmp_path: Path) -> None:
    serve = (
        "from helpers import BackgroundServer\n"
        "async def hear(connection):\n    await connection.wait_closed()\n"
        "number = globals().get('number', 0) + 1\n"
        "server = BackgroundServer(hear, name=f'server {number}').start()"
    )
    leave = "servers = globals().get('servers', [])\nfor old in servers: old.stop()\nservers = [server]"
    with pytest.raises(AssertionError, match=r"moves.ipynb, cell 0 was run again"):
        run_twice(write(tmp_path / "moves.ipynb", f"{serve}\n{leave}", "url = server.url"))


def test_a_first_run_that_fails_is_reported(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"(?s)first run, cell 0:.*ZeroDivisionError"):
        run_twice(write(tmp_path / "broken.ipynb", "1 / 0"))
