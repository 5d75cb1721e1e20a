"""Access: a client needs the token, and a page that may connect.

Every page in a browser can try to connect to any server; only the server looks at where the page is from
(RFC 6455 §10.2). An origin is a scheme, a host and a port, and nothing else (RFC 6454 §6.2).
"""

from __future__ import annotations

import functools
import os
import re
import secrets

from starlette.requests import HTTPConnection

from apps.chat.limits import shortened

ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:(?P<port>[0-9]{1,5}))?"
)
PORTS = {"http": "80", "https": "443"}
HERE = {"localhost", "127.0.0.1", "[::1]"}


@functools.lru_cache(maxsize=8)
def origins(text: str) -> frozenset[str]:
    """Read a list of origins, such as `https://a.example, https://b.example`.

    Raises:
        ValueError: one of them is no origin.
    """
    entries = [entry.strip().lower().removesuffix("/") for entry in text.split(",")]
    for entry in filter(None, entries):
        if not ORIGIN.fullmatch(entry):
            raise ValueError(f"CHAT_ORIGINS: {entry!r} is no origin, such as https://chat.example.org")
    return frozenset(map(with_port, filter(None, entries)))


def objection(connection: HTTPConnection) -> str | None:
    """Why this connection may not have what it asks for; None when it may."""
    token = os.environ.get("CHAT_TOKEN", "")
    if token and not secrets.compare_digest(
        connection.query_params.get("token", "").encode(), token.encode()
    ):
        return "the token is missing or wrong"
    hosts = connection.headers.getlist("host")
    for origin in connection.headers.getlist("origin"):  # one at most, from a browser
        if not is_ours(origin, "".join(hosts)):
            where = shortened(ascii(origin)[1:-1]) or "nowhere"
            return f"pages from {where} may not connect"
    return None


def is_ours(origin: str, host: str) -> bool:
    """Whether a page of this origin may connect; every page can try (RFC 6455 §10.2)."""
    origin = origin.lower()
    page = ORIGIN.fullmatch(origin)
    if not page:
        return False
    if with_port(origin) in origins(os.environ.get("CHAT_ORIGINS", "")):
        return True
    scheme = page["scheme"]
    return scheme in PORTS and (
        page["host"] in HERE or with_port(origin) == with_port(f"{scheme}://{host.lower()}")
    )


def with_port(origin: str) -> str:
    """Return the origin with its port, even if that is the usual one."""
    scheme, _, host = origin.partition("://")
    return origin if re.search(r":[0-9]+$", host) else f"{origin}:{PORTS.get(scheme, '')}"


def address(connection: HTTPConnection) -> str:
    """Where a connection is from, for the log."""
    client = connection.client
    return f"{client.host}:{client.port}" if client else "somebody"
