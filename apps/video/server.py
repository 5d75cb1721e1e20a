"""Serves the film and its page, and takes pictures for its background, on one port.

    ws://…/            the film; `messages.py` has what is said
    ws://…/upload?…    a file; see `inbox.py`
    http://…/          the page

However many watch, a picture is drawn once, and encoded once for each quality in which somebody gets it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.server import ServerConnection, broadcast
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from apps import visitors
from apps.origins import objection
from apps.signals import stopped_by_signals
from apps.video.inbox import MOST_CHUNK, Inbox, Refused, announced
from apps.video.messages import (
    BadRequest,
    Clock,
    Probe,
    Shown,
    clock_message,
    error_message,
    hello_message,
    read_request,
    watchers_message,
)
from apps.video.source import NoPicture, load_background
from apps.video.studio import Studio, ended
from apps.video.watcher import Watcher
from apps.visitors import wants_websocket

MOST_WATCHERS = 1_000
MOST_ERRORS = 20
"""After so many requests that can't be understood, a watcher is disconnected."""

MOST_WAITING = 2**16
"""Bytes that may wait for a watcher; one for whom more wait gets no sound and no counts."""

POLICY, TRY_AGAIN = 1008, 1013

HERE = Path(__file__).parent
FILES = {"/": ("page.html", "text/html"), "/page.js": ("page.js", "text/javascript")}
FILES |= {f"/{name}.js": (f"{name}.js", "text/javascript") for name in ("sound", "upload")}
FILES |= {"/page.css": ("page.css", "text/css")}


class VideoServer:
    """Serves a film.

        async with VideoServer(rate=30).serving("127.0.0.1", 0) as url:
            ...

    Args:
        rate: pictures per second.
        folder: where uploads are kept; one that goes away at the end by default.
    """

    def __init__(self, *, rate: float = 30, folder: Path | None = None) -> None:
        self.rate = rate
        self._folder = folder
        self.watchers: set[Watcher] = set()
        self._somebody_listens = asyncio.Event()
        self._unpacking = asyncio.Lock()

    async def run(self, host: str, port: int) -> None:
        """Serve until Ctrl+C or SIGTERM, and print the address."""
        stop = stopped_by_signals()
        async with self.serving(host, port) as url:
            print(f"Video at {url}", flush=True)
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait([stopped, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()

    @contextlib.asynccontextmanager
    async def serving(self, host: str, port: int) -> AsyncIterator[str]:
        """Serve, in an `async with` block, whose value is the address of the page."""
        async with contextlib.AsyncExitStack() as stack:
            folder = self._folder or Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="video-", ignore_cleanup_errors=True))
            )
            self.inbox = Inbox(folder)
            self.studio = await stack.enter_async_context(Studio(rate=self.rate))
            playing = asyncio.create_task(self._play())
            self._tasks = [self.studio.task, playing]
            async with visitors.serving(
                self.handle,
                host,
                port,
                process_request=self.answer,
                compression=None,  # a JPEG is compressed already
                max_size=MOST_CHUNK,
                max_queue=4,
            ) as url:
                try:
                    yield url
                finally:
                    playing.cancel()
                    await ended(playing)

    def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a request for a file; the handshake of a WebSocket passes, if it can be served."""
        if why := objection(request.headers):
            return connection.respond(403, f"{why}\n")
        url = urlsplit("/" + request.path.lstrip("/"))
        if wants_websocket(request.headers):
            if url.path == "/upload":
                try:
                    announced(dict(parse_qsl(url.query)))
                except Refused as error:
                    return connection.respond(400, f"{error}\n")
            return None
        if url.path not in FILES:
            return connection.respond(404, "Here are / and WebSockets at / and /upload.\n")
        name, kind = FILES[url.path]
        body = (HERE / name).read_bytes()
        headers = {"Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(body))}
        return Response(200, "OK", Headers(headers, Cache_Control="no-store", Connection="close"), body)

    async def handle(self, connection: ServerConnection) -> None:
        """Serve a connection: somebody who watches, or a file that comes."""
        assert connection.request
        url = urlsplit("/" + connection.request.path.lstrip("/"))
        with contextlib.suppress(ConnectionClosed):  # it has gone
            if url.path == "/upload":
                await self.take(connection, dict(parse_qsl(url.query)))
            elif len(self.watchers) >= MOST_WATCHERS:
                await connection.close(TRY_AGAIN, "too many are watching")
            else:
                await self.watch(connection)

    # --- those who watch

    async def watch(self, connection: ServerConnection) -> None:
        """Show the film to one watcher, until it goes."""
        await connection.send(hello_message(self.rate))
        watcher = Watcher(connection, self.studio)
        self.watchers.add(watcher)
        self._tell_watchers()
        showing = asyncio.create_task(self._show(watcher))
        try:
            await self._listen(watcher)
        finally:
            self.watchers.discard(watcher)
            self._tell_watchers()
            showing.cancel()
            await ended(showing)

    async def _show(self, watcher: Watcher) -> None:
        try:
            await watcher.show()
        except ConnectionClosed:
            pass
        except TimeoutError:  # a close frame would wait behind what it doesn't read
            watcher.connection.transport.abort()
        except Exception:
            watcher.connection.transport.abort()
            raise

    async def _listen(self, watcher: Watcher) -> None:
        """Do what a watcher asks for, until it goes."""
        errors = 0
        async for message in watcher.connection:
            await asyncio.sleep(0)  # a burst of requests doesn't keep everybody else waiting
            try:
                request = read_request(message)
            except BadRequest as error:
                errors += 1
                await watcher.connection.send(error_message(error))
                if errors >= MOST_ERRORS:
                    await watcher.connection.close(POLICY, f"{MOST_ERRORS} requests made no sense")
                continue
            if isinstance(request, Shown):
                watcher.shown(request.number)
            elif isinstance(request, Probe):
                watcher.answered(request.number)
            elif isinstance(request, Clock):
                await watcher.connection.send(clock_message(request.mine, time.time()))
            else:
                watcher.wants(request)
                if request.sound:
                    self._somebody_listens.set()

    async def _play(self) -> None:
        """Make sound, while somebody listens, and send it without waiting for anybody."""
        while True:
            self._somebody_listens.clear()
            if not any(watcher.want.sound for watcher in self.watchers):
                await self._somebody_listens.wait()
            async for block in self.studio.sound():
                listening = [watcher.connection for watcher in self.watchers if watcher.hears]
                broadcast([who for who in listening if has_little_waiting(who)], block)
                if not any(watcher.want.sound for watcher in self.watchers):
                    break

    def _tell_watchers(self) -> None:
        here = [watcher.connection for watcher in self.watchers]
        broadcast([who for who in here if has_little_waiting(who)], watchers_message(len(here)))

    # --- a file that comes

    async def take(self, connection: ServerConnection, asked: dict[str, str]) -> None:
        """Receive a file, and put it behind the ball if it is a picture."""
        try:
            path = await self.inbox.receive(connection, asked)
            async with self._unpacking:  # one at a time: a small file may be a large picture
                self.studio.film.background = await asyncio.to_thread(load_background, path)
        except NoPicture as error:
            text = f"it has arrived whole, but {error}"
        except (Refused, OSError) as error:  # TimeoutError is an OSError; so is a full disk
            reason = str(error) or "nothing came for too long"
            await connection.send(error_message(Refused(reason)))
            await connection.close(POLICY, "see the message")
            return
        else:
            text = "it has arrived whole, and is the background now"
        await connection.send(json.dumps({"type": "done", "text": text}))


def has_little_waiting(connection: ServerConnection) -> bool:
    """Whether what is sent to it now will leave soon."""
    return connection.transport.get_write_buffer_size() < MOST_WAITING
