"""What is read from a request's headers and put into an answer's, and what of it may be in a log."""

from __future__ import annotations

import base64
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
from websockets.datastructures import Headers
from websockets.http11 import Response

from apps.door.limits import LOG_CHARACTERS

HERE = Path(__file__).parent
FILES = {"/": ("page.html", "text/html"), "/page.js": ("page.js", "text/javascript")}
FILES |= {"/page.css": ("page.css", "text/css")}
HEADERS = {
    "Cache-Control": "no-store",
    "Connection": "close",
    # The page runs its own script and no other, and only pages from here may put it into a frame.
    "Content-Security-Policy": "default-src 'self'; img-src data:; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def token_of(headers: Headers) -> str:
    """Return the pass that a request brings: after `Authorization: Bearer`, or in the cookie; "" if none."""
    if said := authorization(headers, "bearer"):
        return said
    for cookie in "; ".join(headers.get_all("Cookie")).split(";"):
        name, _, value = cookie.strip().partition("=")
        if name == "door":
            return value
    return ""


def name_and_password(headers: Headers) -> tuple[str, str]:
    """Return what `Authorization: Basic` says (RFC 7617); two empty strings if nothing."""
    try:
        pair = base64.b64decode(authorization(headers, "basic"), validate=True).decode()
    except ValueError:  # binascii.Error and UnicodeDecodeError are such
        return "", ""
    name, _, password = pair.partition(":")
    return name, password


def authorization(headers: Headers, scheme: str) -> str:
    """Return what comes after the scheme, when there is one such header."""
    given = headers.get_all("Authorization")
    found, _, said = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    return said.strip() if found.lower() == scheme else ""


def reply(status: HTTPStatus, kind: str, body: bytes) -> Response:
    """Return an answer."""
    headers = Headers(HEADERS)
    headers["Content-Type"] = f"{kind}; charset=utf-8"
    headers["Content-Length"] = str(len(body))
    return Response(status.value, status.phrase, headers, body)


def reply_json(what: dict[str, Any]) -> Response:
    """Return an answer in JSON."""
    return reply(HTTPStatus.OK, "application/json", msgspec.json.encode(what))


def from_file(path: str) -> Response:
    """Return one of the page's files."""
    name, kind = FILES[path]
    return reply(HTTPStatus.OK, kind, (HERE / name).read_bytes())


def on_one_line(theirs: object) -> str:
    """Return what a stranger has sent as it may be in a log: short, and without line breaks or colours."""
    text = ascii(str(theirs)[:LOG_CHARACTERS])[1:-1]
    return text if len(str(theirs)) <= LOG_CHARACTERS else f"{text}..."
