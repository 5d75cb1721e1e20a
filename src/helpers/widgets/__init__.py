"""Clients that a person drives, in the kernel and in the browser.

The race and the timeline load what they draw from, so they are imported from their own modules.
"""

from helpers.widgets.client import Client
from helpers.widgets.conversation import Message, NotConnectedError
from helpers.widgets.panel import BrowserClient, ClientPanel
from helpers.widgets.stop_button import StopButton

__all__ = [
    "BrowserClient",
    "Client",
    "ClientPanel",
    "Message",
    "NotConnectedError",
    "StopButton",
]
