"""The servers that are compared: a handler from a cell gets a child process, others are taken as they run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from helpers.background.lifetime import BackgroundError
from helpers.background.server import BackgroundServer
from helpers.experiments.client_process import ClientProcess, ClientRun
from helpers.experiments.run import Progress, Result
from helpers.wire.tap import HasUrl

Served = Callable[[Any], Awaitable[None]] | str | HasUrl
"""A handler, the `ws://` address of a server, or a server that has a `url`."""


class Servers:
    """Handlers served in a child process each, all with plain options, and the servers that run already.

    Args:
        served: by their names.

    Raises:
        TypeError: something is neither a handler nor an address.
        ValueError: an address isn't a `ws://` one.
    """

    def __init__(self, served: Mapping[str, Served]) -> None:
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

    @contextmanager
    def running(self) -> Iterator[dict[str, str]]:
        """Start what is ours, and give the addresses of all; stop it at the end.

        Raises:
            BackgroundError: a handler can't be copied, or its process did not start.
        """
        with ThreadPoolExecutor(max(1, len(self._ours))) as pool:
            try:
                list(pool.map(BackgroundServer.__enter__, self._ours.values()))  # replaces none of that name
                urls = self._theirs | {name: server.url for name, server in self._ours.items()}
                yield {name: urls[name] for name in self._order}
            finally:
                self.stop()

    def check(self) -> None:
        """
        Raises:
            HandlerFailedError: one of the handlers failed, with the line that raised it.
            BackgroundError: the process of one has ended.
        """
        for server in self._ours.values():
            _ = server.blocked  # under such a load that is no news
            server.check()

    def stop(self) -> None:
        """Stop what is ours, all at once. What fails because of that is no news."""
        with ThreadPoolExecutor(max(1, len(self._ours))) as pool:
            list(pool.map(lambda server: server._halt(hurry=True), self._ours.values()))


class ServersRun(ClientRun[Result]):
    """What a client process carries out with servers.

    Args:
        served: the servers by their names.

    Raises:
        TypeError: something is neither a handler nor an address.
        ValueError: an address isn't a `ws://` one.
    """

    def __init__(self, served: Mapping[str, Served]) -> None:
        super().__init__()
        self._servers = Servers(served)

    def _with_servers(self, plan: Callable[[dict[str, str]], dict[str, Any]], progress: Progress) -> Any:
        """Start the servers, have the client carry out what `plan` says for their addresses, and stop them.

        Raises:
            HandlerFailedError: a handler has failed, with the line that raised it.
            BackgroundError: a server or the client has failed, or it was broken off.
        """
        with self._client() as client, self._servers.running() as urls:
            client.tell(plan(urls))
            try:
                return self._result(client, progress)
            except BackgroundError:
                if not self._stopped:
                    self._servers.check()
                raise

    def _result(self, client: ClientProcess, progress: Progress) -> Any:
        for kind, content in client.reports():
            if kind == "progress":
                progress(content)
            elif kind == "done":
                self._servers.check()
                self._servers.stop()  # first, so that no server tells a thousand that a thousand leave
                client.tell("leave")
            elif kind == "result":
                return content
        raise AssertionError("reports end with a result")


def _websocket(url: str) -> str:
    parts = urlsplit(url)
    scheme = {"http": "ws", "ws": "ws"}.get(parts.scheme)
    if scheme is None or parts.port is None:
        raise ValueError(f"a server's address is like ws://127.0.0.1:8000/ws, not {url!r}")
    return parts._replace(scheme=scheme).geturl()
