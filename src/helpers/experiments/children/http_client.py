"""aiohttp sessions that send exactly the headers wanted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from helpers.experiments.children.http_headers import HeaderSet, What, headers_for

_AUTOMATIC = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")


class HttpClient:
    """A server's address, and what this client sends along.

    Args:
        url: where the server is, or the tap before it.
        headers: which set of headers goes with each request.
        connections: most connections at a time.
        force_close: whether each request gets a connection of its own.
    """

    def __init__(
        self, url: str, headers: HeaderSet, *, connections: int = 100, force_close: bool = False
    ) -> None:
        self._url = url.rstrip("/")
        self._headers = headers
        self._force_close = force_close
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=force_close, limit=connections),
            skip_auto_headers=_AUTOMATIC,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
        )

    async def close(self) -> None:
        await self._session.close()

    async def post(self, path: str, body: str) -> str:
        headers = self._headers_for("post")
        async with self._session.post(self._url + path, data=body.encode(), headers=headers) as response:
            response.raise_for_status()
            return await response.text()

    async def get(self, path: str) -> str:
        headers = self._headers_for("get")
        async with self._session.get(self._url + path, headers=headers) as response:
            response.raise_for_status()
            return await response.text()

    @asynccontextmanager
    async def events(self, path: str) -> AsyncIterator[AsyncIterator[str]]:
        """A stream of Server-Sent Events, open: an iterator of their data."""
        headers = self._headers_for("events")
        async with self._session.get(self._url + path, headers=headers) as response:
            response.raise_for_status()
            yield _data(response)

    def websocket(self, path: str) -> Any:
        """A WebSocket, as `aiohttp.ClientSession.ws_connect` gives it; without compression."""
        headers = self._headers_for("websocket")
        return self._session.ws_connect(self._url + path, headers=headers, compress=0)

    def _headers_for(self, what: What) -> dict[str, str]:
        headers = headers_for(self._headers, what, self._url)
        if self._force_close:
            headers["Connection"] = "close"
        return headers


async def _data(response: aiohttp.ClientResponse) -> AsyncIterator[str]:
    async for line in response.content:
        if line.startswith(b"data: "):
            yield line[6:].decode().rstrip("\n")
