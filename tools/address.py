"""Show or set the repository's public address, and write the README's badges from it.

The address lives in one place, `[tool.workbook] repository` in pyproject.toml.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START = "my_notebooks/00_start_here.ipynb"
BADGES = ("https://mybinder.org/badge_logo.svg", "https://github.com/codespaces/badge.svg")

_GITHUB = re.compile(r"https://github\.com/(?P<owner>[\w.-]+)/(?P<name>[\w.-]+?)(?:\.git)?/?")
_SETTING = re.compile(r'^(repository = )"[^"\n]*"$', re.MULTILINE)
_BLOCK = re.compile(r"(?<=<!-- address -->\n).*?(?=<!-- /address -->)", re.DOTALL)


def block(repository: str) -> str:
    """Return the README's lines between the address marks.

    Args:
        repository: `https://github.com/OWNER/NAME`, or an empty string when there is no address yet.

    Raises:
        ValueError: it is another kind of address.
    """
    binder, codespaces = BADGES
    if not repository:
        return (
            f"[![Binder]({binder})](https://mybinder.org/)\n\n"
            "To open your own fork in the browser, give its address once: "
            "`python3 run.py address https://github.com/YOU/YOUR-FORK`.\n"
            f"Or fill in the form behind the badge: your fork's address, and `{START}` as the file to open.\n"
        )
    match = _GITHUB.fullmatch(repository)
    if match is None:
        raise ValueError(f"{repository!r} is no address of the form https://github.com/OWNER/NAME")
    fork = f"{match['owner']}/{match['name']}"
    return (
        f"[![Open on Binder]({binder})](https://mybinder.org/v2/gh/{fork}/HEAD?urlpath=lab/tree/{START})\n"
        f"[![Open in GitHub Codespaces]({codespaces})](https://codespaces.new/{fork})\n"
    )


def read_address(root: Path = ROOT) -> str:
    """Return the address that pyproject.toml holds, or an empty string."""
    settings = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    return str(settings["tool"]["workbook"]["repository"])


def write_address(repository: str, root: Path = ROOT) -> None:
    """Set the address in pyproject.toml and rewrite the README's block.

    Raises:
        ValueError: the address has another form, or a file lacks its place for it.
    """
    lines = block(repository)
    for name, place, text in (
        ("pyproject.toml", _SETTING, rf'\g<1>"{repository}"'),
        ("README.md", _BLOCK, lines.replace("\\", r"\\")),
    ):
        path = root / name
        new, count = place.subn(text, path.read_text("utf-8"))
        if count != 1:
            raise ValueError(f"{name} has {count} places for the address, not one")
        path.write_text(new, "utf-8", newline="\n")


def main(arguments: list[str]) -> int:
    if len(arguments) > 1:
        print("usage: run.py address [https://github.com/OWNER/NAME]", file=sys.stderr)
        return 2
    try:
        if arguments:
            write_address(arguments[0])
    except ValueError as error:
        print(f"address: {error}", file=sys.stderr)
        return 1
    print(read_address() or "no address is set: run.py address https://github.com/OWNER/NAME")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
