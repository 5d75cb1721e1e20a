"""One HTML page on the port of a WebSocket server."""

from __future__ import annotations

import inspect
import mimetypes
from collections.abc import Awaitable, Callable
from pathlib import Path

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

ProcessRequest = Callable[[ServerConnection, Request], Awaitable[Response | None] | Response | None]


def wants_websocket(request: Request) -> bool:
    """Whether it is a handshake, and not a request for a page."""
    return "websocket" in ",".join(request.headers.get_all("Upgrade")).lower()


class ServedPage:
    """A `process_request` for `websockets`: `/` is answered with a file, a WebSocket handshake passes.

    Every other path is answered with 404. The file is read for each request: change it and reload.

    Args:
        page: the HTML file; a relative path starts from the current folder.
        first: another `process_request`, which is asked first.

    Raises:
        FileNotFoundError: there is no such file.
        IsADirectoryError: it is a folder.

    Source: https://websockets.readthedocs.io/en/stable/faq/server.html#how-do-i-access-http-headers
    """

    def __init__(self, page: str | Path, first: ProcessRequest | None = None) -> None:
        self.path = Path(page).absolute()
        if self.path.is_dir():
            raise IsADirectoryError(f"page= is {page}, a folder: name the HTML file in it")
        if not self.path.is_file():
            raise FileNotFoundError(f"page= is {page}, but there is no file {self.path}")
        self._first = first

    async def __call__(self, connection: ServerConnection, request: Request) -> Response | None:
        if self._first is not None:
            answer = self._first(connection, request)
            if inspect.isawaitable(answer):
                answer = await answer
            if answer is not None:
                return answer
        if wants_websocket(request):
            return None
        if request.path.partition("?")[0] != "/":
            return connection.respond(404, f"There is no {request.path} here, only / and a WebSocket.\n")
        try:
            body = self.path.read_bytes()
        except OSError as error:
            return connection.respond(500, f"The page can't be read: {error}.\n")
        kind = mimetypes.guess_type(self.path.name)[0] or "text/html"
        headers = Headers(
            {
                "Content-Type": f"{kind}; charset=utf-8" if kind.startswith("text/") else kind,
                "Content-Length": str(len(body)),
                "Cache-Control": "no-store",
                "Connection": "close",
            }
        )
        return Response(200, "OK", headers, body)
