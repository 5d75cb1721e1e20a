"""From a fresh copy to an environment: `run.py setup` against `python -m venv` and `pip install`."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
GOAL = 0.35
PROGRAMS = "Scripts" if os.name == "nt" else "bin"
# The person who sets up has no environment yet, so no uv of it either.
PATH = os.pathsep.join(
    place for place in os.environ["PATH"].split(os.pathsep) if Path(place) != ROOT / ".venv" / PROGRAMS
)


def call(folder: Path, *command: str) -> None:
    environment = {**os.environ, "PATH": PATH}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{result.stderr}")


def with_run_py(folder: Path) -> None:
    call(folder, sys.executable, "run.py", "setup")


def by_hand(folder: Path) -> None:
    call(folder, sys.executable, "-m", "venv", ".venv")
    call(
        folder, str(folder / ".venv" / PROGRAMS / "python"), "-m", "pip", "install", "-r", "requirements.txt"
    )


def seconds(make: Callable[[Path], None]) -> float:
    """How long a set-up takes in a copy of the repository that has no environment."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "workbook")
        unneeded = shutil.ignore_patterns(
            ".git", ".venv*", "__pycache__", "*.egg-info", ".*_cache", ".hypothesis"
        )
        shutil.copytree(ROOT, folder, ignore=unneeded)
        began = time.perf_counter()
        make(folder)
        return time.perf_counter() - began


def run(rounds: int) -> Iterator[str]:
    """Measure both in turn, after one round that fills the caches of uv and pip."""
    taken: dict[Callable[[Path], None], list[float]] = {with_run_py: [], by_hand: []}
    for number in range(rounds + 1):
        for make, times in taken.items():
            took = seconds(make)
            if number:
                times.append(took)
    ours, theirs = (statistics.median(times) for times in taken.values())
    uv = shutil.which("uv", path=PATH) or "none, so run.py gets one first"
    yield f"run.py setup {ours:.1f} s, venv and pip {theirs:.1f} s (uv on the PATH: {uv})"
    yield f"run.py setup / venv and pip: {ours / theirs:.2f} (≤ {GOAL})"
