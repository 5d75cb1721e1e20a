"""The reader's copy of the chapters: made without outputs, kept up to date, never overwritten."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import address
import nbformat
import pytest
import working_copy
from ipykernel.ipkernel import IPythonKernel
from working_copy import WorkingCopy

ROOT = Path(__file__).resolve().parents[1]
NAME = "02_watch_the_handshake.ipynb"
NEW, NEW2, MINE, MINE2 = (
    NAME.replace(".ipynb", f".{word}.ipynb") for word in ("new", "new2", "mine", "mine2")
)


@pytest.fixture
def copy(tmp_path: Path) -> WorkingCopy:
    """A copy of the book's chapters, not made yet."""
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    return WorkingCopy(tmp_path / "notebooks", tmp_path / "my_notebooks")


def edit(path: Path, text: str) -> None:
    """Write a line at the end of a notebook's last cell."""
    notebook = nbformat.read(path, 4)
    notebook.cells[-1].source += f"\n# {text}"
    nbformat.write(notebook, path)


def last_line(path: Path) -> str:
    return str(nbformat.read(path, 4).cells[-1].source.splitlines()[-1])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.ipynb"))


def everything(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_copy_is_the_book_without_what_was_recorded(copy: WorkingCopy, tmp_path: Path) -> None:
    assert copy.update() == ["my_notebooks/ is your own copy of the chapters, without outputs"]
    assert names(tmp_path / "my_notebooks") == names(ROOT / "notebooks")
    for name in names(ROOT / "notebooks"):
        there, here = (
            nbformat.read(folder / name, 4) for folder in (tmp_path / "my_notebooks", ROOT / "notebooks")
        )
        nbformat.validate(there)
        assert [(cell.id, cell.source, cell.metadata) for cell in there.cells] == [
            (cell.id, cell.source, cell.metadata) for cell in here.cells
        ]
        code = [cell for cell in there.cells if cell.cell_type == "code"]
        assert all((cell.outputs, cell.execution_count) == ([], None) for cell in code)


def test_a_chapter_holds_what_jupyterlab_would_add_and_as_it_would_save_it(
    copy: WorkingCopy, tmp_path: Path
) -> None:
    copy.update()
    text = (tmp_path / "my_notebooks" / NAME).read_text("utf-8")
    notebook = nbformat.reads(text, 4)
    assert notebook.metadata.language_info == IPythonKernel.language_info
    assert nbformat.writes(notebook) + "\n" == text


def test_making_it_again_writes_and_says_nothing(copy: WorkingCopy, tmp_path: Path) -> None:
    copy.update()
    edit(tmp_path / "my_notebooks" / NAME, "mine")
    before = everything(tmp_path / "my_notebooks")
    assert WorkingCopy(tmp_path / "notebooks", tmp_path / "my_notebooks").update() == []
    assert everything(tmp_path / "my_notebooks") == before


def run(notebook: Any) -> None:
    next(cell for cell in notebook.cells if cell.cell_type == "code").execution_count = 1


def write(notebook: Any) -> None:
    notebook.cells[-1].source += "\n# mine"


def add_a_cell(notebook: Any) -> None:
    notebook.cells.append(nbformat.v4.new_markdown_cell("a note"))


def test_a_chapter_that_was_only_looked_at_follows_the_book(copy: WorkingCopy, tmp_path: Path) -> None:
    copy.update()
    own = tmp_path / "my_notebooks" / NAME
    notebook = nbformat.read(own, 4)
    notebook.cells[2].metadata["collapsed"] = True
    notebook.metadata.language_info.version = "3.10.0"
    nbformat.write(notebook, own)
    edit(tmp_path / "notebooks" / NAME, "better")
    assert copy.update() == []
    assert last_line(own) == "# better"
    assert nbformat.read(own, 4).metadata.language_info == IPythonKernel.language_info
    assert names(tmp_path / "my_notebooks") == names(ROOT / "notebooks")


@pytest.mark.parametrize("act", [run, write, add_a_cell])
def test_what_a_reader_has_done_stays_and_the_new_chapter_lies_beside_it(
    copy: WorkingCopy, tmp_path: Path, act: Any
) -> None:
    copy.update()
    folder = tmp_path / "my_notebooks"
    notebook = nbformat.read(folder / NAME, 4)
    act(notebook)
    nbformat.write(notebook, folder / NAME)
    mine = (folder / NAME).read_bytes()
    edit(tmp_path / "notebooks" / NAME, "better")
    assert copy.update() == [f"{NAME} has changed in the workbook: yours stays, {NEW} is the new one"]
    assert last_line(folder / NEW) == "# better"
    (folder / NEW).unlink()
    assert copy.update() == [], "said once"
    assert not (folder / NEW).exists()
    assert (folder / NAME).read_bytes() == mine


def test_a_new_chapter_in_which_the_reader_has_worked_stays_as_well(
    copy: WorkingCopy, tmp_path: Path
) -> None:
    copy.update()
    folder = tmp_path / "my_notebooks"
    edit(folder / NAME, "mine")
    for text in ("better", "best"):
        edit(tmp_path / "notebooks" / NAME, text)
        copy.update()
    assert last_line(folder / NEW) == "# best", "nobody had touched it"
    assert NEW2 not in names(folder)
    edit(folder / NEW, "mine, too")
    edit(tmp_path / "notebooks" / NAME, "perfect")
    assert NEW2 in copy.update()[0]
    assert [last_line(folder / name) for name in (NAME, NEW, NEW2)] == ["# mine", "# mine, too", "# perfect"]


def test_recorded_outputs_are_no_change(copy: WorkingCopy, tmp_path: Path) -> None:
    copy.update()
    edit(tmp_path / "my_notebooks" / NAME, "mine")
    recorded = nbformat.read(tmp_path / "notebooks" / NAME, 4)
    for cell in recorded.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    nbformat.write(recorded, tmp_path / "notebooks" / NAME)
    assert copy.update() == []
    assert NEW not in names(tmp_path / "my_notebooks")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cells": [1]}', "no notebook"])
def test_a_file_that_is_no_notebook_any_more_is_the_readers(
    copy: WorkingCopy, tmp_path: Path, text: str
) -> None:
    copy.update()
    own = tmp_path / "my_notebooks" / NAME
    own.write_text(text)
    assert copy.update() == []
    assert own.read_text() == text
    copy.reset(["02"])
    assert (tmp_path / "my_notebooks" / MINE).read_text() == text


def test_a_copy_that_was_carried_over_without_its_record_is_known(copy: WorkingCopy, tmp_path: Path) -> None:
    copy.update()
    (tmp_path / "my_notebooks" / ".written").unlink()
    again = WorkingCopy(tmp_path / "notebooks", tmp_path / "my_notebooks")
    assert again.update() == []
    assert names(tmp_path / "my_notebooks") == names(ROOT / "notebooks")


@pytest.mark.parametrize("name", ["02", NAME, "my_notebooks/" + NAME, "02_watch"])
def test_reset_keeps_what_the_reader_wrote(copy: WorkingCopy, tmp_path: Path, name: str) -> None:
    copy.update()
    folder = tmp_path / "my_notebooks"
    edit(folder / NAME, "mine")
    edit(folder / "00_start_here.ipynb", "not asked for")
    (said,) = copy.reset([name])
    assert said.startswith(f"{NAME} is as it was; yours is now {MINE}. ")
    assert last_line(folder / NAME) == last_line(ROOT / "notebooks" / NAME)
    assert last_line(folder / MINE) == "# mine"
    assert last_line(folder / "00_start_here.ipynb") == "# not asked for"
    edit(folder / NAME, "mine again")
    assert MINE2 in copy.reset([name])[0]
    assert [last_line(folder / name) for name in (MINE, MINE2)] == ["# mine", "# mine again"]


def test_reset_of_an_untouched_chapter_keeps_nothing(copy: WorkingCopy, tmp_path: Path) -> None:
    assert copy.reset(["02"])[0].startswith(f"{NAME} is as it was. "), "and makes the copy"
    assert names(tmp_path / "my_notebooks") == [NAME]


def test_reset_takes_the_new_chapter_and_removes_the_one_beside_it(copy: WorkingCopy, tmp_path: Path) -> None:
    copy.update()
    folder = tmp_path / "my_notebooks"
    edit(folder / NAME, "mine")
    edit(tmp_path / "notebooks" / NAME, "better")
    copy.update()
    copy.reset(["02"])
    assert last_line(folder / NAME) == "# better"
    assert last_line(folder / MINE) == "# mine"
    assert NEW not in names(folder)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["reset"], 2, "usage: run.py reset 02"),
        (["rest", "02"], 2, "usage: run.py reset 02"),
        (["reset", "77"], 1, "reset: no notebook is called '77'"),
    ],
)
def test_a_wrong_call_changes_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    monkeypatch.setattr(working_copy, "COPY", tmp_path / "my_notebooks")
    assert working_copy.main(arguments) == code
    assert capsys.readouterr().err.startswith(said)
    assert not (tmp_path / "my_notebooks").exists()


def test_nothing_can_be_written_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a file").touch()
    monkeypatch.setattr(working_copy, "COPY", tmp_path / "a file" / "my_notebooks")
    assert working_copy.main([]) == 1
    error = capsys.readouterr().err
    assert error.startswith("my_notebooks: can't write ")
    assert len(error.splitlines()) == 1


@pytest.mark.skipif(os.name == "nt", reason="Binder builds on Linux")
def test_binders_build_makes_the_copy_that_its_badge_opens(tmp_path: Path) -> None:
    for folder in ("notebooks", "tools", "binder"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    subprocess.run([tmp_path / "binder" / "postBuild"], cwd=tmp_path, env={"PATH": path}, check=True)
    assert (tmp_path / address.START).exists()
