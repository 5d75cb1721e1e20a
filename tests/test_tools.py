"""The tools that `run.py` calls: the public address, recorded notebooks, exact versions, Binder."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import address
import find
import lock
import nbformat
import pytest
import read_slowly
import record
from nbclient.exceptions import CellExecutionError
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
START = "lab/tree/my_notebooks/00_start_here.ipynb"


def readme_block(root: Path) -> str:
    text = (root / "README.md").read_text("utf-8")
    return text.split("<!-- address -->\n")[1].split("<!-- /address -->")[0]


def test_the_readme_says_what_the_one_place_says() -> None:
    assert readme_block(ROOT) == address.block(address.read_address()), "run `python3 run.py address URL`"


def test_an_address_goes_to_both_files_and_can_be_taken_back(tmp_path: Path) -> None:
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    address.write_address("", tmp_path)
    unset = readme_block(tmp_path)
    assert "https://mybinder.org/)" in unset
    assert "v2/gh" not in unset

    address.write_address("https://github.com/ann/web.sockets.git", tmp_path)
    assert address.read_address(tmp_path) == "https://github.com/ann/web.sockets.git"
    assert f"(https://mybinder.org/v2/gh/ann/web.sockets/HEAD?urlpath={START})" in readme_block(tmp_path)
    assert "(https://codespaces.new/ann/web.sockets)" in readme_block(tmp_path)

    address.write_address("", tmp_path)
    assert readme_block(tmp_path) == unset


@pytest.mark.parametrize("wrong", ["github.com/a/b", "https://example.org/a/b", "https://github.com/a"])
def test_another_kind_of_address_changes_nothing(tmp_path: Path, wrong: str) -> None:
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    with pytest.raises(ValueError, match="no address of the form"):
        address.write_address(wrong, tmp_path)
    assert (tmp_path / "pyproject.toml").read_text() == (ROOT / "pyproject.toml").read_text()


def notebook(path: Path, *sources: str) -> Path:
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"widgets": {}}), path)
    return path


SANITIZE = record.replacements(ROOT / "nbval_sanitize.cfg")


def test_a_recorded_notebook_is_small_and_stays_the_same(tmp_path: Path) -> None:
    path = notebook(
        tmp_path / "00_try.ipynb",
        "import sys\nprint('a', flush=True); print('b', flush=True); print('c', file=sys.stderr)",
        "object()",
        "import ipywidgets; ipywidgets.IntSlider(3)",
    )
    ids = [cell.id for cell in nbformat.read(path, 4).cells]
    assert record.record(path, SANITIZE)
    first = path.read_bytes()
    recorded = nbformat.read(path, 4)
    assert set(recorded.metadata) == {"kernelspec", "language_info"}
    assert recorded.metadata.language_info == {"name": "python"}
    assert [cell.id for cell in recorded.cells] == ids
    assert [cell.execution_count for cell in recorded.cells] == [1, 2, 3]
    assert all("execution" not in cell.metadata for cell in recorded.cells)
    assert [o.text for o in recorded.cells[0].outputs if o.name == "stdout"] == ["a\nb\n"]
    assert list(recorded.cells[2].outputs[0].data) == ["text/plain"]

    assert not record.record(path, SANITIZE), "another object address is no change"
    assert path.read_bytes() == first


def test_a_changed_output_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "value").write_text("1")
    path = notebook(tmp_path / "00_try.ipynb", "print(open('value').read())")
    record.record(path, SANITIZE)
    (tmp_path / "value").write_text("2")
    assert record.record(path, SANITIZE)
    assert nbformat.read(path, 4).cells[0].outputs[0].text == "2\n"


def test_a_cell_that_raises_is_shown_and_the_file_left(tmp_path: Path) -> None:
    path = notebook(tmp_path / "00_try.ipynb", "print('kept')", "1 / 0  # the reader's line")
    before = path.read_bytes()
    with pytest.raises(CellExecutionError, match=r"(?s)the reader's line.*ZeroDivisionError"):
        record.record(path, SANITIZE)
    assert path.read_bytes() == before


def test_a_notebook_is_read_slowly_to_its_end_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a pause changes, what raises, and what is printed between two cells is found, and nothing else."""
    (tmp_path / "notebooks").mkdir()
    shutil.copy(ROOT / "nbval_sanitize.cfg", tmp_path)
    path = notebook(
        tmp_path / "notebooks" / "00_try.ipynb",
        "import threading, time\nstart = time.monotonic()",
        "print('a pause of 0.4 s:', time.monotonic() - start > 0.3)",
        "print('the same')\ndisplay({'image/png': str(time.time())}, raw=True)",
        "threading.Timer(0.1, print, ['from the background']).start()",
        "print('the end')\nif time.monotonic() - start > 1: 1 / 0",
    )
    assert record.record(path, SANITIZE)
    monkeypatch.setattr(read_slowly, "ROOT", tmp_path)
    assert read_slowly.main(["--pause", "0.4"]) == 1
    said = capsys.readouterr().out
    assert re.findall(r"00_try.ipynb, cell (\d):", said) == ["1", "4"]
    assert "a pause of 0.4 s: True" in said
    assert re.search(r"cell 4:\nfrom the background\n(?s:.*)ZeroDivisionError", said)
    assert "2 cells went wrong" in said


def test_streams_merge_only_with_their_neighbour() -> None:
    def piece(name: str, text: str) -> dict[str, str]:
        return {"output_type": "stream", "name": name, "text": text}

    shown = {"output_type": "display_data", "data": {"text/plain": "x"}, "metadata": {}}
    pieces = [piece("stdout", "a"), piece("stdout", "b"), piece("stderr", "c"), shown, piece("stdout", "d")]
    assert record.merge_streams(pieces) == [
        piece("stdout", "ab"),
        piece("stderr", "c"),
        shown,
        piece("stdout", "d"),
    ]


def test_notebooks_are_found_by_number_name_and_path(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no notebooks in"):
        find.find_chapters([], tmp_path)
    first, second = (notebook(tmp_path / name) for name in ("00_start_here.ipynb", "03_run_a_server.ipynb"))
    assert find.find_chapters([], tmp_path) == [first, second]
    assert find.find_chapters(["03", "notebooks/00_start_here.ipynb"], tmp_path) == [second, first]
    with pytest.raises(ValueError, match="no notebook is called '3'"):
        find.find_chapters(["3"], tmp_path)


def names(text: str) -> set[str]:
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    found = (re.match(r"[A-Za-z][\w.-]*", line) for line in lines)
    return {re.sub(r"[-_.]+", "-", match[0]).lower() for match in found if match}


def pins() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_constraints_are_exact_and_hold_all_that_is_required() -> None:
    assert [pin for pin in pins() if not re.fullmatch(r"[a-z0-9-]+==[\w.]+( ; .+)?", pin)] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    required = names("\n".join(project["dependencies"] + project["optional-dependencies"]["test"]))
    required |= names((ROOT / "binder" / "requirements.txt").read_text("utf-8"))
    assert len(required) > 15
    assert required - names("\n".join(pins())) == set(), "run `python3 run.py lock`"


def test_constraints_are_for_every_python_and_system() -> None:
    found = [Requirement(pin) for pin in pins()]
    for python in ("3.11.0", "3.11.7", "3.12.1", "3.13.0", "3.14.2"):
        for system, os_name in (("linux", "posix"), ("darwin", "posix"), ("win32", "nt")):
            here = {"python_full_version": python, "python_version": python.rpartition(".")[0]}
            here |= {"sys_platform": system, "os_name": os_name, "implementation_name": "cpython"}
            valid = [pin for pin in found if not pin.marker or pin.marker.evaluate(here)]
            assert len({pin.name for pin in valid}) == len(valid), "one version of each package"
            assert ("pywinpty" in {pin.name for pin in valid}) == (system == "win32")
            assert ("appnope" in {pin.name for pin in valid}) == (system == "darwin")


def test_the_lock_keeps_what_is_there_and_says_what_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("# the old head\nkept==1\ngone==1\n")
    monkeypatch.setattr(lock, "LOCK", constraints)
    monkeypatch.setattr(lock, "find_uv", lambda folder: "uv")
    calls: list[list[str]] = []

    def compile_it(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        result = Path(command[command.index("-o") + 1])
        assert "kept==1" in result.read_text(), "uv keeps the versions that it finds there"
        result.write_text("kept==1\nnew==2 ; os_name == 'nt'\n")
        return subprocess.CompletedProcess(command, code)

    monkeypatch.setattr("lock.subprocess.run", compile_it)
    code = 1
    assert lock.main([]) == 1
    assert constraints.read_text().startswith("# the old head")
    code = 0
    assert lock.main(["--upgrade"]) == 0
    assert "--universal" in calls[-1]
    assert calls[-1][-1] == "--upgrade"
    assert constraints.read_text() == lock.HEADER + "kept==1\nnew==2 ; os_name == 'nt'\n"
    assert capsys.readouterr().out.splitlines()[:2] == ["- gone==1", "+ new==2 ; os_name == 'nt'"]


def test_binder_installs_ours_with_the_exact_versions() -> None:
    lines = (ROOT / "binder" / "requirements.txt").read_text("utf-8").splitlines()
    assert "-c ../constraints.txt" in lines
    assert "-r ../requirements.txt" in lines
    assert names((ROOT / "requirements.txt").read_text("utf-8")) == set()
    assert (ROOT / "requirements.txt").read_text("utf-8").splitlines()[-1] == "-e ."
    assert re.fullmatch(r"python-3\.1[1-9]\n", (ROOT / "binder" / "runtime.txt").read_text("utf-8"))
