"""What an HTTP client sends with each request, as sets to choose from."""

from __future__ import annotations

from typing import Final, Literal

HeaderSet = Literal["least", "library", "browser"]
What = Literal["get", "post", "events", "websocket"]

_AIOHTTP: Final = "Python/3 aiohttp/3"
"""What aiohttp calls itself, without its exact version, so that bytes are the same anywhere."""

_COOKIE: Final = "session=0123456789abcdef0123456789abcdef"

# As Chromium 156 on Linux sent them with fetch() to its own origin, in a recording made for this workbook;
# "Headless" is left out of the name.
_BROWSER: Final = {
    "Connection": "keep-alive",
    "sec-ch-ua-platform": '"Linux"',
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/156.0.0.0 Safari/537.36",
    "sec-ch-ua": '"Not:A-Brand";v="8", "Chromium";v="156"',
    "sec-ch-ua-mobile": "?0",
    "Accept-Language": "en-US",
    "Accept": "*/*",
    "Sec-Fetch-Site": "same-origin",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Dest": "empty",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Cookie": _COOKIE,
}
_BROWSER_WEBSOCKET: Final = {
    "Pragma": "no-cache",
    "Cache-Control": "no-cache",
    "User-Agent": _BROWSER["User-Agent"],
    "Accept-Language": "en-US",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Cookie": _COOKIE,
}
_LIBRARY: Final = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate", "User-Agent": _AIOHTTP}


def headers_for(kind: HeaderSet, what: What, origin: str) -> dict[str, str]:
    """The headers of a request, apart from those that make it work (Host, Content-Length, Upgrade ...).

    Args:
        kind: `"least"`: none; `"library"`: what aiohttp sends, without its version's numbers;
            `"browser"`: what Chromium sends to its own origin, with a cookie of 40 bytes.
        what: a GET, a POST, a stream of Server-Sent Events, or a WebSocket's opening handshake.
        origin: the server's, such as `http://127.0.0.1:8000`.
    """
    if kind == "least":
        return {}
    if kind == "library":
        headers = dict(_LIBRARY)
    elif what == "websocket":
        return {**_BROWSER_WEBSOCKET, "Origin": origin}
    else:
        headers = {**_BROWSER, "Referer": f"{origin}/"}
    if what == "post":
        headers["Content-Type"] = "text/plain;charset=UTF-8"
        if kind == "browser":
            headers["Origin"] = origin
    if what == "events":
        headers["Accept"] = "text/event-stream"
    return headers
