"""The link from a notebook to a page beside the kernel: the chat's Streamlit page, behind Jupyter's proxy."""

from __future__ import annotations

from pathlib import Path

import pytest
from extras import needs

from driver.lab import JupyterLab
from driver.notebook_page import NotebookPage

needs("playwright")
needs("streamlit")
from playwright.sync_api import expect

ROOT = Path(__file__).parents[2]
CELLS = [
    f"""\
import sys
from helpers import BackgroundProcess, PageLink
command = [sys.executable, "-m", "streamlit", "run", "apps/chat/page.py"]
options = ["--server.headless=true", "--server.port={{port}}"]
page = BackgroundProcess(command + options, ready="URL: ", folder={str(ROOT)!r},
                         environment={{"CHAT_URL": "ws://127.0.0.1:1/ws"}}).start()""",
    'display(PageLink(f"{page.url}/?name=<b>Ann", "Join as <b>Ann"), PageLink("https://example.org/a?b=c"))',
    "print(page.port, PageLink(page.url))",
    "page.stop()",
]


@pytest.fixture(autouse=True)
def notebook(lab: JupyterLab) -> None:
    lab.add("link.ipynb", CELLS)


def test_a_link_leads_through_the_proxy(page: NotebookPage) -> None:
    page.open("link.ipynb")
    for index in range(3):
        page.run_cell(index)
    port, shown = page.output_text(2).split(" ", 1)
    assert shown == f"PageLink('http://127.0.0.1:{port}'): http://127.0.0.1:{port}"
    links = page.page.locator(".wsbook-page-link")
    expect(links).to_have_text(["Join as <b>Ann ↗", "https://example.org/a?b=c ↗"])
    expect(links.last).to_have_attribute("href", "https://example.org/a?b=c")
    with page.page.context.expect_page() as opened:
        links.first.click()
    chat = opened.value
    expect(chat.get_by_label("Your name")).to_have_value("<b>Ann")
    assert chat.url.startswith(f"{page.lab.url}proxy/{port}/?name=")
    chat.get_by_role("button", name="Join").click()
    expect(chat.get_by_text("Reconnecting: the server can't be reached.")).to_be_visible()
    chat.close()
    page.run_cell(3)
