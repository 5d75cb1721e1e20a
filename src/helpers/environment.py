"""Is everything there that the workbook needs? If not, what to do."""

from __future__ import annotations

import os
import platform
import socket
import sys
import textwrap
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

MEND = "run `python3 run.py lab` again, or `pip install -r requirements.txt`"
OLDEST_PYTHON = (3, 11)
_WORKBOOK = "websocket-workbook"


class EnvironmentProblem(RuntimeError):
    """Something that the workbook needs isn't there; the message says what to do."""


@dataclass(frozen=True)
class Environment:
    """What was found, a line each."""

    lines: tuple[str, ...]

    def __str__(self) -> str:
        wrapper = textwrap.TextWrapper(80, subsequent_indent="  ", break_on_hyphens=False)
        return "\n".join(wrapper.fill(f"✓ {line}") for line in self.lines).replace("\xa0", " ")


def check_environment() -> Environment:
    """Look at the Python, the packages, the ports and the widgets.

        print(check_environment())

    Returns:
        What was found; printed, it is a line each.

    Raises:
        EnvironmentProblem: something is missing or too old.
    """
    return Environment((_python(), _packages(), _port(), _widgets()))


def _python() -> str:
    if sys.version_info < OLDEST_PYTHON:
        raise EnvironmentProblem(
            f"Python {platform.python_version()} is too old: the workbook needs 3.11 or newer"
        )
    return f"Python {platform.python_version()} on {platform.system()}"


def _packages() -> str:
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(line) for line in requires(_WORKBOOK) or []]
    except PackageNotFoundError:
        raise EnvironmentProblem(f"{_WORKBOOK} is not installed: {MEND}") from None
    found = []
    for requirement in wanted:
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):  # a test tool, or elsewhere
            continue
        try:
            there = version(requirement.name)
        except PackageNotFoundError:
            raise EnvironmentProblem(f"{requirement.name} is not installed: {MEND}") from None
        if not requirement.specifier.contains(there, prereleases=True):
            raise EnvironmentProblem(
                f"{requirement.name} is {there}, but {requirement.specifier} is needed: {MEND}"
            )
        found.append(f"{requirement.name}\xa0{there}")
    return ", ".join(found)


def _port() -> str:
    try:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            with socket.create_connection(("127.0.0.1", port), timeout=2):
                return f"a server can listen and be reached on this machine (tried on port {port})"
    except OSError as error:
        raise EnvironmentProblem(
            f"no server can be reached on 127.0.0.1 ({error}): is a firewall blocking it?"
        ) from None


def _widgets() -> str:
    from jupyter_core.paths import jupyter_path

    lab = _jupyter_prefix() or Path(sys.prefix)
    apart = lab != Path(sys.prefix)
    shared = [Path(folder) for folder in jupyter_path() if not Path(folder).is_relative_to(sys.prefix)]
    data = [lab / "share" / "jupyter", *shared]
    remedy = f"install anywidget, ipywidgets and jupyter-server-proxy in {lab}, then restart JupyterLab"
    for extension in ("anywidget", "@jupyter-widgets/jupyterlab-manager"):
        if not any((folder / "labextensions" / extension).is_dir() for folder in data):
            raise EnvironmentProblem(
                f"JupyterLab does not find the widgets ({extension}): {remedy if apart else MEND}"
            )
    proxy = lab / "etc" / "jupyter" / "jupyter_server_config.d" / "jupyter-server-proxy.json"
    if apart and not proxy.exists():
        raise EnvironmentProblem(f"JupyterLab has no jupyter-server-proxy: {remedy}")
    return "JupyterLab finds the widgets"


def _jupyter_prefix() -> Path | None:
    """The environment of the Jupyter server that started this kernel, if it can be told.

    From the command as it was typed: what the system calls the executable has the links of a venv resolved.
    """
    import psutil

    try:
        command = psutil.Process(int(os.environ.get("JPY_PARENT_PID") or os.getppid())).cmdline()
    except (psutil.Error, ValueError):
        return None
    if not any("jupyter" in part for part in command[:3]) or not Path(command[0]).is_absolute():
        return None
    program = Path(command[0])
    return (
        program.parent
        if sys.platform == "win32" and program.parent.name != "Scripts"
        else program.parent.parent
    )
