"""Access: a client needs the token, and a page that may connect; `apps/origins.py` says what an origin is."""

from __future__ import annotations

import functools
import os
import re
import secrets

from starlette.requests import HTTPConnection

import apps.origins
from apps.chat.limits import shortened

HERE = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?")


@functools.lru_cache(maxsize=8)
def origins(text: str) -> frozenset[str]:
    """Read a list of origins, such as `https://a.example, https://b.example`.

    Raises:
        ValueError: one of them is no origin.
    """
    entries = [entry.strip().lower().removesuffix("/") for entry in text.split(",")]
    for entry in filter(None, entries):
        if not apps.origins.with_port(entry):
            raise ValueError(f"CHAT_ORIGINS: {entry!r} is no origin, such as https://chat.example.org")
    return frozenset(filter(None, entries))


def objection(connection: HTTPConnection) -> str | None:
    """Why this connection may not have what it asks for; None when it may."""
    token = os.environ.get("CHAT_TOKEN", "")
    if token and not secrets.compare_digest(
        connection.query_params.get("token", "").encode(), token.encode()
    ):
        return "the token is missing or wrong"
    hosts = connection.headers.getlist("host")
    for origin in connection.headers.getlist("origin"):  # one at most, from a browser
        if not is_allowed(origin, "".join(hosts)):
            where = shortened(ascii(origin)[1:-1]) or "nowhere"
            return f"pages from {where} may not connect"
    return None


def is_allowed(origin: str, host: str) -> bool:
    """Whether a page of this origin may connect: one on localhost, on `host`, or listed in CHAT_ORIGINS."""
    if HERE.fullmatch(origin.lower()):
        return True
    return apps.origins.is_ours(origin, host, origins(os.environ.get("CHAT_ORIGINS", "")))


def address(connection: HTTPConnection) -> str:
    """Where a connection is from, for the log."""
    client = connection.client
    return f"{client.host}:{client.port}" if client else "somebody"
