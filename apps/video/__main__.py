"""Serve the film from a terminal: `python -m apps.video --port 8000 --rate 30`."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from apps.options import between
from apps.video.server import VideoServer


def folder(text: str) -> Path:
    """A folder that is there."""
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {text}")
    return Path(text)


async def run(port: int, rate: float, folder: Path | None) -> None:
    """Serve on this machine, until a signal comes."""
    await VideoServer(rate=rate, folder=folder).run("127.0.0.1", port)


def main() -> None:
    """Serve on this machine until Ctrl+C or SIGTERM."""
    parser = argparse.ArgumentParser("python -m apps.video", description="A film, drawn while you watch.")
    parser.add_argument("--port", type=int, default=8000, help="0 chooses a free one (default: %(default)s)")
    parser.add_argument(
        "--rate", type=between(1.0, 60.0), default=30, help="pictures per second (default: %(default)s)"
    )
    parser.add_argument("--folder", type=folder, help="where uploads are kept; by default away at the end")
    given = parser.parse_args()
    try:
        asyncio.run(run(given.port, given.rate, given.folder))
    except (OSError, OverflowError) as error:  # the port is taken
        parser.exit(1, f"can't serve: {error}\n")


if __name__ == "__main__":
    main()
