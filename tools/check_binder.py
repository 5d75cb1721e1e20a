"""Install what a Binder build installs, in the same order, and run the notebooks there.

repo2docker makes an environment with the Python of binder/runtime.txt and its own JupyterLab, then runs
`pip install -r binder/requirements.txt` in the repository's root. By itself it reads neither pyproject.toml
nor the requirements.txt in the root. Source: repo2docker 2026.4.0, `buildpacks/python/__init__.py`.

Where uv is at hand it downloads and installs, because it is quick; pip then has to find everything in place.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# What is in the image before ours, from `buildpacks/conda/environment.py-3.13-linux-64.lock` of 2026.4.0.
IMAGE = [
    "ipykernel==7.0.1",
    "ipywidgets==8.1.7",
    "jupyter-offlinenotebook==0.3.2",
    "jupyter-resource-usage==1.2.0",
    "jupyter_server==2.17.0",
    "jupyterhub==5.4.0",
    "jupyterlab==4.4.9",
    "notebook==7.4.7",
]


# The start, the wire, and the one that needs every package.
NOTEBOOKS = [
    "notebooks/00_start_here.ipynb",
    "notebooks/02_watch_the_handshake.ipynb",
    "notebooks/13_ship_with_fastapi_and_streamlit.ipynb",
]


def runtime() -> str:
    """Return the Python version of binder/runtime.txt, such as `3.13`."""
    return (ROOT / "binder" / "runtime.txt").read_text("utf-8").strip().removeprefix("python-")


def find_python(version: str) -> str | None:
    """Return the path of a Python of that version: pyenv's newest, or the one on the PATH."""
    pyenv = os.environ.get("PYENV_ROOT", str(Path.home() / ".pyenv"))
    if shutil.which("pyenv"):
        pyenv = subprocess.run(
            ["pyenv", "root"], check=True, stdout=subprocess.PIPE, text=True
        ).stdout.strip()
    every = Path(pyenv, "versions").glob(f"{version}.*/bin/python")
    found = sorted(every, key=lambda path: int(path.parts[-3].rpartition(".")[2]))
    return str(found[-1]) if found else shutil.which(f"python{version}")


def call(*command: str) -> None:
    print("$", *command, flush=True)
    subprocess.run(command, cwd=ROOT, check=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Build Binder's environment here and run the notebooks in it."
    )
    parser.add_argument("notebooks", nargs="*", default=NOTEBOOKS, help="what pytest --nbval runs")
    options = parser.parse_args()
    base = find_python(runtime())
    if base is None:
        print(f"check_binder: there is no Python {runtime()} here (binder/runtime.txt)", file=sys.stderr)
        return 1
    try:
        with tempfile.TemporaryDirectory() as folder:
            call(base, "-m", "venv", folder)
            python = str(Path(folder, "bin", "python"))
            pip = [python, "-m", "pip", "install", "-q"]
            uv = shutil.which("uv", path=os.pathsep.join([os.environ["PATH"], str(ROOT / ".venv" / "bin")]))
            quick = [uv, "pip", "install", "-q", "--python", python] if uv else pip
            call(*quick, *IMAGE)
            call(*quick, "-r", "binder/requirements.txt")
            call(*pip, "-r", "binder/requirements.txt")
            call(python, "-m", "pip", "check")
            call(
                python,
                "-c",
                "import sys, helpers, apps.chat.server; print('Python', sys.version, helpers.__file__)",
            )
            call(python, "-m", "pytest", "--nbval", *options.notebooks)
    except subprocess.CalledProcessError as error:
        print(f"check_binder: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
