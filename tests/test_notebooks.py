"""Every notebook keeps to the book's rules, every exercise is tested, and every rule can fail."""

from __future__ import annotations

import copy
import importlib
import inspect
import json
import runpy
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import battery
import chapter
import pytest
from chapter import code, markdown
from notebook_rules import RULES, Notebook, Rule, exercises, same_code

from helpers.checks.verdict import Verdict

FOLDER = Path(__file__).parents[1] / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))


def checks_of(chapter: str) -> list[str]:
    """The names of a chapter's checks: the functions of its module that give a verdict."""
    module = importlib.import_module(f"helpers.checks.chapter_{chapter}")
    public = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    return [name for name, value in public.items() if gives_a_verdict(value, module.__name__)]


def gives_a_verdict(value: object, module: str) -> bool:
    return (
        inspect.isfunction(value)
        and value.__module__ == module
        and value.__annotations__.get("return") in ("Verdict", Verdict)
    )


CHECKS = {path.name[:2]: checks_of(path.name[:2]) for path in PATHS}

TESTED = battery.exercises(Path(__file__).parent / "exercises")


def read(path: Path) -> Notebook:
    return Notebook(
        path, json.loads(path.read_text("utf-8")), [each.name for each in PATHS], CHECKS[path.name[:2]]
    )


def test_there_are_notebooks() -> None:
    assert PATHS, f"no notebook in {FOLDER}"


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_notebook_keeps_to_a_rule(path: Path, rule: Rule) -> None:
    problems = list(rule(read(path)))
    assert not problems, "\n".join([f"{path.name}:", *problems])


def test_every_check_is_used_and_tested() -> None:
    every = sorted(f"{chapter} {name}" for chapter, names in CHECKS.items() for name in names)
    used = [f"{path.name[:2]} {exercise.check}" for path in PATHS for exercise in exercises(read(path))]
    assert sorted(used) == every, "exercises in the notebooks, and checks in `helpers.checks`"
    assert sorted(TESTED) == every, "exercises with tests, and checks in `helpers.checks`"


@pytest.mark.parametrize("name", TESTED)
def test_an_exercise_has_enough_answers(name: str) -> None:
    """At least five right ones, not counting the forms that every answer is tried in, and ten wrong ones."""
    assert len({textwrap.dedent(answer) for answer in TESTED[name].right}) >= 5
    wrong = [TESTED[name].source(answer) for answer, *words in TESTED[name].wrong if words]
    assert len({textwrap.dedent(answer) for answer in wrong}) >= 10


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_a_right_answer_is_not_the_solution(path: Path) -> None:
    for exercise in exercises(read(path)):
        for answer in TESTED[f"{path.name[:2]} {exercise.check}"].right:
            assert not same_code(textwrap.dedent(answer), exercise.solution), exercise.title


def test_same_code_sees_no_comments() -> None:
    assert same_code("# my own\ndef f():\n    return 1", "def f():\n    return 1\n\n\nchecks.f(f)")
    assert not same_code("def f():\n    return 1", "def f():\n    return 2\n\n\nchecks.f(f)")


def exercise(number: int, name: str) -> list[dict[str, Any]]:
    return chapter.exercise(
        number,
        name,
        "Write it.",
        f"def {name}():\n    ...",
        "Return 1.",
        f"def {name}():\n    return 1",
        said=("✗ not yet: there is still a `...`", "✓ the solution passes"),
    )


TITLE = """# Do a thing

**Time:** 5 minutes. **You need:** nothing.

**You will** do it.

**Afterwards you can** do it.

← previous: [Before](00_before.ipynb) · next: [After](02_after.ipynb) →"""


@pytest.fixture
def good(tmp_path: Path) -> Notebook:
    """A small notebook that keeps to all rules, between two others."""
    cells = [
        markdown(TITLE),
        code("from helpers.checks import chapter_01 as checks"),
        markdown("## Why?\n\n`[not a link](nowhere)`, [one](00_before.ipynb#Its-heading), [two](#Why?)"),
        code("server = Server(port=0).start()"),
        *exercise(1, "one"),
        *exercise(2, "two"),
        markdown("**Before you run it:** how many?"),
        code("guess_many = ...  # a number"),
        code('check_guess(guess_many, 1, "many")'),
        markdown(
            "## What you learned\n\nIt.\n\n## In production\n\nToo.\n\n## Sources\n\n- [x](https://x.org)"
            "\n\nNext: [After](02_after.ipynb)"
        ),
        code("server.stop()"),
    ]
    for number, cell in enumerate((cell for cell in cells if cell["cell_type"] == "code"), 1):
        cell["execution_count"] = number
    other = {"cells": [markdown("# Its heading")], "metadata": {}}
    names = ["00_before.ipynb", "01_it.ipynb", "02_after.ipynb"]
    for name in (names[0], names[2]):
        (tmp_path / name).write_text(json.dumps(other), "utf-8")
    return Notebook(tmp_path / names[1], {"cells": cells, "metadata": {}}, names, ["one", "two"])


def problems(notebook: Notebook) -> str:
    return "\n".join(f"{rule.__name__}: {problem}" for rule in RULES for problem in rule(notebook))


def test_a_good_notebook_has_no_problem(good: Notebook) -> None:
    assert problems(good) == ""


def replace(old: str, new: str, number: int = 0) -> Callable[[Notebook], None]:
    def change(notebook: Notebook) -> None:
        cells = [cell for cell in notebook.cells if old in "".join(cell["source"])]
        cells[number]["source"] = "".join(cells[number]["source"]).replace(old, new)

    return change


def put(number: int, key: str, value: Any) -> Callable[[Notebook], None]:
    return lambda notebook: notebook.cells[number].update({key: value})


def insert(number: int, *cells: dict[str, Any]) -> Callable[[Notebook], None]:
    def change(notebook: Notebook) -> None:
        notebook.cells[number:number] = copy.deepcopy(list(cells))

    return change


def drop(first: int, last: int) -> Callable[[Notebook], None]:
    return lambda notebook: notebook.cells.__delitem__(slice(first, last))


def said(text: str) -> list[dict[str, Any]]:
    return [{"output_type": "stream", "name": "stdout", "text": text}]


BROKEN: dict[str, tuple[Callable[[Notebook], object], str]] = {
    "never run": (put(3, "execution_count", None), "every_code_cell_was_run: the cell `server ="),
    "run out of order": (put(3, "execution_count", 7), "has the count 7, not 2"),
    "widgets": (lambda n: n.json["metadata"].update(widgets={}), "no_widget_state: "),
    "error": (put(3, "outputs", [{"output_type": "error"}]), "no_errors: the cell `server ="),
    "large": (put(3, "outputs", said("x" * 50_001)), "outputs_fit_everywhere: the output of"),
    "home": (put(3, "outputs", said("in /home/ann/x")), "a path of one machine: /home/"),
    "kernel": (put(3, "outputs", said("/tmp/ipykernel_1/2.py:1")), "a path of one machine: /tmp/ipykernel"),
    "windows": (put(3, "outputs", said(r"C:\Users\ann")), r"a path of one machine: C:\Users"),
    "two titles": (replace("## Why?", "# Why?"), "there must be one H1"),
    "no title": (replace("# Do a thing", "Do a thing"), "headings_in_order: there must be one H1"),
    "a jump": (replace("## Why?", "### Why?"), "`Why?` jumps from level 1 to 3"),
    "no time": (replace("**Time:** 5 minutes.", ""), "the first cell doesn't say **Time:**"),
    "no need": (replace("**You need:**", "You need"), "the first cell doesn't say **You need:**"),
    "code first": (insert(0, code("1")), "the first cell must be the title"),
    "wrong next": (
        replace("02_after", "00_before"),
        "`next:` leads to 00_before.ipynb, not to 02",
    ),
    "no previous": (replace("previous: [Before](00_before.ipynb)", ""), "`previous:` leads to None"),
    "a next at the end": (lambda n: n.book.pop(), "`next:` leads to 02_after.ipynb, not to None"),
    "a dead link": (
        replace("00_before.ipynb#", "09_gone.ipynb#"),
        "the link 09_gone.ipynb#Its",
    ),
    "a dead picture": (
        replace("`[not a link](nowhere)`", '<img src="gone.png">'),
        "the link gone.png leads nowhere",
    ),
    "a dead anchor": (replace("#Its-heading", "#Other"), "the link 00_before.ipynb#Other names no heading"),
    "a dead anchor here": (replace("(#Why?)", "(#Who?)"), "the link #Who? names no heading"),
    "no imports": (
        replace("from helpers.checks import chapter_01 as checks", "import os\nos.getcwd()"),
        "must be the imports",
    ),
    "imports later": (insert(3, code("import os")), "there must be one cell of imports"),
    "a long cell": (replace("server = ", "x = 1\n" * 14 + "server = "), "has 15 lines, more than 14"),
    "long cells": (
        insert(3, code("x = 1\n" * 11), code("x = 2\n" * 11)),
        "cells_are_short: only 10 of 12 cells have at most 10 lines",
    ),
    "a long median": (insert(3, *[code("x = 1\n" * 5)] * 12), "the median cell has 5 lines"),
    "no guess": (
        replace("guess_many = ...  # a number", "many = 1"),
        "answered: no cell of `guess_… = ...` alone follows `**Before you run it:** how many?`",
    ),
    "a guess with the answer": (replace("guess_many = ...", "guess_many = 1"), "alone follows `**Before"),
    "a guess that nothing answers": (
        replace("check_guess(guess_many, 1", "check_guess(guess_more, 1"),
        "`guess_many` is asked for, and no later cell answers it",
    ),
    "no sources": (replace("## Sources", "Sources"), "there is What you learned, In production"),
    "text at the end": (drop(18, 19), "the last cell must be a code cell"),
    "left running": (replace("server.stop()", "print('bye')"), "the last cell stops nothing, and server had"),
    "one exercise": (drop(9, 14), "there must be at least two exercises; there are 1"),
    "text between": (insert(5, markdown("A word.")), "there is markdown, code, code, markdown"),
    "no stub": (replace("    ...", "    pass"), "Exercise 1: one: the stub has no `...`"),
    "check of another": (replace("checks.one(one)", "checks.one(two)"), "with `checks.name(name)` alone"),
    "right at once": (put(6, "outputs", said("✓ it is 1")), "the stub must have said `✗ not yet`"),
    "an open hint": (replace("<details>", "<p>"), "the hint must stand in `<details>`"),
    "no tag": (put(8, "metadata", {"jupyter": {"source_hidden": True}}), "the tag `solution`"),
    "an open solution": (put(8, "metadata", {"tags": ["solution"]}), "the solution must be collapsed"),
    "another stub": (replace("def one():\n    ...", "def uno():\n    ..."), "the stub doesn't define `one`"),
    "another solution": (
        replace("def one():\n    return", "def uno():\n    return"),
        "doesn't define",
    ),
    "no check at the end": (replace("\n\nchecks.one(one)", ""), "the solution must end in the same check"),
    "a wrong solution": (
        put(8, "outputs", said("✗ not yet: no")),
        "check must have said `✓ the solution passes`",
    ),
    "a solution that looks like the reader's": (replace("# Solution", "# Done"), "begin with `# Solution`"),
    "no such check": (lambda n: n.checks.remove("two"), "checks_exist: there is no check `two`"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_notebook_is_told_what_is_wrong(good: Notebook, case: str) -> None:
    change, words = BROKEN[case]
    change(good)
    assert words in problems(good)


def test_every_rule_has_failed(good: Notebook) -> None:
    failed = set()
    for change, _ in BROKEN.values():
        notebook = copy.deepcopy(good)
        change(notebook)
        failed |= {line.partition(":")[0] for line in problems(notebook).splitlines()}
    assert failed == {rule.__name__ for rule in RULES}


def test_a_kernel_that_dies_at_its_start_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = importlib.import_module("nbval.kernel")
    start, started = kernel.KernelManager.start_kernel, []

    def dies_once(manager: Any, **options: Any) -> None:
        start(manager, **options)
        started.append(manager)
        if len(started) == 1:
            manager.provisioner.process.kill()

    monkeypatch.setattr(kernel.KernelManager, "start_kernel", dies_once)
    start_new_kernel = runpy.run_path(str(FOLDER.parent / "conftest.py"))["start_new_kernel"]
    manager, client = start_new_kernel(kernel.CURRENT_ENV_KERNEL_NAME)
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    assert len(started) == 2
