"""Tries an exercise's check with right and wrong answers, and with whatever else a reader can write."""

from __future__ import annotations

import ast
import importlib
import itertools
import linecache
import re
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import pytest
from changes import Change, solution
from shared import nothing_left, takes_at_most

from helpers.checks import trial
from helpers.checks.verdict import Verdict

LONGEST = 6
"""How long a verdict may take here, in seconds: five are promised, and the machine may be busy."""

_numbers = itertools.count(1)


def cell(source: str, **given: Any) -> dict[str, Any]:
    """Run a cell's source as a kernel does, with a file name under which its lines are found.

    Args:
        source: the cell's text; its indentation is removed.
        **given: names that cells above have defined.

    Returns:
        The names after it.
    """
    source = textwrap.dedent(source).lstrip("\n")
    name = f"/tmp/ipykernel_1/{next(_numbers)}.py"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    names = {"__name__": "__main__", **given}
    exec(compile(source, name, "exec"), names)
    return names


def assert_not_yet(verdict: Verdict, *words: str) -> None:
    """A verdict that tells what happened and which way to look, with these words in it."""
    assert isinstance(verdict, Verdict)
    text = str(verdict)
    assert not verdict.right, text
    assert verdict.said.strip()
    assert verdict.hint.strip(), text
    assert text.startswith("✗ not yet: ")
    missing = [word for word in words if word not in text]
    assert not missing, f"{missing} is not in: {text}"
    assert "Abandoned" not in text


def one_parses_at_a_time() -> Any:
    """Two threads that call `ast.parse` break each other's (https://github.com/python/cpython/issues/106905)."""
    parse, parsing = ast.parse, threading.Lock()

    def wait_and_parse(*arguments: Any, **named: Any) -> Any:
        with parsing:
            return parse(*arguments, **named)

    return patch("ast.parse", wait_and_parse)


class Exercise:
    """The tests of one exercise; each kind below adds its battery.

    A chapter's file has a subclass for each of its exercises.
    """

    name: ClassVar[str]
    """The check's name, and the one that the answer defines."""
    arguments: ClassVar[str]
    """The answer's arguments, as in the stub."""
    given: ClassVar[dict[str, Any]] = {}
    """The names that the notebook's cells above the exercise define."""
    right: ClassVar[list[str]]
    """Right answers, none of them the solution in the notebook."""
    wrong: ClassVar[list[tuple[str | Change, *tuple[str, ...]]]]
    """Wrong answers, each with words that its verdict must have."""
    battery: ClassVar[dict[str, tuple[str, ...]]]
    """What else a reader can write: the body of the function, and words for its verdict."""
    misfits: ClassVar[dict[str, tuple[str, ...]]]
    """What doesn't even have the stub's first line: source, and words for its verdict."""
    slow: ClassVar[dict[str, tuple[str, ...]]]
    """More of these, for which the check waits."""
    thorough: ClassVar[bool] = False
    """Whether all this is tried, as with one exercise of a kind; otherwise one of each."""
    keyword = "async def"
    pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
    """It is what a reader forgets most often."""

    @classmethod
    def chapter(cls) -> str:
        """The chapter's number, from the name of the module that the exercise is tested in."""
        return re.sub(r"test_(\d\d)_.*", r"\1", cls.__module__)

    @classmethod
    def checked_by(cls) -> Any:
        """The exercise's check."""
        return getattr(importlib.import_module(f"helpers.checks.chapter_{cls.chapter()}"), cls.name)

    forms: ClassVar[list[str]] = []
    """Ways to write a right answer that aren't a plain `def`, of which each is tried with the solution."""
    at_once: ClassVar[int] = 6
    """How many of its answers are tried at the same time: most of a check is waiting."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        bodies = [*self.battery, *(body for body in self.slow if body in ENDLESS)]
        misfits = list(self.misfits)
        if not self.thorough:
            del bodies[1:]
            misfits = [misfit for misfit in misfits if misfit not in NO_FUNCTION][:1]
        for argument, values in (
            ("body", bodies),
            ("misfit", misfits),
        ):
            if argument in metafunc.fixturenames:
                metafunc.parametrize(argument, values)

    @classmethod
    def source(cls, answer: str | Change) -> str:
        """An answer's source."""
        if isinstance(answer, str):
            return answer
        return answer.of(solution(cls.chapter(), cls.name))

    def check(self, source: str, **given: Any) -> Verdict:
        """The verdict on a cell that defines the answer; it has to come in time and leave nothing."""
        with nothing_left():
            return self.in_time(source, **given)

    def in_time(self, source: str, **given: Any) -> Verdict:
        """The verdict on a cell that defines the answer; it has to come in time."""
        answer = cell(source, **{**self.fresh(), **given})[self.name]
        with takes_at_most(LONGEST):
            verdict: Verdict = self.checked_by()(answer)
        return verdict

    def verdicts(self, sources: list[str]) -> list[Verdict]:
        """The verdicts on many answers, some at a time in one kernel; together they leave nothing."""
        check = self.checked_by()
        with nothing_left(), one_parses_at_a_time(), ThreadPoolExecutor(self.at_once) as pool:
            return list(pool.map(lambda source: check(cell(source, **self.fresh())[self.name]), sources))

    @classmethod
    def fresh(cls) -> dict[str, Any]:
        """What is given, for one answer alone."""
        return cls.given

    def formed(self) -> list[str]:
        """The solution, in each of the forms."""
        names = re.sub(r":[^,=]*=[^,]*", "", self.arguments)
        return [
            form.replace("SOLUTION", solution(self.chapter(), self.name).strip())
            .replace("ANSWER", self.name)
            .replace("GIVEN", self.arguments)
            .replace("NAMES", names)
            for form in self.forms
        ]

    def define(self, body: str) -> str:
        return f"{self.keyword} {self.name}({self.arguments}):\n{textwrap.indent(body, '    ')}"

    def test_right_answers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(trial, "DEADLINE", 60)  # many at a time, on a busy machine: this isn't about time
        right, rejected = [*self.right, *self.formed()], []
        for source, verdict in zip(right, self.verdicts(right), strict=True):
            if not (verdict.right and str(verdict).startswith("✓ ") and not verdict.hint):
                rejected.append(f"{textwrap.dedent(source)}\n{verdict}")
        assert not rejected, "\n\n".join(rejected)

    def test_wrong_answers(self) -> None:
        sources = [self.source(answer) for answer, *_ in self.wrong]
        misjudged = []
        for (_, *words), source, verdict in zip(self.wrong, sources, self.verdicts(sources), strict=True):
            try:
                assert_not_yet(verdict, *words)
            except AssertionError as error:
                misjudged.append(f"{textwrap.dedent(source)}\n{error}\n{verdict}")
        assert not misjudged, "\n\n".join(misjudged)

    def test_what_a_reader_can_write(self, body: str) -> None:
        assert_not_yet(self.check(self.define(body)), *{**self.battery, **self.slow}[body])

    def test_what_does_not_fit(self, misfit: str) -> None:
        assert_not_yet(self.check(misfit.replace("ANSWER", self.name)), *self.misfits[misfit])

    def test_left_as_it_was(self) -> None:
        for source in (self.define("..."), f"{self.name} = ...", self.define("if True:\n    print(...)")):
            assert_not_yet(self.check(source), "there is still a `...`")


ENDLESS = {
    "while True:\n    print('x' * 50)": ("print",),
    "while True:\n    pass": ("line", "while True"),
    "while True:\n    try:\n        n = 1\n    except:\n        pass": ("line",),
}

CATCHES_EVERYTHING = (
    "while True:\n"
    "    try:\n"
    "        while True:\n"
    "            if over.is_set():\n"
    "                return\n"
    "    except BaseException:\n"
    "        pass"
)
"""Nothing ends it; `while not over.is_set()` would have a gap, with Python 3.13."""

FOREVER = (
    "import asyncio\n"
    "async def forever():\n"
    "    while True:\n"
    "        await asyncio.sleep(0.01)\n"
    "tasks = [asyncio.create_task(forever()) for _ in range(100)]\n"
)

RAISING = {
    "answer = 1 / 0": ("ZeroDivisionError: division by zero", "line 2 of", "answer = 1 / 0"),
    "raise SystemExit(3)": ("SystemExit", "raise SystemExit(3)"),
    "raise KeyboardInterrupt": ("KeyboardInterrupt",),
    "class Rude(Exception):\n    def __str__(self):\n        return 1 / 0\nraise Rude": ("raised Rude",),
}

NO_FUNCTION = {
    "ANSWER = None": ("None", "function"),
    "ANSWER = 42": ("42", "function"),
    "ANSWER = 'hello'": ("hello", "function"),
}


PLAIN_FORMS = [
    "SOLUTION\n\n\n"
    "class Answer:\n"
    "    def __init__(self, function):\n        self.function = function\n\n"
    "    def __call__(self, GIVEN):\n        return self.function(NAMES)\n\n\n"
    "ANSWER = Answer(ANSWER)",
    "import functools\n\nSOLUTION\n\n\n"
    "def with_a_note(note, GIVEN, *, function=ANSWER):\n    return function(NAMES)\n\n\n"
    "ANSWER = functools.partial(with_a_note, 'hello')",
    "import functools\n\nSOLUTION\n\n\n"
    "def noted(function):\n"
    "    @functools.wraps(function)\n"
    "    def inner(*arguments, **named):\n        return function(*arguments, **named)\n"
    "    return inner\n\n\n"
    "ANSWER = noted(ANSWER)",
    "SOLUTION\n\n\n"
    "class Chapter:\n    def answer(self, GIVEN, function=ANSWER):\n        return function(NAMES)\n\n\n"
    "ANSWER = Chapter().answer",
    "import typing\nfrom collections.abc import Callable\n\nSOLUTION\n\n\n"
    "def anyhow(function):\n"
    "    def inner(GIVEN):\n"
    "        use: Callable[..., typing.Any] = function\n"
    "        try:\n            return use(NAMES)\n        except ZeroDivisionError: ...\n"
    "        match use:\n            case None: return None\n            case _: ...\n"
    "    return inner\n\n\n"
    "ANSWER = anyhow(ANSWER)",
]
"""A plain function may hand on the coroutine of another one, so these are forms of all answers."""

AWAITING_FORMS = [
    "SOLUTION\n\n\n"
    "class Answer:\n"
    "    def __init__(self, function):\n        self.function = function\n\n"
    "    async def __call__(self, GIVEN):\n        return await self.function(NAMES)\n\n\n"
    "ANSWER = Answer(ANSWER)",
    "import functools\n\nSOLUTION\n\n\n"
    "async def with_a_note(GIVEN, *, function, note):\n    return await function(NAMES)\n\n\n"
    "ANSWER = functools.partial(with_a_note, function=ANSWER, note='hello')",
    "import functools\n\nSOLUTION\n\n\n"
    "def noted(function):\n"
    "    @functools.wraps(function)\n"
    "    async def inner(*arguments, **named):\n        return await function(*arguments, **named)\n"
    "    return inner\n\n\n"
    "ANSWER = noted(ANSWER)",
    "SOLUTION\n\n\n"
    "def anyhow(function):\n"
    "    async def inner(GIVEN):\n"
    "        try:\n            return await function(NAMES)\n        except ZeroDivisionError: ...\n"
    "        async for _ in nobody(): ...\n"
    "    return inner\n\n\n"
    "async def nobody():\n    for each in ():\n        yield each\n\n\n"
    "ANSWER = anyhow(ANSWER)",
]


class Thorough:
    """What is tried with one exercise of a kind, because it takes its time."""

    thorough = True

    def test_what_a_check_waits_for(self: Any) -> None:
        """Some at a time, like right and wrong answers."""
        bodies = [body for body in self.slow if body not in ENDLESS]
        with nothing_left(), one_parses_at_a_time(), ThreadPoolExecutor(self.at_once) as pool:
            verdicts = list(pool.map(lambda body: self.in_time(self.define(body)), bodies))
        for body, verdict in zip(bodies, verdicts, strict=True):
            assert_not_yet(verdict, *self.slow[body])

    def test_a_call_into_c_is_left_behind(self: Any) -> None:
        """It can't be broken off, so its thread stays until it returns; and then nothing is left."""
        gate = threading.Event()
        answer = cell(self.define("gate.wait(60)"), gate=gate)[self.name]
        with nothing_left():
            with takes_at_most(LONGEST):
                verdict = self.checked_by()(answer)
            gate.set()
        assert_not_yet(verdict, "gate.wait(60)", f"line 2 of {self.name}()")
        assert self.check(self.right[0]).right

    def test_a_loop_that_catches_everything_is_left_behind(self: Any) -> None:
        """Nothing ends it, so the reader is told to restart the kernel; until then, checks work."""
        over, before = threading.Event(), set(threading.enumerate())
        answer = cell(self.define(CATCHES_EVERYTHING), over=over)[self.name]
        try:
            with takes_at_most(LONGEST):
                verdict = self.checked_by()(answer)
            assert_not_yet(verdict, "line ", f" of {self.name}()", "restart the kernel")
            (left,) = [thread for thread in threading.enumerate() if thread not in before]
            assert left.daemon, "or the kernel's exit would wait for it"
            assert self.checked_by()(cell(self.right[0], **self.fresh())[self.name]).right
        finally:
            over.set()
        left.join(10)
        assert not left.is_alive()

    def test_a_long_sleep(self: Any) -> None:
        answer = cell(self.define("import time\ntime.sleep(60)"))[self.name]
        before = set(threading.enumerate())
        with takes_at_most(LONGEST):
            verdict = self.checked_by()(answer)
        assert_not_yet(verdict, "time.sleep(60)", f"line 3 of {self.name}()")
        (left,) = [thread for thread in threading.enumerate() if thread not in before]
        assert left.daemon, "or the kernel's exit would wait for it"
        assert self.check(self.right[0]).right


class Handler(Exercise):
    """The reader writes `async def handler(connection)`."""

    forms: ClassVar = [*PLAIN_FORMS, *AWAITING_FORMS]
    arguments = "connection"
    misfits: ClassVar = {
        **NO_FUNCTION,
        "async def ANSWER():\n    return 1": ("one argument", "connection"),
        "async def ANSWER(connection, path):\n    return 1": ("one argument", "path"),
        "def ANSWER(connection):\n    return 1": ("coroutine function", "async def"),
        "async def ANSWER(connection):\n    yield 1": ("coroutine function", "yield"),
    }
    battery: ClassVar = {
        **RAISING,
        "pass": ("the connection was closed", "handler"),
        "await connection.close()": ("the connection was closed",),
        "await connection.recv()\nconnection.transport.abort()": (),
        "for _ in range(20_000):\n    print('x' * 50)": (),  # on a busy machine it blocks the loop, too
        f"{FOREVER}await connection.recv()": (),
        "await connection.send(42)": ("TypeError", "await connection.send(42)"),
    }
    slow: ClassVar = {
        **ENDLESS,
        "import asyncio\nawait asyncio.sleep(60)": ("nothing came",),
        "import asyncio\nawait connection.wait_closed()\nawait asyncio.sleep(60)": ("nothing came",),
        "async for message in connection:\n    pass": ("nothing came", "await connection.send"),
        "async for message in connection:\n    connection.send(message)": ("nothing came", "await"),
        "async for message in connection:\n    await connection.close(4000)": ("closed (4000)",),
        "async for message in connection:\n"
        "    for _ in range(3_000):\n"
        "        await connection.send(f'you said {message}')": ("you said",),
        "while True:\n"
        "    try:\n"
        "        await connection.recv()\n"
        "    except BaseException:\n"
        "        await connection.wait_closed()": (),
        "import threading, time\n"
        "async for message in connection:\n"
        "    threading.Thread(target=time.sleep, args=(0.2,)).start()": ("nothing came",),
    }


class Function(Exercise):
    """The reader writes a coroutine function that the check calls."""

    forms: ClassVar = [*PLAIN_FORMS, *AWAITING_FORMS]
    misfits: ClassVar = {
        **NO_FUNCTION,
        "async def ANSWER():\n    return 1": ("is called as",),
        "async def ANSWER(a, b, c, d):\n    return 1": ("is called as",),
        "def ANSWER(*any):\n    return 1": ("coroutine function", "async def"),
        "async def ANSWER(*any):\n    yield 1": ("coroutine function", "yield"),
    }
    battery: ClassVar = {
        **RAISING,
        "pass": (),
        FOREVER: (),
        "raise TimeoutError('too late')": ("TimeoutError: too late", "line 2"),
        "import asyncio\nraise asyncio.CancelledError": ("cancelled", "line 3"),
    }
    slow: ClassVar = {
        **ENDLESS,
        "import asyncio\nawait asyncio.sleep(60)": ("did not return",),
        "import asyncio\n"
        "while True:\n"
        "    try:\n"
        "        await asyncio.sleep(60)\n"
        "    except BaseException:\n"
        "        pass": ("did not return",),
        "import threading, time\nthreading.Thread(target=time.sleep, args=(0.2,)).start()": (),
    }


class Call(Exercise):
    """The reader writes a plain function that the check calls."""

    forms: ClassVar = PLAIN_FORMS
    keyword = "def"
    misfits: ClassVar = {
        **NO_FUNCTION,
        "def ANSWER():\n    return 1": ("is called as",),
        "def ANSWER(a):\n    return 1": ("is called as",),
        "async def ANSWER(*any):\n    return 1": ("plain function", "`def`"),
    }
    battery: ClassVar = {**RAISING}
    slow: ClassVar = {
        **ENDLESS,
        "pass": ("did not arrive",),
        "import threading, time\nthreading.Thread(target=time.sleep, args=(0.2,)).start()": ("arrive",),
    }


class Computation(Exercise):
    """The reader writes a plain function that computes something from its arguments."""

    forms: ClassVar = PLAIN_FORMS
    keyword = "def"
    misfits: ClassVar = {
        **NO_FUNCTION,
        "def ANSWER():\n    return 1": ("is called as",),
        "def ANSWER(a, b, c, d):\n    return 1": ("is called as",),
        "async def ANSWER(*any):\n    return 1": ("plain function", "`def`"),
    }
    battery: ClassVar = {
        **RAISING,
        "pass": ("`None`", "return"),
        "return [1] * 1000": ("`[1, 1, ", "return"),
        "return lambda: 1": ("<lambda>", "return"),
        "class Rude:\n    def __ne__(self, other):\n        return 1 / 0\n"
        "    __eq__ = __repr__ = __ne__\nreturn Rude()": (),
    }
    slow: ClassVar = {**ENDLESS}


class Choice(Exercise):
    """The reader fills in a dict: a word for each of the stub's keys.

    An answer is source that defines the dict. Where one choice alone is right, the right answers differ
    from the solution in how they are written: in another order, or made with `dict(...)` or a loop.
    """

    arguments = ""
    chosen: ClassVar[dict[str, str]]
    """A right choice; what a reader can write is made from it."""
    battery: ClassVar = {
        "{}": ("has nothing for", "keep the keys"),
        "dict(list(chosen.items())[1:])": ("has nothing for `{first}`", "keep the keys"),
        "{**chosen, 'one more': first}": ("`'one more'`", "no others"),
        "{**chosen, first: ...}": ("there is still a `...`", "for `{first}`"),
        "{**chosen, first: 'magic'}": ("for `{first}`", "`'magic'`", "letter for letter"),
        "{**chosen, first: None}": ("for `{first}`", "`None`", "letter for letter"),
        "{**chosen, first: [chosen[first]]}": ("for `{first}`", "letter for letter"),
        "{**chosen, first: chosen[first] + ' '}": ("for `{first}`", "letter for letter"),
        "{**chosen, first: print}": ("for `{first}`", "letter for letter"),
        "{**chosen, first: type('Rude', (), {'__eq__': lambda self, other: 1 / 0})()}": ("for `{first}`",),
    }
    misfits: ClassVar = {
        "ANSWER = None": ("`None`", "not a dict"),
        "ANSWER = 42": ("`42`", "not a dict"),
        "ANSWER = 'hello'": ("`'hello'`", "not a dict"),
        "ANSWER = ['WebSocket', ...]": ("`['WebSocket', Ellipsis]`", "not a dict"),
        "ANSWER = {'WebSocket'}": ("`{'WebSocket'}`", "not a dict"),
        "def ANSWER():\n    return {}": ("<function ", "not a dict"),
    }
    slow: ClassVar = {}

    def test_what_a_reader_can_write(self, body: str) -> None:
        first = next(iter(self.chosen))
        verdict = self.check(f"{self.name} = {body}", chosen=self.chosen, first=first)
        assert_not_yet(verdict, *(word.replace("{first}", repr(first)) for word in self.battery[body]))

    def test_left_as_it_was(self) -> None:
        for source in (f"{self.name} = ...", f"{self.name} = dict.fromkeys({list(self.chosen)}, ...)"):
            assert_not_yet(self.check(source), "there is still a `...`", "in its place")


def exercises(folder: Path) -> dict[str, type[Exercise]]:
    """The exercises that the test modules of a folder are about, by names like `05 by_room`."""
    found: dict[str, type[Exercise]] = {}
    for path in sorted(folder.glob("test_*.py")):
        for value in vars(importlib.import_module(path.stem)).values():
            if isinstance(value, type) and issubclass(value, Exercise) and "name" in vars(value):
                name = f"{value.chapter()} {value.name}"
                assert name not in found, f"two classes test {name!r}"
                found[name] = value
    return found
