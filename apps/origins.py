"""Which pages may connect. Every page can try, and only the server looks (RFC 6455 §10.2).

An origin is a scheme, a host and a port, and nothing else (RFC 6454 §6.2). A page may connect to the server
that it is from, which is so when its `Origin` names the same host and port as the request's `Host`. Programs
send no `Origin`, and could send any: this is no protection against them.

A page whose *name* leads here, by a DNS server of its own, has such an origin as well. But the browser keeps
cookies by name, and so brings none of ours.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from websockets.datastructures import Headers

ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")
PORTS = {"http": "80", "https": "443"}


def objection(headers: Headers, allowed: Collection[str] = ()) -> str | None:
    """Why a request with these headers may not be answered; None when it may.

    Args:
        headers: of the request.
        allowed: further origins, such as `https://door.example.org`.
    """
    return why_not(headers.get_all("Origin"), headers.get_all("Host"), allowed)


def why_not(origins: Sequence[str], hosts: Sequence[str], allowed: Collection[str] = ()) -> str | None:
    """The same for the values of these two headers, as another library gives them."""
    if not origins:
        return None  # no browser
    if len(origins) == len(hosts) == 1 and is_ours(origins[0], hosts[0], allowed):
        return None
    return "pages from there may not connect"


def is_ours(origin: str, host: str, allowed: Collection[str] = ()) -> bool:
    """Whether a page of this origin may connect to the server that the request addressed as `host`."""
    page = with_port(origin.lower())
    if page is None:
        return False
    if page in map(with_port, allowed):
        return True
    scheme = page.partition(":")[0]
    return scheme in PORTS and page == with_port(f"{scheme}://{host.lower()}")


def with_port(origin: str) -> str | None:
    """Return the origin with its port, even if that is the usual one; None if it is no origin."""
    parts = ORIGIN.fullmatch(origin)
    return parts and f"{parts[1]}://{parts[2]}:{int(parts[3]) if parts[3] else PORTS.get(parts[1], '')}"
