"""The pages at the top of the repository: links, the glossary's order, the cheat sheet's numbers."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from notebook_rules import Notebook, links_resolve
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import OK_CLOSE_CODES, CloseCode

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(ROOT.glob("*.md"))
SHEET = (ROOT / "CHEATSHEET.md").read_text("utf-8")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_resolve(path: Path) -> None:
    page = {"cells": [{"cell_type": "markdown", "source": path.read_text("utf-8")}], "metadata": {}}
    assert list(links_resolve(Notebook(path, page, []))) == []


def test_a_link_to_a_heading_that_is_not_there_is_found() -> None:
    cell = {"cell_type": "markdown", "source": "[x](notebooks/00_start_here.ipynb#Nowhere)"}
    page = Notebook(ROOT / "GLOSSARY.md", {"cells": [cell], "metadata": {}}, [])
    assert list(links_resolve(page)) == ["the link notebooks/00_start_here.ipynb#Nowhere names no heading"]


def test_the_glossary_is_in_order_and_links_each_term() -> None:
    lines = [line for line in (ROOT / "GLOSSARY.md").read_text("utf-8").splitlines() if line.startswith("- ")]
    terms = [match[1] for line in lines if (match := re.match(r"- \*\*(.+?)\*\*: ", line))]
    assert len(terms) == len(lines) > 50
    assert terms == sorted(terms, key=str.lower)
    assert [line for line in lines if not re.search(r"\]\(notebooks/\w+\.ipynb#[^)]+\)$", line)] == []


def rows(text: str, columns: int) -> list[list[str]]:
    """The rows of a page's tables with so many columns."""
    lines = [line.strip("|").split("|") for line in text.splitlines() if line[:1] == "|"]
    return [[cell.strip() for cell in line] for line in lines if len(line) == columns]


OPTIONS = rows(SHEET[SHEET.index("| option |") : SHEET.index("A refused handshake")], 3)[2:]


@pytest.mark.parametrize("row", OPTIONS, ids=lambda row: row[0])
def test_a_default_is_the_library_s(row: list[str]) -> None:
    functions: list[Callable[..., object]] = [serve, connect]
    if "(server)" in row[0]:
        functions = [serve]
    elif "(client)" in row[0]:
        functions = [connect]
    names = re.findall(r"`(\w+)`", row[0])
    shown = [each.strip('`"').replace(",", "") for each in row[1].split(", ")]
    for function in functions:
        for name, value in zip(names, shown, strict=True):
            default = inspect.signature(function).parameters[name].default
            assert getattr(default, "__name__", str(default)) == value


CODES = [(int(code), sender) for code, _, sender in rows(SHEET, 3) if code.isdecimal() and len(code) == 4]


def test_the_sheet_has_every_close_code() -> None:
    assert [code for code, _ in CODES] == sorted(int(code) for code in CloseCode)


async def ending(code: int, how: str) -> str:
    """How reading or sending ends when the server closes with a code; nobody can send 1005, 1006 and 1015."""

    async def close(connection: ServerConnection) -> None:
        await connection.close(code)

    async with (
        serve(close, "127.0.0.1", 0) as server,
        connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", proxy=None) as client,
    ):
        await client.wait_closed()
        assert client.close_code == code
        try:
            if how == "async for":
                async for _ in client:
                    pass
            else:
                await (client.recv() if how == "recv" else client.send("x"))
        except ConnectionClosed as error:
            return type(error).__name__
        return "quiet"


@pytest.mark.parametrize("code", [code for code, sender in CODES if not sender.startswith("nobody")])
def test_what_a_close_code_does(code: int) -> None:
    fine = code in OK_CLOSE_CODES
    assert fine == (code in (1000, 1001))
    raised = "ConnectionClosedOK" if fine else "ConnectionClosedError"
    assert asyncio.run(ending(code, "async for")) == ("quiet" if fine else raised)
    assert [asyncio.run(ending(code, how)) for how in ("recv", "send")] == [raised, raised]


def test_the_sheet_is_one_page() -> None:
    assert len(SHEET.splitlines()) <= 120
