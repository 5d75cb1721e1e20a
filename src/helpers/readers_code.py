"""Where in the reader's own code something happened."""

from __future__ import annotations

import functools
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path

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
