"""An ASGI application under uvicorn, alongside the kernel."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from helpers.background.held_loop import HeldLoop
from helpers.background.journal import Journal, served_here
from helpers.background.lifetime import Background, BackgroundError
from helpers.readers_code import in_words
from helpers.sockets import LONGEST_HEAD, listening_socket


class BackgroundApp(Background):
    """Serve an ASGI application, such as a FastAPI app, in the background while cells run.

        app_server = BackgroundApp(app).start()
        print(app_server.url)
        app_server.stop()

    Args:
        app: the ASGI application, or its place as uvicorn takes it, `"module:app"`.
        name: what it is called in messages; the name of the app's function or class by default.
        host: the address to listen on; only this machine can reach the default.
        port: the port to listen on; 0 lets the system choose a free one.
        **options: every other option of `uvicorn.Config`, such as `ws` or `lifespan`.

    Source: https://uvicorn.dev/settings/
    """

    def __init__(
        self, app: Any, *, name: str | None = None, host: str = "127.0.0.1", port: int = 0, **options: Any
    ) -> None:
        if not callable(app) and not isinstance(app, str):
            raise TypeError(f"the app must be an ASGI application, or its place, 'module:app', not {app!r}")
        super().__init__(name or str(getattr(app, "__name__", type(app).__name__)), host, port)
        self.app = app
        self._options = options
        self._loop: HeldLoop | None = None
        self._server: Any = None
        self._task: asyncio.Task[None] | None = None

    def _start(self) -> None:
        import uvicorn

        from helpers.background.app_protocol import TellingProtocol

        options = {
            "timeout_graceful_shutdown": 1,
            "h11_max_incomplete_event_size": LONGEST_HEAD,  # uvicorn's own limit is 16 KiB
            "ws": TellingProtocol,
            **self._options,
            "log_config": None,
        }
        self._server = uvicorn.Server(uvicorn.Config(self.app, **options))
        try:
            sock = listening_socket(self.host, self.port, or_any=not self._fixed_port)
        except OSError as error:
            raise self._port_error(error) from None
        self.port = sock.getsockname()[1]
        self._loop = HeldLoop(self._journal)
        try:
            self._loop.call(self._until_started(sock), timeout=20)
        except BaseException:
            sock.close()
            self._loop.let_go()
            raise

    async def _until_started(self, sock: Any) -> None:
        self._task = asyncio.create_task(self._serve(sock))
        while not self._server.started:
            await asyncio.wait([self._task], timeout=0.01)
            if self._task.done():
                said = "\n".join(entry.text for entry in self.log[-3:]) or "(nothing)"
                raise BackgroundError(f"{self.name!r} ended while it was starting. It said:\n{said}")

    async def _serve(self, sock: Any) -> None:
        served_here.set(self._journal)
        teller = _UvicornLog(self._journal)
        logger = logging.getLogger("uvicorn")
        logger.addHandler(teller)
        try:
            await self._server.serve(sockets=[sock])
        except SystemExit:
            self._journal.say("uvicorn gave up")
        except Exception as error:
            self._journal.say(in_words(error))
        finally:
            logger.removeHandler(teller)

    def _stop(self, reason: str, seconds: float | None) -> None:
        assert self._loop is not None
        self._loop.end(self._until_stopped(), timeout=4)

    async def _until_stopped(self) -> None:
        assert self._task is not None
        self._server.should_exit = True
        await asyncio.wait([self._task], timeout=2)
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=0.5)
        for connection in self._server.server_state.connections:  # peers that don't answer the close
            connection.transport.abort()


class _UvicornLog(logging.Handler):
    """Tells an app what uvicorn logs in the tasks that serve it: all apps share uvicorn's one logger."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.WARNING)
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        if served_here.get(None) is self._journal:
            self._journal.say(self.format(record))
