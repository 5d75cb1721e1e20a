"""What chapter 00 says of a machine on which something is missing."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import psutil
import pytest

from helpers import check_environment, environment
from helpers.environment import EnvironmentProblem

ROOT = Path(__file__).resolve().parent.parent
REMEDY = "pip install -r requirements.txt"


def test_each_dependency_is_named_with_its_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    said = str(check_environment())
    for dependency in project["dependencies"]:
        name = re.match(r"[\w-]+", dependency)
        assert name
        assert re.search(rf"\b{name[0]} \d", said), f"{name[0]} in {said}"
    assert "hypothesis" not in said, "readers need no test tools"


@pytest.mark.parametrize(
    ("dependency", "problem"),
    [
        ("a-package-that-is-nowhere>=1", "a-package-that-is-nowhere is not installed"),
        ("websockets>=99", r"websockets is \d+\S*, but >=99 is needed"),
    ],
)
def test_what_is_missing_or_too_old_is_named_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, dependency: str, problem: str
) -> None:
    monkeypatch.setattr(environment, "requires", lambda name: [*(requires(name) or []), dependency])
    with pytest.raises(EnvironmentProblem, match=problem) as caught:
        check_environment()
    assert REMEDY in str(caught.value)


@pytest.mark.parametrize("marker", ["extra == 'test'", "sys_platform == 'nowhere'"])
def test_what_another_system_or_a_tester_needs_is_not_asked_for(
    monkeypatch: pytest.MonkeyPatch, marker: str
) -> None:
    monkeypatch.setattr(environment, "requires", lambda name: [f"a-package-that-is-nowhere ; {marker}"])
    assert "a-package" not in str(check_environment())


def test_a_workbook_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(name: str) -> list[str]:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(environment, "requires", nowhere)
    with pytest.raises(EnvironmentProblem, match="websocket-workbook is not installed"):
        check_environment()


class Parent:
    """A Jupyter server in an environment of its own, as `psutil` sees it."""

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix

    def __call__(self, pid: int) -> Parent:
        return self

    def cmdline(self) -> list[str]:
        programs = self.prefix / ("Scripts" if sys.platform == "win32" else "bin")
        return [str(programs / "python"), str(programs / "jupyter-lab")]


def test_it_looks_at_the_jupyterlab_that_started_the_kernel(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(psutil, "Process", Parent(tmp_path))
    for extension in ("anywidget", "@jupyter-widgets/jupyterlab-manager"):
        with pytest.raises(
            EnvironmentProblem, match=f"{extension}.*in {re.escape(str(tmp_path))}, then restart"
        ):
            check_environment()
        (tmp_path / "share/jupyter/labextensions" / extension).mkdir(parents=True)
    with pytest.raises(
        EnvironmentProblem, match=f"no jupyter-server-proxy: install .* in {re.escape(str(tmp_path))}"
    ):
        check_environment()
    settings = tmp_path / "etc/jupyter/jupyter_server_config.d"
    settings.mkdir(parents=True)
    (settings / "jupyter-server-proxy.json").touch()
    assert "finds the widgets" in str(check_environment())
