"""What every notebook of the book keeps to. Each rule takes a notebook and gives what is wrong, in words."""

from __future__ import annotations

import ast
import json
import re
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CLOSING = ("What you learned", "In production", "Sources")
LARGEST_OUTPUT = 50_000
"""In bytes; anything larger belongs in a file, or makes every difference unreadable."""
LONGEST_CELL, LONG_CELL, MEDIAN_CELL = 14, 10, 4
"""In lines of code: no cell is longer, nine of ten are within, and half of them are."""
OF_A_MACHINE = ("/home/", "/root/", "/Users/", "/tmp/ipykernel", "C:\\Users")


@dataclass
class Notebook:
    """A notebook as its rules see it.

    Args:
        path: where it is; links are resolved from there.
        json: its content.
        book: the names of all notebooks, in their order.
        checks: the names of all checks.
    """

    path: Path
    json: dict[str, Any]
    book: list[str]
    checks: list[str] = field(default_factory=list)

    @property
    def cells(self) -> list[dict[str, Any]]:
        cells: list[dict[str, Any]] = self.json["cells"]
        return cells

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [cell for cell in self.cells if cell["cell_type"] == kind]

    @property
    def headings(self) -> list[tuple[int, str]]:
        """Level and text of every heading."""
        return headings("\n\n".join(source(cell) for cell in self.of_kind("markdown")))


Rule = Callable[[Notebook], Iterator[str]]


def source(cell: dict[str, Any]) -> str:
    text = cell["source"]
    return text if isinstance(text, str) else "".join(text)


def prose(text: str) -> str:
    """Markdown without its blocks and spans of code."""
    text = re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", text)


def headings(text: str) -> list[tuple[int, str]]:
    text = re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL)
    return [(len(marks), title) for marks, title in re.findall(r"^(#{1,6}) +(.*?) *#*$", text, re.MULTILINE)]


def output_text(cell: dict[str, Any]) -> str:
    """What a cell's outputs say as text."""
    parts: list[str] = []
    for output in cell["outputs"]:
        parts += output.get("text", "")
        parts += output.get("data", {}).get("text/plain", "")
    return "".join(parts)


def lines_of_code(cell: dict[str, Any]) -> int:
    lines = [line.strip() for line in source(cell).splitlines()]
    return sum(bool(line) and not line.startswith("#") for line in lines)


def where(cell: dict[str, Any]) -> str:
    lines = source(cell).strip().splitlines() or ["(empty)"]
    return f"the cell `{lines[0][:60]}`"


def body(cell: dict[str, Any]) -> list[ast.stmt]:
    """A code cell's statements; top-level `await` is allowed, magics are not."""
    tree = compile(source(cell), "cell", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    statements: list[ast.stmt] = tree.body
    return statements


def every_code_cell_was_run(notebook: Notebook) -> Iterator[str]:
    """nbval compares only cells with an execution count."""
    for number, cell in enumerate(notebook.of_kind("code"), 1):
        if cell["execution_count"] != number:
            yield f"{where(cell)} has the count {cell['execution_count']}, not {number}: `run.py record` it"


def no_widget_state(notebook: Notebook) -> Iterator[str]:
    if "widgets" in notebook.json["metadata"]:
        yield "`metadata.widgets` is there; GitHub refuses to show such notebooks"


def no_errors(notebook: Notebook) -> Iterator[str]:
    for cell in notebook.of_kind("code"):
        if any(output["output_type"] == "error" for output in cell["outputs"]):
            yield f"{where(cell)} has ended with an error; catch it and print it"


def outputs_fit_everywhere(notebook: Notebook) -> Iterator[str]:
    for cell in notebook.of_kind("code"):
        text = json.dumps(cell["outputs"])
        if len(text.encode()) > LARGEST_OUTPUT:
            yield f"the output of {where(cell)} has {len(text.encode())} bytes"
        for part in OF_A_MACHINE:
            if part in _strings(cell["outputs"]):
                yield f"the output of {where(cell)} holds a path of one machine: {part}"


def _strings(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "\n".join(map(_strings, value.values()))
    return "".join(map(_strings, value)) if isinstance(value, list) else ""


def headings_in_order(notebook: Notebook) -> Iterator[str]:
    levels = [level for level, _ in notebook.headings]
    if levels[:1] != [1] or levels.count(1) != 1:
        yield f"there must be one H1, and it comes first; the levels are {levels}"
    for (before, _), (level, title) in zip(notebook.headings, notebook.headings[1:], strict=False):
        if level > before + 1:
            yield f"the heading `{title}` jumps from level {before} to {level}"


def begins_with_what_it_is(notebook: Notebook) -> Iterator[str]:
    first = notebook.cells[0]
    if first["cell_type"] != "markdown":
        yield "the first cell must be the title"
        return
    for words in ("**Time:**", "**You need:**", "**You will**", "**Afterwards you can**"):
        if words not in source(first):
            yield f"the first cell doesn't say {words}"


def neighbours_are_linked(notebook: Notebook) -> Iterator[str]:
    place = notebook.book.index(notebook.path.name)
    neighbours = {
        "previous": notebook.book[place - 1] if place else None,
        "next": notebook.book[place + 1] if place + 1 < len(notebook.book) else None,
    }
    for word, wanted in neighbours.items():
        found = re.search(rf"\b{word}: *\[[^\]]+\]\(([^)]+)\)", source(notebook.cells[0]), re.IGNORECASE)
        if (found and found[1]) != wanted:
            yield f"the first cell's link `{word}:` leads to {found and found[1]}, not to {wanted}"
    closing = source(notebook.of_kind("markdown")[-1])
    found = re.search(r"^Next: \[[^\]]+\]\(([^)]+)\)\Z", closing, re.MULTILINE)
    if (found and found[1]) != neighbours["next"]:
        yield f"the last text's link `Next:` leads to {found and found[1]}, not to {neighbours['next']}"


def anchors(notebook: dict[str, Any]) -> set[str]:
    """What a link may name after `#`: a heading as JupyterLab writes it, or as GitHub does."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    found = set()
    for _, title in headings("\n\n".join(map(source, cells))):
        plain = re.sub(r"[`*]", "", title).strip()
        found |= {plain.replace(" ", "-"), re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")}
    return found


def links_resolve(notebook: Notebook) -> Iterator[str]:
    text = "\n\n".join(prose(source(cell)) for cell in notebook.of_kind("markdown"))
    links = re.findall(r"\]\(<?([^)\s>]+)>?(?: +\"[^\"]*\")?\)", text)
    links += re.findall(r"(?:href|src)=[\"']([^\"']+)[\"']", text)
    for link in links:
        if re.match(r"[a-z][a-z0-9+.-]*:|//", link):
            continue
        name, _, anchor = link.partition("#")
        target = notebook.path.parent / name if name else notebook.path
        if name and not target.exists():
            yield f"the link {link} leads nowhere"
        elif anchor and target.suffix == ".ipynb":
            there = json.loads(target.read_text("utf-8")) if name else notebook.json
            if anchor not in anchors(there):
                yield f"the link {link} names no heading"


def one_setup_cell(notebook: Notebook) -> Iterator[str]:
    def only_imports(cell: dict[str, Any]) -> bool:
        return bool(body(cell)) and all(isinstance(line, ast.Import | ast.ImportFrom) for line in body(cell))

    setups = [only_imports(cell) for cell in notebook.of_kind("code")]
    if setups[:1] != [True]:
        yield "the first code cell must be the imports, and nothing else"
    if setups.count(True) > 1:
        yield "there must be one cell of imports"


def cells_are_short(notebook: Notebook) -> Iterator[str]:
    cells = notebook.of_kind("code")[1:]  # the imports are no lesson
    lengths = [lines_of_code(cell) for cell in cells]
    for cell in cells:
        if lines_of_code(cell) > LONGEST_CELL:
            yield f"{where(cell)} has {lines_of_code(cell)} lines, more than {LONGEST_CELL}"
    within = sum(length <= LONG_CELL for length in lengths)
    if within < 0.9 * len(lengths):
        yield f"only {within} of {len(lengths)} cells have at most {LONG_CELL} lines"
    if lengths and statistics.median(lengths) > MEDIAN_CELL:
        yield f"the median cell has {statistics.median(lengths):g} lines, more than {MEDIAN_CELL}"


def has_a_closing(notebook: Notebook) -> Iterator[str]:
    titles = [title for _, title in notebook.headings]
    found = [title for title in titles if title in CLOSING]
    if found != list(CLOSING):
        yield f"it must close with {', '.join(CLOSING)}; there is {', '.join(found) or 'none of them'}"
    last = notebook.cells[-1]
    if last["cell_type"] != "code":
        yield "the last cell must be a code cell, which stops what was started"
    started = re.findall(r"(\w+) = \w+\([^\n]*\)\.start\(\)", _all_code(notebook))
    if started and last["cell_type"] == "code" and "stop" not in source(last).lower():
        yield f"the last cell stops nothing, and {', '.join(started)} had been started"


def _all_code(notebook: Notebook) -> str:
    return "\n".join(map(source, notebook.of_kind("code")))


@dataclass
class Exercise:
    """The cells of one exercise; `problems` says in which way they are not five in the right order."""

    title: str
    stub: str = ""
    solution: str = ""
    check: str = ""
    problems: list[str] = field(default_factory=list)


def exercises(notebook: Notebook) -> list[Exercise]:
    """The exercises of a notebook: task, stub, check, hint, solution."""
    found = []
    for index, cell in enumerate(notebook.cells):
        titles = [title for _, title in headings(source(cell))] if cell["cell_type"] == "markdown" else []
        for title in titles:
            if title.startswith("Exercise"):
                found.append(_exercise(title, notebook.cells[index + 1 : index + 5]))
                if title != titles[-1]:
                    found[-1].problems.append("another heading stands between the task and its stub")
    return found


def _exercise(title: str, cells: list[dict[str, Any]]) -> Exercise:
    exercise = Exercise(title)
    problem = exercise.problems.append
    kinds = [cell["cell_type"] for cell in cells]
    if kinds != ["code", "code", "markdown", "code"]:
        problem(f"after the task there must be stub, check, hint and solution; there is {', '.join(kinds)}")
        return exercise
    stub, check, hint, solution = cells
    exercise.stub, exercise.solution = source(stub), source(solution)
    if not any(isinstance(n, ast.Constant) and n.value is ... for line in body(stub) for n in ast.walk(line)):
        problem("the stub has no `...`")
    call = re.fullmatch(r"checks\.(\w+)\((\w+)\)", source(check).strip())
    if not call or call[1] != call[2]:
        problem("after the stub there must be a cell with `checks.name(name)` alone")
        return exercise
    exercise.check = call[1]
    if not output_text(check).startswith("✗ not yet"):
        problem("the check of the stub must have said `✗ not yet`")
    if "<details>" not in source(hint):
        problem("the hint must stand in `<details>`")
    if "solution" not in solution["metadata"].get("tags", []):
        problem("the solution must have the tag `solution`")
    if not solution["metadata"].get("jupyter", {}).get("source_hidden"):
        problem("the solution must be collapsed: `jupyter.source_hidden`")
    for name, cell in (("stub", stub), ("solution", solution)):
        if exercise.check not in defined(body(cell)):
            problem(f"the {name} doesn't define `{exercise.check}`")
    if not source(solution).rstrip().endswith(f"\n{call[0]}"):
        problem("the solution must end in the same check")
    if not source(solution).startswith("# Solution\n"):
        problem("the solution must begin with `# Solution`: by this line the check knows whose it is")
    if not output_text(solution).startswith("✓ the solution passes"):
        problem("the solution's check must have said `✓ the solution passes`")
    return exercise


def defined(statements: list[ast.stmt]) -> set[str]:
    names = {
        line.name
        for line in statements
        if isinstance(line, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    targets = [target for line in statements if isinstance(line, ast.Assign) for target in line.targets]
    return names | {target.id for target in targets if isinstance(target, ast.Name)}


def exercises_are_whole(notebook: Notebook) -> Iterator[str]:
    found = exercises(notebook)
    if len(found) < 2:
        yield f"there must be at least two exercises; there are {len(found)}"
    for exercise in found:
        for problem in exercise.problems:
            yield f"{exercise.title}: {problem}"


def checks_exist(notebook: Notebook) -> Iterator[str]:
    for name in dict.fromkeys(re.findall(r"\bchecks\.(\w+)\(", _all_code(notebook))):
        if name not in notebook.checks:
            yield f"there is no check `{name}` in `helpers.checks`"


PREDICTION = re.compile(r"\*\*Before you (?:run|read|try)\b")


def predictions_are_written_down_and_answered(notebook: Notebook) -> Iterator[str]:
    """A cell of guesses follows each question, and later cells answer them with `check_guess`."""
    cells = notebook.cells
    for index, cell in enumerate(cells):
        asked = PREDICTION.search(source(cell)) if cell["cell_type"] == "markdown" else None
        if not asked:
            continue
        guesses = _guesses(cells[index + 1])
        if not guesses:
            question = source(cell)[asked.start() :].splitlines()[0]
            yield f"no cell of `guess_… = ...` alone follows `{question[:60]}`"
        for name in guesses:
            later = [source(each) for each in cells[index + 2 :] if each["cell_type"] == "code"]
            if not any(re.search(rf"\b{name}\b", text) and "check_guess(" in text for text in later):
                yield f"`{name}` is asked for, and no later cell answers it with `check_guess`"


def _guesses(cell: dict[str, Any]) -> list[str]:
    """The names of a cell that assigns `...` to guesses and does nothing else; none if it is another cell."""
    if cell["cell_type"] != "code":
        return []
    names = [re.fullmatch(r"(guess_\w+) = \.\.\.(?:  # .+)?", line) for line in source(cell).splitlines()]
    return [name[1] for name in names if name] if all(names) else []


RULES: list[Rule] = [
    every_code_cell_was_run,
    no_widget_state,
    no_errors,
    outputs_fit_everywhere,
    headings_in_order,
    begins_with_what_it_is,
    neighbours_are_linked,
    links_resolve,
    one_setup_cell,
    cells_are_short,
    predictions_are_written_down_and_answered,
    has_a_closing,
    exercises_are_whole,
    checks_exist,
]


def same_code(one: str, other: str) -> bool:
    """Whether two cells are the same but for comments, blanks, and the call of the check."""

    def essence(text: str) -> list[str]:
        return [
            ast.dump(line)
            for line in ast.parse(text).body
            if not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Call))
        ]

    return essence(one) == essence(other)
