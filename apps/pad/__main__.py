"""Serve pads from a terminal: `python -m apps.pad --port 8000 --file pad.sqlite`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sqlite3

from apps.pad.server import PadServer


async def run(file: str, port: int) -> None:
    """Serve on this machine until a signal comes."""
    await PadServer(file).run("127.0.0.1", port)


def main() -> None:
    """Read the command line, and serve."""
    parser = argparse.ArgumentParser("python -m apps.pad", description="Pads: texts to edit together.")
    parser.add_argument("--port", type=int, default=8000, help="0 chooses a free one (default: %(default)s)")
    parser.add_argument("--file", default=":memory:", help="where the texts are kept; by default nowhere")
    given = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    try:
        asyncio.run(run(given.file, given.port))
    except (OSError, OverflowError, sqlite3.Error) as error:  # the port is taken, the folder isn't there …
        parser.exit(1, f"can't serve pads: {error}\n")


if __name__ == "__main__":
    main()
