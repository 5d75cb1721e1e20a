"""The servers that are compared: a handler from a cell gets a child process, others are taken as they run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from helpers.background.server import BackgroundServer
from helpers.experiments.run import Progress, Result, Run
from helpers.wire.tap import HasUrl

Served = Callable[[Any], Awaitable[None]] | str | HasUrl
"""A handler, the `ws://` address of a server, or a server that has a `url`."""


class ServersRun(Run[Result]):
    """What is measured of several servers: handlers, served in a child process each, and running servers.

    Args:
        served: the servers by their names.

    Raises:
        TypeError: something is neither a handler nor an address.
        ValueError: an address isn't a `ws://` one.
    """

    def __init__(self, served: Mapping[str, Served]) -> None:
        super().__init__()
        self._ours: dict[str, BackgroundServer] = {}
        self._theirs: dict[str, str] = {}
        for name, what in served.items():
            url = what if isinstance(what, str) else getattr(what, "url", None)
            if url is None:
                options = {"compression": None, "close_timeout": 0.2}
                self._ours[name] = BackgroundServer(what, where="process", name=name, **options)  # type: ignore[arg-type]
            else:
                self._theirs[name] = _websocket(url)
        self._order = list(served)

    async def _with_servers(
        self, function: Callable[..., Any], *args: object, seconds: float, progress: Progress
    ) -> Any:
        """Run clients against the servers.

        Args:
            function: what the clients do. Their first order is the addresses of the servers.
            *args: for the function.
            seconds: how long it may take.
            progress: is called with the share that is done.

        Returns:
            What the function returns.

        Raises:
            HandlerFailedError: a handler has failed, with the line that raised it.
            BackgroundError: a server or the clients have failed, or it was broken off.
        """
        async with self._measuring(function, *args, seconds=seconds) as child:
            try:
                child.tell(await asyncio.to_thread(self._start))
                async for report in child.reports():
                    if report == "done":
                        self._check()
                        await asyncio.to_thread(self._halt)
                        child.tell("leave")  # last, so that no server tells a thousand that a thousand leave
                    else:
                        progress(report)
                return await asyncio.wrap_future(child.result)
            except Exception:
                if not self._stopped:
                    self._check()
                raise
            finally:
                await asyncio.to_thread(self._halt)

    def _start(self) -> dict[str, str]:
        """Start what is ours, all at once, and give the addresses of all.

        Raises:
            BackgroundError: a handler can't be copied, or its process did not start.
        """
        with ThreadPoolExecutor(max(1, len(self._ours))) as pool:
            list(pool.map(BackgroundServer.__enter__, self._ours.values()))  # replaces none of that name
        urls = self._theirs | {name: server.url for name, server in self._ours.items()}
        return {name: urls[name] for name in self._order}

    def _check(self) -> None:
        """Raise what went wrong on the servers.

        Raises:
            HandlerFailedError: one of the handlers failed, with the line that raised it.
            BackgroundError: the process of one has ended.
        """
        for server in self._ours.values():
            _ = server.blocked  # under such a load that is no news
            server.check()

    def _halt(self) -> None:
        """Stop what is ours, all at once. What fails because of that is no news."""
        with ThreadPoolExecutor(max(1, len(self._ours))) as pool:
            list(pool.map(lambda server: server.halt(hurry=True), self._ours.values()))


def _websocket(url: str) -> str:
    parts = urlsplit(url)
    scheme = {"http": "ws", "ws": "ws"}.get(parts.scheme)
    if scheme is None or parts.port is None:
        raise ValueError(f"a server's address is like ws://127.0.0.1:8000/ws, not {url!r}")
    return parts._replace(scheme=scheme).geturl()
