#!/usr/bin/env python3
"""Set the workbook up and run it: `python3 run.py --help` says how. Standard library only."""

import hashlib
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

OLDEST = (3, 11)

USAGE = """\
python3 run.py COMMAND [--newest] [arguments that are passed on]

  lab      open your copy of the chapters in JupyterLab        run.py lab --no-browser --port 8899
  reset    give a chapter of your copy back as it was          run.py reset 02
  test     run every notebook and every test with pytest       run.py test -k handshake
  bench    measure the workbook's own speed                    run.py bench setup
  record   run notebooks and write their outputs back          run.py record 00 04
  app      run one of apps/ from a terminal                    run.py app chat --port 8000
  chapter  begin a new chapter                                 run.py chapter 06 push_live_updates
  address  show or set the repository's public address         run.py address https://github.com/you/workbook
  setup    only make the environment                           run.py setup
  lock     settle the exact versions of constraints.txt        run.py lock --upgrade

The first command makes .venv, once, and installs the workbook into it: a few seconds, or a minute or two
if everything has to be downloaded. Everybody gets the exact versions of constraints.txt; --newest gets the
newest that pyproject.toml allows, until the next `run.py setup`. `run.py test --nightly` adds slow tests,
and the notebooks at a reader's pace, on the other Pythons, and with the newest versions.
`run.py test --pause 45 02` only reads a chapter, with 45 s before each cell."""


# Quoted, because this much has to run on the Pythons that the message is for.
def python_problem(version: "tuple[int, ...]") -> str:
    """Say what to do about a Python that is too old; nothing when it is new enough."""
    if tuple(version) >= OLDEST:
        return ""
    have = "%d.%d" % tuple(version[:2])  # noqa: UP031
    need = "%d.%d" % OLDEST  # noqa: UP031
    for minor in range(OLDEST[1] + 6, OLDEST[1] - 1, -1):
        name = "python3.%d" % minor  # noqa: UP031
        if shutil.which(name) and not subprocess.call([name, "-c", ""], stderr=subprocess.DEVNULL):
            remedy = "run `" + name + " run.py " + " ".join(sys.argv[1:] or ["lab"]) + "`"
            break
    else:
        remedy = "install a newer one from https://www.python.org/downloads/"
    return "This workbook needs Python " + need + " or newer, you have " + have + ": " + remedy + "."


if python_problem(sys.version_info[:2]):
    sys.exit(python_problem(sys.version_info[:2]))


import sqlite3  # noqa: E402
import tomllib  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PROGRAMS = "Scripts" if os.name == "nt" else "bin"
COMMANDS = ("lab", "reset", "test", "bench", "record", "app", "chapter", "setup")
EXTRAS = dict.fromkeys(COMMANDS, "") | {"test": "test", "bench": "test"}
ON_THEIR_OWN = {"address": "tools/address.py", "lock": "tools/lock.py"}

# A remedy, and the words of uv or pip that call for it. The first that is found counts.
UNREACHABLE = "The package index can't be reached: check the network (or your proxy), then run this again."
UNTRUSTED = "The package index's certificate isn't trusted: set SSL_CERT_FILE to your network's certificates."
REMEDIES = {
    UNTRUSTED: r"CERTIFICATE_VERIFY_FAILED|SSLError|invalid peer certificate",
    UNREACHABLE: r"NewConnectionError|name resolution|Network is unreachable"
    r"|TimeoutError|timed out|network timeout|connection (aborted|reset)|ProxyError|error sending request",
    "The disk is full: free about 1 GB, then run this again.": r"No space left|not enough space on the disk",
    "A file can't be written, see above for which one: stop what uses .venv, then run this again.": (
        r"Permission denied|Read-only file system|Access is denied"
    ),
    "A package has no version for this Python and system: try another Python (3.11 to 3.14).": (
        r"(different|not satisfy) Python|no version of|has no wheels|Failed (to build|building)|versions: \d"
    ),
    "The package index can't be reached or lacks a package: check the network, then run this again.": (
        r"\(from versions: none\)|was not found in the package registry"
    ),
    "These versions don't fit together: run `python3 run.py lock` if you changed pyproject.toml; "
    "otherwise try it with --newest, or without.": r"ResolutionImpossible|unsatisfiable",
}
# What they say when a version isn't available on this Python or system: the package's name.
UNAVAILABLE = re.compile(
    r"no version of ([\w.-]+)==|([\w.-]+)==\S+ has no wheels|([\w.-]+)==\S+ depends on Python"
    r"|Failed to (?:build|download(?: and build)?) [`']([\w.-]+)|Failed building wheel for ([\w.-]+)"
    r"|\(constraint\) ([\w.-]+)=="
)
WORTH_SEEING = ("Resolved", "Downloading", "Prepared", "Installed", "Collecting", "Installing", "Building")


class Problem(Exception):
    """Something the person can fix; the message is one line that says how."""


class Failed(Problem):
    """A step of the set-up failed."""

    def __init__(self, said: str) -> None:
        found = (remedy for remedy, words in REMEDIES.items() if re.search(words, said, re.I))
        super().__init__(next(found, f"The installation failed; {VENV / 'install.log'} has the whole story."))
        self.said = said


def say(text: str) -> None:
    print(f"run.py: {text}", file=sys.stderr, flush=True)


def program(name: str) -> str:
    """The path of one of the environment's programs."""
    return str(VENV / PROGRAMS / (f"{name}.exe" if os.name == "nt" else name))


def succeeds(*command: str) -> bool:
    try:
        return not subprocess.call(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except OSError:
        return False


def find_uv() -> str:
    """The uv on the PATH or in the environment; nothing if there is none that works."""
    places = (shutil.which("uv"), program("uv"))
    return next((place for place in places if place and succeeds(place, "--version")), "")


def made_from() -> str:
    """What the environment is made from, as a hash. When it changes, so must the environment."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8")).get("project", {})
    parts = [json.dumps([project.get(key) for key in ("name", "dependencies", "optional-dependencies")])]
    parts += [(ROOT / name).read_text("utf-8") for name in ("requirements.txt", "constraints.txt")]
    parts += [sys.version, str(ROOT)]  # an environment doesn't survive being moved
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def read_stamp() -> dict[str, Any]:
    """What `run.py` wrote into the environment; one without it was made by hand."""
    try:
        return dict(json.loads((VENV / "workbook.json").read_text("utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return {"by_hand": VENV.is_dir() and any(VENV.iterdir())}
    except ValueError:  # killed while writing
        return {}


def write_stamp(**stamp: Any) -> None:
    (VENV / "workbook.json").write_text(json.dumps(stamp, indent=1) + "\n", "utf-8")


@contextmanager
def alone() -> Iterator[None]:
    """Wait while another `run.py` makes the environment. SQLite's lock works everywhere and dies with us."""
    lock = sqlite3.connect(ROOT / ".venv.lock", timeout=0.5, isolation_level=None)
    told = False
    while True:
        try:
            lock.execute("BEGIN EXCLUSIVE")
            break
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise OSError(0, str(error), str(ROOT / ".venv.lock")) from None
            if not told:
                say("another run.py is making the environment: waiting for it")
                told = True
    try:
        yield
    finally:
        lock.close()


def step(title: str, *command: str) -> None:
    """Run one step of the set-up: all that it says goes to the log, the main lines to the terminal too."""
    say(f"{title} ...")
    began = time.monotonic()
    said = []
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            said.append(line)
            if line.startswith(WORTH_SEEING):
                print("    " + line.rstrip()[:100], file=sys.stderr, flush=True)
    with (VENV / "install.log").open("a", encoding="utf-8") as log:
        log.writelines(said)
    if process.returncode:
        raise Failed("".join(said))
    say(f"{title}: done in {time.monotonic() - began:.1f} s")


def to_make(stamp: dict[str, Any], extra: str, newest: bool | None) -> str:
    """What the environment lacks: "all", some "packages", or nothing."""
    if stamp.get("made_from") != made_from() or not Path(program("python")).exists():
        return "all"
    if newest is False and stamp["newest"]:
        return "all"
    return "packages" if newest or not {extra} <= {"", *stamp["extras"]} else ""


def prepare(extra: str = "", newest: bool | None = None) -> None:
    """Make the environment, if need be: the newest versions (True), the exact ones (False), or either."""
    try:
        if to_make(read_stamp(), extra, newest):
            with alone():
                make_environment(read_stamp(), extra, newest)
        elif read_stamp()["newest"]:
            say("these are the newest versions; `run.py setup` returns to those of constraints.txt")
    except OSError as error:
        raise Problem(
            f"Can't write {error.filename or ROOT} ({error.strerror}): "
            "remove what is in the way, or move the workbook to a folder that you may write to."
        ) from error


def make_environment(stamp: dict[str, Any], extra: str, newest: bool | None) -> None:
    """Make or complete the environment. The stamp says what it is made from only after the last step."""
    what = to_make(stamp, extra, newest)
    if not what:  # another run.py made it while this one waited
        return
    by_hand = stamp.get("by_hand", False)
    if by_hand:  # a person's own environment is added to, never deleted
        if not succeeds(program("python"), "-c", f"import sys; sys.exit(sys.version_info < {OLDEST})"):
            raise Problem(
                "run.py didn't make the .venv that is here, and it doesn't work: delete it yourself."
            )
        say("using the .venv that is there (run.py didn't make it)")
    elif what == "all":
        uv = shutil.which("uv") and find_uv()
        check_modules("venv", *([] if uv else ["ensurepip"]))
        if VENV.exists():
            why = "out of date" if stamp.get("made_from") else "unfinished"
            say(f"the environment is {why}: making it again")
            shutil.rmtree(VENV)
        VENV.mkdir()
        write_stamp()
        step("making .venv", sys.executable, "-m", "venv", *(["--without-pip"] if uv else []), str(VENV))
    had = stamp if what == "packages" else {}
    newest = had.get("newest", False) if newest is None else newest
    extras = sorted({extra, *had.get("extras", [])} - {""})
    write_stamp(by_hand=by_hand)
    install(["-r", "requirements.txt", *(["-e", f".[{','.join(extras)}]"] if extras else [])], newest)
    write_stamp(made_from=made_from(), extras=extras, newest=newest, by_hand=by_hand)


def check_modules(*names: str) -> None:
    """Raise `Problem` when this Python can't make virtual environments."""
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError:
            remedy = "install Python from https://www.python.org/downloads/"
            if shutil.which("apt-get"):
                package = "python{}.{}-venv".format(*sys.version_info[:2])
                remedy = f"run `sudo apt-get install {package}`, then this again"
            raise Problem(f"This Python has no module {name!r}: {remedy}.") from None


def install(wanted: list[str], newest: bool) -> None:
    """Install with uv, which takes seconds; where it can't be had, with pip."""
    python = program("python")
    pip = [python, "-m", "pip", "install", "--progress-bar", "off"]
    uv = find_uv()
    if not uv:
        try:
            step("getting uv, which is quick", *pip, "--only-binary=:all:", "uv", "-c", "constraints.txt")
            uv = find_uv()
        except Failed:
            say("uv isn't available here: pip installs, which takes a minute or two")
    if uv:
        try:  # with pip, for a reader's `%pip install`
            command = [uv, "pip", "install", "--python", python, *(["--upgrade"] if newest else [])]
            install_with("installing the packages", command, ["pip", *wanted], newest)
            return
        except Failed as failure:
            has_pip = succeeds(python, "-m", "pip", "--version") or succeeds(python, "-m", "ensurepip")
            if str(failure) not in (UNREACHABLE, UNTRUSTED) or not has_pip:
                raise
            say("uv can't reach the package index; pip may have settings of its own for it")
    upgrade = ["--upgrade", "--upgrade-strategy", "eager"] if newest else []
    install_with("installing the packages with pip", [*pip, *upgrade], wanted, newest)


def install_with(title: str, command: list[str], wanted: list[str], newest: bool) -> None:
    """Install the exact versions; where one isn't available on this Python or system, the newest."""
    pins = [] if newest else (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    chosen = VENV / "constraints.txt"
    while True:
        chosen.write_text("\n".join(pins) + "\n", "utf-8")
        try:
            step(title, *command, *wanted, *(["-c", str(chosen)] if pins else []))
            return
        except Failed as failure:
            found = UNAVAILABLE.findall(failure.said)
            lost = {name.lower().replace("_", "-") for names in found for name in names}
            gone = [pin for pin in pins if pin.partition("==")[0] in lost]
            if not gone:
                raise
            say(f"not available here: {', '.join(pin.split()[0] for pin in gone)}; trying the newest")
            pins = [pin for pin in pins if pin not in gone]
            if "uild" in failure.said:  # the newest that need not be built here
                command = [*command, *(f"--only-binary={pin.partition('==')[0]}" for pin in gone)]


def run(command: list[str]) -> int:
    """Run a command in the foreground, as if the environment were active, and return its exit code.

    Ctrl-C reaches the command itself, which decides what to do; a request to end is passed on to it.
    """
    path = os.pathsep.join([str(VENV / PROGRAMS), os.environ.get("PATH", os.defpath)])
    listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    direct = listed if listed == "*" else f"127.0.0.1,localhost,{listed}"  # what chapters print goes there
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PATH": path, "no_proxy": direct})
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    while True:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            continue
        return 128 - code if code < 0 else code


def command_line(command: str, arguments: list[str]) -> list[str]:
    """What a command comes to, in the environment."""
    python = program("python")
    if command == "lab":
        options = [f"--ServerApp.root_dir={ROOT}", "--KernelManager.transport_encryption=auto"]  # no warning
        options.append("--LabApp.default_url=/lab/tree/my_notebooks/00_start_here.ipynb")
        if sys.platform != "win32" and os.geteuid() == 0:
            options.append("--allow-root")  # in a container; JupyterLab refuses otherwise
        return [python, "-m", "jupyterlab", *options, *arguments]
    command = "read_slowly" if command == "test" and "--pause" in arguments else command
    if command == "test":
        spread = [] if any("no:xdist" in argument for argument in arguments) else ["-n", "auto"]
        return [python, "-m", "pytest", "--nbval", *spread, *arguments]
    if command == "bench":
        return [python, "-m", "benchmarks", *arguments]
    if command == "reset":
        return command_line("working_copy", ["reset", *arguments])
    if command == "app":
        return [python, "-m", f"apps.{arguments[0]}", *arguments[1:]]
    return [python, str(ROOT / "tools" / f"{command}.py"), *arguments]


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE)
        return 0
    command, *rest = arguments
    if command in ON_THEIR_OWN:
        return run([sys.executable, str(ROOT / ON_THEIR_OWN[command]), *rest])
    if command not in EXTRAS:
        print(f"run.py: there is no command {command!r}\n\n{USAGE}", file=sys.stderr)
        return 2
    if command == "app":
        apps = sorted(path.parent.name for path in (ROOT / "apps").glob("*/__main__.py"))
        if not rest or rest[0] not in apps:
            say(f"which app? `run.py app NAME [--port N]`, and NAME is one of: {', '.join(apps)}")
            return 2
    newest = True if "--newest" in rest else False if command == "setup" else None
    if command == "test":  # it starts hundreds of Pythons, which would all compile the packages again
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    nightly = command == "test" and "--nightly" in rest
    if nightly:
        os.environ["WORKBOOK_NIGHTLY"] = "1"
    rest = [argument for argument in rest if argument not in ("--newest", "--nightly")]
    try:
        prepare(EXTRAS[command], newest)
    except Problem as problem:
        if isinstance(problem, Failed):
            print("".join(f"    {line}\n" for line in problem.said.splitlines()[-12:]), file=sys.stderr)
        say(str(problem))
        return 1
    except KeyboardInterrupt:
        print("\nrun.py: stopped; the next call makes the environment again.", file=sys.stderr)
        return 130
    code = run(command_line("working_copy", [])) if command == "lab" else 0
    code = code or (0 if command == "setup" else run(command_line(command, rest)))
    if nightly and not rest:
        code = run(command_line("nightly", [])) or code
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
