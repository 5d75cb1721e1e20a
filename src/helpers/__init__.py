"""The workbook's plumbing: threads, ports and drawing, so that the cells keep the lesson.

Nothing heavy is loaded before it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {
    # background
    "BackgroundApp": "background.app",
    "BackgroundProcess": "background.process",
    "BackgroundServer": "background.server",
    "ChildKernel": "background.kernel",
    "apart": "background.apart",
    "tapped": "background.tap",
    # clients
    "Probe": "experiments.probe",
    # figures
    "Bars": "figures.bars",
    "Source": "figures.source",
    "Verdicts": "figures.verdicts",
    # experiments
    "compare_fan_out": "widgets.progress",
    "compare_push": "widgets.progress",
    "compare_requests": "widgets.progress",
    "one_never_reads": "widgets.progress",
    # widgets
    "BrowserClient": "widgets.panel",
    "ClientPanel": "widgets.panel",
    "PageLink": "widgets.page_link",
    "Race": "widgets.race",
    "StopButton": "widgets.stop_button",
    "WireTimeline": "widgets.timeline",
    # the environment
    "check_environment": "environment",
}

__all__ = sorted(_HOMES)

if TYPE_CHECKING:
    from helpers.background.apart import apart as apart
    from helpers.background.app import BackgroundApp as BackgroundApp
    from helpers.background.kernel import ChildKernel as ChildKernel
    from helpers.background.process import BackgroundProcess as BackgroundProcess
    from helpers.background.server import BackgroundServer as BackgroundServer
    from helpers.background.tap import tapped as tapped
    from helpers.environment import check_environment as check_environment
    from helpers.experiments.probe import Probe as Probe
    from helpers.figures.bars import Bars as Bars
    from helpers.figures.source import Source as Source
    from helpers.figures.verdicts import Verdicts as Verdicts
    from helpers.widgets.page_link import PageLink as PageLink
    from helpers.widgets.panel import BrowserClient as BrowserClient
    from helpers.widgets.panel import ClientPanel as ClientPanel
    from helpers.widgets.progress import compare_fan_out as compare_fan_out
    from helpers.widgets.progress import compare_push as compare_push
    from helpers.widgets.progress import compare_requests as compare_requests
    from helpers.widgets.progress import one_never_reads as one_never_reads
    from helpers.widgets.race import Race as Race
    from helpers.widgets.stop_button import StopButton as StopButton
    from helpers.widgets.timeline import WireTimeline as WireTimeline


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'helpers' has no attribute {name!r}")
    return getattr(importlib.import_module(f"helpers.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
