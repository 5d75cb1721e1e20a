"""Run notebooks in a fresh kernel and write them back with their outputs, small and without noise.

Usage: `run.py record` for all notebooks, `run.py record 00 04_talk_both_ways` for some.
"""

from __future__ import annotations

import configparser
import json
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from find import find_chapters
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from traitlets.config import Config

ROOT = Path(__file__).resolve().parent.parent
CELL_TIMEOUT = 60  # seconds, as in the tests
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
PICTURES = ("image/png", "image/jpeg")

Replacements = list[tuple[re.Pattern[str], str]]


def replacements(path: Path) -> Replacements:
    """Read what nbval leaves out of its comparison (`--nbval-sanitize-with`)."""
    config = configparser.RawConfigParser(strict=False)
    config.read(path, encoding="utf-8")
    return [(re.compile(config[name]["regex"]), config[name]["replace"]) for name in config.sections()]


def merge_streams(outputs: list[Any]) -> list[Any]:
    """Join neighbouring pieces of the same stream: where they were cut is chance."""
    merged: list[Any] = []
    for output in outputs:
        last = merged[-1] if merged else None
        if (
            last is not None
            and output["output_type"] == last["output_type"] == "stream"
            and output["name"] == last["name"]
        ):
            last["text"] += output["text"]
        else:
            merged.append(output)
    return merged


def without_widget_ids(outputs: list[Any]) -> list[Any]:
    """Leave a widget's text; its view is useless without the kernel that drew it."""
    for output in outputs:
        data = output.get("data", {})
        if "text/plain" in data:
            data.pop(WIDGET_VIEW, None)
    return outputs


def without_sound(outputs: list[Any]) -> list[Any]:
    """Leave the text of a player: its sound would be far larger than the chapter."""
    for output in outputs:
        data = output.get("data", {})
        if "data:audio/" in data.get("text/html", ""):
            del data["text/html"]
    return outputs


def compared(outputs: list[Any], sanitize: Replacements) -> str:
    """Return what nbval compares of these outputs; it doesn't look at pictures."""
    kept = [dict(output) for output in outputs]
    for output in kept:
        if "data" in output:
            output["data"] = {kind: data for kind, data in output["data"].items() if kind not in PICTURES}
    text = json.dumps(kept, sort_keys=True)
    for pattern, replacement in sanitize:
        text = pattern.sub(replacement, text)
    return text


def tidy(notebook: Any, before: Any, sanitize: Replacements) -> None:
    """Remove from an executed notebook what differs from run to run.

    An output that nbval would call equal to the one recorded before is left as it was, so that recording
    again changes no line without a reason.
    """
    notebook.metadata = nbformat.from_dict(
        {
            **{key: value for key, value in notebook.metadata.items() if key != "widgets"},
            "kernelspec": KERNELSPEC,
            "language_info": {"name": "python"},
        }
    )
    earlier = {cell.get("id"): cell for cell in before.cells if cell.cell_type == "code"}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        cell.metadata.pop("execution", None)
        cell.outputs = without_sound(without_widget_ids(merge_streams(cell.outputs)))
        old = earlier[cell.id]
        if old.execution_count is None:
            continue
        for output in old.outputs:
            if output["output_type"] == "execute_result":
                output["execution_count"] = cell.execution_count
        if compared(old.outputs, sanitize) == compared(cell.outputs, sanitize):
            cell.outputs = old.outputs


def new_client(notebook: Any, folder: Path) -> NotebookClient:
    """What runs a notebook in a kernel that works in a folder."""
    return NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name=KERNELSPEC["name"],
        resources={"metadata": {"path": str(folder)}},
        store_widget_state=False,
        record_timing=False,
        config=Config({"KernelManager": {"transport_encryption": "auto"}}),  # or ipykernel warns
    )


def record(path: Path, sanitize: Replacements) -> bool:
    """Execute one notebook and write it back.

    Returns:
        Whether the file changed.

    Raises:
        CellExecutionError: a cell raised. The file is left as it was.
        CellTimeoutError: a cell took longer than a minute. The file is left as it was.
    """
    text = path.read_text("utf-8")
    notebook = nbformat.reads(text, as_version=4)
    before = nbformat.reads(text, as_version=4)
    client = new_client(notebook, path.parent)
    client.execute()
    tidy(notebook, before, sanitize)
    nbformat.validate(notebook)
    new: str = nbformat.writes(notebook) + "\n"
    path.write_text(new, "utf-8", newline="\n")
    return new != text


def main(arguments: list[str]) -> int:
    try:
        paths = find_chapters(arguments, ROOT / "notebooks")
    except ValueError as error:
        print(f"record: {error}", file=sys.stderr)
        return 1
    sanitize = replacements(ROOT / "nbval_sanitize.cfg")
    failed = 0
    for path in paths:
        try:
            changed = record(path, sanitize)
        except (CellExecutionError, CellTimeoutError) as error:
            failed += 1
            print(f"{path.name}: FAILED, left as it was\n{error}", file=sys.stderr)
        else:
            print(f"{path.name}: {'recorded' if changed else 'recorded, nothing changed'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
