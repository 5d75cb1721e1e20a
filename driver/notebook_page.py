"""One notebook open in JupyterLab in a real browser, driven from a test."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import ConsoleMessage, Locator, Page

    from driver.lab import JupyterLab

# Console errors that JupyterLab makes by itself, as regular expressions, each with when it was seen. An empty
# notebook that is opened, run, saved and closed in JupyterLab 4.6 makes none.
HARMLESS = (
    # When the kernel restarts, JupyterLab's own questions to it are cancelled: the debugger's for breakpoints
    # (every time) and the one for a thread that serves widgets (when the restart comes soon after the start).
    r"Canceled future for (debug|create_subshell)_request message before replies were done",
    # After a restart JupyterLab asks for widgets that the new kernel does not know; it says so on stderr.
    # What it says before the page is connected again is kept by Jupyter's server (2.21), and passed on with
    # the message's topic still in front, which is not JSON (`replay`, in its connection/channels.py).
    r"Kernel message validation error: .*\"stream\.stderr\" is not valid JSON",
)

# Pixels. Chromium draws no picture higher than this, and JupyterLab's status bar needs its place.
HIGHEST_PICTURE = 16_000
BELOW_NOTEBOOK = 40

Theme = Literal["JupyterLab Light", "JupyterLab Dark"]

# Runs `work(app, panel, argument)` in the page and answers {value}, {error} or {late}: a promise that never
# resolves, such as that of a cell that hangs, must not hang the test.
IN_NOTEBOOK = """
async ([name, milliseconds, argument]) => {
  const work = %s;
  const app = window.jupyterapp;
  const panel = [...app.shell.widgets("main")].find((widget) => widget.context?.path === name);
  if (!panel) return { error: `${name} is not open in this page` };
  let timer;
  const late = new Promise((resolve) => { timer = setTimeout(() => resolve({ late: true }), milliseconds); });
  const done = (async () => work(app, panel, argument))().then(
    (value) => ({ value: value ?? null }),
    (error) => ({ error: String(error) }),
  );
  const answer = await Promise.race([done, late]);
  clearTimeout(timer);
  return answer;
}
"""

READY = """async (app, panel) => {
  await app.restored;
  await panel.context.ready;
  await panel.sessionContext.ready;
  await panel.sessionContext.session.kernel.info;
}"""

# Execution counts from the file are taken away first, so that those that are there afterwards are new.
# The command answers false as soon as one cell has raised, even if that cell may and others still run. The
# kernel takes requests in order, so an empty one ends after them.
RUN_ALL = """async (app, panel) => {
  app.shell.activateById(panel.id);
  for (const { model } of panel.content.widgets) if (model.type === "code") model.executionCount = null;
  const ran = await app.commands.execute("notebook:run-all-cells");
  if (!ran) await panel.sessionContext.session.kernel.requestExecute({ code: "", silent: true }).done;
  return ran;
}"""

RUN_CELL = """async (app, panel, [index, wait]) => {
  app.shell.activateById(panel.id);
  panel.content.deselectAll();
  panel.content.activeCellIndex = index;
  panel.content.activeCell.model.executionCount = null;
  const ran = app.commands.execute("notebook:run-cell");
  return wait ? await ran : true;
}"""

RUN_CODE = """async (app, panel, code) => {
  const ran = panel.sessionContext.session.kernel.requestExecute({ code, store_history: false });
  const { content } = await ran.done;
  if (content.status !== "ok") throw new Error(`${content.ename}: ${content.evalue}`);
}"""

CELLS = """(app, panel) => panel.content.widgets.map(({ model }) => ({
  type: model.type,
  source: model.sharedModel.getSource(),
  tags: model.getMetadata("tags") ?? [],
  ran: model.type !== "code" || !model.sharedModel.getSource().trim() || model.executionCount !== null,
  outputs: model.type === "code" ? model.outputs.toJSON() : [],
}))"""

# The kernel takes requests in order, so an empty one ends after all others. Its status would not do: an
# answer on the control channel, to the debugger, makes JupyterLab call it idle while a cell runs.
UNTIL_IDLE = """async (app, panel) => {
  await panel.sessionContext.session.kernel.requestExecute({ code: "", silent: true }).done;
}"""

RESTART = """async (app, panel) => {
  await panel.sessionContext.restartKernel();
  await panel.sessionContext.session.kernel.info;
}"""

# The last cell's end counts: JupyterLab lets you scroll past it by a window's height.
WHOLE = """async (app, panel) => {
  await new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)));
  const area = panel.content.node.querySelector(".jp-WindowedPanel-outer");
  area.scrollTop = 0;
  const { x, y, width } = area.getBoundingClientRect();
  const last = [...area.querySelectorAll(".jp-Notebook-cell")].at(-1);
  return { x, y, width, height: last.getBoundingClientRect().bottom + 10 - y };
}"""

# Nothing is open at that moment, so it is not IN_NOTEBOOK.
OPEN = """async (name) => {
  const { shell, commands } = window.jupyterapp;
  const panel = await commands.execute("docmanager:open", { path: name, factory: "Notebook" });
  shell.activateById(panel.id);
}"""

LEAVE = """async (app, panel) => {
  await panel.sessionContext.shutdown();
  panel.dispose();  // and not close(), which asks whether to save
}"""

SHOW_CELL = "async (app, panel, index) => panel.content.scrollToItem(index, 'smart')"


class CellFailed(AssertionError):
    """A cell raised, or did not end in time; the message names the cell and holds its traceback."""


class NotebookPage:
    """A notebook as a reader has it: JupyterLab in a browser tab, with a kernel.

    Cells are counted from 0, as in the file, text cells too.

    Example::

        page.open("04_talk_both_ways.ipynb")
        page.run_all()
        page.page.get_by_role("button", name="Send").first.click()

    Args:
        page: The Playwright page to use; ``close()`` closes it.
        lab: The JupyterLab that serves the notebook.
        timeout: How long opening, running and restarting may take each, in seconds; may be set later, too.
    """

    def __init__(self, page: Page, lab: JupyterLab, *, timeout: float = 180) -> None:
        self.page = page
        self.lab = lab
        self.name = ""
        self.timeout = self._usual_timeout = timeout
        self._errors: list[str] = []
        self._left = False
        # Playwright would impose a light scheme on every frame, whatever JupyterLab's theme says.
        page.emulate_media(color_scheme="null")
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._errors.append(f"uncaught: {error.stack or error}"))
        page.on("crash", lambda _: self._errors.append("the page crashed"))

    @property
    def console_errors(self) -> list[str]:
        """Errors that the browser's console showed and exceptions nobody caught, without the `HARMLESS`."""
        return [text for text in self._errors if not any(re.search(known, text) for known in HARMLESS)]

    def forget_console_errors(self, pattern: str = "") -> None:
        """Forgive the errors so far, in a test that provokes them.

        Args:
            pattern: A regular expression; only errors that match it are forgiven. All by default.
        """
        self._errors = [text for text in self._errors if not re.search(pattern, text)]

    def open(self, name: str) -> None:
        """Open a notebook and wait until its kernel answers.

        JupyterLab is loaded with it, unless this page has left another notebook.

        Args:
            name: The notebook's path below the served folder.

        Raises:
            playwright.sync_api.TimeoutError: JupyterLab did not show the notebook.
            TimeoutError: No kernel answered; the message holds the text of open dialogs.
        """
        self.name = name
        if self._left:
            self.page.evaluate(OPEN, name)
        else:
            self.page.goto(self.lab.notebook_url(name))
        self._left = False
        self.page.wait_for_function(
            "name => window.jupyterapp?.shell && [...jupyterapp.shell.widgets('main')]"
            ".some(widget => widget.context?.path === name && widget.sessionContext)",
            arg=name,
            timeout=self.timeout * 1000,
        )
        self._call(READY)
        self._wait_for_no_splash()

    def run_all(self) -> None:
        """Run every cell, as the menu's *Run All Cells* does, and wait until all ran.

        Raises:
            CellFailed: A cell raised, or did not end in time.
        """
        self._ran(RUN_ALL)

    def run_cell(self, index: int, *, wait: bool = True) -> None:
        """Run one cell.

        Args:
            index: Which cell.
            wait: Whether to return only when it ran.

        Raises:
            CellFailed: The cell raised, or did not end in time (only with ``wait``).
        """
        self._ran(RUN_CELL, index, wait)

    def run_code(self, code: str) -> None:
        """Run what is in no cell, such as what stands in for cells that take long.

        Raises:
            RuntimeError: It raised.
        """
        self._call(RUN_CODE, code)

    def find_cell(self, text: str) -> int:
        """The index of the first code cell whose source contains ``text``.

        Raises:
            LookupError: There is none.
        """
        for index, cell in enumerate(self._cells()):
            if cell["type"] == "code" and text in cell["source"]:
                return index
        raise LookupError(f"no code cell in {self.name} contains {text!r}")

    def cell(self, index: int) -> Locator:
        """A cell in the page, scrolled into view."""
        self._call(SHOW_CELL, index)
        return self.page.locator(f'.jp-Notebook-cell[data-windowed-list-index="{index}"]')

    def outputs(self, index: int) -> list[dict[str, Any]]:
        """A cell's outputs, as they would be saved (nbformat.readthedocs.io, "Code cell outputs")."""
        return cast("list[dict[str, Any]]", self._cells()[index]["outputs"])

    def output_text(self, index: int) -> str:
        """The text that the reader sees below a cell, widgets' text included."""
        return "\n".join(self.cell(index).locator(".jp-OutputArea-output").all_inner_texts()).strip()

    def wait_for_idle(self) -> None:
        """Wait until the kernel has done all that was asked of it.

        Raises:
            TimeoutError: It stayed busy.
            RuntimeError: There is none.
        """
        self._call(UNTIL_IDLE)

    def restart_kernel(self) -> None:
        """Restart the kernel, as the menu does but unasked, and wait until it answers."""
        self._call(RESTART)

    def set_theme(self, theme: Theme) -> None:
        """Switch JupyterLab's theme and wait until it shows."""
        self._call("(app, panel, theme) => app.commands.execute('apputils:change-theme', { theme })", theme)
        self.page.wait_for_function("theme => document.body.dataset.jpThemeName === theme", arg=theme)
        self._wait_for_no_splash()

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Take a picture.

        Args:
            path: Where to save it, as ``.png``.
            whole: Show the notebook from its first cell to its last, but no more than `HIGHEST_PICTURE`;
                otherwise the window.
        """
        if not whole:
            self.page.screenshot(path=path)
            return
        size = self.page.viewport_size
        assert size is not None, "the page has no fixed viewport"
        height = size["height"]
        # JupyterLab leaves cells out of sight undrawn, and only estimates their height.
        style = self.page.add_style_tag(
            content=".jp-Notebook-cell { content-visibility: visible !important; }"
        )
        try:
            for _ in range(10):
                area = self._call(WHOLE)
                missing = area["y"] + area["height"] + BELOW_NOTEBOOK - height
                if missing <= 0 or height == HIGHEST_PICTURE:
                    break
                height = min(height + math.ceil(missing), HIGHEST_PICTURE)
                self.page.set_viewport_size({"width": size["width"], "height": height})
            area["height"] = min(area["height"], height - area["y"] - BELOW_NOTEBOOK)
            self.page.screenshot(path=path, clip=area)
        finally:
            style.evaluate("node => node.remove()")
            self.page.set_viewport_size(size)

    def leave(self) -> None:
        """Close the notebook and end its kernel, but keep JupyterLab loaded, as it was at the beginning.

        Pages that were opened from it are closed.
        """
        for opened in self.page.context.pages:
            if opened != self.page:
                opened.close()
        self.timeout = self._usual_timeout
        if not self.name:
            return
        if self.page.evaluate("document.body.dataset.jpThemeName") != "JupyterLab Light":
            self.set_theme("JupyterLab Light")
        self._call(LEAVE)
        self._errors.clear()
        self.name = ""
        self._left = True

    def close(self) -> None:
        """Close the page and end the notebook's kernel."""
        self.page.close()
        if self.name:
            self.lab.shut_down_kernels(self.name)

    def _wait_for_no_splash(self) -> None:
        """Wait until the page is uncovered; switching the theme again before that makes errors."""
        self.page.locator("#jupyterlab-splash").wait_for(state="detached")

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._errors.append(f"{message.text} ({message.location['url']})")

    def _ask(self, work: str, argument: Any = None) -> dict[str, Any]:
        request = [self.name, self.timeout * 1000, argument]
        return cast("dict[str, Any]", self.page.evaluate(IN_NOTEBOOK % work, request))

    def _call(self, work: str, argument: Any = None) -> Any:
        answer = self._ask(work, argument)
        if "late" in answer:
            raise TimeoutError(f"{self.name}: nothing after {self.timeout:g} s{self._circumstances()}")
        if "error" in answer:
            raise RuntimeError(f"{self.name}: {answer['error']}{self._circumstances()}")
        return answer["value"]

    def _cells(self) -> list[dict[str, Any]]:
        return cast("list[dict[str, Any]]", self._call(CELLS))

    def _ran(self, work: str, only: int | None = None, wait: bool = True) -> None:
        answer = self._ask(work, [only, wait])
        if answer.get("value") is True:
            return
        cells = {index: cell for index, cell in enumerate(self._cells()) if only in (None, index)}
        for index, cell in cells.items():
            for output in cell["outputs"] if cell["ran"] else []:
                if output["output_type"] == "error" and "raises-exception" not in cell["tags"]:
                    raise CellFailed(f"{self.name}, cell {index} raised\n{traceback_of(output)}")
        waiting = [index for index, cell in cells.items() if not cell["ran"]]
        if "late" in answer:
            problem = f"cells {waiting} did not end within {self.timeout:g} s"
        elif "error" in answer:
            problem = answer["error"]
        elif waiting:
            problem = f"cells {waiting} did not run"
        else:
            return  # JupyterLab says false, too, when only cells raised that may
        raise CellFailed(f"{self.name}: {problem}{self._circumstances()}")

    def _circumstances(self) -> str:
        dialogs = self.page.locator(".jp-Dialog").all_inner_texts()
        return f"\nDialogs: {dialogs}\nConsole: {self._errors}"


def traceback_of(output: dict[str, Any]) -> str:
    """An error output's traceback, without the colours."""
    lines = output["traceback"] or [f"{output['ename']}: {output['evalue']}"]
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(lines))
