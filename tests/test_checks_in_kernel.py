"""A check in a real kernel: what a reader sees below the cell."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

import nbformat
import pytest
from battery import CATCHES_EVERYTHING
from nbclient import NotebookClient


@pytest.fixture(scope="module")
def client() -> Iterator[NotebookClient]:
    client = NotebookClient(nbformat.v4.new_notebook(), timeout=30, kernel_name="python3")
    with client.setup_kernel():
        run(client, "from helpers.checks import chapter_00 as checks")
        run(client, "import threading\nbefore = threading.active_count()")
        yield client


def run(client: NotebookClient, source: str, *tags: str) -> list[nbformat.NotebookNode]:
    """Run a cell; gives its outputs."""
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": tags})
    client.nb.cells.append(cell)
    outputs: list[nbformat.NotebookNode] = client.execute_cell(cell, len(client.nb.cells) - 1).outputs
    return outputs


def shown(outputs: list[nbformat.NotebookNode]) -> tuple[str, str]:
    """The one output, as text and as HTML."""
    (output,) = outputs
    assert output.output_type == "execute_result"
    return output.data["text/plain"], output.data["text/html"]


def test_the_verdict_names_the_line_of_the_cell(client: NotebookClient) -> None:
    source = (
        "async def shout(connection):\n    async for message in connection:\n        nonsense(message)\n\n"
    )
    text, html = shown(run(client, source + "checks.shout(shout)"))
    assert text.startswith("✗ not yet: `shout` raised NameError: name 'nonsense' is not defined")
    assert "at line 3 of shout(): nonsense(message)" in text
    assert "<code>shout</code> raised NameError" in html
    assert 'role="status"' in html


def test_html_in_a_value_is_escaped(client: NotebookClient) -> None:
    source = "async def shout(connection):\n    async for message in connection:\n"
    source += "        await connection.send('<b>hi</b>')\n"
    text, html = shown(run(client, source + "checks.shout(shout)"))
    assert "`'<b>hi</b>'`" in text
    assert "&lt;b&gt;hi&lt;/b&gt;" in html
    assert "<b>hi" not in html


def test_an_endless_loop_leaves_the_kernel_as_it_was(client: NotebookClient) -> None:
    source = "async def shout(connection):\n    while True:\n        print('x', end='')\n"
    outputs = run(client, source + "checks.shout(shout)")
    assert outputs[-1].data["text/plain"].startswith("✗ not yet: the loop is blocked at line ")
    assert [output for output in outputs if output.get("name") == "stderr"] == []
    right = "async def shout(connection):\n    async for message in connection:\n"
    right += "        await connection.send(message.upper())\n"
    text, html = shown(run(client, right + "checks.shout(shout)"))
    assert text.startswith("✓ each message came back in capitals")
    assert "<b>✓</b>" in html
    (threads,) = run(client, "threading.active_count() - before")
    assert threads.data["text/plain"] == "0"


def test_an_interrupted_cell_shows_the_readers_own_lines_only(client: NotebookClient) -> None:
    run(client, "import os, time\nfrom helpers import apart\nme = os.getpid()")
    source = "async def work():\n    await apart(time.sleep, 60)\n"
    source += "interrupt = threading.Timer(0.5, os.kill, (me, 2))\ninterrupt.start()\nawait work()"
    (output,) = run(client, source, "raises-exception")
    said = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(output.traceback))
    assert re.findall(r"(?m)^-+> +\d+ +(.*)$", said) == ["await work()", "await apart(time.sleep, 60)"]
    assert said.endswith(("CancelledError: ", "KeyboardInterrupt: "))


def test_an_endless_loop_that_catches_everything_asks_for_a_restart(client: NotebookClient) -> None:
    run(client, "over = threading.Event()")
    source = "async def shout(connection):\n" + textwrap.indent(CATCHES_EVERYTHING, "    ") + "\n"
    text, _ = shown(run(client, source + "checks.shout(shout)"))
    assert text.startswith("✗ not yet: the code at line ")
    assert "so it can't be ended, and runs on in the background: restart the kernel" in text
    assert "→ restart the kernel, and catch only what you expect" in text
    right = "async def shout(connection):\n    async for message in connection:\n"
    right += "        await connection.send(message.upper())\n"
    text, _ = shown(run(client, right + "checks.shout(shout)"))
    assert text.startswith("✓ each message came back in capitals")
    run(client, "over.set()")


def test_an_unfinished_stub_is_told(client: NotebookClient) -> None:
    text, _ = shown(run(client, "async def shout(connection):\n    ...\n\nchecks.shout(shout)"))
    assert text == "✗ not yet: there is still a `...`\n  → put your own lines in its place"


SHOUT = (
    "async def shout(connection):\n    async for message in connection:\n"
    "        await connection.send(message.upper())\n\n"
)


def test_the_solutions_tick_does_not_look_like_the_readers(client: NotebookClient) -> None:
    """Also when the reader runs their own check after it, since the name is the solution's then."""
    text, _ = shown(run(client, f"# Solution\n{SHOUT}checks.shout(shout)"))
    assert text == "✓ the solution passes; `shout` is now the solution's, until you run your own cell again"
    assert shown(run(client, "checks.shout(shout)"))[0] == text
    assert shown(run(client, f"{SHOUT}checks.shout(shout)"))[0].startswith("✓ each message came back")
