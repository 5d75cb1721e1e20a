"""Where in the reader's own code something happened, and in which form they wrote what is called."""

from __future__ import annotations

import contextlib
import functools
import inspect
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_FOLDERS = [sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")]
_LIBRARIES = tuple(str(Path(folder).resolve()) for folder in (*_FOLDERS, str(Path(__file__).parent)))


@functools.cache
def is_readers(filename: str) -> bool:
    """Whether code from that file is the reader's, and neither a library's nor the workbook's plumbing."""
    return not filename.startswith("<frozen") and not str(Path(filename).resolve()).startswith(_LIBRARIES)


def readers_line(stack: Iterable[traceback.FrameSummary]) -> str | None:
    """The innermost line of a stack that is neither a library's nor the workbook's own plumbing.

    Args:
        stack: as `traceback.extract_stack` or `traceback.extract_tb` return it.

    Returns:
        Like `line 3 of echo(): time.sleep(2)`, or None where every line is a library's.
    """
    for place in reversed(list(stack)):
        if is_readers(place.filename):
            return f"line {place.lineno} of {place.name}(): {place.line}"
    return None


def in_words(error: BaseException) -> str:
    """An exception as `ValueError: what it says`."""
    try:
        text = str(error)
    except Exception:  # a class of the reader's own may fail even here
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def call_of(code: object) -> Any:
    """The function that runs when `code` is called: behind partials, or a class's own `__call__`."""
    while isinstance(code, functools.partial):
        code = code.func
    return code if inspect.isroutine(code) else type(code).__call__


def variables_of(code: object) -> dict[str, Any]:
    """The names that the code sees: of its cell, its closure, its defaults, its object, its partial."""
    if isinstance(code, functools.partial):
        return {**variables_of(code.func), **code.keywords}
    names: dict[str, Any] = {}
    called = call_of(code)
    for function in dict.fromkeys([inspect.unwrap(called), called]):
        names |= getattr(function, "__globals__", {})
        free = getattr(getattr(function, "__code__", None), "co_freevars", ())
        for name, place in zip(free, getattr(function, "__closure__", None) or (), strict=False):
            with contextlib.suppress(ValueError):  # not assigned yet
                names[name] = place.cell_contents
        with contextlib.suppress(TypeError, ValueError):  # made in C
            parameters = inspect.signature(function, follow_wrapped=False).parameters
            names |= {
                name: each.default for name, each in parameters.items() if each.default is not each.empty
            }
    owner = getattr(code, "__self__", None) if inspect.isroutine(code) else code
    return names | getattr(owner, "__dict__", {})


def may_give_coroutine(code: object) -> bool:
    """Whether a call may give something to await: from a coroutine function, or handed on from one.

    A decorator's inner function and a `lambda` are plain functions that return the coroutine of another one.
    """
    return _may_give_coroutine(code, set())


def _may_give_coroutine(code: object, seen: set[int]) -> bool:
    function = call_of(code)
    if inspect.iscoroutinefunction(function):
        return True
    compiled = getattr(function, "__code__", None)
    if compiled is None or id(function) in seen or compiled.co_flags & inspect.CO_GENERATOR:
        return False
    seen.add(id(function))
    known, owner = variables_of(code), type(getattr(code, "__self__", code))
    names = compiled.co_names + compiled.co_freevars + compiled.co_varnames
    used = [known.get(name, getattr(owner, name, None)) for name in names]
    return any(callable(each) and _may_give_coroutine(each, seen) for each in used)


def cannot_be_called_with(code: object, *arguments: object) -> str | None:
    """Why a call with these arguments fails, in Python's words; None where it can be made.

    It goes by the function that is called, not by the one that `functools.wraps` says it is.
    """
    try:
        signature = inspect.signature(code, follow_wrapped=False)  # type: ignore[arg-type]
    except ValueError:
        return None  # made in C, and says nothing
    try:
        signature.bind(*arguments)
    except TypeError as error:
        return str(error)
    return None
