"""Serve the news from a terminal: `python -m apps.news --port 8000`."""

from __future__ import annotations

import argparse
import asyncio

from apps.news.server import serve


def main() -> None:
    """Serve on this machine until Ctrl+C or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m apps.news", description="News over HTTP and WebSocket.")
    parser.add_argument("--port", type=int, default=8000, help="0 chooses a free one (default: 8000)")
    given = parser.parse_args()
    try:
        asyncio.run(serve("127.0.0.1", given.port))
    except (OSError, OverflowError) as error:  # the port is taken
        parser.exit(1, f"can't serve: {error}\n")


if __name__ == "__main__":
    main()
