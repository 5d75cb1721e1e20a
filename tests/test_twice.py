"""Every notebook runs twice in one kernel: a reader who runs a cell again must not meet an error."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))

pytestmark = pytest.mark.nightly


def run_twice(path: Path) -> None:
    """Run all cells in order, and again in the same kernel.

    Raises:
        AssertionError: A cell raised; the message names the run and the cell, and holds the traceback.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    )
    with client.setup_kernel():
        for run in ("first", "second"):
            for index, cell in enumerate(notebook.cells):
                try:
                    client.execute_cell(cell, index)
                except CellExecutionError as error:
                    text = re.sub(r"\x1b\[[0-9;]*m", "", error.traceback)
                    pytest.fail(f"{path.name}, {run} run, cell {index}:\n{text}", pytrace=False)


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


def test_a_first_run_that_fails_is_reported(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"(?s)first run, cell 0:.*ZeroDivisionError"):
        run_twice(write(tmp_path / "broken.ipynb", "1 / 0"))
