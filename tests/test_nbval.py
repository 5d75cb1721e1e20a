"""What the root's `conftest.py` adds to nbval, tried in a project of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from extras import needs

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.nightly


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the root's `conftest.py`, a folder for notebooks, and one test."""
    shutil.copy(ROOT / "conftest.py", tmp_path)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "minute_passes.py", tmp_path / "tests")
    (tmp_path / "tests" / "test_one.py").write_text("def test_one():\n    pass\n")
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\ntestpaths = notebooks tests\naddopts = --nbval-current-env --nbval-cell-timeout=2\n"
        "markers = nightly\n"
    )
    return tmp_path


@pytest.fixture(params=["one process", "two workers"])
def spread(request: pytest.FixtureRequest) -> list[str]:
    """Arguments with which pytest runs everything itself, or leaves it to two workers."""
    if request.param == "one process":
        return []
    needs("xdist")
    return ["-p", "xdist", "-n", "2"]


def notebook(project: Path, *sources: str, name: str = "00_try.ipynb") -> None:
    cells = [nbformat.v4.new_code_cell(text, execution_count=n) for n, text in enumerate(sources, 1)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), project / "notebooks" / name)


def run(project: Path, *arguments: str, **variables: str) -> tuple[int, str]:
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "WORKBOOK_"))
    }
    environment |= variables
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # the others take a second to load
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "nbval.plugin", *arguments],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    return result.returncode, result.stdout + result.stderr


def test_cells_after_one_that_timed_out_have_failed(project: Path, spread: list[str]) -> None:
    """And each notebook stays in a kernel of its own, from its first cell to its last."""
    notebook(project, "x = 1", "import time\ntime.sleep(30)", "x", "x = 2")
    for name in ("01_counts.ipynb", "02_counts.ipynb"):
        notebook(project, "n = 0", *["n += 1"] * 4, "assert n == 4", name=name)
    code, said = run(project, "--nbval", *spread)
    assert code == 1, said
    assert "3 failed, 14 passed in" in said
    assert ("2 workers" in said) == bool(spread)
    assert "not tested: Previous cell timed out" in said
    assert "xfailed" not in said


def test_no_notebook_is_an_error(project: Path, spread: list[str]) -> None:
    code, said = run(project, "--nbval", *spread)
    assert code == pytest.ExitCode.USAGE_ERROR, said
    assert "--nbval, and no notebook in notebooks, tests" in said


@pytest.mark.parametrize("arguments", [("tests", "--nbval"), ()])
def test_no_notebook_is_fine_where_none_was_asked_for(project: Path, arguments: tuple[str, ...]) -> None:
    code, said = run(project, *arguments)
    assert code == 0, said
    assert "1 passed in" in said


def test_a_selection_may_leave_out_all_notebooks(project: Path, spread: list[str]) -> None:
    notebook(project, "x = 1")
    code, said = run(project, "--nbval", "-k", "test_one", *spread)
    assert code == 0, said
    assert "1 passed" in said
    assert "notebooks" not in said.partition("testpaths: notebooks, tests")[2]


@pytest.mark.parametrize(("arguments", "workers"), [((), True), (("-k", "one"), False), (("tests",), False)])
def test_workers_are_for_all_tests_and_not_for_a_selection(
    project: Path, arguments: tuple[str, ...], workers: bool
) -> None:
    needs("xdist")
    code, said = run(project, "-p", "xdist", "-n", "auto", *arguments)
    assert code == 0, said
    assert (f"{(os.cpu_count() or 1) + 3} workers" in said) == workers


def test_what_only_a_night_needs_is_left_out_and_counted(project: Path, spread: list[str]) -> None:
    marked = "import pytest\n\n@pytest.mark.nightly\ndef test_slow():\n    pass\n"
    (project / "tests" / "test_night.py").write_text(marked)
    code, said = run(project, *spread)
    assert code == 0, said
    assert "1 passed, 1 deselected" in said
    code, said = run(project, *spread, WORKBOOK_NIGHTLY="1")
    assert code == 0, said
    assert "2 passed in" in said


@pytest.mark.parametrize("selection", ["--lf", "--ff", "--sw", "notebooks/00_try.ipynb::Cell 2"])
def test_a_selected_cell_brings_along_what_comes_before_it(
    project: Path, spread: list[str], selection: str
) -> None:
    second = "import pathlib\nassert pathlib.Path('../ok').exists() and room == {'Ann'}"
    notebook(project, "room = {'Ann'}", second, "assert len(room) == 1")
    notebook(project, "x = 1", name="01_other.ipynb")
    code, said = run(project, "--nbval", "--sw" if selection == "--sw" else "--tb=short")
    assert code != 0, said
    (project / "ok").touch()
    code, said = run(project, "--nbval", *spread, selection)
    assert code == 0, said
    passed = {"--lf": 2, "--ff": 5, "--sw": 5}.get(selection, 3)
    assert f"{passed} passed" in said
