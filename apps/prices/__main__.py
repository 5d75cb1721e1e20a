"""Serve live prices from a terminal: `python -m apps.prices --port 8000 --rate 200`."""

from __future__ import annotations

import argparse
import asyncio

from apps.options import between
from apps.prices.feed import Market
from apps.prices.server import PriceServer


def main() -> None:
    """Serve on this machine until Ctrl+C or SIGTERM."""
    parser = argparse.ArgumentParser("python -m apps.prices", description="Live prices and a page for them.")
    parser.add_argument("--port", type=int, default=8000, help="0 chooses a free one (default: %(default)s)")
    parser.add_argument(
        "--rate",
        type=between(0.001, 100_000.0),
        default=200,
        help="changes per second (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=1, help="same seed, same prices (default: %(default)s)")
    given = parser.parse_args()
    try:
        asyncio.run(PriceServer(Market(given.seed), rate=given.rate).run("127.0.0.1", given.port))
    except (OSError, OverflowError) as error:  # the port is taken
        parser.exit(1, f"can't serve: {error}\n")


if __name__ == "__main__":
    main()
