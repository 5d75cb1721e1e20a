"""An app's page in JupyterLab: in its frame, through the proxy, it talks with a handler from a cell."""

from __future__ import annotations

from pathlib import Path

import pytest
from extras import needs

from driver.lab import JupyterLab
from driver.notebook_page import NotebookPage

needs("playwright")
from playwright.sync_api import expect

PAGE = """<!doctype html>
<meta charset="utf-8">
<meta name="color-scheme" content="light dark">
<title>Echo</title>
<p><label>Say <input></label></p>
<ul></ul>
<script>
  const socket = new WebSocket(location.href.replace("http", "ws"));
  const field = document.querySelector("input");
  socket.onmessage = ({ data }) => {
    const line = document.createElement("li");
    line.textContent = data;
    document.querySelector("ul").append(line);
  };
  field.onchange = () => socket.send(field.value);
</script>
"""

CELLS = [
    f"from pathlib import Path\nfrom websockets.asyncio.server import broadcast\n"
    f"from helpers import AppPage, BackgroundServer\nPath('echo.html').write_text({PAGE!r})",
    """\
heard = []

async def echo(connection):
    await connection.send(f"welcome at {connection.request.path}")
    async for message in connection:
        heard.append(message)
        await connection.send(message.upper())

server = BackgroundServer(echo, page="echo.html").start()
AppPage(server, "/?name=<b>Ann", title="Ann's <b>page", height=240)""",
    "broadcast(server.connections, 'from a cell'); print(heard, server.port)",
    "server.stop()",
    "server.start()",
]


@pytest.fixture(autouse=True)
def notebook(lab: JupyterLab) -> None:
    lab.add("app.ipynb", CELLS)


def test_a_page_and_a_cell_talk(page: NotebookPage, tmp_path: Path) -> None:
    page.open("app.ipynb")
    page.run_cell(0)
    page.run_cell(1)
    app = page.page.get_by_role("group", name="Page: Ann's <b>page")
    status, frame = app.get_by_role("status"), app.frame_locator("iframe")
    lines = frame.get_by_role("listitem")
    welcome = "welcome at /?name=%3Cb%3EAnn"
    expect(app.locator("iframe")).to_have_attribute("title", "Ann's <b>page")
    expect(lines).to_have_text([welcome])

    frame.get_by_label("Say").fill("from the page")
    frame.get_by_label("Say").press("Enter")
    expect(lines).to_have_text([welcome, "FROM THE PAGE"])
    page.run_cell(2)
    expect(lines).to_have_text([welcome, "FROM THE PAGE", "from a cell"])
    said, port = page.output_text(2).rsplit(" ", 1)
    assert said == "['from the page']"

    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        page.set_theme(theme)
        page.screenshot(tmp_path / f"{theme}.png", whole=True)
        ink, ground = app.evaluate(
            "node => [getComputedStyle(node).color, getComputedStyle(node).backgroundColor]"
        )
        assert ink != ground
        white, black = "rgb(255, 255, 255)", "rgb(0, 0, 0)"
        expect(frame.locator("body")).to_have_css("color", white if theme.endswith("Dark") else black)

    with page.page.context.expect_page() as opened:
        app.get_by_role("link", name="Open in a tab").click()
    assert opened.value.url == f"{page.lab.url}proxy/{port}/?name=%3Cb%3EAnn"
    expect(opened.value.get_by_role("listitem")).to_have_text([welcome])
    opened.value.goto(f"http://127.0.0.1:{port}/")  # as where there is no Jupyter server in between
    expect(opened.value.get_by_role("listitem")).to_have_text(["welcome at /"])
    opened.value.close()

    page.run_cell(3)
    expect(status).to_have_text("The server has been stopped. Start it again, and the page comes back.")
    expect(app.get_by_role("button", name="Reload")).to_be_disabled()
    page.screenshot(tmp_path / "stopped.png", whole=True)
    expect(frame.get_by_label("Say")).to_be_visible()
    page.run_cell(4)
    expect(status).to_have_text("")
    expect(lines).to_have_text([welcome])

    # Streamlit's page would take the keyboard now, and keep it; it is known by this class.
    frame.locator("body").evaluate("body => body.classList.add('stApp')")
    page.run_cell(3)
    expect(app.locator("iframe")).to_have_attribute("src", "about:blank")
    page.run_cell(4)
    expect(lines).to_have_text([welcome])
    page.run_cell(1)  # a newer server in the place of the old one, and a newer page
    expect(lines).to_have_text([welcome])
    page.restart_kernel()
    expect(status).to_have_text("the kernel was restarted or has ended: run all cells again")
