"""Shows a piece of a program's source in a notebook, as it stands in its file."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Source:
    """The source of functions, classes or modules, shown as code.

        Source(chat_server.Cuttable)
        Source("nginx.conf")

    Args:
        *parts: functions, methods, classes or modules; or paths of files.

    Raises:
        FileNotFoundError: there is no such file.
        TypeError: a part has no source in Python.
    """

    def __init__(self, *parts: Callable[..., Any] | Any) -> None:
        self.text = "\n\n".join(map(_text, parts))
        self._language = "python" if not isinstance(parts[-1], str | Path) else Path(parts[-1]).suffix[1:]

    def __repr__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return f"```{self._language}\n{self.text}\n```"


def _text(part: Any) -> str:
    text = Path(part).read_text("utf-8") if isinstance(part, str | Path) else inspect.getsource(part)
    return textwrap.dedent(text).strip("\n")
