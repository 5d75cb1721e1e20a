"""`run.py` in folders of its own: what it says when something is missing, and what it makes."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
import venv
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
RUN = ROOT / "run.py"
PYTHON = "Scripts/python.exe" if os.name == "nt" else "bin/python"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("workbook_run", RUN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a `run.py`, nothing to install, and a recorder that prints its arguments."""
    shutil.copy(RUN, tmp_path)
    (tmp_path / "requirements.txt").write_text("")
    (tmp_path / "constraints.txt").write_text("")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "tiny"\nversion = "1"\n')
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "record.py").write_text(
        "import json, sys; print(json.dumps([sys.prefix, *sys.argv[1:]])); sys.exit(len(sys.argv) - 1)"
    )
    return tmp_path


def call(project: Path, *arguments: str, python: str = sys.executable, **environment: str):
    clean = {key: value for key, value in os.environ.items() if key not in ("CI", "PYTHONPATH")}
    return subprocess.run(
        [python, "run.py", *arguments],
        cwd=project,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=50,
    )


def old_pythons() -> list[str]:
    folder = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    return [str(path) for minor in (6, 8, 10) for path in sorted(folder.glob(f"3.{minor}.*/bin/python"))]


@pytest.mark.parametrize("python", old_pythons(), ids=lambda path: Path(path).parts[-3])
def test_an_old_python_reads_one_line(project: Path, python: str) -> None:
    result = call(project, "lab", python=python)
    version = ".".join(Path(python).parts[-3].split(".")[:2])
    assert result.returncode == 1
    assert result.stderr.startswith(f"This workbook needs Python 3.11 or newer, you have {version}: ")
    assert len(result.stderr.splitlines()) == 1
    assert not (project / ".venv").exists()


def test_the_message_for_an_old_python_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    run = load()
    monkeypatch.setenv("PATH", "")
    assert "https://www.python.org/downloads/" in run.python_problem((3, 9))
    assert "you have 3.10:" in run.python_problem((3, 10))
    assert run.python_problem((3, 11)) == ""
    assert run.python_problem((4, 0)) == ""


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_missing_module_is_named_with_its_package(project: Path, tmp_path: Path, module: str) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / f"{module}.py").write_text("raise ModuleNotFoundError('as on a Debian without python3-venv')")
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "apt-get").write_text("#!/bin/sh\n")
    (tools / "apt-get").chmod(0o755)
    result = call(project, "record", PYTHONPATH=str(hidden), PATH=f"{tools}{os.pathsep}{os.environ['PATH']}")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert result.returncode == 1
    assert f"no module {module!r}" in result.stderr
    if os.name != "nt":
        assert f"sudo apt-get install python{version}-venv" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_place_that_cannot_be_written_is_named(project: Path) -> None:
    (project / ".venv").write_text("a file where the environment should be")
    result = call(project, "record")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith(f"run.py: Can't write {project / '.venv'} (")
    assert "Traceback" not in result.stderr


def test_no_network_is_said_in_one_line(project: Path) -> None:
    (project / "requirements.txt").write_text("a-package-that-is-nowhere==1\n")
    result = call(
        project,
        "record",
        PIP_INDEX_URL="http://127.0.0.1:9/simple",
        PIP_RETRIES="0",
        PIP_CONFIG_FILE=os.devnull,
        PIP_FIND_LINKS="",
    )
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("run.py: The package index can't be reached")
    assert json.loads((project / ".venv" / "workbook.json").read_text())["state"] == "unfinished"


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("ERROR: Could not find a version that satisfies x (from versions: none)", "can't be reached"),
        (
            "ERROR: Ignored the following versions that require a different python version: 17.0\n"
            "ERROR: Could not find a version that satisfies x (from versions: none)",
            "no version for this Python",
        ),
        (
            "Retrying ... NewConnectionError: [Errno 111] Connection refused\n"
            "ERROR: No matching distribution found for x",
            "package index can't be reached",
        ),
        ("ERROR: No matching distribution found for websockets<18,>=17", "no version for this Python"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("SSLError(SSLCertVerificationError: CERTIFICATE_VERIFY_FAILED", "PIP_CERT"),
        ("ERROR: ResolutionImpossible: for help visit", "CI=1"),
        ("something new", "install.log"),
    ],
)
def test_what_pip_said_becomes_a_remedy(said: str, remedy: str) -> None:
    assert remedy in load().what_to_do(said)


def test_an_environment_is_made_and_arguments_and_exit_code_pass(project: Path) -> None:
    (project / ".venv").mkdir()
    (project / ".venv" / "workbook.json").write_text('{"state": "unfi')  # killed while writing
    (project / ".venv" / "leftover").write_text("")
    result = call(project, "record", "03", "--slow")
    assert result.returncode == 2
    prefix, *arguments = json.loads(result.stdout)
    assert Path(prefix) == project / ".venv"
    assert arguments == ["03", "--slow"]
    assert "unfinished: making it anew" in result.stderr
    assert not (project / ".venv" / "leftover").exists()
    assert call(project, "record").stderr == ""


@pytest.fixture
def steps(project: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, list[str]]:
    """`run.py` as a module in that project, and the steps it takes, which only leave a Python behind."""
    run = load()
    taken: list[str] = []
    folder = project / ".venv"
    places = {"ROOT": project, "VENV": folder, "STAMP": folder / "workbook.json", "PYTHON": folder / PYTHON}
    for name, path in places.items():
        monkeypatch.setattr(run, name, path)
    monkeypatch.delenv("CI", raising=False)

    def step(title: str, command: list[str]) -> None:
        assert json.loads(run.STAMP.read_text())["state"] == "unfinished", "ready only after the last step"
        taken.append(" ".join(command[1:]))
        run.PYTHON.parent.mkdir(parents=True, exist_ok=True)
        run.PYTHON.touch()

    monkeypatch.setattr(run, "step", step)
    return run, taken


def test_an_environment_is_made_anew_only_when_its_contents_change(
    steps: tuple[ModuleType, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, taken = steps

    def made(extra: str = "") -> tuple[bool, str]:
        taken.clear()
        run.prepare(extra)
        return any(" venv " in step for step in taken), taken[-1] if taken else ""

    anew, install = made()
    assert anew
    assert install.endswith("-r requirements.txt")
    assert made() == (False, "")

    anew, install = made("test")
    assert not anew, "the test tools are added to what is there"
    assert install.endswith("-r requirements.txt -e .[test]")
    assert made("test") == made() == (False, "")

    (run.ROOT / "requirements.txt").write_text("# changed\n")
    assert made()[0]
    (run.ROOT / "pyproject.toml").write_text('[project]\nname = "tiny"\ndependencies = []\n')
    assert made()[0]

    (run.ROOT / "constraints.txt").write_text("tiny==1\n")
    assert made() == (False, ""), "the exact versions are for CI"
    monkeypatch.setenv("CI", "true")
    anew, install = made()
    assert anew
    assert install.endswith("-c constraints.txt")
    monkeypatch.delenv("CI")
    assert made() == (False, ""), "exact versions serve a person, too"


def test_a_failed_installation_leaves_the_environment_unfinished(
    steps: tuple[ModuleType, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, taken = steps
    run.prepare("")

    def fail(title: str, command: list[str]) -> None:
        raise run.Problem("no network")

    works = run.step
    monkeypatch.setattr(run, "step", fail)
    with pytest.raises(run.Problem):
        run.prepare("test")
    monkeypatch.setattr(run, "step", works)
    run.prepare("")
    assert any(" venv " in step for step in taken[2:])


def test_a_persons_own_environment_is_never_deleted(project: Path) -> None:
    venv.create(project / ".venv", with_pip=True, symlinks=os.name != "nt")
    (project / ".venv" / "mine").write_text("")
    assert call(project, "record").returncode == 0
    (project / "requirements.txt").write_text("# changed\n")
    assert "run.py didn't make it" in call(project, "record").stderr
    assert (project / ".venv" / "mine").exists()

    (project / ".venv" / PYTHON).unlink()
    broken = call(project, "record")
    assert broken.returncode == 1
    assert "delete it, run this again" in broken.stderr
    assert (project / ".venv" / "mine").exists()


def test_a_second_call_waits_for_the_first(project: Path) -> None:
    results: list[subprocess.CompletedProcess[str]] = []
    threads = [threading.Thread(target=lambda: results.append(call(project, "record"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.returncode for result in results] == [0, 0]
    assert sum("making .venv ..." in result.stderr for result in results) == 1
    assert "anew" not in results[0].stderr + results[1].stderr


@pytest.mark.parametrize("arguments", [(), ("--help",)])
def test_help_names_every_command(project: Path, arguments: tuple[str, ...]) -> None:
    result = call(project, *arguments)
    assert result.returncode == 0
    run = load()
    for command in {*run.EXTRAS, *run.ON_THEIR_OWN}:
        assert f"\n  {command} " in result.stdout
    assert not (project / ".venv").exists()


def test_an_unknown_command_is_refused(project: Path) -> None:
    result = call(project, "labs")
    assert result.returncode == 2
    assert "there is no command 'labs'" in result.stderr


def test_each_command_passes_its_arguments_on() -> None:
    line = load().command_line
    assert line("test", ["-k", "a"])[1:] == ["-m", "pytest", "--nbval", "-n", "auto", "-k", "a"]
    assert line("test", ["-p", "no:xdist"])[1:] == ["-m", "pytest", "--nbval", "-p", "no:xdist"]
    assert line("bench", ["--quick"])[1:] == ["-m", "benchmarks", "--quick"]
    lab = line("lab", ["--no-browser", "--port", "8899"])
    assert lab[1:3] == ["-m", "jupyterlab"]
    assert lab[-3:] == ["--no-browser", "--port", "8899"]
    assert ("--allow-root" in lab) == (hasattr(os, "geteuid") and os.geteuid() == 0)
    assert "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb" in lab
