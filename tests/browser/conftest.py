"""Fixtures: one browser and one JupyterLab for the session, a fresh page for every test."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from browsers import NoBrowser, launch
from lab import JupyterLab
from notebook_page import NotebookPage

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HERE = Path(__file__).parent
NOTEBOOKS = HERE.parents[1] / "notebooks"
FAILURES = HERE / "failures"
TIMEOUT = 120  # seconds, for a test and its fixtures; a notebook takes about 5

PAGES = pytest.StashKey[list[NotebookPage]]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the browser tests last, and give each a time limit.

    Playwright's sync API leaves an event loop marked as running in the main thread as long as it lives, so
    that `asyncio.run` fails there; no other test may come after it was started.
    """
    items.sort(key=lambda item: HERE in item.path.parents)
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


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        unavailable("Playwright is not installed (pip install playwright)")
    with sync_playwright() as playwright:
        try:
            browser = launch(playwright)
        except NoBrowser as problem:
            unavailable(str(problem))
        with browser:
            yield browser


@pytest.fixture(scope="session")
def lab(browser: Browser) -> Iterator[JupyterLab]:
    """A JupyterLab that serves a copy of the project's notebooks."""
    with JupyterLab(NOTEBOOKS.glob("[!.]*")) as lab:
        yield lab


@pytest.fixture
def new_page(
    request: pytest.FixtureRequest, browser: Browser
) -> Iterator[Callable[[JupyterLab], NotebookPage]]:
    """Makes a page on a given JupyterLab; console errors in it fail the test at its end."""
    pages: list[NotebookPage] = request.node.stash.setdefault(PAGES, [])
    with ExitStack() as cleanup:

        def make(lab: JupyterLab) -> NotebookPage:
            context = cleanup.enter_context(
                browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-US")
            )
            page = NotebookPage(context.new_page(), lab)
            cleanup.callback(page.close)
            pages.append(page)
            return page

        yield make
        report = []
        for number, page in enumerate(pages):
            if page.console_errors:
                report += [*page.console_errors, picture(page, f"{request.node.name}-{number}-console")]
        if report:
            pytest.fail("\n".join(["errors in the browser's console:", *report]), pytrace=False)


@pytest.fixture
def page(new_page: Callable[[JupyterLab], NotebookPage], lab: JupyterLab) -> NotebookPage:
    """A page on the session's JupyterLab, with the notebooks and settings as they were at the start."""
    lab.reset()
    return new_page(lab)
