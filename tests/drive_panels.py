"""Finds out which of a notebook's panels, taps and addresses lead to something that answers.

`test_twice.py` has a notebook's kernel run it, before and after a server's cell was run again.
"""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from IPython import get_ipython

from helpers.background.lifetime import Background
from helpers.background.tap import BackgroundTap
from helpers.clients.conversation import NotConnectedError
from helpers.widgets.panel import BrowserClient, ClientPanel


async def _connects(panel: ClientPanel) -> bool:
    try:
        await panel.disconnect()
        await panel.connect()
    except NotConnectedError:
        return False
    return True


async def _listens(address: str) -> bool:
    parts = urlsplit(address)
    try:
        _, writer = await asyncio.open_connection(parts.hostname, parts.port)
    except OSError:
        return False
    writer.close()
    return True


async def reachable() -> list[str]:
    """The names of what can be reached."""
    names = []
    for name, thing in list(get_ipython().user_ns.items()):
        if name.startswith("_"):
            continue
        if isinstance(thing, ClientPanel):
            there = await _connects(thing)
        elif isinstance(thing, BrowserClient):
            there = await _listens(thing._address)
        elif isinstance(thing, BackgroundTap):
            there = thing.running and await _listens(thing.address)
        elif isinstance(thing, str) and thing.startswith("ws://127"):
            there = await _listens(thing)
        else:
            continue
        names += [name] if there else []
    return sorted(names)


def stop_all() -> None:
    """What the Stop button does."""
    for background in list(Background._running.values()):
        background.halt()
