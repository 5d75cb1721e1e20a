"""Source that is shown in a cell stands so in its file."""

from __future__ import annotations

import inspect
import sys
import textwrap
from pathlib import Path

import pytest

from helpers import BackgroundServer, Source
from helpers.background import journal


def test_a_function_a_method_and_a_class_with_their_decorators() -> None:
    shown = Source("helpers.background.journal:LogEntry", "helpers.background.lifetime:Background.start")
    entry, start = shown.text.split("\n\n\n")
    assert entry == inspect.getsource(journal.LogEntry).strip("\n")
    assert entry.startswith("@dataclass")
    assert start == textwrap.dedent(inspect.getsource(BackgroundServer.start)).strip("\n")
    assert repr(shown) == shown.text
    assert shown._repr_markdown_() == f"```python\n{shown.text}\n```"


def test_a_module_and_a_file_beside_one() -> None:
    assert Source("helpers.figures.source").text == inspect.getsource(sys.modules[Source.__module__]).strip(
        "\n"
    )
    assert Source("helpers.widgets:panel.css")._repr_markdown_().startswith("```css\n")


def test_nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "explosive.py").write_text(
        'def fuse():\n    return "short"\n\n\nraise RuntimeError("boom")\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert Source("explosive:fuse").text == 'def fuse():\n    return "short"'


@pytest.mark.parametrize(
    "place", ["nowhere", "helpers.figures.source:nothing", "helpers.figures.source:Source.nothing"]
)
def test_what_is_not_there(place: str) -> None:
    with pytest.raises(LookupError, match=place):
        Source(place)
