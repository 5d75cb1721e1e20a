"""Settle the exact versions that everybody gets, for every Python and system that the workbook supports.

`run.py lock` keeps the versions of constraints.txt and changes only what pyproject.toml asks for;
`run.py lock --upgrade` takes the newest versions, `run.py lock -P websockets` the newest one of a package.
All arguments are those of `uv pip compile`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "constraints.txt"
HEADER = """\
# The exact versions that everybody gets, on Python 3.11 to 3.14, on Linux, macOS and Windows.
# Written by `python3 run.py lock`; `run.py lock --upgrade` takes the newest versions.
"""
# What run.py adds to the environment, and Binder's image.
BESIDES = "pip\nuv\nnotebook\n"


def find_uv(folder: str) -> str:
    """Return the uv that is there, or one that pip puts into the folder."""
    programs = "Scripts" if os.name == "nt" else "bin"
    uv = shutil.which(
        "uv", path=os.pathsep.join([os.environ.get("PATH", ""), str(ROOT / ".venv" / programs)])
    )
    if uv:
        return uv
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = str(Path(folder, programs, "python"))
    subprocess.run([python, "-m", "pip", "install", "-q", "uv"], check=True)
    return str(Path(folder, programs, "uv"))


def main(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        besides = Path(folder, "besides.in")
        besides.write_text(BESIDES, "utf-8")
        new = Path(folder, "constraints.txt")
        if LOCK.exists():
            shutil.copy(LOCK, new)  # uv prefers the versions that are there already
        command = [find_uv(folder), "pip", "compile", "pyproject.toml", str(besides)]
        command += [
            "--extra",
            "test",
            "--universal",
            "--python-version",
            "3.11",
            "--no-header",
            "--no-annotate",
        ]
        code = subprocess.run([*command, "-q", "-o", str(new), *arguments], cwd=ROOT, check=False).returncode
        if code:
            return code
        before = set(LOCK.read_text("utf-8").splitlines()) if LOCK.exists() else set()
        pins = new.read_text("utf-8").splitlines()
    for pin in [f"- {pin}" for pin in sorted(before - set(pins)) if not pin.startswith("#")]:
        print(pin)
    for pin in [f"+ {pin}" for pin in pins if pin not in before]:
        print(pin)
    LOCK.write_text(HEADER + "\n".join(pins) + "\n", "utf-8", newline="\n")
    print(f"constraints.txt: {len(pins)} versions")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
