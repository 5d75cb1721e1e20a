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
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.__main__ import main as measure

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


UV = shutil.which("uv", path=os.pathsep.join([os.environ["PATH"], str(Path(sys.executable).parent)]))
WITHOUT_UV = os.pathsep.join(
    folder for folder in os.environ["PATH"].split(os.pathsep) if not shutil.which("uv", path=folder)
)
WITH_UV = os.pathsep.join([str(Path(UV).parent), WITHOUT_UV]) if UV else WITHOUT_UV
needs_uv = pytest.mark.skipif(UV is None, reason="there is no uv here")


def write_wheel(folder: Path, name: str, version: str) -> None:
    """Write a package that has nothing in it."""
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a `run.py`, nothing to install, and a recorder that prints its arguments."""
    shutil.copy(RUN, tmp_path)
    (tmp_path / "requirements.txt").write_text("")
    (tmp_path / "constraints.txt").write_text("")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "tiny"\nversion = "1"\n')
    for folder in ("tools", "packages"):
        (tmp_path / folder).mkdir()
    (tmp_path / "tools" / "record.py").write_text(
        "import json, sys; print(json.dumps([sys.prefix, *sys.argv[1:]])); sys.exit(len(sys.argv) - 1)"
    )
    write_wheel(tmp_path / "packages", "pip", "99")
    return tmp_path


def call(
    project: Path, *arguments: str, python: str = sys.executable, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Call that project's `run.py`: the packages are those of its folder, so nobody needs a network."""
    clean = {key: value for key, value in os.environ.items() if key not in ("CI", "PYTHONPATH")}
    packages = str(project / "packages")
    offline = {"UV_NO_INDEX": "1", "UV_FIND_LINKS": packages}
    offline |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": packages, "PIP_CONFIG_FILE": os.devnull}
    return subprocess.run(
        [python, "run.py", *arguments],
        cwd=project,
        env={**clean, **offline, "PATH": WITH_UV, **environment},
        capture_output=True,
        text=True,
        timeout=50,
    )


def hide(module: str, folder: Path) -> str:
    """Make a folder for PYTHONPATH in which that module isn't to be had."""
    folder.mkdir()
    (folder / f"{module}.py").write_text("raise ModuleNotFoundError('as on a Debian without python3-venv')")
    return str(folder)


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
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "apt-get").write_text("#!/bin/sh\n")
    (tools / "apt-get").chmod(0o755)
    path = f"{tools}{os.pathsep}{WITHOUT_UV}"
    result = call(project, "record", PYTHONPATH=hide(module, tmp_path / "hidden"), PATH=path)
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


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(WITHOUT_UV, marks=[pytest.mark.nightly] if UV else [], id="pip"),  # it takes 14 s
        pytest.param(WITH_UV, marks=needs_uv, id="uv"),
    ],
)
def test_no_network_is_said_in_one_line(project: Path, tmp_path: Path, path: str) -> None:
    (project / "requirements.txt").write_text("a-package-that-is-nowhere==1\n")
    nowhere = "http://127.0.0.1:9/simple"
    environment = {"PIP_NO_INDEX": "0", "PIP_INDEX_URL": nowhere, "PIP_RETRIES": "0"}
    environment |= {
        "UV_NO_INDEX": "0",
        "UV_DEFAULT_INDEX": nowhere,
        "UV_HTTP_RETRIES": "0",
        "UV_NO_CACHE": "1",
    }
    if path == WITH_UV:  # which needs no ensurepip; and pip can't be asked then
        environment["PYTHONPATH"] = hide("ensurepip", tmp_path / "hidden")
    result = call(project, "record", PATH=path, **environment)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("run.py: The package index can't be reached")
    assert "made_from" not in json.loads((project / ".venv" / "workbook.json").read_text())


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
        (
            "ERROR: Could not find a version that satisfies websockets<18,>=17 (from versions: 15.0, 16.0)\n"
            "ERROR: No matching distribution found for websockets<18,>=17",
            "no version for this Python",
        ),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("SSLError(SSLCertVerificationError: CERTIFICATE_VERIFY_FAILED", "SSL_CERT_FILE"),
        ("ERROR: ResolutionImpossible: for help visit", "run.py lock"),
        # and uv, in the words of 0.13
        (
            "error: Request failed after 3 retries in 8.9s\n"
            "  cause: Failed to fetch: http://127.0.0.1:9/simple/idna/\n"
            "  cause: error sending request for url (http://127.0.0.1:9/simple/idna/)\n"
            "  cause: client error (Connect)\n  cause: tcp connect error\n  cause: Connection refused",
            "package index can't be reached",
        ),
        (
            "error: Failed to fetch: https://localhost:8443/simple/idna/\n"
            "  cause: error sending request for url (https://localhost:8443/simple/idna/)\n"
            "  cause: client error (Connect)\n  cause: invalid peer certificate: UnknownIssuer",
            "SSL_CERT_FILE",
        ),
        (
            "  cause: Because the current Python version (3.10.13) does not satisfy Python>=3.11.5 and "
            "soupsieve==4.1.2 depends on Python>=3.11.5, we can conclude that soupsieve==4.1.2 cannot be "
            "used.\n And because you require soupsieve==4.1.2, your requirements are unsatisfiable.",
            "no version for this Python",
        ),
        (
            "  cause: Because nowhere was not found in the package registry and you require nowhere==1, we "
            "can conclude that your requirements are unsatisfiable.",
            "lacks a package",
        ),
        (
            "  cause: Because you require websockets==10.0 and websockets>=17, we can conclude that your "
            "requirements are unsatisfiable.",
            "run.py lock",
        ),
        ("something new", "install.log"),
    ],
)
def test_what_pip_or_uv_said_becomes_a_remedy(said: str, remedy: str) -> None:
    assert remedy in str(load().Failed(said))


def test_an_environment_is_made_and_arguments_and_exit_code_pass(project: Path) -> None:
    (project / ".venv").mkdir()
    (project / ".venv" / "workbook.json").write_text('{"state": "unfi')  # killed while writing
    (project / ".venv" / "leftover").write_text("")
    result = call(project, "record", "03", "--slow")
    assert result.returncode == 2
    prefix, *arguments = json.loads(result.stdout)
    assert Path(prefix) == project / ".venv"
    assert arguments == ["03", "--slow"]
    assert "unfinished: making it again" in result.stderr
    assert not (project / ".venv" / "leftover").exists()
    assert call(project, "record").stderr == ""


class Steps:
    """`run.py` as a module in that project, and the steps that it takes, which only leave a Python behind."""

    def __init__(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.run = load()
        self.taken: list[str] = []
        self.failing: dict[str, str] = {}  # part of a command -> what it says when it fails
        self.uv = "/somewhere/uv"
        monkeypatch.setattr(self.run, "ROOT", project)
        monkeypatch.setattr(self.run, "VENV", project / ".venv")
        monkeypatch.setattr(self.run, "step", self.step)
        monkeypatch.setattr(self.run, "find_uv", lambda: self.uv)
        monkeypatch.setattr(self.run.shutil, "which", lambda name: self.uv)

    def step(self, title: str, *command: str) -> None:
        stamp = json.loads((self.run.VENV / "workbook.json").read_text())
        assert "made_from" not in stamp, "it is ready only after the last step"
        self.taken.append(" ".join(command[1:]))
        for part, said in self.failing.items():
            if part in self.taken[-1]:
                raise self.run.Failed(said)
        python = Path(self.run.program("python"))
        python.parent.mkdir(parents=True, exist_ok=True)
        python.touch()

    def made(self, extra: str = "", newest: bool | None = None) -> tuple[bool, str]:
        """Prepare; whether the environment was made again, and the last step."""
        self.taken.clear()
        self.run.prepare(extra, newest)
        return any("-m venv" in step for step in self.taken), self.taken[-1] if self.taken else ""

    def pins(self) -> list[str]:
        """The exact versions that the last step was given."""
        return Path(self.run.VENV, "constraints.txt").read_text().split("\n")[:-1]


@pytest.fixture
def steps(project: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    return Steps(project, monkeypatch)


def test_an_environment_is_made_again_only_when_its_contents_change(steps: Steps) -> None:
    root = steps.run.ROOT
    (root / "constraints.txt").write_text("tiny==1\n")
    again, install = steps.made()
    assert again
    assert install.endswith(f"pip -r requirements.txt -c {root / '.venv' / 'constraints.txt'}")
    assert steps.pins() == ["tiny==1"]
    assert steps.made() == (False, "")

    again, install = steps.made("test")
    assert not again, "the test tools are added to what is there"
    assert "-r requirements.txt -e .[test] -c " in install
    assert steps.made("test") == steps.made() == (False, "")

    for file, text in {
        "requirements.txt": "# changed\n",
        "pyproject.toml": '[project]\nname = "tiny"\ndependencies = []\n',
        "constraints.txt": "tiny==2\n",
    }.items():
        (root / file).write_text(text)
        assert steps.made()[0], file
    assert steps.pins() == ["tiny==2"]


def test_the_newest_versions_are_taken_on_request_and_kept_until_setup(
    steps: Steps, capsys: pytest.CaptureFixture[str]
) -> None:
    (steps.run.ROOT / "constraints.txt").write_text("tiny==1\n")
    assert steps.made()[0]
    again, install = steps.made(newest=True)
    assert not again
    assert "install --python" in install
    assert "--upgrade" in install
    assert "-c" not in install.split()

    capsys.readouterr()
    assert steps.made() == (False, "")
    assert "these are the newest versions; `run.py setup` returns" in capsys.readouterr().err
    assert "-c" not in steps.made("test")[1].split(), "what is added is new as well"
    assert "--upgrade" in steps.made(newest=True)[1], "what was newest yesterday"
    again, install = steps.made(newest=False)
    assert again
    assert "-c" in install.split()
    assert steps.pins() == ["tiny==1"]


@pytest.mark.parametrize(
    "said",
    [
        "  cause: Because there is no version of tiny-thing==1 and you require tiny-thing==1, we can",
        "  cause: Because tiny-thing==1 has no wheels with a matching platform tag (e.g., `manylinux_2_36`)",
        "  cause: Because the current Python version (3.11.7) does not satisfy Python>=3.12 and "
        "tiny-thing==1 depends on Python>=3.12, we can conclude that tiny-thing==1 cannot be used.",
        "error: Failed to build `tiny-thing==1`\n  cause: The build backend returned an error",
        "ERROR: Failed building wheel for tiny_thing",
        "    The user requested (constraint) tiny-thing==1\n\nERROR: ResolutionImpossible: for help visit",
    ],
)
def test_a_version_that_cannot_be_had_is_named_and_the_newest_is_tried(
    steps: Steps, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    (steps.run.ROOT / "constraints.txt").write_text("tiny==1\ntiny-thing==1 ; os_name != ''\n")
    works, told = steps.step, [said]

    def fail_once(title: str, *command: str) -> None:
        works(title, *command)
        if "install" in command and told:
            raise steps.run.Failed(told.pop())

    monkeypatch.setattr(steps.run, "step", fail_once)
    install = steps.made()[1]
    assert steps.pins() == ["tiny==1"]
    assert "not available here: tiny-thing==1; trying the newest" in capsys.readouterr().err
    assert ("--only-binary=tiny-thing" in install) == ("uild" in said), "the next one isn't built either"
    assert steps.made() == (False, "")


@needs_uv
def test_uv_names_a_version_that_cannot_be_had(project: Path) -> None:
    write_wheel(project / "packages", "tiny_thing", "2")
    (project / "requirements.txt").write_text("tiny-thing\n")
    (project / "constraints.txt").write_text("tiny-thing==1\n")
    result = call(project, "setup")
    assert result.returncode == 0, result.stderr
    assert "not available here: tiny-thing==1; trying the newest" in result.stderr
    assert "    Installed 2 packages" in result.stderr
    assert list((project / ".venv").rglob("tiny_thing-2.dist-info"))
    assert call(project, "setup").stderr == ""


def test_pip_is_asked_where_uv_reaches_no_index(steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps.run, "succeeds", lambda *command: True)
    steps.failing = {
        "pip install --python": "cause: error sending request for url (https://pypi.org/simple/pip/)"
    }
    steps.made()
    assert steps.taken[-1].startswith("-m pip install")
    steps.failing = {"pip install --python": "error: No space left on device"}
    shutil.rmtree(steps.run.VENV)
    with pytest.raises(steps.run.Problem, match="disk is full"):
        steps.made()


def test_uv_is_put_into_the_environment_or_pip_installs(
    steps: Steps, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps.run.shutil, "which", lambda name: None)
    steps.uv = ""
    works = steps.step

    def get_uv(title: str, *command: str) -> None:
        works(title, *command)
        if "uv" in command:
            steps.uv = steps.run.program("uv")

    monkeypatch.setattr(steps.run, "step", get_uv)
    steps.made()
    venv_step, uv_step, install = steps.taken
    assert "--without-pip" not in venv_step, "pip has to get uv"
    assert uv_step.startswith("-m pip install")
    assert uv_step.endswith("uv -c constraints.txt")
    assert install.startswith("pip install --python")

    shutil.rmtree(steps.run.VENV)
    steps.uv = ""
    monkeypatch.setattr(steps.run, "step", works)
    steps.failing = {" uv ": "ERROR: No matching distribution found for uv"}
    capsys.readouterr()
    steps.made()
    assert "uv isn't available here: pip installs" in capsys.readouterr().err
    assert steps.taken[-1].startswith("-m pip install --progress-bar off -r requirements.txt")


def test_a_failed_installation_leaves_the_environment_unfinished(steps: Steps) -> None:
    steps.made()
    steps.failing = {"[test]": "something new"}
    with pytest.raises(steps.run.Problem):
        steps.made("test")
    steps.failing = {}
    assert steps.made()[0]


def test_a_persons_own_environment_is_never_deleted(project: Path) -> None:
    venv.create(project / ".venv", with_pip=UV is None, symlinks=os.name != "nt")
    (project / ".venv" / "mine").write_text("")
    assert call(project, "record").returncode == 0
    (project / "requirements.txt").write_text("# changed\n")
    assert "run.py didn't make it" in call(project, "record").stderr
    assert (project / ".venv" / "mine").exists()

    (project / ".venv" / PYTHON).unlink()
    broken = call(project, "record")
    assert broken.returncode == 1
    assert "it doesn't work: delete it yourself" in broken.stderr
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
    assert "again" not in results[0].stderr + results[1].stderr


@pytest.mark.parametrize("arguments", [(), ("--help",)])
def test_help_names_every_command(project: Path, arguments: tuple[str, ...]) -> None:
    result = call(project, *arguments)
    assert result.returncode == 0
    run = load()
    for command in {*run.EXTRAS, *run.ON_THEIR_OWN}:
        assert f"\n  {command} " in result.stdout
    assert "--newest" in result.stdout
    assert "--nightly" in result.stdout
    assert not (project / ".venv").exists()


def test_an_unknown_command_is_refused(project: Path) -> None:
    result = call(project, "labs")
    assert result.returncode == 2
    assert "there is no command 'labs'" in result.stderr


def test_each_command_passes_its_arguments_on() -> None:
    line = load().command_line
    assert line("test", ["-k", "a"])[1:] == ["-m", "pytest", "--nbval", "-n", "auto", "-k", "a"]
    assert line("test", ["-p", "no:xdist"])[1:] == ["-m", "pytest", "--nbval", "-p", "no:xdist"]
    slowly = [str(ROOT / "tools" / "read_slowly.py"), "--pause", "1", "02"]
    assert line("test", ["--pause", "1", "02"])[1:] == slowly
    assert line("bench", ["--quick"])[1:] == ["-m", "benchmarks", "--quick"]
    lab = line("lab", ["--no-browser", "--port", "8899"])
    assert lab[1:3] == ["-m", "jupyterlab"]
    assert lab[-3:] == ["--no-browser", "--port", "8899"]
    assert ("--allow-root" in lab) == (hasattr(os, "geteuid") and os.geteuid() == 0)
    assert "--LabApp.default_url=/lab/tree/my_notebooks/00_start_here.ipynb" in lab
    assert line("reset", ["02"])[1:] == [str(ROOT / "tools" / "working_copy.py"), "reset", "02"]
    assert line("app", ["chat", "--port", "8000"])[1:] == ["-m", "apps.chat", "--port", "8000"]
    assert line("chapter", ["06", "push"])[1:] == [str(ROOT / "tools" / "chapter.py"), "06", "push"]


def test_lab_makes_the_readers_copy_first_and_opens_nothing_without_it(project: Path) -> None:
    (project / "jupyterlab.py").write_text("print('JupyterLab')")
    copy = project / "tools" / "working_copy.py"
    copy.write_text("print('the copy')")
    assert call(project, "lab").stdout == "the copy\nJupyterLab\n"
    copy.write_text("raise SystemExit(1)")
    result = call(project, "lab")
    assert (result.returncode, result.stdout) == (1, "")


def test_an_app_runs_and_one_that_is_not_there_gets_the_list(project: Path) -> None:
    for name in ("chat", "news", "draft"):
        (project / "apps" / name).mkdir(parents=True)
    for name in ("chat", "news"):
        (project / "apps" / name / "__main__.py").write_text("import sys; print('app', sys.argv[1:])")
    for wrong in ([], ["draft"], ["--port"]):
        result = call(project, "app", *wrong)
        assert result.returncode == 2
        assert result.stderr.endswith("NAME is one of: chat, news\n")
    assert not (project / ".venv").exists()
    assert call(project, "app", "news", "--port", "1").stdout == "app ['--port', '1']\n"


def test_commands_find_the_environments_programs_and_nightly_is_passed_on(project: Path) -> None:
    (project / "pytest.py").write_text(
        "import os, sys; print(os.environ['PATH'].split(os.pathsep)[0], os.environ['no_proxy']);"
        "print(os.environ.get('WORKBOOK_NIGHTLY'), sys.argv[1:])"
    )
    (project / "pyproject.toml").write_text('[project]\nname = "tiny"\nversion = "1"\n')
    run = load()
    assert call(project, "setup").returncode == 0
    stamp = project / ".venv" / "workbook.json"
    stamp.write_text(stamp.read_text().replace('"extras": []', '"extras": ["test"]'))
    first, second = call(project, "test", "--nightly", "-k", "a", no_proxy="a.example").stdout.splitlines()
    assert first == f"{project / '.venv' / run.PROGRAMS} 127.0.0.1,localhost,a.example"
    assert second == "1 ['--nbval', '-n', 'auto', '-k', 'a']"
    (project / "tools" / "nightly.py").write_text("print('the night'); raise SystemExit(3)")
    night = call(project, "test", "--nightly")
    assert night.stdout.splitlines()[1:] == ["1 ['--nbval', '-n', 'auto']", "the night"]
    assert night.returncode == 3
    assert call(project, "test").stdout.splitlines()[1] == "None ['--nbval', '-n', 'auto']"


@pytest.mark.parametrize(
    ("arguments", "words"), [("nonsense", "choose from imports, echo"), ("echo --rounds 0", "1 or more")]
)
def test_a_benchmark_that_is_not_there_is_told_in_words(
    arguments: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", *arguments.split()])
    with pytest.raises(SystemExit):
        measure()
    assert words in capsys.readouterr().err
