"""The driver itself: it sees what a reader sees, and tells what failed. The rest of it is for the night."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from extras import needs

from driver.lab import JupyterLab
from driver.notebook_page import CellFailed, NotebookPage

needs("playwright")
from playwright.sync_api import expect

BUTTON = """\
import ipywidgets
text = ipywidgets.Text().add_class("wsbook-test-text")
button = ipywidgets.Button(description="Greet")
button.on_click(lambda _: setattr(text, "value", text.value + " there"))
ipywidgets.VBox([text, button])"""

ANYWIDGET = """\
import anywidget, traitlets
class Echo(anywidget.AnyWidget):
    _esm = '''export default { render({ model, el }) {
        el.textContent = "drawn by JavaScript";
        model.set("seen", true); model.save_changes();
    } }'''
    seen = traitlets.Bool(False).tag(sync=True)
echo = Echo()
echo"""

BAR = "from IPython.display import HTML\nHTML('<div style=\"background: {}; height: 50px\">bar</div>')"

ERRORS = """\
from IPython.display import Javascript
Javascript("console.error('broken on purpose'); setTimeout(() => nowhere(), 0)")"""

# A server that answers HTTP in the kernel; jupyter-server-proxy carries it to the page.
PROXIED = """\
import http.server, threading
class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello from the kernel")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hello)
threading.Thread(target=server.serve_forever, daemon=True).start()
server.server_port"""

NOTEBOOKS = {
    "widgets": [BUTTON, "text.value"],
    "anywidget": [ANYWIDGET, "echo.seen"],
    "raises": ["1 + 1", "def divide(a):\n    return a / 0\ndivide(1)", "print('after')", "nowhere"],
    "may_raise": ["1 / 0", "import time; time.sleep(1)\nprint('after')"],
    "hangs": ["print('first')", "print('sleeps', flush=True)\nimport time; time.sleep(60)", "print('never')"],
    "long": [BAR.format("red"), *["for n in range(20): print(n)"] * 10, BAR.format("blue")],
    "state": ["try:\n    runs += 1\nexcept NameError:\n    runs = 1\nruns"],
    "errors": [ERRORS],
    "proxied": [PROXIED],
}


@pytest.fixture(autouse=True)
def notebooks(lab: JupyterLab) -> None:
    for name, sources in NOTEBOOKS.items():
        lab.add(f"{name}.ipynb", sources, may_raise=[0] if name == "may_raise" else [])


@pytest.mark.nightly
def test_widgets_talk_with_the_kernel(page: NotebookPage) -> None:
    page.open("widgets.ipynb")
    page.run_all()
    assert page.find_cell("text.value") == 0
    assert page.output_text(1) == "''"
    field = page.page.locator(".wsbook-test-text input")
    field.fill("hello")
    page.page.get_by_role("button", name="Greet", exact=True).click()
    expect(field).to_have_value("hello there")
    page.run_cell(1)
    assert page.output_text(1) == "'hello there'"


@pytest.mark.nightly
def test_an_anywidget_runs_its_javascript(page: NotebookPage) -> None:
    page.open("anywidget.ipynb")
    page.run_cell(0)
    expect(page.cell(0)).to_contain_text("drawn by JavaScript")
    page.run_cell(1)
    assert page.output_text(1) == "True"


@pytest.mark.nightly
def test_the_proxy_reaches_a_server_in_the_kernel(page: NotebookPage) -> None:
    page.open("proxied.ipynb")
    page.run_all()
    port = page.output_text(0)
    answer = page.page.evaluate("url => fetch(url).then(r => r.text())", f"/user/joe/proxy/{port}/")
    assert answer == "hello from the kernel"


def test_a_raising_cell_is_reported(page: NotebookPage) -> None:
    page.open("raises.ipynb")
    with pytest.raises(CellFailed, match=r"(?s)cell 1 raised.*return a / 0.*ZeroDivisionError: division"):
        page.run_all()
    assert page.output_text(0) == "2"
    with pytest.raises(CellFailed, match="cell 1 raised"):
        page.run_cell(1)
    page.run_cell(0)
    with pytest.raises(CellFailed, match=r"(?s)cell 3 raised.*NameError"):
        page.run_cell(3)


@pytest.mark.nightly
def test_a_cell_that_may_raise_is_no_failure(page: NotebookPage) -> None:
    page.open("may_raise.ipynb")
    page.run_all()
    assert page.outputs(0)[0]["ename"] == "ZeroDivisionError"
    assert page.output_text(1) == "after"


@pytest.mark.nightly
def test_a_cell_runs_while_the_test_goes_on(page: NotebookPage) -> None:
    page.open("hangs.ipynb")
    page.run_cell(1, wait=False)
    expect(page.cell(1).locator(".jp-OutputArea-output")).to_have_text("sleeps")
    page.restart_kernel()
    page.wait_for_idle()
    page.timeout = 2
    with pytest.raises(CellFailed, match=r"cells \[1, 2\] did not end within 2 s"):
        page.run_all()
    assert page.output_text(0) == "first"


@pytest.mark.nightly
def test_restart_forgets_names(page: NotebookPage) -> None:
    page.open("state.ipynb")
    page.run_all()
    page.run_all()
    assert page.output_text(0) == "2"
    page.restart_kernel()
    page.run_all()
    assert page.output_text(0) == "1"


@pytest.mark.nightly
def test_the_theme_changes_and_is_forgotten(
    page: NotebookPage, lab: JupyterLab, new_page: Callable[[], NotebookPage]
) -> None:
    page.open("state.ipynb")
    body = page.page.locator("body")
    expect(body).to_have_attribute("data-jp-theme-light", "true")
    page.set_theme("JupyterLab Dark")
    expect(body).to_have_attribute("data-jp-theme-light", "false")
    page.set_theme("JupyterLab Light")
    expect(body).to_have_attribute("data-jp-theme-light", "true")
    page.set_theme("JupyterLab Dark")
    page.close()
    lab.reset()
    later = new_page()
    later.open("state.ipynb")
    expect(later.page.locator("body")).to_have_attribute("data-jp-theme-light", "true")


@pytest.mark.nightly
def test_the_whole_notebook_is_on_the_picture(page: NotebookPage, tmp_path: Path) -> None:
    page.open("long.ipynb")
    page.run_all()
    page.screenshot(tmp_path / "window.png")
    page.screenshot(tmp_path / "whole.png", whole=True)
    red, blue = [255, 0, 0], [0, 0, 255]
    window = column_of_pixels(page, tmp_path / "window.png")
    whole = column_of_pixels(page, tmp_path / "whole.png")
    assert len(window) == 900
    assert red not in window or blue not in window
    assert whole.index(red) < 200
    assert whole.index(blue) > 10 * 20 * 12  # 10 cells with 20 lines of at least 12 pixels
    assert whole[::-1].index(blue) < 50
    assert page.page.viewport_size == {"width": 1280, "height": 900}


def column_of_pixels(page: NotebookPage, png: Path) -> list[list[int]]:
    """The colours down the middle of a picture; the browser decodes it."""
    work = """async (source) => {
      const image = new Image();
      image.src = source;
      await image.decode();
      const context = new OffscreenCanvas(image.width, image.height).getContext("2d");
      context.drawImage(image, 0, 0);
      const { data } = context.getImageData(image.width / 2, 0, 1, image.height);
      return Array.from({ length: image.height }, (_, y) => [...data.slice(4 * y, 4 * y + 3)]);
    }"""
    source = "data:image/png;base64," + base64.b64encode(png.read_bytes()).decode()
    return cast("list[list[int]]", page.page.evaluate(work, source))


def test_console_errors_are_seen(page: NotebookPage) -> None:
    page.open("errors.ipynb")
    with page.page.expect_event("pageerror"):
        page.run_all()
    logged, uncaught = page.console_errors
    assert "broken on purpose" in logged
    assert "nowhere is not defined" in uncaught
    page.forget_console_errors()


@pytest.mark.nightly
def test_a_left_notebook_is_as_it_was_when_it_is_opened_again(page: NotebookPage, lab: JupyterLab) -> None:
    page.open("state.ipynb")
    page.run_all()
    page.set_theme("JupyterLab Dark")
    page.page.evaluate("window.mark = 'the same page'")
    page.leave()
    assert lab.request("GET", "api/kernels") == []
    expect(page.page.locator(".jp-Notebook")).to_have_count(0)
    page.open("state.ipynb")
    assert page.outputs(0) == []
    assert page.page.evaluate("window.mark") == "the same page"
    expect(page.page.locator("body")).to_have_attribute("data-jp-theme-light", "true")
    page.run_all()
    assert page.output_text(0) == "1"


@pytest.mark.nightly
def test_closing_leaves_no_kernel(page: NotebookPage, lab: JupyterLab) -> None:
    page.open("state.ipynb")
    page.run_all()
    assert len(lab.request("GET", "api/kernels")) == 1
    page.close()
    assert lab.request("GET", "api/kernels") == []
