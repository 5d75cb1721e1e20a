"""The widgets' JavaScript and CSS: a file of their own each, and one that all of them share.

anywidget takes one module and one style sheet per widget. The files are ordinary ES modules that import from
each other, so that editors and linters understand them; `script` joins them into one text.

Source: https://anywidget.dev/en/afm/
"""

from __future__ import annotations

import re
from pathlib import Path

_HERE = Path(__file__).parent
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?!default)", re.MULTILINE)


def script(name: str) -> str:
    """A widget's module for the page: the files that it imports, each once, then its own.

    All of them share one scope then, so a name at the top of a file must be in no other.

    Args:
        name: the file's name, such as `"panel.js"`.
    """
    joined: dict[str, str] = {}

    def join(name: str) -> None:
        text = (_HERE / name).read_text("utf-8")
        for imported in _IMPORT.findall(text):
            if imported not in joined:
                join(imported)
        joined[name] = _EXPORT.sub("", _IMPORT.sub("", text))

    join(name)
    return "\n".join(joined.values())


def style(name: str) -> str:
    """A widget's style sheet: what all widgets share, then its own.

    Args:
        name: the file's name, such as `"panel.css"`.
    """
    return "\n".join((_HERE / part).read_text("utf-8") for part in ("shared.css", name))
