"""The pad: 10,000 keystrokes of two clients through the server, against the same in pycrdt alone."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from pycrdt import Doc, Text

from apps.pad import server
from apps.pad.client import PadClient
from apps.pad.server import PadServer

KEYSTROKES = 10_000


def alone() -> float:
    """Processor seconds of three replicas, two of which type in turn; each applies each update."""
    docs: list[Doc[Any]] = [Doc() for _ in range(3)]
    texts = [Text() for _ in docs]
    made: list[bytes] = []
    for doc, text in zip(docs, texts, strict=True):
        doc["text"] = text
        doc.observe(lambda event: made.append(event.update))
    begin = time.process_time()
    for number in range(KEYSTROKES):
        writer = number % 2
        made.clear()
        texts[writer].insert(number, "x")
        update = made[0]
        for doc in docs:
            if doc is not docs[writer]:
                doc.apply_update(update)
    spent = time.process_time() - begin
    assert len({str(text) for text in texts}) == 1
    return spent


async def together(path: Path) -> tuple[float, float]:
    """Processor seconds, and seconds, for server and both clients, until all have it and it is on disk."""
    async with PadServer(path).serving("127.0.0.1", 0) as url:
        clients = [PadClient(name) for name in ("Ann", "Bob")]
        for client in clients:
            await client.connect(url.replace("http", "ws") + "/bench")
        begin, at = time.process_time(), time.monotonic()
        for _ in range(KEYSTROKES // 2):
            for client in clients:
                client.insert(len(client.text), "x")
                await asyncio.sleep(0)  # the others' turn: what has come is read, what waits is sent
        for client in clients:
            await client.synced()
        for client in clients:
            await client.until(lambda client=client: len(client.text) == KEYSTROKES)  # type: ignore[misc]
        spent = time.process_time() - begin, time.monotonic() - at
        assert clients[0].text == clients[1].text
        for client in clients:
            await client.disconnect()
    return spent


def run(rounds: int) -> list[str]:
    """The comparison, as one line."""
    server.MESSAGES_PER_SECOND = 10**6  # nobody types that fast
    ratios, seconds = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="pad-") as folder:
            processor, passed = asyncio.run(together(Path(folder, "pad.sqlite")))
        ratios.append(processor / alone())
        seconds.append(passed)
    return [
        f"{KEYSTROKES:,} keystrokes of two clients through the server / pycrdt alone, processor time: "
        f"{statistics.median(ratios):.2f} (≤ 3)   [{', '.join(f'{ratio:.2f}' for ratio in ratios)}; "
        f"{statistics.median(seconds):.1f} s in all]"
    ]
