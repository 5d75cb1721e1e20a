"""The widgets' scripts and style sheets, as they are joined for the page."""

from __future__ import annotations

import collections
import re
from pathlib import Path

import pytest

from helpers.widgets import scripts

FOLDER = Path(scripts.__file__).parent
WIDGETS = sorted(path.name for path in FOLDER.glob("*.js") if "export default" in path.read_text("utf-8"))


@pytest.mark.parametrize("name", WIDGETS)
def test_a_script_is_one_module(name: str) -> None:
    joined = scripts.script(name)
    assert not re.search(r"^import ", joined, re.MULTILINE)
    assert re.findall(r"^export .*", joined, re.MULTILINE) in (
        ["export default {"],
        ["export default () => {"],
        ["export default () => ({"],
    )
    declared = re.findall(r"^(?:const|let|function|class) (\w+)", joined, re.MULTILINE)
    assert [name for name, count in collections.Counter(declared).items() if count > 1] == []


def test_every_file_is_part_of_a_widget() -> None:
    joined = "".join(map(scripts.script, WIDGETS))
    for path in FOLDER.glob("*.js"):
        first_line = path.read_text("utf-8").partition("\n")[0]
        assert first_line.startswith("// ")
        assert first_line in joined


def test_the_palette_is_in_one_place() -> None:
    for path in FOLDER.glob("*.css"):
        if path.name != "shared.css":
            assert scripts.style(path.name).startswith((FOLDER / "shared.css").read_text("utf-8"))
            assert not re.search(
                r"--(ground|well|ink|faint|line|accent|good|bad|busy|mono):", path.read_text("utf-8")
            )
