"""Clients that a person drives, in the kernel and in the browser, and the timeline of what they say."""

from helpers.widgets.client import Client
from helpers.widgets.conversation import Message, NotConnectedError
from helpers.widgets.panel import BrowserClient, ClientPanel
from helpers.widgets.race import Race
from helpers.widgets.stop_button import StopButton
from helpers.widgets.timeline import WireTimeline

__all__ = [
    "BrowserClient",
    "Client",
    "ClientPanel",
    "Message",
    "NotConnectedError",
    "Race",
    "StopButton",
    "WireTimeline",
]
