"""The workbook's plumbing: threads, ports and drawing, so that the cells keep the lesson.

Nothing heavy is loaded before it is used.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "BackgroundApp": "background",
    "BackgroundError": "background",
    "BackgroundProcess": "background",
    "BackgroundServer": "background",
    "Bars": "experiments",
    "BrowserClient": "widgets",
    "ChildKernel": "background.kernel",
    "ClientPanel": "widgets",
    "HandlerFailedError": "background",
    "NewsServer": "experiments",
    "NotConnectedError": "widgets",
    "PageLink": "widgets.page_link",
    "Probe": "experiments",
    "Race": "widgets.race",
    "Source": "source",
    "StopButton": "widgets",
    "Verdicts": "experiments",
    "WireTimeline": "widgets.timeline",
    "check_environment": "environment",
    "compare_fan_out": "widgets.progress",
    "compare_push": "widgets.progress",
    "compare_requests": "widgets.progress",
    "crowd": "experiments",
    "mute": "experiments",
    "one_never_reads": "widgets.progress",
    "tapped": "experiments",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'helpers' has no attribute {name!r}")
    return getattr(importlib.import_module(f"helpers.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
