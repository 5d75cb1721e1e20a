"""Read every notebook slowly, and run it on the other Pythons and with the newest versions.

`run.py test --nightly` calls it after the suite. Each environment is made with uv in a temporary folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import NamedTuple

import read_slowly
from check_binder import find_python

ROOT = Path(__file__).resolve().parent.parent
CLASSIFIER = "Programming Language :: Python :: 3."


class Environment(NamedTuple):
    """What the notebooks run in."""

    title: str
    python: str
    options: tuple[str, ...]
    """For `uv pip install`."""


def other_pythons() -> list[str]:
    """The versions in pyproject.toml's classifiers, without the one that runs this."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    minors = [text.removeprefix(CLASSIFIER) for text in project["classifiers"] if text.startswith(CLASSIFIER)]
    return [f"3.{minor}" for minor in minors if int(minor) != sys.version_info.minor]


def environments() -> list[Environment]:
    """This Python with the newest versions, and the others with those of the lock.

    Where a Python isn't on this machine, its version stands for it: uv looks further, and fetches it.
    """
    others = [(version, find_python(version) or version) for version in other_pythons()]
    return [
        Environment("the newest versions", sys.executable, ("--upgrade",)),
        *(Environment(f"Python {name}", python, ("-c", "constraints.txt")) for name, python in others),
    ]


def passes(uv: str, environment: Environment) -> bool:
    """Whether the environment can be made and every notebook passes in it."""
    print(f"\n=== every notebook with {environment.title} ===", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        python = str(Path(folder, "Scripts/python.exe" if os.name == "nt" else "bin/python"))
        commands = (
            [uv, "venv", "-q", "--clear", "--python", environment.python, folder],
            [uv, "pip", "install", "-q", "--python", python, "-r", "requirements.txt", *environment.options],
            [python, "-m", "pytest", "-q", "--nbval", "-p", "no:cacheprovider", "notebooks"],
        )
        return not any(subprocess.call(command, cwd=ROOT) for command in commands)


def main() -> int:
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if uv is None:
        print("nightly: uv is needed: pip install uv", file=sys.stderr)
        return 1
    failed = ["a pause before each cell"] if read_slowly.main([]) else []
    failed += [each.title for each in environments() if not passes(uv, each)]
    print(f"\nnightly: {'the notebooks fail with ' + ' and '.join(failed) if failed else 'all is well'}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
