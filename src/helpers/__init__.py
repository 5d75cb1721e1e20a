"""The workbook's plumbing: threads, ports and drawing, so that the cells keep the lesson.

Nothing heavy is loaded before it is used.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from helpers.sockets import raise_line_limit

_HOMES = {
    # background
    "BackgroundApp": "background.app",
    "BackgroundProcess": "background.process",
    "BackgroundServer": "background.server",
    "ChildKernel": "background.kernel",
    "apart": "background.apart",
    "tapped": "background.tap",
    # clients
    "Probe": "clients.probe",
    # figures
    "Bars": "figures.bars",
    "Lines": "figures.lines",
    "Source": "figures.source",
    "Claims": "figures.claims",
    "check_guess": "figures.guess",
    # measured comparisons, each with a progress bar
    "compare_fan_out": "widgets.compare_servers",
    "compare_push": "widgets.compare_ways",
    "compare_requests": "widgets.compare_ways",
    "one_never_reads": "widgets.compare_servers",
    # widgets
    "AppPage": "widgets.app_page",
    "BrowserClient": "widgets.panel",
    "ClientPanel": "widgets.panel",
    "LiveChart": "widgets.live_chart",
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
    from helpers.clients.probe import Probe as Probe
    from helpers.environment import check_environment as check_environment
    from helpers.figures.bars import Bars as Bars
    from helpers.figures.claims import Claims as Claims
    from helpers.figures.guess import check_guess as check_guess
    from helpers.figures.lines import Lines as Lines
    from helpers.figures.source import Source as Source
    from helpers.widgets.app_page import AppPage as AppPage
    from helpers.widgets.compare_servers import compare_fan_out as compare_fan_out
    from helpers.widgets.compare_servers import one_never_reads as one_never_reads
    from helpers.widgets.compare_ways import compare_push as compare_push
    from helpers.widgets.compare_ways import compare_requests as compare_requests
    from helpers.widgets.live_chart import LiveChart as LiveChart
    from helpers.widgets.panel import BrowserClient as BrowserClient
    from helpers.widgets.panel import ClientPanel as ClientPanel
    from helpers.widgets.race import Race as Race
    from helpers.widgets.stop_button import StopButton as StopButton
    from helpers.widgets.timeline import WireTimeline as WireTimeline


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'helpers' has no attribute {name!r}")
    return getattr(importlib.import_module(f"helpers.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]


raise_line_limit()
if "ipykernel" in sys.modules:  # the reader's ■ ends a cell that awaits, in every chapter
    importlib.import_module("helpers.interrupts").answer_interrupts()
