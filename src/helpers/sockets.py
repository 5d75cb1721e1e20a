"""Sockets: one to listen on, one that takes in little; how many there may be, and how long a header."""

from __future__ import annotations

import os
import socket
import sys
from urllib.parse import urlsplit

PLENTY = 10_240
"""More than this macOS refuses (`OPEN_MAX` in its sys/syslimits.h)."""


LONGEST_HEAD = 65_536
"""Bytes of a request's head that Jupyter's server takes (`max_header_size` of tornado's `HTTPServer`)."""


def raise_line_limit() -> None:
    """Have `websockets` take a header line as long as Jupyter's server does, here and in child processes.

    A browser sends the cookies of all ports of this machine to each of them, and every JupyterLab leaves one.
    Jupyter's proxy hands them on, and `websockets` refuses a line of more than 8 KiB. It reads its limit from
    the environment when it is imported, and afterwards from its modules.

    Source: https://websockets.readthedocs.io/en/stable/reference/variables.html
    """
    longest = int(os.environ.setdefault("WEBSOCKETS_MAX_LINE_LENGTH", str(LONGEST_HEAD)))
    for name in ("websockets.http11", "websockets.legacy.http"):
        if name in sys.modules:
            limits = vars(sys.modules[name])
            limits["MAX_LINE_LENGTH"] = max(limits["MAX_LINE_LENGTH"], longest)


def raise_file_limit() -> int:
    """Let this process open as many files as it may, and say how many these are.

    Sources: https://docs.python.org/3/library/resource.html; for Windows, where `select` takes 512 sockets,
    https://docs.python.org/3/library/select.html and `FD_SETSIZE` in CPython's PCbuild.
    """
    if sys.platform == "win32":
        return 512
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = PLENTY if hard == resource.RLIM_INFINITY else min(hard, PLENTY)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return PLENTY if soft == resource.RLIM_INFINITY else soft


def most_files() -> int:
    """How many files a child process may open after `raise_file_limit`."""
    if sys.platform == "win32":
        return 512
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY in (soft, hard):
        return PLENTY
    return max(soft, min(hard, PLENTY))


def listening_socket(host: str, port: int, *, or_any: bool) -> socket.socket:
    """A socket that listens on `host`; where `port` is taken and `or_any` is set, on a free one.

    Raises:
        OSError: the port is taken, not allowed, or the host isn't this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        sock = socket.create_server((host, port), family=family)
    except OSError:
        if not (or_any and port):
            raise
        sock = socket.create_server((host, 0), family=family)
    # asyncio sets TCP_NODELAY only on connections accepted by a socket that says that its protocol is TCP;
    # without, the second of two small messages waits for the acknowledgement of the first, 40 ms on Linux.
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=sock.detach())


def somebody_listens(address: str) -> bool:
    """Whether a server of this machine listens; of another machine the browser knows more than the kernel."""
    try:
        url = urlsplit(address)
        if url.hostname in ("127.0.0.1", "localhost", "::1"):
            socket.create_connection((url.hostname, url.port or 80), 1).close()
    except (OSError, ValueError):
        return False
    return True


def make_narrow(sock: socket.socket) -> None:
    """Make the little that goes into a connection that nobody reads as little as can be.

    The receive buffer is the reader's own. The sender's grows with the size of the segments that its peer
    takes, 65,483 bytes on Linux' loopback: about 2.7 MiB disappear in it. With segments of 536 bytes, the
    least that every host must take (RFC 9293, section 3.7.1), it is some 0.1 MiB.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    if hasattr(socket, "TCP_MAXSEG"):  # not on Windows
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
