"""For notebooks that run as tests: none found is an error, and a cell that nobody could run has failed."""

from __future__ import annotations

from collections.abc import Generator

import pytest


def _is_cell(item: pytest.Item) -> bool:
    return type(item).__name__ == "IPyNbCell"  # nbval's; its module has no public names


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse a run of the whole suite with `--nbval` that has no notebooks in it."""
    whole = config.args_source == pytest.Config.ArgsSource.TESTPATHS
    if whole and config.getoption("nbval", default=False) and not any(map(_is_cell, items)):
        folders = ", ".join(config.getini("testpaths"))
        raise pytest.UsageError(f"--nbval, and no notebook in {folders}")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """After one cell timed out nbval expects the later ones to fail, and reports them as `xfailed`.

    They were not tested, so they have failed.
    """
    report = yield
    if _is_cell(item) and hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"not tested: {report.wasxfail}"
        del report.wasxfail
    return report
