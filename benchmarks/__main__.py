"""`python3 run.py bench [NAME…] [--rounds N]`: ratios, each pair measured in turn in one run."""

from __future__ import annotations

import argparse
import importlib

BENCHMARKS = [
    "imports",
    "echo",
    "flood",
    "timeline",
    "room",
    "mute",
    "hostile",
    "prices",
    "sensors",
    "pad",
    "game",
    "video",
    "bus",
    "setup",
]
ROUNDS = {"setup": 1, "hostile": 1, "bus": 1}  # they take minutes


def main() -> None:
    """Run the named benchmarks, or all, and print a line for each figure with its goal."""
    parser = argparse.ArgumentParser(prog="run.py bench", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all by default"
    )
    parser.add_argument("--rounds", type=int, help="how often each is measured (5; setup, hostile, bus: 1)")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(BENCHMARKS):
        parser.error(f"there is no {min(unknown)!r}: choose from {', '.join(BENCHMARKS)}")
    if chosen.rounds is not None and chosen.rounds < 1:
        parser.error(f"--rounds must be 1 or more, not {chosen.rounds}")
    for name in chosen.names or BENCHMARKS:
        for line in importlib.import_module(f"benchmarks.{name}").run(chosen.rounds or ROUNDS.get(name, 5)):
            print(line, flush=True)


if __name__ == "__main__":
    main()
