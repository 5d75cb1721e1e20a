"""One server for all the ways that an HTTP client and a WebSocket client can hear news."""

from __future__ import annotations

import sys

from helpers.background.process import BackgroundProcess


class NewsServer(BackgroundProcess):
    """An aiohttp server in a child process, which speaks HTTP and WebSocket and ends with the kernel.

        with NewsServer() as server, tapped(server, delay=0.02) as tap:
            ...  # POST tap.url + "/echo", or a WebSocket to the same address

    `POST /echo` and a WebSocket to `/echo` give back each message. `/poll`, `/long-poll`, `/events`
    (Server-Sent Events) and a WebSocket to `/push` give out the events of a channel, `?channel=news&after=0`;
    `POST /say` publishes one. Compression is off.

    Args:
        name: what it is called in messages.
        port: the port to listen on; 0 chooses a free one.

    Source: https://docs.aiohttp.org/en/stable/web_advanced.html#application-runners
    """

    def __init__(self, *, name: str = "news server", port: int = 0) -> None:
        command = [sys.executable, "-u", "-m", "helpers.experiments.news_app", "{port}"]
        super().__init__(command, ready="ready", name=name, port=port)
