"""A function in a child process: what it returns, what it raises, and that it ends with the cell."""

from __future__ import annotations

import asyncio
import inspect
import linecache
import os
import signal
import subprocess
import sys
import textwrap
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import psutil
import pytest
from shared import nothing_left, wait_until

from helpers import apart
from helpers.background.child import Child
from helpers.background.lifetime import BackgroundError
from helpers.background.parent import Parent
from helpers.background.pipe import Mailbox


def run(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    async def main() -> Any:
        async with asyncio.timeout(30):
            return await apart(function, *args, **options)

    with nothing_left():
        try:
            return asyncio.run(main())
        except Exception as error:
            failure = error
    raise failure


# --- what it returns


def test_a_plain_function_and_a_coroutine_function_of_a_cell() -> None:
    offset = 40

    def plain(number: int) -> tuple[int, int]:
        return os.getpid(), number + offset

    async def coroutine(number: int) -> tuple[int, int]:
        await asyncio.sleep(0)
        return os.getpid(), number + offset

    for function in (plain, coroutine, lambda number: coroutine(number)):
        process, number = run(function, 2)
        assert number == 42
        assert process != os.getpid()


def test_an_object_of_the_readers_class_comes_back_as_one() -> None:
    class Price:
        def __init__(self, cents: int) -> None:
            self.cents = cents

    price = run(lambda: Price(5))
    assert type(price) is Price
    assert price.cents == 5


def test_what_it_prints_is_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    def prints() -> None:
        print("hello")
        os.write(1, b"past python")
        print("red", file=sys.stderr)

    assert run(prints) is None
    assert capfd.readouterr() == ("", "")


# --- progress


async def counts(to: int, progress: Callable[..., object] | None = None) -> int:
    for number in range(to):
        if progress:
            progress(number, "of", to)
        await asyncio.sleep(0)
    return to


def test_progress_is_called_here_in_order_and_before_the_result() -> None:
    told = []
    thread = threading.get_ident()
    assert run(counts, 200, progress=lambda *what: told.append((what, threading.get_ident()))) == 200
    assert told == [((number, "of", 200), thread) for number in range(200)]


def test_the_same_function_works_without_progress() -> None:
    assert run(counts, 3) == 3


def test_a_progress_that_raises_ends_the_child() -> None:
    def forever(progress: Callable[[int], object]) -> None:
        while True:
            progress(1)

    with pytest.raises(ZeroDivisionError):
        run(forever, progress=lambda number: number / 0)


# --- what it raises


class NoSuchRoomError(Exception):
    pass


def notes(error: BaseException) -> str:
    return "\n".join(getattr(error, "__notes__", []))


def test_its_exception_comes_back_with_the_readers_line_and_what_was_printed() -> None:
    def looks_up(name: str) -> None:
        print("looking for", name)
        raise NoSuchRoomError(name)  # the reader's line

    with pytest.raises(NoSuchRoomError, match="blue") as caught:
        run(looks_up, "blue")
    line = inspect.getsourcelines(looks_up)[1] + 2
    assert f"in the child process, at line {line} of looks_up(): raise NoSuchRoomError(name)" in notes(
        caught.value
    )
    assert "It printed:\nlooking for blue" in notes(caught.value)


def test_a_class_of_the_readers_own_is_caught_as_that_class() -> None:
    class OwnError(Exception):
        pass

    def fails() -> None:
        raise OwnError("mine")

    with pytest.raises(OwnError, match="mine"):
        run(fails)


class Unspeakable(Exception):
    def __init__(self, one: object, two: object) -> None:
        self.lock = threading.Lock()


class LoadsAsANumber(Exception):
    def __reduce__(self) -> tuple[type[int], tuple[str]]:
        return int, ("5",)


@pytest.mark.parametrize("make", [lambda: Unspeakable(1, 2), LoadsAsANumber])
def test_an_exception_that_can_not_be_copied_keeps_its_words_and_line(make: Callable[[], Exception]) -> None:
    def fails() -> None:
        raise make()

    with pytest.raises(RuntimeError, match=r"Unspeakable|LoadsAsANumber") as caught:
        run(fails)
    assert "of fails(): raise make()" in notes(caught.value)


def test_an_exit_does_not_end_the_kernel() -> None:
    def leaves() -> None:
        sys.exit("enough")

    with pytest.raises(BackgroundError, match=r"SystemExit: enough, which would end the kernel") as caught:
        run(leaves)
    assert 'of leaves(): sys.exit("enough")' in notes(caught.value)


def test_a_child_that_dies_leaves_its_last_words() -> None:
    def dies() -> None:
        print("my last words")
        os._exit(7)

    with pytest.raises(BackgroundError, match=r"has ended \(status 7\)[^$]*my last words"):
        run(dies)


class LoadsBadly:
    def __reduce__(self) -> tuple[type[int], tuple[str]]:
        return int, ("not a number",)


def test_what_can_not_be_copied_is_told_in_words() -> None:
    lock = threading.Lock()
    with pytest.raises(
        BackgroundError, match=r"'_thread.lock'.*create what can't be copied.*inside the function"
    ):
        run(lambda: lock)
    with pytest.raises(BackgroundError, match="can't be copied into a child process"):
        run(print, lock)
    with pytest.raises(BackgroundError, match=r"the function returned can't be copied into the kernel.*lock"):
        run(threading.Lock)
    with pytest.raises(
        BackgroundError, match=r"can't be unpacked in the child process: ValueError.*not a number"
    ):
        run(print, LoadsBadly())
    with pytest.raises(BackgroundError, match=r"sent what can't be unpacked: ValueError.*not a number"):
        run(LoadsBadly)


def test_a_call_in_place_of_a_function_is_refused_in_words() -> None:
    with pytest.raises(TypeError, match=r"write apart\(function, argument\)"):
        run(counts(3))  # type: ignore[arg-type]


# --- the reader's lines, whatever the serializer keeps


@pytest.fixture(params=["the installed cloudpickle", "as cloudpickle 3.1.3"])
def serializer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """cloudpickle 3.1.3 and later give each function the file name `<dynamic-code>`."""
    if request.param == "as cloudpickle 3.1.3":
        reduce = cloudpickle.Pickler.dispatch_table[types.CodeType]

        def forgets_the_file(code: types.CodeType) -> Any:
            return reduce(code.replace(co_filename="<dynamic-code>"))

        monkeypatch.setitem(cloudpickle.Pickler.dispatch_table, types.CodeType, forgets_the_file)


CELL = """
    class Room:
        def enter(self, name):
            raise KeyError(name)  # a method

        @staticmethod
        def leave(name):
            raise KeyError(name)  # a static method

    def inner_fails():
        def inner():
            raise KeyError("x")  # a nested function
        inner()

    in_lambda = lambda: {}["x"]  # a lambda

    def in_comprehension():
        return [
            {}[number]  # a comprehension
            for number in range(3)
        ]

    def generates():
        yield {}["x"]  # a generator

    def in_a_global():
        return in_lambda()

    def in_a_generator():
        return list(generates())

    async def in_a_coroutine():
        await asyncio.sleep(0)
        raise KeyError("x")  # a coroutine

    class Meets:
        async def __call__(self):
            raise KeyError("x")  # an object that is called
"""


@pytest.fixture
def cell() -> Iterator[dict[str, Any]]:
    """The names of a cell that a kernel has run: its source is in no file, only in `linecache`."""
    source = textwrap.dedent(CELL)
    name = "/tmp/ipykernel_1/4711.py"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    names = {"__name__": "__main__", "asyncio": asyncio}
    exec(compile(source, name, "exec"), names)
    yield names
    del linecache.cache[name]


@pytest.mark.usefixtures("serializer")
@pytest.mark.parametrize(
    ("function", "args", "line"),
    [
        ("Room().enter", ["x"], "of enter(): raise KeyError(name)  # a method"),
        ("Room.leave", ["x"], "of leave(): raise KeyError(name)  # a static method"),
        ("inner_fails", [], 'of inner(): raise KeyError("x")  # a nested function'),
        ("in_lambda", [], 'of <lambda>(): in_lambda = lambda: {}["x"]  # a lambda'),
        ("in_comprehension", [], "(): {}[number]  # a comprehension"),
        ("in_a_global", [], "# a lambda"),
        ("in_a_generator", [], 'of generates(): yield {}["x"]  # a generator'),
        ("in_a_coroutine", [], 'of in_a_coroutine(): raise KeyError("x")  # a coroutine'),
        ("Meets()", [], 'of __call__(): raise KeyError("x")  # an object that is called'),
    ],
)
def test_the_readers_line_is_named_wherever_it_is(
    cell: dict[str, Any], function: str, args: list[str], line: str
) -> None:
    with pytest.raises(KeyError) as caught:
        run(eval(function, cell), *args)
    number = CELL.splitlines().index(
        next(each for each in CELL.splitlines() if line.split("(): ")[-1] in each)
    )
    assert line in notes(caught.value)
    assert f"at line {number + 1} of" in notes(caught.value)


@pytest.mark.usefixtures("serializer")
def test_the_child_itself_knows_the_readers_lines(cell: dict[str, Any]) -> None:
    def tells(function: Callable[[], object]) -> str:
        import traceback

        try:
            function()
        except KeyError:
            return traceback.format_exc()
        return "it raised nothing"

    trace = run(tells, cell["in_lambda"])
    assert 'File "/tmp/ipykernel_1/4711.py", line ' in trace
    assert 'in_lambda = lambda: {}["x"]  # a lambda' in trace


# --- it ends with the cell, and with the kernel


def waits(path: Path) -> None:
    import pathlib
    import time

    pathlib.Path(path).write_text(str(os.getpid()))
    while True:
        time.sleep(0.01)


def pid_in(path: Path) -> int:
    wait_until(lambda: path.exists() and path.read_text(), what="the child's start")
    return int(path.read_text())


def test_a_cancelled_call_kills_the_child(tmp_path: Path) -> None:
    async def main() -> None:
        call = asyncio.create_task(apart(waits, tmp_path / "pid"))
        pid = await asyncio.to_thread(pid_in, tmp_path / "pid")
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert not psutil.pid_exists(pid)

    with nothing_left():
        asyncio.run(main())


def test_an_interrupt_is_not_for_the_child() -> None:
    child = Child(_answers)
    assert child.report().result(10) == "ready"
    os.kill(child.pid, signal.SIGINT)
    child.tell("question")
    assert child.report().result(10) == "answer to question"
    child.tell("enough")
    assert child.result.result(10) == ["question"]
    assert child.close(5)


def _answers(parent: Parent) -> list[str]:
    parent.report("ready")
    asked = []
    while (order := parent.order().result()) != "enough":
        asked.append(order)
        parent.report(f"answer to {order}")
    return asked


def test_an_order_that_can_not_be_unpacked_ends_the_child() -> None:
    child = Child(_answers)
    child.tell(LoadsBadly())
    with pytest.raises(EOFError) as caught:
        child.result.result(10)
    assert "an order can't be unpacked in the child process: ValueError" in notes(caught.value)
    child.close()


def test_who_no_longer_waits_takes_no_report() -> None:
    mailbox = Mailbox()
    gone, waiting = mailbox.get(), mailbox.get()
    gone.cancel()
    mailbox.put("news")
    assert waiting.result(0) == "news"


def test_reports_end_with_the_child() -> None:
    async def main() -> None:
        async with Child(_answers) as child:
            child.tell("one")
            child.tell("enough")
            assert [report async for report in child.reports()] == ["ready", "answer to one"]
            assert await asyncio.wrap_future(child.result) == ["one"]
            with pytest.raises(EOFError):
                await asyncio.wrap_future(child.report())

    with nothing_left():
        asyncio.run(main())


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_the_child_ends_with_a_killed_kernel(tmp_path: Path) -> None:
    program = """
        import asyncio, pathlib, sys
        sys.path.insert(0, sys.argv[2])
        from helpers import apart
        from test_apart import waits
        asyncio.run(apart(waits, pathlib.Path(sys.argv[1])))
    """
    kernel = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), tmp_path / "pid", os.path.dirname(__file__)]
    )
    child = psutil.Process(pid_in(tmp_path / "pid"))
    kernel.kill()
    kernel.wait()
    _, alive = psutil.wait_procs([child], timeout=10)
    assert alive == []
