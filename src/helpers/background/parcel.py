"""What travels between the kernel and a child process: objects by cloudpickle, with the places of their code.

A function from a cell exists in no file, so it is sent with its code. Each code object keeps the name of
its file, and the lines of these files go along: a traceback, here or there, shows the reader's own line.
"""

from __future__ import annotations

import io
import linecache
import pickle
import traceback
import types
from collections.abc import Callable
from typing import IO, Any

import cloudpickle

from helpers.readers_code import in_words, readers_line


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Keeps the file name of each code object, which cloudpickle 3.1.3 and later replace by another."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.files: set[str] = set()

    def reducer_override(self, obj: object) -> Any:
        if isinstance(obj, types.CodeType):
            self.files.add(obj.co_filename)
            make, parts = self.dispatch_table[types.CodeType](obj)
            return _code_from, (obj.co_filename, make, parts)
        return super().reducer_override(obj)


def _code_from(
    filename: str, make: Callable[..., types.CodeType], parts: tuple[object, ...]
) -> types.CodeType:
    return make(*parts).replace(co_filename=filename)


def packed(what: object) -> bytes:
    """An object as bytes.

    Raises:
        Exception: of whatever kind; something in it can't be copied.
    """
    file = io.BytesIO()
    pickler = _Pickler(file)
    pickler.dump(what)
    lines = {name: linecache.getlines(name) for name in pickler.files}
    return pickle.dumps((lines, file.getvalue()))


def unpacked(data: bytes) -> Any:
    """The object that `packed` made bytes of.

    Raises:
        Exception: of whatever kind; something in it can't be made again here.
    """
    files, what = pickle.loads(data)
    for name, lines in files.items():
        if lines:  # no time of change: `linecache` does not look for the file on the disk
            linecache.cache.setdefault(name, (sum(map(len, lines)), None, lines, name))
    return pickle.loads(what)


def packed_error(error: BaseException) -> bytes:
    """An exception as bytes, with the stack of its traceback, whatever its class is like."""
    stack = [
        (place.filename, place.lineno, place.name, place.line)
        for place in traceback.extract_tb(error.__traceback__)
    ]
    try:
        pickled = packed(error)
    except Exception:  # an exception that can't be copied still has its words
        pickled = b""
    return pickle.dumps((pickled, in_words(error), stack))


def unpacked_error(data: bytes) -> Exception:
    """The exception that `packed_error` made bytes of; a note names the reader's line that raised it.

    Returns:
        The exception, or a `RuntimeError` with its words where it can't be made again here.
    """
    pickled, text, stack = pickle.loads(data)
    error: object
    try:
        error = unpacked(pickled)
    except Exception:  # whatever its class does when it is loaded, its words are there
        error = None
    if not isinstance(error, Exception):
        error = RuntimeError(text)
    where = readers_line(
        traceback.FrameSummary(name, number, function, line=line) for name, number, function, line in stack
    )
    if where:
        error.add_note(f"in the child process, at {where}")
    return error
