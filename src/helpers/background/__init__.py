"""Servers, applications and programs kept alive beside the kernel."""

from helpers.background.app import BackgroundApp
from helpers.background.lifetime import BackgroundError, BlockedLoopWarning, Event, HandlerFailedError
from helpers.background.process import BackgroundProcess
from helpers.background.server import BackgroundServer

__all__ = [
    "BackgroundApp",
    "BackgroundError",
    "BackgroundProcess",
    "BackgroundServer",
    "BlockedLoopWarning",
    "Event",
    "HandlerFailedError",
]
