"""Read the notebooks as a person does, with a pause before every code cell, and compare what they print.

`run.py test --nightly` does it with 45 s, in which a connection that nobody looks after is pinged and
dropped. `run.py test --pause 10` and `run.py test --pause 45 02` do it in between. All chapters are read
side by side, each in its own kernel: most of the time they only wait.
"""

from __future__ import annotations

import argparse
import asyncio
import difflib
import json
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from find import find_chapters
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from record import Replacements, compared, merge_streams, new_client, replacements, without_widget_ids

ROOT = Path(__file__).resolve().parent.parent
PAUSE = 45.0
"""Seconds before each cell: more than the 20 s until a ping and the 20 s until its answer is missed."""

COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def differences(recorded: Any, cell: Any, sanitize: Replacements) -> str:
    """How what a cell shows differs from what was recorded; nothing where nbval would call it equal."""
    if recorded.execution_count is None or "nbval-ignore-output" in cell.metadata.get("tags", ()):
        return ""
    for output in recorded.outputs:
        if output["output_type"] == "execute_result":
            output["execution_count"] = cell.execution_count
    shown = without_widget_ids(merge_streams(cell.outputs))
    if compared(recorded.outputs, sanitize) == compared(shown, sanitize):
        return ""
    before, after = (json.dumps(outputs, indent=1).splitlines() for outputs in (recorded.outputs, shown))
    return "\n".join(difflib.unified_diff(before, after, "recorded", "now", lineterm="", n=1))


async def said_meanwhile(client: NotebookClient) -> str:
    """What was printed while no cell was running."""
    said = ""
    channel: Any = client.kc.iopub_channel  # type: ignore[union-attr]
    while await channel.msg_ready():
        message = await channel.get_msg(timeout=1)
        if message["msg_type"] in ("stream", "error"):
            said += message["content"].get("text") or "\n".join(message["content"]["traceback"])
    return said


async def read(path: Path, pause: float, sanitize: Replacements) -> list[str]:
    """Read one notebook in a fresh kernel, to its end, whatever happens.

    Args:
        path: the notebook; it isn't changed.
        pause: seconds before each code cell.
        sanitize: what differs from run to run.

    Returns:
        What went wrong, one report for each cell that raised, showed something else than before, or before
        which something was printed in the background.
    """
    recorded, notebook = (nbformat.read(path, as_version=4) for _ in range(2))
    client = new_client(notebook, path.parent)
    wrong: list[str] = []
    async with client.async_setup_kernel():
        for number, cell in enumerate(notebook.cells):
            if cell.cell_type != "code":
                continue
            await asyncio.sleep(pause)
            problem = await said_meanwhile(client)
            try:
                await client.async_execute_cell(cell, number)
                problem += differences(recorded.cells[number], cell, sanitize)
            except CellExecutionError as error:
                problem += error.traceback
            except (CellTimeoutError, DeadKernelError) as error:
                return [*wrong, f"{path.name}, cell {number}:\n{error}"]
            if problem:
                wrong.append(f"{path.name}, cell {number}:\n{COLOURS.sub('', problem)}")
                print(wrong[-1], flush=True)
    print(f"{path.name}: {'FAILED' if wrong else 'read'}", flush=True)
    return wrong


async def read_all(paths: list[Path], pause: float) -> list[str]:
    """Read notebooks side by side. They begin in turn, so that they don't all measure at once."""
    sanitize = replacements(ROOT / "nbval_sanitize.cfg")

    async def later(path: Path, seconds: float) -> list[str]:
        await asyncio.sleep(seconds)
        return await read(path, pause, sanitize)

    each = pause / len(paths)
    results = await asyncio.gather(*(later(path, each * turn) for turn, path in enumerate(paths)))
    return [problem for wrong in results for problem in wrong]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="run.py test", description=__doc__.splitlines()[0])
    parser.add_argument("--pause", type=float, default=PAUSE, metavar="SECONDS", help="before each code cell")
    parser.add_argument("chapters", nargs="*", help="such as 02; all, without any")
    chosen = parser.parse_args(arguments)
    try:
        paths = find_chapters(chosen.chapters, ROOT / "notebooks")
    except ValueError as error:
        parser.error(str(error))
    print(f"\n=== {len(paths)} chapters, read with {chosen.pause:g} s before each cell ===", flush=True)
    wrong = asyncio.run(read_all(paths, chosen.pause))
    print(f"read slowly: {f'{len(wrong)} cells went wrong' if wrong else 'all is well'}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
