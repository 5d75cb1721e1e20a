"""The opening handshake of WebSocket, seen from the middle: what client and server agree on (RFC 6455 §4)."""

from __future__ import annotations

from dataclasses import dataclass

from websockets.exceptions import InvalidHeaderFormat
from websockets.headers import parse_extension
from websockets.utils import accept_key

from helpers.wire.deflate import DeflateParameters
from helpers.wire.http import Headers, get_all


@dataclass(frozen=True, slots=True)
class Agreement:
    """What client and server agreed on.

    Attributes:
        subprotocol: the one that the server chose, or None.
        extensions: the `Sec-WebSocket-Extensions` header of the response, or None.
        deflate: what each side promised about permessage-deflate, or None without it.
        unknown: whether an extension was agreed that is not known here.
        broken: the rules that the response breaks, each as what is wrong and where the rule is written.
    """

    subprotocol: str | None
    extensions: str | None
    deflate: dict[str, DeflateParameters] | None
    unknown: bool
    broken: tuple[tuple[str, str], ...]


def upgrades_to_websocket(headers: Headers) -> bool:
    """Whether a request asks for a WebSocket, or a response agrees to it."""
    return "websocket" in get_all(headers, "upgrade") and "upgrade" in get_all(headers, "connection")


def agree(request: Headers, response: Headers) -> Agreement:
    """What the headers of a request and its response agree on, read as a client must (RFC 6455 §4.1)."""
    broken: list[tuple[str, str]] = []
    key, answer = _last(request, "sec-websocket-key"), _last(response, "sec-websocket-accept")
    if key is None or answer != accept_key(key):
        broken.append(("Sec-WebSocket-Accept does not answer Sec-WebSocket-Key", "RFC 6455 §4.1"))
    subprotocol = _last(response, "sec-websocket-protocol")
    if subprotocol is not None and subprotocol.lower() not in get_all(request, "sec-websocket-protocol"):
        broken.append(("the server chose a subprotocol that was not offered", "RFC 6455 §4.1"))
    chosen = _joined(response, "sec-websocket-extensions")
    deflate: dict[str, DeflateParameters] | None = None
    unknown = False
    try:
        extensions = parse_extension(chosen) if chosen else []
        for name, parameters in extensions:
            if name == "permessage-deflate" and deflate is None:
                deflate = {side: DeflateParameters.agreed(side, parameters) for side in ("client", "server")}
            else:
                unknown = True
        offer = _joined(request, "sec-websocket-extensions")
        offered = {name for name, _ in parse_extension(offer)} if offer else set()
        if not {name for name, _ in extensions} <= offered:
            broken.append(("the server chose an extension that was not offered", "RFC 6455 §9.1"))
    except (InvalidHeaderFormat, ValueError):
        unknown = True
        broken.append(("Sec-WebSocket-Extensions cannot be understood", "RFC 6455 §9.1"))
    return Agreement(subprotocol, chosen or None, deflate, unknown, tuple(broken))


def _last(headers: Headers, name: str) -> str | None:
    """The value of a header that should be there once."""
    return {key.lower(): value for key, value in headers}.get(name)


def _joined(headers: Headers, name: str) -> str:
    """The values of a header that may be there several times."""
    return ", ".join(value for key, value in headers if key.lower() == name)
