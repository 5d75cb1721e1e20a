"""The widgets' scripts and style sheets, as they are joined for the page."""

from __future__ import annotations

import collections
import json
import re
from pathlib import Path
from typing import Any

import anywidget
import pytest
from shared import echo

from helpers.background.server import BackgroundServer
from helpers.background.tap import tapped
from helpers.widgets import scripts
from helpers.widgets.app_page import AppPage
from helpers.widgets.panel import ClientPanel
from helpers.widgets.race import Race
from helpers.widgets.timeline import WireTimeline

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


# What kernel and page say to each other: in the Python file, in the script and in protocol.md.
PROTOCOL = (FOLDER / "protocol.md").read_text("utf-8")
IN_PYTHON = {
    "panel": ["widgets/panel.py"],
    "race": ["widgets/race.py"],
    "timeline": ["widgets/timeline.py", "widgets/timeline_rows.py"],
    "app_page": ["widgets/app_page.py"],
}
SILENT = {"race": {"start"}, "app_page": {"look"}, "panel": {"look", "here"}, "timeline": {"page"}}
"""Messages that the kernel takes without looking at their name: they are the only ones, or the last."""


def chapters(widget: str) -> str:
    """The chapters of the protocol about a widget's script."""
    return "".join(part for part in PROTOCOL.split("\n## ") if f"`{widget}.js`" in part)


@pytest.mark.parametrize("widget", IN_PYTHON)
def test_messages_are_written_down(widget: str) -> None:
    script = scripts.script(f"{widget}.js")
    python = "".join((FOLDER.parent / path).read_text("utf-8") for path in IN_PYTHON[widget])
    to_kernel = set(re.findall(r'\{ do: "(\w+)"', script))
    from_kernel = set(re.findall(r'content\.do [!=]== "(\w+)"', script))
    taken = set(re.findall(r'content\["do"\] == "(\w+)"', python))
    sent = set(re.findall(r'\{"do": "(\w+)"', python))
    assert set(re.findall(r'do: "(\w+)"', chapters(widget))) == to_kernel | from_kernel
    assert taken | SILENT[widget] == to_kernel
    assert sent == from_kernel


def shown_by(widget: anywidget.AnyWidget) -> dict[str, Any]:
    view = widget._view
    return json.loads(view) if isinstance(view, str) else dict(view)


def test_views_are_written_down() -> None:
    with BackgroundServer(echo) as server, tapped(server) as tap:
        panel = ClientPanel("Ann", server.url)
        panel._changed()
        widgets = {
            "panel": panel,
            "race": Race(1),
            "timeline": WireTimeline(tap),
            "app_page": AppPage(server),
        }
        for name, widget in widgets.items():
            described = chapters(name)
            for key in shown_by(widget):
                assert f"`{key}`" in described, (name, key)
            widget.close()
