"""The widgets' JavaScript."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent


def script(name: str) -> str:
    """A widget's module for the page: what all of them share, then its own; anywidget takes one text.

    Source: https://anywidget.dev/en/afm/

    Args:
        name: the file's name, such as `"panel.js"`.
    """
    return (_HERE / "shared.js").read_text("utf-8") + (_HERE / name).read_text("utf-8")
