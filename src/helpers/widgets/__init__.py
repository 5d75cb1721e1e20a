"""Clients that a person drives: in the kernel, and in the reader's own browser."""

from helpers.widgets.client import Client
from helpers.widgets.conversation import Message, NotConnectedError
from helpers.widgets.panel import BrowserClient, ClientPanel
from helpers.widgets.race import Race
from helpers.widgets.stop_button import StopButton

__all__ = ["BrowserClient", "Client", "ClientPanel", "Message", "NotConnectedError", "Race", "StopButton"]
