"""The reader's copy of the chapters, `my_notebooks/`: without outputs, and never overwritten.

`run.py lab` makes it and brings it up to date, `run.py reset 02` gives a chapter back as it was. Standard
library only, because Binder calls it, too. Run it with the Python of the kernel.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from find import find_chapters

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = ROOT / "notebooks"
COPY = ROOT / "my_notebooks"

# What JupyterLab writes into a notebook as soon as the kernel has said it. If it is there already, a chapter
# that was only opened has nothing to save. Source: `language_info` in ipykernel's ipkernel.py.
LANGUAGE = {
    "codemirror_mode": {"name": "ipython", "version": sys.version_info.major},
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": f"ipython{sys.version_info.major}",
    "version": sys.version.split()[0],
}


def without_outputs(notebook: dict[str, Any]) -> dict[str, Any]:
    """Return a chapter as a reader should open it: nothing has run yet, and opening it changes nothing."""
    cells = [
        {**cell, "outputs": [], "execution_count": None} if cell["cell_type"] == "code" else cell
        for cell in notebook["cells"]
    ]
    return {**notebook, "cells": cells, "metadata": {**notebook["metadata"], "language_info": LANGUAGE}}


def fingerprint(notebook: dict[str, Any]) -> str:
    """Return a hash of what somebody has written or run; folding a cell doesn't change it."""
    content = [
        [cell["cell_type"], "".join(cell["source"]), bool(cell.get("outputs") or cell.get("execution_count"))]
        for cell in notebook["cells"]
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def as_text(notebook: dict[str, Any]) -> str:
    """Return a notebook in the layout that JupyterLab saves it in."""
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


class WorkingCopy:
    """A folder with the reader's chapters.

    It keeps the fingerprint of everything that it has written. So it knows which chapters the reader has left
    alone, and which version they have been given already.

    Args:
        chapters: the folder with the chapters as they are in the workbook.
        folder: where the copy is, or will be.
    """

    def __init__(self, chapters: Path, folder: Path) -> None:
        self._chapters = chapters
        self._folder = folder
        self._record = folder / ".written"
        self._written = set(self._record.read_text("utf-8").split()) if self._record.exists() else set()

    def update(self) -> list[str]:
        """Make the copy, or bring up to date what the reader has neither changed nor run.

        Returns:
            What there is to tell the reader, in lines.
        """
        said = []
        if not self._folder.exists():
            self._folder.mkdir(parents=True)
            said = [f"{self._folder.name}/ is your own copy of the chapters, without outputs"]
        for chapter in find_chapters([], self._chapters):
            fresh = without_outputs(json.loads(chapter.read_text("utf-8")))
            own = self._folder / chapter.name
            if self._is_untouched(own, fresh):
                self._write(own, fresh)
            elif fingerprint(fresh) not in self._written:
                new = self._free(own, "new", fresh)
                self._write(new, fresh)
                said.append(f"{own.name} has changed in the workbook: yours stays, {new.name} is the new one")
        return said

    def reset(self, names: list[str]) -> list[str]:
        """Give chapters back as they were; what the reader has written in them is kept in another file.

        Args:
            names: which chapters, as `find_chapters` takes them.

        Returns:
            What there is to tell the reader, in lines.

        Raises:
            ValueError: a name fits no chapter.
        """
        chapters = find_chapters(names, self._chapters)
        self._folder.mkdir(parents=True, exist_ok=True)
        said = []
        for chapter in chapters:
            fresh = without_outputs(json.loads(chapter.read_text("utf-8")))
            own = self._folder / chapter.name
            kept = ""
            if not self._is_untouched(own, fresh):
                mine = self._free(own, "mine", fresh)
                own.replace(mine)
                kept = f"; yours is now {mine.name}"
            self._write(own, fresh)
            new = own.with_suffix(".new.ipynb")
            if self._is_untouched(new, fresh):
                new.unlink(missing_ok=True)
            said.append(f"{own.name} is as it was{kept}. If it is open: File, Reload Notebook from Disk")
        return said

    def _is_untouched(self, path: Path, fresh: dict[str, Any]) -> bool:
        """Whether nothing would be lost if that file were written again."""
        if not path.exists():
            return True
        try:
            return fingerprint(json.loads(path.read_text("utf-8"))) in {*self._written, fingerprint(fresh)}
        except (ValueError, KeyError, TypeError):  # no notebook any more
            return False

    def _free(self, path: Path, word: str, fresh: dict[str, Any]) -> Path:
        """A file next to `path` in which nothing would be lost."""
        number = 1
        while True:
            free = path.with_suffix(f".{word}{'' if number == 1 else number}.ipynb")
            if self._is_untouched(free, fresh):
                return free
            number += 1

    def _write(self, path: Path, notebook: dict[str, Any]) -> None:
        if (new := fingerprint(notebook)) not in self._written:
            self._written.add(new)
            with self._record.open("a", encoding="utf-8") as record:
                record.write(new + "\n")
        text = as_text(notebook)
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8", newline="\n")


def main(arguments: list[str]) -> int:
    command, names = arguments[:1], arguments[1:]
    if command not in ([], ["reset"]) or (command and not names):
        print("usage: run.py reset 02, and 02 is the chapter's number", file=sys.stderr)
        return 2
    copy = WorkingCopy(CHAPTERS, COPY)
    try:
        said = copy.reset(names) if command else copy.update()
    except ValueError as error:
        print(f"reset: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{COPY.name}: can't write {error.filename} ({error.strerror})", file=sys.stderr)
        return 1
    print(*said, sep="\n", end="\n" if said else "", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
