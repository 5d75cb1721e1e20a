"""Which chapters the words of a command line mean."""

from __future__ import annotations

from pathlib import Path


def find_chapters(names: list[str], folder: Path) -> list[Path]:
    """Return the notebooks that the names mean: `03`, `03_run_a_server`, or a path. All, without names.

    Raises:
        ValueError: a name fits no notebook, or there are none at all.
    """
    every = sorted(folder.glob("*.ipynb"))
    if not every:
        raise ValueError(f"there are no notebooks in {folder}")
    chosen = []
    for name in names:
        stem = Path(name).name.removesuffix(".ipynb")
        fitting = [path for path in every if path.stem == stem or path.stem.startswith(f"{stem}_")]
        if not fitting:
            raise ValueError(f"no notebook is called {name!r} in {folder}")
        chosen += fitting
    return chosen or every
