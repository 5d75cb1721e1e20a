"""An ASGI application under uvicorn, beside the kernel."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from helpers.background.lifetime import Background, listening_socket
from helpers.background.loops import BackgroundLoop, LoopBlockedError, hold_shared_loop


class BackgroundApp(Background):
    """Serve an ASGI application, such as a FastAPI app, in the background while cells run.

        app_server = BackgroundApp(app).start()
        print(app_server.url)
        app_server.stop()

    Args:
        app: the ASGI application.
        name: what it is called in messages; the class of the app by default.
        host: the address to listen on; only this machine can reach the default.
        port: the port to listen on; 0 lets the system choose a free one.
        **options: every other option of `uvicorn.Config`, such as `ws` or `lifespan`.

    Source: https://uvicorn.dev/settings/
    """

    def __init__(
        self, app: Any, *, name: str | None = None, host: str = "127.0.0.1", port: int = 0, **options: Any
    ) -> None:
        super().__init__(name or type(app).__name__, host, port)
        self.app = app
        self._options = options
        self._loop: BackgroundLoop | None = None
        self._server: Any = None
        self._task: asyncio.Task[None] | None = None

    def _open(self) -> None:
        import uvicorn

        try:
            sock = listening_socket(self.host, self.port, or_any=not self._fixed_port)
        except OSError as error:
            raise self._port_error(error) from None
        self.port = sock.getsockname()[1]
        options = {"timeout_graceful_shutdown": 1, "lifespan": "auto", **self._options, "log_config": None}
        self._server = uvicorn.Server(uvicorn.Config(self.app, **options))
        self._loop = hold_shared_loop(self, self._say)
        try:
            self._loop.call(self._until_started(sock), timeout=20)
        except BaseException:
            sock.close()
            self._let_go()
            raise

    async def _until_started(self, sock: Any) -> None:
        self._task = asyncio.create_task(self._serve(sock))
        while not self._server.started:
            await asyncio.wait([self._task], timeout=0.01)
            if self._task.done():
                raise RuntimeError(f"{self.name!r} ended while it started: see .events")

    async def _serve(self, sock: Any) -> None:
        teller = _Teller(self._say)
        logger = logging.getLogger("uvicorn")
        logger.addHandler(teller)
        try:
            await self._server.serve(sockets=[sock])
        except SystemExit:
            self._say("uvicorn gave up; its own words stand above")
        finally:
            logger.removeHandler(teller)

    def _close(self, seconds: float | None) -> None:
        assert self._loop is not None
        try:
            self._loop.call(self._until_stopped(), timeout=4)
        except LoopBlockedError as error:
            self._say(str(error))
        finally:
            self._let_go()

    async def _until_stopped(self) -> None:
        assert self._task is not None
        self._server.should_exit = True
        await asyncio.wait([self._task], timeout=2)
        if not self._task.done():
            self._server.force_exit = True
            await asyncio.wait([self._task], timeout=1)

    def _let_go(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.release(self)


class _Teller(logging.Handler):
    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(self.format(record))
