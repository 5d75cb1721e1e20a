"""Every notebook of the book runs from its first cell to its last in JupyterLab, in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from conftest import NOTEBOOKS

if TYPE_CHECKING:
    from notebook_page import NotebookPage

NAMES = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))


def test_there_are_notebooks() -> None:
    assert NAMES, f"no notebook in {NOTEBOOKS}"


@pytest.mark.parametrize("name", NAMES)
def test_run_all(name: str, page: NotebookPage) -> None:
    page.open(name)
    page.run_all()
    page.wait_for_idle()
