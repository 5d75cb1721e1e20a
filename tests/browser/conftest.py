"""Fixtures: one browser, JupyterLab and page for all tests of this package; every test opens its notebook."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from driver.browsers import NoBrowser, launch
from driver.lab import JupyterLab
from driver.notebook_page import NotebookPage

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HERE = Path(__file__).parent
NOTEBOOKS = HERE.parents[1] / "notebooks"
FAILURES = HERE / "failures"
TIMEOUT = 420  # seconds, for a test and its fixtures; a notebook takes up to 40, on a busy machine 120
EXPECTED_WITHIN = 60  # seconds, for what a page shall show; it takes about one, on a busy machine twenty

PAGES = pytest.StashKey[list[NotebookPage]]()
FAILED = pytest.StashKey[bool]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each browser test a time limit."""
    if config.pluginmanager.hasplugin("timeout"):
        for item in items:
            if HERE in item.path.parents and item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(TIMEOUT))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add JupyterLab's log and pictures of the pages to the report of a test that failed."""
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    if report.failed and report.when == "call":
        pages: list[NotebookPage] = item.stash.get(PAGES, [])
        for number, page in enumerate(pages):
            report.sections.append(("JupyterLab", page.lab.log()))
            report.sections.append(("Browser", picture(page, f"{item.name}-{number}")))
    return report


def picture(page: NotebookPage, name: str) -> str:
    from playwright.sync_api import Error

    path = FAILURES / (re.sub(r"[^\w.-]+", "_", name) + ".png")
    path.parent.mkdir(exist_ok=True)
    try:
        page.screenshot(path)
    except Error as error:
        return f"no screenshot: {error}"
    return f"screenshot: {path}"


def unavailable(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(f"the browser tests cannot run: {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """The browser, for this package only.

    Playwright's sync API leaves an event loop marked as running in the main thread as long as it lives, so
    that `asyncio.run` fails there; tests of other folders may come after these.
    """
    try:
        from playwright.sync_api import expect, sync_playwright
    except ImportError:
        unavailable("Playwright is not installed (pip install playwright)")
    expect.set_options(timeout=1000 * EXPECTED_WITHIN)
    with sync_playwright() as playwright:
        try:
            browser = launch(playwright)
        except NoBrowser as problem:
            unavailable(str(problem))
        with browser:
            yield browser


@pytest.fixture(scope="package")
def lab(browser: Browser) -> Iterator[JupyterLab]:
    """A JupyterLab that serves a copy of the project's notebooks; modules add notebooks of their own.

    It has a path, as behind a JupyterHub or on Binder.
    """
    with JupyterLab(NOTEBOOKS.glob("[!.]*"), base_url="/user/joe/") as lab:
        yield lab


@pytest.fixture(scope="package")
def fresh(browser: Browser, lab: JupyterLab) -> Callable[..., NotebookPage]:
    """Makes a page in which JupyterLab has yet to be loaded: the one for all, or another one."""

    def make(lab: JupyterLab = lab) -> NotebookPage:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-US")
        page = context.new_page()
        page.on("close", lambda _: context.close())
        return NotebookPage(page, lab)

    return make


@pytest.fixture(scope="package")
def kept(fresh: Callable[..., NotebookPage]) -> Iterator[list[NotebookPage]]:
    """The page that one test leaves to the next, if it may be used again."""
    pages: list[NotebookPage] = []
    yield pages
    for page in pages:
        page.close()


@pytest.fixture
def new_page(
    request: pytest.FixtureRequest, fresh: Callable[..., NotebookPage]
) -> Iterator[Callable[..., NotebookPage]]:
    """Makes a page of the test's own; console errors in it fail the test at its end."""
    with ExitStack() as cleanup:

        def make(*lab: JupyterLab) -> NotebookPage:
            page = fresh(*lab)
            cleanup.callback(page.close)
            watch(request, page)
            return page

        yield make
        fail_on_console_errors(request)


@pytest.fixture
def page(
    request: pytest.FixtureRequest,
    fresh: Callable[..., NotebookPage],
    kept: list[NotebookPage],
    lab: JupyterLab,
) -> Iterator[NotebookPage]:
    """A page with no notebook open, and the notebooks and settings as they were at the start.

    JupyterLab stays loaded in it from test to test, because loading it costs more than most tests. After a
    test that failed the next one gets a fresh page.
    """
    lab.reset()
    page = kept.pop() if kept else fresh()
    watch(request, page)
    try:
        yield page
        fail_on_console_errors(request)
        if not (page.page.is_closed() or request.node.stash[FAILED]):
            page.leave()
            kept.append(page)
    finally:
        if page not in kept:
            page.close()


def watch(request: pytest.FixtureRequest, page: NotebookPage) -> None:
    request.node.stash.setdefault(PAGES, []).append(page)


def fail_on_console_errors(request: pytest.FixtureRequest) -> None:
    report = []
    for number, page in enumerate(request.node.stash.get(PAGES, [])):
        if page.console_errors:
            report += [*page.console_errors, picture(page, f"{request.node.name}-{number}-console")]
    if report:
        pytest.fail("\n".join(["errors in the browser's console:", *report]), pytrace=False)
