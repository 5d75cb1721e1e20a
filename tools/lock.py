"""Refresh constraints.txt: install the newest versions that the ranges allow, and write them down.

Run it on the oldest Python that the workbook supports, whose packages include those of the newer ones.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = (
    "# The exact versions that CI, Binder and Codespaces install. Refreshed by `python3.11 run.py lock`.\n"
)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = Path(folder, "Scripts/python.exe" if os.name == "nt" else "bin/python")
        pip = [str(python), "-m", "pip"]
        install = [
            *pip,
            "install",
            "-q",
            "-r",
            "requirements.txt",
            "-e",
            ".[test]",
            "notebook",
        ]  # as on Binder
        subprocess.run(install, cwd=ROOT, check=True)
        freeze = [*pip, "freeze", "--exclude-editable"]
        frozen = subprocess.run(freeze, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    (ROOT / "constraints.txt").write_text(HEADER + frozen, "utf-8", newline="\n")
    print(f"constraints.txt: {len(frozen.splitlines())} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
