"""Four processes of the chat behind nginx are replaced by others while two hundred people talk."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from chat_peers import itself, uvicorn
from shared import wait_until
from test_bus import engine
from test_chat_nginx import CONF, program

from apps.chat.crowd import Crowd
from helpers.background.process import BackgroundProcess

pytestmark = pytest.mark.nightly


class Service:
    """Four processes on one bus, and nginx in front of them, which can be told about others."""

    def __init__(self, folder: Path, bus: str) -> None:
        self._folder, self._bus = folder, bus
        self._started: dict[str, BackgroundProcess] = {}
        self._command = [program(), "-e", "stderr", "-p", str(folder), "-c", "nginx.conf"]
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.processes = self.four("blue")
        self._list()
        self.nginx = BackgroundProcess(
            self._command, ready="start worker process", port=self.port, name="nginx"
        ).start()

    def four(self, colour: str) -> list[BackgroundProcess]:
        names = [f"{letter} {colour}" for letter in "ABCD"]
        with ThreadPoolExecutor() as pool:
            environment = {"CHAT_BUS": self._bus}
            four = [*pool.map(lambda name: uvicorn(environment=environment, name=name).start(), names)]
        self._started |= zip(names, four, strict=True)  # they replace those of their name
        return four

    def _list(self) -> None:
        servers = " ".join(f"server 127.0.0.1:{one.port};" for one in self.processes)
        text = CONF.replace("server 127.0.0.1:8000;", servers)
        text = text.replace("listen 127.0.0.1:8080;", f"listen 127.0.0.1:{self.port};")
        (self._folder / "nginx.conf").write_text(text, "utf-8")

    def send_newcomers_to(self, processes: list[BackgroundProcess]) -> list[psutil.Process]:
        """Give those who got them until now."""
        old, self.processes = [itself(one) for one in self.processes], processes
        self._list()
        before = len(self.nginx.output)
        subprocess.run([*self._command, "-s", "reload"], check=True, capture_output=True)
        wait_until(lambda: "gracefully shutting down" in "\n".join(self.nginx.output[before:]))
        return old

    def stop(self) -> None:
        for one in (self.nginx, *self._started.values()):
            one.halt()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with engine("redis", tmp_path / "bus") as bus:
        running = Service(tmp_path, bus.url)
        yield running
        running.stop()


async def end(process: psutil.Process) -> None:
    process.terminate()
    await asyncio.to_thread(process.wait, 20)


def test_in_twenty_deploys_nothing_is_lost_and_nobody_is_disconnected_twice(service: Service) -> None:
    async def deploy(fresh: list[BackgroundProcess], crowd: Crowd) -> None:
        assert await crowd.settled() == (0, 0, {0: 200})
        old = await asyncio.to_thread(service.send_newcomers_to, fresh)
        for process in old:
            report = await crowd.talk_during(end(process))
        assert report == (0, 0, {1: 200})

    for colour in ["green", "blue"] * 10:
        fresh = service.four(colour)
        with contextlib.closing(Crowd(f"ws://127.0.0.1:{service.port}/ws")) as crowd:
            asyncio.run(deploy(fresh, crowd))
