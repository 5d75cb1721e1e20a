"""The opening handshake of WebSocket, seen from the middle: what client and server agree on (RFC 6455 §4)."""

from __future__ import annotations

from dataclasses import dataclass

from websockets.exceptions import InvalidHeaderFormat
from websockets.headers import parse_extension
from websockets.utils import accept_key

from helpers.wire.deflate import parameters_are_right
from helpers.wire.http import Headers, get_all


@dataclass(frozen=True, slots=True)
class Agreement:
    """What client and server agreed on.

    Attributes:
        subprotocol: the one that the server chose, or None.
        extensions: the `Sec-WebSocket-Extensions` header of the response, or None.
        deflate: whether each side's messages begin with an empty window; None without permessage-deflate.
        unknown: whether an extension was agreed that is not known here.
        broken: the rules that the response breaks, each as what is wrong and where the rule is written.
    """

    subprotocol: str | None
    extensions: str | None
    deflate: dict[str, bool] | None
    unknown: bool
    broken: tuple[tuple[str, str], ...]


def asks_to_upgrade(headers: Headers) -> bool:
    """Whether a response to this request may leave HTTP, so that what follows has to wait for it."""
    return bool(get_all(headers, "upgrade") or get_all(headers, "sec-websocket-key"))


def upgrades_to_websocket(request: Headers, response: Headers) -> bool:
    """Whether the 101 of a server makes it a WebSocket, however incomplete the two heads are."""
    protocol = get_all(response, "upgrade") or get_all(request, "upgrade")
    return "websocket" in protocol or bool(get_all(response, "sec-websocket-accept"))


def agree(request: Headers, response: Headers) -> Agreement:
    """What the headers of a request and its response agree on; `broken` is what a client must refuse.

    Source: RFC 6455 §4.1. What can't be understood is passed over: the peers may go on all the same.
    """
    broken: list[tuple[str, str]] = []
    for who, headers in (("request", request), ("response", response)):
        for name, value in (("upgrade", "websocket"), ("connection", "upgrade")):
            if value not in get_all(headers, name):
                broken.append((f"the {who} has no {name.title()}: {value}", "RFC 6455 §4.1"))
    key, answer = _last(request, "sec-websocket-key"), _last(response, "sec-websocket-accept")
    if key is None or answer != accept_key(key):
        broken.append(("Sec-WebSocket-Accept does not answer Sec-WebSocket-Key", "RFC 6455 §4.1"))
    subprotocol = _last(response, "sec-websocket-protocol")
    if subprotocol is not None and subprotocol.lower() not in get_all(request, "sec-websocket-protocol"):
        broken.append(("the server chose a subprotocol that was not offered", "RFC 6455 §4.1"))
    chosen = _joined(response, "sec-websocket-extensions")
    deflate: dict[str, bool] | None = None
    unknown = False
    understood = _is_well_formed(chosen)
    extensions = _extensions(chosen)
    for name, parameters in extensions:
        if name == "permessage-deflate" and deflate is None:
            deflate = {
                side: f"{side}_no_context_takeover" in dict(parameters) for side in ("client", "server")
            }
            understood = understood and parameters_are_right(parameters)
        else:
            unknown = True
    if not understood:
        broken.append(("Sec-WebSocket-Extensions cannot be understood", "RFC 6455 §9.1"))
    offered = {name for name, _ in _extensions(_joined(request, "sec-websocket-extensions"))}
    if not {name for name, _ in extensions} <= offered:
        broken.append(("the server chose an extension that was not offered", "RFC 6455 §9.1"))
    return Agreement(subprotocol, chosen or None, deflate, unknown, tuple(broken))


def _is_well_formed(extensions: str) -> bool:
    try:
        parse_extension(extensions)
    except InvalidHeaderFormat:
        return not extensions
    return True


def _extensions(header: str) -> list[tuple[str, list[tuple[str, str | None]]]]:
    """Names and parameters, whatever is between them. (No extension has a comma or semicolon in a value.)"""
    found = []
    for extension in header.split(","):
        name, *parameters = [part.strip() for part in extension.split(";")]
        if name:
            found.append((name.lower(), [_parameter(part) for part in parameters if part]))
    return found


def _parameter(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    return name.strip().lower(), value.strip().strip('"') if equals else None


def _last(headers: Headers, name: str) -> str | None:
    """The value of a header that should be there once."""
    return {key.lower(): value for key, value in headers}.get(name)


def _joined(headers: Headers, name: str) -> str:
    """The values of a header that may be there several times."""
    return ", ".join(value for key, value in headers if key.lower() == name)
