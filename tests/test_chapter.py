"""`run.py chapter`: what it writes keeps all the rules, and its exercises their tests."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from notebook_rules import RULES, Notebook, source

ROOT = Path(__file__).resolve().parents[1]
NEIGHBOURS = ("05_broadcast_to_a_room.ipynb", "13_ship_with_fastapi_and_streamlit.ipynb")
FILES = (
    "GLOSSARY.md",
    "CHEATSHEET.md",
    "run.py",
    "pyproject.toml",
    "conftest.py",
    "nbval_sanitize.cfg",
    "tests/shared.py",
    "tests/exercises/battery.py",
    "tests/exercises/changes.py",
)


@pytest.fixture(scope="module")
def workbook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the workbook with two chapters, 05 and 13."""
    root = tmp_path_factory.mktemp("workbook")
    shutil.copytree(ROOT / "src", root / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    shutil.copytree(ROOT / "tools", root / "tools")
    for folder in ("notebooks", "tests/exercises"):
        (root / folder).mkdir(parents=True)
    for name in FILES:
        shutil.copy(ROOT / name, root / name)
    for name in NEIGHBOURS:
        shutil.copy(ROOT / "notebooks" / name, root / "notebooks")
    shutil.copy(ROOT / "notebooks" / "00_start_here.ipynb", root / "notebooks")
    return root


def run(workbook: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(workbook / "src")}
    return subprocess.run(
        [sys.executable, *command], cwd=workbook, env=environment, capture_output=True, text=True, timeout=100
    )


def read(path: Path, checks: list[str]) -> Notebook:
    book = sorted(other.name for other in path.parent.glob("*.ipynb"))
    return Notebook(path, json.loads(path.read_text("utf-8")), book, checks)


def texts(notebook: Notebook) -> list[str]:
    """All cells but the first, without the link to the next chapter."""
    return [re.sub(r"\n+Next: \[.*", "", source(cell)) for cell in notebook.cells[1:]]


def test_a_new_chapter_keeps_the_rules_and_its_tests(workbook: Path) -> None:
    begun = run(workbook, "tools/chapter.py", "06", "push_live_updates")
    assert begun.returncode == 0, begun.stderr
    new = read(workbook / "notebooks" / "06_push_live_updates.ipynb", ["reply", "ask_all", "payload_size"])
    assert [problem for rule in RULES for problem in rule(new)] == []
    for name in NEIGHBOURS:
        neighbour = read(workbook / "notebooks" / name, [])
        assert "(06_push_live_updates.ipynb)" in "".join(neighbour.cells[0]["source"])
        assert texts(neighbour) == texts(read(ROOT / "notebooks" / name, []))

    tested = run(workbook, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/exercises")
    assert tested.returncode == 0, tested.stdout
    assert "passed" in tested.stdout

    again = run(workbook, "tools/chapter.py", "06", "stream_something")
    assert again.returncode == 1
    assert "there is a chapter 06 already: 06_push_live_updates.ipynb" in again.stderr


@pytest.mark.parametrize("arguments", [("6", "push_live_updates"), ("06", "Push"), ("06", "push")])
def test_a_chapter_has_a_number_and_a_verb_with_its_object(
    workbook: Path, arguments: tuple[str, str]
) -> None:
    refused = run(workbook, "tools/chapter.py", *arguments)
    assert refused.returncode == 1
    assert "write it like `chapter 06 push_live_updates`" in refused.stderr
