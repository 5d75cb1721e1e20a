"""An app's own page in the notebook, wherever the reader's browser is."""

from __future__ import annotations

import threading
import time
import urllib.parse
import weakref
from typing import Any, Protocol

import anywidget
import traitlets

from helpers.arguments import address, number
from helpers.background.lifetime import Background
from helpers.sockets import somebody_listens
from helpers.widgets.scripts import script, style

LOOKS_PER_SECOND = 2
"""How often it is looked whether the server still runs."""


class Served(Protocol):
    """Something with an address."""

    @property
    def url(self) -> str:
        """Where it is served."""


class AppPage(anywidget.AnyWidget):
    """A web page that a server on the kernel's machine serves, in a frame, with a link to open it in a tab.

        server = BackgroundServer(echo, page="echo.html").start()
        AppPage(server)
        AppPage(chat_page, "/?name=Ann", title="Ann's chat", height=500)

    In JupyterLab it leads through Jupyter's proxy, below the notebook's own address, so that it works on
    Binder too; elsewhere straight to the address. So the page's own links must be relative, and its
    WebSocket is `new WebSocket(location.href.replace("http", "ws"))`. When the server is stopped, a sentence
    says so, and when it runs again, the page is loaded again. The page prefers the
    colours of JupyterLab's theme.

    Args:
        server: what serves it: something with a `url`, or the address itself.
        path: of the page on that server, such as `"/?name=Ann"`; the address itself by default.
        title: what it is called; the server's name or the address by default.
        height: of the frame, in pixels.

    Raises:
        BackgroundError: the server doesn't run.
    """

    _esm = script("app_page.js")
    _css = style("app_page.css")
    _view = traitlets.Dict().tag(sync=True)
    _title = traitlets.Unicode().tag(sync=True)
    _height = traitlets.Int().tag(sync=True)

    def __init__(
        self, server: Served | str, path: str = "", *, title: str | None = None, height: int = 400
    ) -> None:
        url = address(server)
        self._server = server if isinstance(server, Background) else url
        self._path = path
        number(height, "height (pixels)", least=1, whole=True)
        super().__init__(_height=height)
        self.look()
        self._title = title or str(getattr(server, "name", self.address))
        _watcher.watch(self)

    @property
    def address(self) -> str:
        """The page's address as the kernel sees it."""
        return str(self._view["address"])

    @property
    def running(self) -> bool:
        """Whether the server runs, as far as the notebook shows it."""
        return bool(self._view["running"])

    def look(self) -> None:
        """Have the notebook show what has become of the server; this happens twice a second anyhow."""
        if isinstance(self._server, str):
            address, running, since = self._server, somebody_listens(self._server), 0.0
        else:
            server = self._server.newest
            address, running, since = server.address, server.running, server.started_at
        self._view = {"address": _page(address, self._path), "running": running, "since": since}

    def close(self) -> None:
        """Take the page out of the notebook; the server goes on."""
        _watcher.leave(self)
        super().close()

    def __repr__(self) -> str:
        return f"AppPage: {self.address}{'' if self.running else ' (the server has been stopped)'}"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        shown = super()._repr_mimebundle_(**kwargs)
        if shown is not None:
            shown[0]["text/plain"] = repr(self)
        return shown


def _page(address: str, path: str) -> str:
    """The address of a page on the server of an address, which may be a WebSocket's."""
    url = urllib.parse.urlsplit(address)
    scheme = {"ws": "http", "wss": "https"}.get(url.scheme, url.scheme)
    root = urllib.parse.urlunsplit(url._replace(scheme=scheme, path=url.path or "/"))
    return urllib.parse.urljoin(root, path)


class _Watcher:
    """A thread that has the pages look after their servers, as long as there are pages."""

    def __init__(self) -> None:
        self._pages: weakref.WeakSet[AppPage] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def watch(self, page: AppPage) -> None:
        with self._lock:
            self._pages.add(page)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="watches the apps' pages", daemon=True)
                self._thread.start()

    def leave(self, page: AppPage) -> None:
        with self._lock:
            self._pages.discard(page)

    def _run(self) -> None:
        while True:
            time.sleep(1 / LOOKS_PER_SECOND)
            with self._lock:
                pages = list(self._pages)
                if not pages:
                    self._thread = None
                    return
            while pages:
                pages.pop().look()


_watcher = _Watcher()
