"""Send a file to the video server, and go on where it stopped when the connection breaks:

python -m apps.video.uploader ws://127.0.0.1:8000 picture.jpg
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

CHUNK = 2**14
"""Bytes of a message: at most so much is sent twice after a cut."""

ATTEMPTS = 8
"""In a row, without one more byte that arrived."""

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0
"""Seconds; the pause doubles with each attempt in a row."""


class UploadFailed(Exception):
    """The server doesn't want the file, or can't be reached; the message says why."""


async def upload(
    url: str, content: bytes, *, progress: Callable[[int, int], object] = lambda have, size: None
) -> str:
    """Send a file, however often the connection breaks.

        await upload("ws://127.0.0.1:8000", Path("hills.jpg").read_bytes(), progress=print)

    Args:
        url: the server's address.
        content: of the file.
        progress: is called with the bytes that the server has on disk, and the size.

    Returns:
        What the server says in the end.

    Raises:
        UploadFailed: the server refuses it, or ATTEMPTS in a row were in vain.
    """
    checksum = hashlib.sha256(content).hexdigest()
    address = f"{url}/upload?size={len(content)}&sha256={checksum}"
    most, failed = -1, 0

    def heard(have: int) -> None:
        nonlocal most, failed
        if have > most:
            most, failed = have, 0
        progress(have, len(content))

    while True:
        try:
            async with connect(address, proxy=None, compression=None) as connection:
                return await _send_the_rest(connection, content, heard)
        except InvalidStatus as error:
            body = (error.response.body or b"").decode(errors="replace").strip()
            raise UploadFailed(body or str(error)) from error
        except (OSError, EOFError, ConnectionClosed, InvalidHandshake) as error:
            failed += 1
            if failed == ATTEMPTS:
                raise UploadFailed(f"{ATTEMPTS} attempts were in vain: {error}") from error
        await asyncio.sleep(min(FIRST_PAUSE * 2 ** (failed - 1) if failed else 0, LONGEST_PAUSE))


async def _send_the_rest(connection: ClientConnection, content: bytes, heard: Callable[[int], None]) -> str:
    """Send what the server lacks, and hear how far it is."""
    have = json.loads(await connection.recv())
    sending: asyncio.Task[None] | None = None
    try:
        while True:
            if have["type"] == "error":
                raise UploadFailed(have["text"])
            if have["type"] == "done":
                return str(have["text"])
            heard(have["bytes"])
            if sending is None:
                sending = asyncio.create_task(_send(connection, content, have["bytes"]))
            have = json.loads(await connection.recv())
    finally:
        if sending is not None:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


async def _send(connection: ClientConnection, content: bytes, begin: int) -> None:
    for at in range(begin, len(content), CHUNK):
        await connection.send(content[at : at + CHUNK])


def main() -> None:
    """Send the file that the command line names."""
    parser = argparse.ArgumentParser("python -m apps.video.uploader", description="Send a picture.")
    parser.add_argument("url", help="the server's, such as ws://127.0.0.1:8000")
    parser.add_argument("file", type=Path)
    given = parser.parse_args()

    def progress(have: int, size: int) -> None:
        print(f"\r{have:,} of {size:,} bytes", end="", flush=True)

    try:
        content = given.file.read_bytes()
        url = given.url.replace("http", "ws", 1).rstrip("/")
        said = asyncio.run(upload(url, content, progress=progress))
        print(f"\n{said}")
    except KeyboardInterrupt:
        parser.exit(130, "\nstopped; the same command goes on from here\n")
    except (OSError, UploadFailed) as error:
        parser.exit(1, f"\nnot sent: {error}\n")


if __name__ == "__main__":
    main()
