"""A JupyterLab of its own: started, waited for, and ended with all its kernels."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import nbformat
import psutil

# Otherwise JupyterLab asks "Would you like to get notified about official Jupyter news?" over the notebook.
NO_NEWS = {"fetchNews": "false", "checkForUpdates": False}


class JupyterLab:
    """A running JupyterLab that serves copies of some notebooks and knows nothing of the user's settings.

    It works on copies because JupyterLab saves by itself. What the virtual environment brings (kernels,
    widgets, jupyter-server-proxy) is found; what the user has set or installed for themselves is not.

    Example::

        with JupyterLab(Path("notebooks").glob("*.ipynb"), base_url="/user/joe/") as lab:
            print(lab.url, lab.token)

    Args:
        notebooks: Files to copy into the served folder; a folder is copied with all it holds. More can
            be added with `add`.
        base_url: The path under which JupyterLab lives, ``"/"`` or, as behind a JupyterHub, ``"/user/joe/"``.
        start_timeout: How long JupyterLab may take to answer, in seconds.
    """

    def __init__(
        self, notebooks: Iterable[Path] = (), *, base_url: str = "/", start_timeout: float = 60
    ) -> None:
        self.base_url = f"/{base_url.strip('/')}/".replace("//", "/")
        self.token = secrets.token_hex(16)
        self.url = ""
        self._notebooks = [Path(source) for source in notebooks]
        self._added: dict[str, str] = {}
        self._start_timeout = start_timeout
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._home = Path(tempfile.mkdtemp(prefix="lab-"))
        self.root = self._home / "notebooks"
        self._settings = self._home / "settings"
        try:
            self.reset()
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._stop(self._process)
            self._process = None
        shutil.rmtree(self._home, ignore_errors=True)

    def reset(self) -> None:
        """Bring the notebooks back as they were, and forget the theme and whatever else a test has set."""
        shutil.rmtree(self._settings, ignore_errors=True)
        self.root.mkdir(exist_ok=True)
        for source in self._notebooks:
            target = self.root / source.name
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            else:
                shutil.copy2(source, target)
        for name, text in self._added.items():
            (self.root / name).write_text(text, encoding="utf-8")
        news = self._settings / "@jupyterlab/apputils-extension/notification.jupyterlab-settings"
        news.parent.mkdir(parents=True)
        news.write_text(json.dumps(NO_NEWS), encoding="utf-8")

    def add(self, name: str, sources: Iterable[str], *, may_raise: Collection[int] = ()) -> None:
        """Serve one more notebook.

        Args:
            name: Its file name.
            sources: The source of each of its code cells.
            may_raise: Which of them may raise, by their index.
        """
        cells = [
            nbformat.v4.new_code_cell(source, metadata={"tags": ["raises-exception"] * (index in may_raise)})
            for index, source in enumerate(sources)
        ]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        self._added[name] = nbformat.writes(
            nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
        )
        (self.root / name).write_text(self._added[name], encoding="utf-8")

    def notebook_url(self, name: str) -> str:
        """An address that opens the notebook ``name``, in a new workspace: nothing else is open beside it."""
        workspace = secrets.token_hex(4)
        return f"{self.url}lab/workspaces/{workspace}/tree/{quote(name)}?token={self.token}"

    def request(self, method: str, path: str) -> Any:
        """Call Jupyter Server's REST API (jupyter-server.readthedocs.io, "The REST API").

        Args:
            method: ``"GET"``, ``"DELETE"`` …
            path: For example ``"api/sessions"``.

        Returns:
            The decoded JSON, or ``None`` when the answer is empty.

        Raises:
            urllib.error.HTTPError: The server refused.
        """
        request = urllib.request.Request(
            self.url + path, method=method, headers={"Authorization": f"token {self.token}"}
        )
        local = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with local.open(request, timeout=30) as response:
            body = response.read()
        return json.loads(body) if body else None

    def shut_down_kernels(self, name: str | None = None) -> None:
        """End the kernel of the notebook ``name``, or all kernels."""
        for session in self.request("GET", "api/sessions"):
            if name in (None, session["path"]):
                self.request("DELETE", f"api/sessions/{session['id']}")

    def log(self, lines: int = 40) -> str:
        """The last lines of what JupyterLab and its kernels wrote."""
        text = (self._home / "lab.log").read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def _environment(self) -> dict[str, str]:
        mine = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "JPY_", "IPYTHON"))}
        folders = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
        }
        return mine | {variable: str(self._home / folder) for variable, folder in folders.items()}

    def _command(self) -> list[str]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        return [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
            "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={port}",
            "--ServerApp.port_retries=50",
            f"--ServerApp.base_url={self.base_url}",
            f"--ServerApp.root_dir={self.root}",
            f"--IdentityProvider.token={self.token}",
            "--LabApp.expose_app_in_browser=True",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
            "--KernelManager.transport_encryption=auto",
        ]

    def _start(self) -> None:
        with (self._home / "lab.log").open("wb") as log:
            self._process = process = subprocess.Popen(
                self._command(),
                cwd=self._home,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + self._start_timeout
        while not self._answers():
            if process.poll() is not None:
                raise RuntimeError(f"JupyterLab ended with code {process.returncode}:\n{self.log()}")
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"JupyterLab did not answer within {self._start_timeout:g} s:\n{self.log()}"
                )
            time.sleep(0.05)

    def _answers(self) -> bool:
        """Whether the server runs: it writes a file with the port it really got, then answers there."""
        for written in (self._home / "runtime").glob("jpserver-*.json"):
            try:
                port = json.loads(written.read_text(encoding="utf-8"))["port"]
                self.url = f"http://127.0.0.1:{port}{self.base_url}"
                self.request("GET", "api/status")
            except (json.JSONDecodeError, urllib.error.URLError):
                continue  # half written, or not listening yet
            return True
        return False

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        """Ask JupyterLab to end, then kill what is left: kernels have process groups of their own."""
        if process.poll() is None:
            family = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            _, alive = psutil.wait_procs(family, timeout=3)
            for child in alive:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
