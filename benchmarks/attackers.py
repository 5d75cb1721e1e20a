"""What unkind clients do to a WebSocket server again and again, with nothing but sockets.

    python -m benchmarks.attackers burst 8000

attacks the server on that port of this machine until its standard input is closed. What comes after the port
are headers of the handshakes: an attacker may well be somebody who may come in.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator

from apps.door import attacks
from apps.door.attacks import CONTINUATION, PING, TEXT, deflated_letters, frame

COOKIE_BYTES = 9_000
LETTERS = 15 * 2**20
INPUTS = 10_000
ours: list[str] = []
"""The headers of all handshakes."""


def room(port: int, name: str = "Eve") -> str:
    """The address of a chat room."""
    return f"ws://127.0.0.1:{port}/ws?name={name}&room=lobby"


def request_to_join(port: int, *headers: str, name: str = "Eve") -> bytes:
    """The request for a WebSocket, with more headers if you like."""
    return attacks.handshake(room(port, name), *headers, *ours)


def reach(port: int, request: bytes = b"") -> socket.socket:
    """Connect, and send the beginning of something."""
    return attacks.dial(room(port), request)


def first_line(sock: socket.socket) -> str:
    """The first line of the answer; empty when there is none."""
    with contextlib.suppress(TimeoutError, ConnectionError):
        return sock.recv(4096).decode("latin-1").partition("\r\n")[0]
    return ""


def join(port: int, *headers: str, name: str = "Eve") -> socket.socket:
    """Join the room, and read no more than the answer to the handshake."""
    sock = reach(port, request_to_join(port, *headers, name=name))
    first_line(sock)
    return sock


def again_and_again(port: int, what: Callable[[socket.socket], None]) -> None:
    """Do something on a connection, and on a new one whenever the server has had enough."""
    while True:
        with contextlib.suppress(OSError), join(port) as sock:
            what(sock)
        time.sleep(0.05)


def burst(port: int, count: int = 36_000) -> Iterator[socket.socket]:
    """Very many very small messages at once."""
    sock = join(port)
    with contextlib.suppress(OSError):
        sock.settimeout(60)
        sock.sendall(frame(TEXT, b"x") * count)
    yield sock


def inflate(port: int, count: int = 100) -> Iterator[socket.socket]:
    """Messages that are a thousand times as long as they look, whole ones and unfinished ones."""
    payload = deflated_letters(LETTERS)
    for last in (True, False):
        sock = join(port, "Sec-WebSocket-Extensions: permessage-deflate")
        with contextlib.suppress(OSError):
            for _ in range(count):
                sock.sendall(frame(TEXT, payload, last=last, deflated=True))
        yield sock


def pieces(port: int, attackers: int = 5) -> Iterator[socket.socket]:
    """Messages that never end, in pieces without a letter."""

    def talk(sock: socket.socket) -> None:
        sock.sendall(frame(TEXT, b"x", last=False))
        while True:
            sock.sendall(frame(CONTINUATION, last=False) * 10_000)

    for _ in range(attackers):
        threading.Thread(target=again_and_again, args=(port, talk), daemon=True).start()
    yield from ()


def pongs(port: int) -> Iterator[socket.socket]:
    """Pings whose answers nobody reads."""

    def talk(sock: socket.socket) -> None:
        while True:
            sock.sendall(frame(PING, bytes(125)) * 1000)

    threading.Thread(target=again_and_again, args=(port, talk), daemon=True).start()
    yield from ()


def slow(port: int, count: int = 200) -> Iterator[socket.socket]:
    """Handshakes that don't come to their end."""
    for number in range(count):
        with contextlib.suppress(OSError):  # the next one may be luckier
            yield reach(port, request_to_join(port, name=f"Eve-{number}")[:-4])


def post(port: int, count: int = 10) -> Iterator[socket.socket]:
    """Requests whose bodies don't come to their end."""
    head = f"POST /tell HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 100\r\n\r\n{{"
    for _ in range(count):
        yield reach(port, head.encode())


def cookie(port: int) -> Iterator[socket.socket]:
    """A handshake with all the cookies of this machine; nothing unkind."""
    sock = reach(port, request_to_join(port, f"Cookie: c={'a' * COOKIE_BYTES}"))
    print(first_line(sock) or "no answer", flush=True)
    yield sock


def noise(port: int) -> Iterator[socket.socket]:
    """Very many hostile inputs, a connection each."""
    print(attacks.fuzz(room(port), INPUTS), flush=True)
    yield from ()


ATTACKS: dict[str, Callable[[int], Iterator[socket.socket]]] = {
    each.__name__: each for each in (burst, inflate, pieces, pongs, slow, post, cookie, noise)
}


def main() -> None:
    """Attack, and keep every connection until standard input is closed."""
    name, port, *headers = sys.argv[1:]
    ours.extend(headers)
    kept = list(ATTACKS[name](int(port)))
    sys.stdin.read()
    del kept
    os._exit(0)  # threads, too


if __name__ == "__main__":
    main()
