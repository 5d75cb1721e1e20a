#!/usr/bin/env python3
"""Set the workbook up and run it: `python3 run.py --help` says how. Standard library only."""

import hashlib
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

OLDEST = (3, 11)

USAGE = """\
python3 run.py COMMAND [arguments that are passed on]

  lab      open JupyterLab at notebooks/00_start_here.ipynb    run.py lab --no-browser --port 8899
  test     run every notebook and every test with pytest       run.py test -k handshake
  bench    measure the workbook's own speed                    run.py bench
  record   run notebooks and write their outputs back          run.py record 00 04
  address  show or set the repository's public address         run.py address https://github.com/you/workbook
  setup    only make the environment                           run.py setup
  lock     refresh constraints.txt with the newest versions    run.py lock

The first command makes .venv and installs requirements.txt into it: a minute or two, once, and again when
the requirements change. You get the newest versions that requirements.txt allows; with the environment
variable CI set, the exact versions of constraints.txt, which are known to work together."""


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


from collections.abc import Iterator  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "workbook.json"
LOG = VENV / "install.log"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
START = "notebooks/00_start_here.ipynb"
EXTRAS = {"lab": "", "test": "test", "bench": "test", "record": "", "setup": ""}
SPINNER = "|/-\\"
ON_THEIR_OWN = {"address": "tools/address.py", "lock": "tools/lock.py"}

# What pip's log says -> what to do. The first that is found counts: without a network pip ends with
# "No matching distribution" too.
REMEDIES = [
    (
        (
            "Failed to establish a new connection",
            "NewConnectionError",
            "name resolution",
            "Network is unreachable",
        ),
        "The package index can't be reached: check the network (or your proxy), then run this again.",
    ),
    (
        ("ConnectTimeoutError", "ReadTimeoutError", "Read timed out", "Connection aborted", "ProxyError"),
        "The network broke off on the way: check it (or your proxy), then run this again.",
    ),
    (
        ("CERTIFICATE_VERIFY_FAILED", "SSLError"),
        "The package index's certificate isn't trusted: set PIP_CERT to your network's certificate file.",
    ),
    (("No space left on device",), "The disk is full: free about 1 GB, then run this again."),
    (
        ("Permission denied", "Read-only file system"),
        "A file can't be written: see the lines above for which one.",
    ),
    (
        ("ResolutionImpossible", "conflicting dependencies"),
        "The newest versions don't fit together: set the environment variable CI=1 and run this again.",
    ),
    (
        ("require a different python version",),
        "A package has no version for this Python: try another one (3.11 to 3.13).",
    ),
    (
        ("(from versions: none)",),  # all that pip says of a network that is down, with PIP_RETRIES=0
        "The package index can't be reached or lacks a package: check the network, then run this again.",
    ),
    (
        ("No matching distribution found", "Could not find a version"),
        "A package has no version for this Python and system: try another Python (3.11 to 3.13).",
    ),
]


class Problem(Exception):
    """Something the person can mend; the message is one line that says how."""


def check_venv_modules() -> None:
    """Raise `Problem` when this Python can't make virtual environments."""
    for name in ("venv", "ensurepip"):
        try:
            importlib.import_module(name)
        except ImportError:
            version = f"{sys.version_info.major}.{sys.version_info.minor}"
            remedy = "install Python from https://www.python.org/downloads/"
            if shutil.which("apt-get"):
                remedy = f"run `sudo apt-get install python{version}-venv`, then this again"
            raise Problem(f"This Python has no module {name!r}: {remedy}.") from None


def cannot_write(error: OSError) -> Problem:
    what = error.filename or ROOT
    return Problem(
        f"Can't write {what} ({error.strerror}): "
        "remove what is in the way, or move the workbook to a folder that you may write to."
    )


def wanted_environment(extra: str) -> dict[str, Any]:
    """What the environment must be made from: hashes, and the names of the extras."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8")).get("project", {})
    made_from = [
        (ROOT / "requirements.txt").read_text("utf-8"),
        json.dumps([project.get(key) for key in ("name", "dependencies", "optional-dependencies")]),
        sys.version,
        str(ROOT),  # an environment doesn't survive being moved
    ]
    constraints = (ROOT / "constraints.txt").read_text("utf-8") if os.environ.get("CI") else ""
    return {
        "state": "ready",
        "made_from": hashlib.sha256("\0".join(made_from).encode()).hexdigest(),
        "constraints": hashlib.sha256(constraints.encode()).hexdigest() if constraints else "",
        "extras": [extra] if extra else [],
    }


def read_stamp() -> dict[str, Any] | None:
    """What `run.py` wrote into the environment; None when it is not of its making."""
    try:
        stamp = json.loads(STAMP.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:  # killed while writing
        return {"state": "unfinished"}
    return stamp if isinstance(stamp, dict) else {"state": "unfinished"}


def fits(stamp: dict[str, Any] | None, wanted: dict[str, Any], *, but_extras: bool = False) -> bool:
    """Whether the environment serves; exact versions serve a person who didn't ask for them, too."""
    if stamp is None or stamp.get("state") != "ready" or stamp.get("made_from") != wanted["made_from"]:
        return False
    if wanted["constraints"] and stamp.get("constraints") != wanted["constraints"]:
        return False
    return PYTHON.exists() and (but_extras or set(wanted["extras"]) <= set(stamp.get("extras", [])))


def write_stamp(stamp: dict[str, Any]) -> None:
    STAMP.write_text(json.dumps(stamp, indent=1) + "\n", "utf-8")


@contextmanager
def alone() -> Iterator[None]:
    """Wait while another `run.py`, or a pip that outlived one, is at work on the environment."""
    with open(ROOT / ".venv.lock", "a+b") as file:
        os.set_inheritable(file.fileno(), True)
        told = False
        while not locked(file.fileno()):
            if not told:
                say("another run.py is making the environment: waiting for it")
                told = True
            time.sleep(0.2)
        yield


def locked(descriptor: int) -> bool:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, 0, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
    else:
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def say(text: str) -> None:
    print(f"run.py: {text}", file=sys.stderr, flush=True)


def step(title: str, command: list[str]) -> None:
    """Run one step of the set-up: its output goes to the log, its progress to the terminal."""
    began = time.monotonic()
    live = sys.stderr.isatty()
    if not live:
        say(f"{title} ...")
    with LOG.open("a", encoding="utf-8", errors="replace") as log:
        log.write(f"$ {' '.join(command)}\n")
        log.flush()
        start = log.tell()
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, close_fds=False
        )
        try:
            turn = 0
            while True:
                try:
                    process.wait(timeout=0.2)
                    break
                except subprocess.TimeoutExpired:
                    turn += 1
                    if live:
                        seconds = int(time.monotonic() - began)
                        sys.stderr.write(f"\rrun.py: {SPINNER[turn % 4]} {title} ... {seconds} s ")
                        sys.stderr.flush()
        except BaseException:
            process.kill()
            process.wait()
            raise
    if live:
        sys.stderr.write("\r\x1b[K" if os.name != "nt" else "\r")
    if process.returncode:
        said = LOG.read_bytes()[start:].decode("utf-8", "replace")
        print("\n".join("    " + line for line in said.splitlines()[-12:]), file=sys.stderr)
        raise Problem(what_to_do(said))
    say(f"{title}: done in {time.monotonic() - began:.0f} s")


def what_to_do(said: str) -> str:
    """The remedy for what pip said."""
    for signs, remedy in REMEDIES:
        if any(sign in said for sign in signs):
            return remedy
    return f"The installation failed; {LOG} has all that was said."


def prepare(extra: str) -> None:
    """Make the environment, unless the one that is there serves."""
    try:
        wanted = wanted_environment(extra)
        if not fits(read_stamp(), wanted):
            with alone():
                make_environment(wanted)
    except OSError as error:
        raise cannot_write(error) from error


def make_environment(wanted: dict[str, Any]) -> None:
    """Make or complete the environment. The stamp says "ready" only after the last step."""
    stamp = read_stamp()
    if fits(stamp, wanted):  # another run.py made it while this one waited
        return
    extras = set(wanted["extras"])
    by_hand = stamp.get("by_hand", False) if stamp else VENV.is_dir() and any(VENV.iterdir())
    if by_hand:  # a person's own environment is added to, never deleted
        if not works_here(PYTHON):
            raise Problem(
                ".venv is there, but run.py didn't make it and it doesn't work: delete it, run this again."
            )
        say("using the .venv that is there (run.py didn't make it)")
    elif fits(stamp, wanted, but_extras=True):
        extras.update(stamp["extras"] if stamp else [])
    else:
        check_venv_modules()
        if VENV.exists():
            why = "out of date" if stamp and stamp["state"] == "ready" else "unfinished"
            say(f"the environment is {why}: making it anew")
            shutil.rmtree(VENV)
        VENV.mkdir()
        write_stamp({"state": "unfinished"})
        step("making .venv", [sys.executable, "-m", "venv", str(VENV)])
    if not by_hand:
        write_stamp({"state": "unfinished"})
    install = [
        str(PYTHON),
        "-m",
        "pip",
        "install",
        "--no-input",
        "--progress-bar",
        "off",
        "-r",
        "requirements.txt",
    ]
    if extras:
        install += ["-e", f".[{','.join(sorted(extras))}]"]
    if wanted["constraints"]:
        install += ["-c", "constraints.txt"]
    step("installing the packages (a minute or two)", install)
    write_stamp({**wanted, "extras": sorted(extras), "by_hand": by_hand})


def works_here(python: Path) -> bool:
    check = f"import sys, pip; sys.exit(sys.version_info < {OLDEST})"
    return python.exists() and not subprocess.call([str(python), "-c", check], stderr=subprocess.DEVNULL)


def run(command: list[str]) -> int:
    """Run a command in the foreground and return its exit code.

    Ctrl-C reaches the command itself, which decides what to do; a request to end is passed on to it.
    """
    process = subprocess.Popen(command, cwd=ROOT)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    while True:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            continue
        return 128 - code if code < 0 else code


def command_line(command: str, arguments: list[str]) -> list[str]:
    """What a command comes to, in the environment."""
    python = str(PYTHON)
    if command == "lab":
        options = [
            f"--ServerApp.root_dir={ROOT}",
            f"--LabApp.default_url=/lab/tree/{START}",
            "--KernelManager.transport_encryption=auto",  # or ipykernel warns at every start
        ]
        if sys.platform != "win32" and os.geteuid() == 0:
            options.append("--allow-root")  # in a container; JupyterLab refuses otherwise
        return [python, "-m", "jupyterlab", *options, *arguments]
    if command == "test":
        spread = [] if any("no:xdist" in argument for argument in arguments) else ["-n", "auto"]
        return [python, "-m", "pytest", "--nbval", *spread, *arguments]
    if command == "bench":
        return [python, "-m", "benchmarks", *arguments]
    return [python, str(ROOT / "tools" / "record.py"), *arguments]


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
    try:
        prepare(EXTRAS[command])
    except Problem as problem:
        print(f"run.py: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nrun.py: stopped; the next call makes the environment anew.", file=sys.stderr)
        return 130
    return 0 if command == "setup" else run(command_line(command, rest))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
