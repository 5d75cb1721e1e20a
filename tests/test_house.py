"""The house's rules: what a room may import, how long a file may be, what a public name and a chapter need.

Every rule is a function of a folder, so that each is also seen to fail, in a small house that breaks it.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import rooms
from rooms import imports, room_of

ROOT = Path(__file__).resolve().parents[1]

FLOORS = {
    "readers_code": 0,
    "arguments": 0,
    "sockets": 0,
    "environment": 0,
    "interrupts": 1,
    "wire": 1,
    "figures": 1,
    "background": 2,
    "clients": 3,
    "experiments": 4,
    "checks": 4,
    "widgets": 5,
}
"""A room imports from itself and from the floors below it; rooms on one floor don't know each other."""

DRAWING = {"ipywidgets", "anywidget"}
LONGEST_FILE = 400
LARGEST_HELPERS = 15_000
"""Lines of what chapters share: everything but `checks/chapter_NN.py`, which grow with the book."""
LINES_OF_CHECKS = 200
"""How long a chapter's checks may be on average."""
SOURCES = ("src", "apps", "tools", "benchmarks", "driver")
COMMANDS = ("run.py", "conftest.py")
ENDINGS = (".py", ".js", ".css", ".html")

Rule = Callable[[Path], Iterator[str]]


def files(root: Path, *folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(path for path in (root / folder).rglob("*") if path.suffix in ENDINGS)


def helpers(root: Path) -> Iterator[tuple[Path, str]]:
    return rooms.files(root / "src" / "helpers")


def imports_are_absolute(root: Path) -> Iterator[str]:
    for path, _ in helpers(root):
        for module in imports(path):
            if module.startswith("."):
                yield f"{path.relative_to(root)} imports {module}: write the whole name"


def rooms_are_on_a_floor(root: Path) -> Iterator[str]:
    for path, room in helpers(root):
        if room not in FLOORS:
            yield f"{path.relative_to(root)}: the room {room!r} is on no floor"


def imports_run_downward(root: Path) -> Iterator[str]:
    for path, room in helpers(root):
        for module in imports(path):
            other = room_of(module)
            if other in FLOORS and other != room and FLOORS[other] >= FLOORS.get(room, 0):
                yield f"{path.relative_to(root)} imports {module}, which isn't below it"


def helpers_import_no_public_name(root: Path) -> Iterator[str]:
    for path, _ in helpers(root):
        for module in imports(path):
            if re.fullmatch(r"helpers(\.[A-Z]\w*)?", module):
                yield f"{path.relative_to(root)} imports {module}: name the module that defines it"


def only_widgets_draw(root: Path) -> Iterator[str]:
    for path, room in helpers(root):
        for module in imports(path):
            if room != "widgets" and module.partition(".")[0] in DRAWING:
                yield f"{path.relative_to(root)} imports {module}, which only widgets do"


def apps_import_no_helpers(root: Path) -> Iterator[str]:
    for path in files(root, "apps"):
        if path.suffix == ".py" and any(module.partition(".")[0] == "helpers" for module in imports(path)):
            yield f"{path.relative_to(root)} imports helpers, and so can't be taken home"


def apps_say_what_they_are(root: Path) -> Iterator[str]:
    for folder in sorted(path for path in (root / "apps").iterdir() if path.is_dir()):
        if folder.name == "__pycache__":
            continue
        for name in ("__init__.py", "__main__.py"):
            path = folder / name
            if not path.is_file() or not ast.get_docstring(ast.parse(path.read_text("utf-8"))):
                yield f"{path.relative_to(root)} is missing, or doesn't say what it is"


def files_are_short(root: Path) -> Iterator[str]:
    for path in [*files(root, *SOURCES), *(root / name for name in COMMANDS)]:
        lines = path.read_text("utf-8").count("\n") if path.exists() else 0
        if lines > LONGEST_FILE:
            yield f"{path.relative_to(root)} has {lines} lines, more than {LONGEST_FILE}"


def lines_of(paths: Iterable[Path]) -> int:
    return sum(path.read_text("utf-8").count("\n") for path in paths)


def is_of_a_chapter(path: Path) -> bool:
    return re.fullmatch(r"chapter_\d\d\.py", path.name) is not None


def helpers_are_small(root: Path) -> Iterator[str]:
    lines = lines_of(path for path in files(root, "src/helpers") if not is_of_a_chapter(path))
    if lines > LARGEST_HELPERS:
        yield f"the helpers have {lines:,} lines, more than {LARGEST_HELPERS:,}"


def checks_are_small(root: Path) -> Iterator[str]:
    checks = [path for path in files(root, "src/helpers/checks") if is_of_a_chapter(path)]
    lines, most = lines_of(checks), LINES_OF_CHECKS * len(checks)
    if lines > most:
        yield f"the checks have {lines:,} lines, more than {most:,} for {len(checks)} chapter(s)"


def public_names(root: Path) -> list[str]:
    """The keys of `_HOMES` in the helpers' `__init__.py`."""
    tree = ast.parse((root / "src" / "helpers" / "__init__.py").read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            return [key.value for key in node.value.keys if isinstance(key, ast.Constant)]  # type: ignore[misc]
    return []


def names_used(notebook: Path) -> set[str]:
    """The names that a notebook imports from `helpers`, and then uses."""
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    nodes = list(ast.walk(ast.parse(code)))
    ours = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module == "helpers"]
    loaded = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return loaded & {alias.name for node in ours for alias in node.names}


def public_names_are_used(root: Path) -> Iterator[str]:
    used = set().union(*map(names_used, (root / "notebooks").glob("*.ipynb")))
    for name in public_names(root):
        if name not in used:
            yield f"`{name}` is public, and no notebook uses it"


def public_names_are_typed(root: Path) -> Iterator[str]:
    text = (root / "src" / "helpers" / "__init__.py").read_text("utf-8")
    for name in public_names(root):
        if f"import {name} as {name}\n" not in text:
            yield f"`{name}` isn't imported under TYPE_CHECKING, so no editor knows it"


def chapters_have_checks(root: Path) -> Iterator[str]:
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        number = path.name[:2]
        if not (root / "src" / "helpers" / "checks" / f"chapter_{number}.py").is_file():
            yield f"{path.name} has no checks/chapter_{number}.py"


def the_table_of_floors_is_right(root: Path) -> Iterator[str]:
    text = (root / "ARCHITECTURE.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d) \| ([^|]*) \|", text, re.MULTILINE)
    told = {room: int(floor) for floor, names in rows for room in re.findall(r"`(\w+)`", names)}
    for room in sorted(FLOORS.keys() | told.keys()):
        if told.get(room) != FLOORS.get(room):
            yield f"ARCHITECTURE.md has {room!r} on floor {told.get(room)}, not {FLOORS.get(room)}"


def the_picture_of_the_rooms_is_right(root: Path) -> Iterator[str]:
    if rooms.diagram(root / "src" / "helpers") not in (root / "ARCHITECTURE.md").read_text("utf-8"):
        yield "ARCHITECTURE.md draws other imports than there are: run `python3 tools/rooms.py`"


RULES: list[Rule] = [
    imports_are_absolute,
    rooms_are_on_a_floor,
    imports_run_downward,
    helpers_import_no_public_name,
    only_widgets_draw,
    apps_import_no_helpers,
    apps_say_what_they_are,
    files_are_short,
    helpers_are_small,
    checks_are_small,
    public_names_are_used,
    public_names_are_typed,
    chapters_have_checks,
    the_table_of_floors_is_right,
    the_picture_of_the_rooms_is_right,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_a_rule(rule: Rule) -> None:
    problems = list(rule(ROOT))
    assert not problems, "\n".join(problems)


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def notebook(*cells: str) -> str:
    return json.dumps({"cells": [{"cell_type": "code", "source": [cell]} for cell in cells]})


FLOORS_TABLE = "".join(f"| {floor} | `{room}` | … |\n" for room, floor in FLOORS.items())


@pytest.fixture
def small_house(tmp_path: Path) -> Path:
    """A house with a file in each place, which keeps all rules."""
    public = '_HOMES = {"Tap": "wire.tap"}\nif TYPE_CHECKING:\n    from helpers.wire.tap import Tap as Tap\n'
    write(tmp_path, "notebooks/02_watch.ipynb", notebook("from helpers import Tap", "Tap()"))
    write(tmp_path, "src/helpers/__init__.py", public)
    write(tmp_path, "src/helpers/wire/tap.py", "import asyncio\n")
    write(tmp_path, "src/helpers/background/server.py", "from helpers.wire.tap import Tap\n")
    write(tmp_path, "src/helpers/checks/chapter_02.py", "from helpers.background import server\n")
    write(tmp_path, "src/helpers/widgets/panel.py", "import ipywidgets\n")
    write(tmp_path, "apps/chat/__init__.py", '"""The chat."""\n')
    write(tmp_path, "apps/chat/__main__.py", '"""Starts it."""\nimport asyncio\n')
    write(tmp_path, "ARCHITECTURE.md", FLOORS_TABLE + rooms.diagram(tmp_path / "src" / "helpers"))
    return tmp_path


BROKEN = {
    "a relative import": ("src/helpers/wire/tap.py", "from . import relay\n", "imports ..relay: write"),
    "a room on no floor": ("src/helpers/attic/box.py", "", "the room 'attic' is on no floor"),
    "an import upward": (
        "src/helpers/wire/tap.py",
        "from helpers.background import server\n",
        "wire/tap.py imports helpers.background.server, which isn't below it",
    ),
    "an import of a neighbour": (
        "src/helpers/checks/chapter_02.py",
        "def check():\n    import helpers.experiments.push\n",
        "chapter_02.py imports helpers.experiments.push",
    ),
    "an import of the public list": (
        "src/helpers/background/server.py",
        "from helpers import Tap\n",
        "imports helpers.Tap: name the module",
    ),
    "a client that draws": ("src/helpers/clients/ann.py", "import anywidget\n", "imports anywidget"),
    "an app with helpers": ("apps/chat/room.py", "from helpers import Tap\n", "can't be taken home"),
    "an app without a word": ("apps/game/__init__.py", "", "game/__init__.py is missing, or doesn't say"),
    "a long page": ("apps/chat/page.html", "\n" * 401, "page.html has 401 lines, more than 400"),
    "a long command": ("run.py", "\n" * 401, "run.py has 401 lines"),
    "a long driver": ("driver/lab.py", "\n" * 401, "driver/lab.py has 401 lines"),
    "long fixtures": ("conftest.py", "\n" * 401, "conftest.py has 401 lines"),
    "too much of everything": ("src/helpers/wire/all.js", "\n" * 15_001, "lines, more than 15,000"),
    "long checks": (
        "src/helpers/checks/chapter_02.py",
        "\n" * 201,
        "the checks have 201 lines, more than 200 for 1 chapter(s)",
    ),
    "a name that nobody uses": (
        "src/helpers/__init__.py",
        '_HOMES = {"Tap": "wire.tap", "Pat": "wire.tap"}\n',
        "`Pat` is public, and no notebook uses it",
    ),
    "a name that is only imported, twice": (
        "notebooks/02_watch.ipynb",
        notebook("from helpers import Tap", "from helpers import Tap"),
        "`Tap` is public, and no notebook uses it",
    ),
    "a name that no editor knows": (
        "src/helpers/__init__.py",
        '_HOMES = {"Tap": "wire.tap"}\n',
        "`Tap` isn't imported under TYPE_CHECKING",
    ),
    "a chapter without checks": ("notebooks/03_x.ipynb", notebook(), "no checks/chapter_03.py"),
    "a room on another floor": (
        "ARCHITECTURE.md",
        FLOORS_TABLE.replace("| 2 | `background` |", "| 3 | `background` |"),
        "ARCHITECTURE.md has 'background' on floor 3, not 2",
    ),
    "an import that isn't in the picture": (
        "src/helpers/widgets/panel.py",
        "import ipywidgets\nimport helpers.wire.tap\n",
        "draws other imports than there are",
    ),
}


def problems(root: Path) -> str:
    return "\n".join(f"{rule.__name__}: {problem}" for rule in RULES for problem in rule(root))


def test_a_small_house_keeps_all_rules(small_house: Path) -> None:
    assert problems(small_house) == ""


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_house_is_told_what_is_wrong(small_house: Path, case: str) -> None:
    name, text, words = BROKEN[case]
    write(small_house, name, text)
    assert words in problems(small_house)


def test_every_rule_has_failed(small_house: Path) -> None:
    failed = set()
    for number, (name, text, _) in enumerate(BROKEN.values()):
        root = small_house.with_name(f"house {number}")
        small_house.rename(root)
        before = (root / name).read_text("utf-8") if (root / name).exists() else None
        write(root, name, text)
        failed |= {line.partition(":")[0] for line in problems(root).splitlines()}
        (root / name).unlink() if before is None else write(root, name, before)
        root.rename(small_house)
    assert failed == {rule.__name__ for rule in RULES}
