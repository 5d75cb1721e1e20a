"""What clients and server say to each other, as JSON. A client sends one request per message:

    {"type": "subscribe", "symbols": ["ACME", "BOLT"]}
    {"type": "subscribe", "symbols": ["ACME"], "after": {"ACME": 17}, "run": "8f2c"}     when it comes back
    {"type": "unsubscribe", "symbols": ["BOLT"]}

and gets

    {"type": "hello", "run": "8f2c", "companies": {"ACME": ["Acme Anvils", "Workshop"], …}}    once, at first
    {"type": "snapshot", "prices": [{"symbol": "ACME", "number": 17, "price": 101.2, "time": 1795.25}, …]}
    {"type": "changes", "changes": [{"symbol": "ACME", "number": 18, "after": 17, "price": …, …}, …]}
    {"type": "audience", "clients": 2, "symbols": {"ACME": 2, "BOLT": 1}}                when it has changed
    {"type": "error", "text": "there is no symbol 'ACNE'"}

`after` is the number of the change before it that the client was sent. A client that has another one has
lost something: it subscribes again with its own number as `after`, and gets what it has missed, or a
snapshot if that is too long ago or was in another `run` of the server.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

import msgspec

from apps.prices.feed import COMPANIES, Change

LONGEST_REQUEST = 2**13

Symbols = Annotated[list[Annotated[str, msgspec.Meta(max_length=8)]], msgspec.Meta(max_length=len(COMPANIES))]
Numbers = Annotated[dict[str, Annotated[int, msgspec.Meta(ge=0)]], msgspec.Meta(max_length=len(COMPANIES))]


class Subscribe(msgspec.Struct, tag="subscribe", forbid_unknown_fields=True):
    """A client wants these prices."""

    symbols: Symbols
    after: Numbers = {}
    run: str = ""


class Unsubscribe(msgspec.Struct, tag="unsubscribe", forbid_unknown_fields=True):
    """A client no longer wants these prices."""

    symbols: Symbols


REQUESTS = msgspec.json.Decoder(Subscribe | Unsubscribe)


class BadRequest(Exception):
    """What a client asks for makes no sense; the message says why."""


def read_request(message: str | bytes) -> Subscribe | Unsubscribe:
    """Understand a client's message.

    Raises:
        BadRequest: it isn't one of the requests above.
    """
    if isinstance(message, bytes):
        raise BadRequest("send text messages, not binary ones")
    if len(message) > LONGEST_REQUEST:
        raise BadRequest(
            f"a request has at most {LONGEST_REQUEST:,} characters, and this one {len(message):,}"
        )
    try:
        request: Subscribe | Unsubscribe = REQUESTS.decode(message)
    except msgspec.ValidationError as error:
        raise BadRequest(f"this isn't a request: {error}") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest(f"this isn't JSON: {error}") from None
    check_symbols(request.symbols)
    if isinstance(request, Subscribe) and (strange := set(request.after) - set(request.symbols)):
        raise BadRequest(f"`after` has {min(strange)!r}, which isn't among the symbols")
    return request


def check_symbols(symbols: Iterable[str]) -> None:
    """Make sure that there are such symbols.

    Raises:
        BadRequest: there is one that nobody trades.
    """
    for symbol in symbols:
        if symbol not in COMPANIES:
            raise BadRequest(f"there is no symbol {symbol!r}; they are: {', '.join(sorted(COMPANIES))}")


def snapshot_message(prices: Iterable[Change]) -> bytes:
    """A message with whole prices, which need nothing before them."""
    return msgspec.json.encode({"type": "snapshot", "prices": [change._asdict() for change in prices]})


def change_entry(change: Change, after: int) -> bytes:
    """One change, as it is in a message."""
    symbol, number, price, moment = change
    entry = {"symbol": symbol, "number": number, "after": after, "price": price, "time": moment}
    return msgspec.json.encode(entry)


def changes_message(entries: Iterable[bytes]) -> bytes:
    """A message with changes."""
    return b'{"type":"changes","changes":[' + b",".join(entries) + b"]}"


def hello_message(run: str) -> bytes:
    """A server's first message."""
    return msgspec.json.encode({"type": "hello", "run": run, "companies": COMPANIES})


def error_message(error: BadRequest) -> bytes:
    """The answer to a bad request."""
    return msgspec.json.encode({"type": "error", "text": str(error)})


def audience_message(clients: int, symbols: Mapping[str, int]) -> bytes:
    """How many clients there are, and how many follow each symbol."""
    told = {"type": "audience", "clients": clients, "symbols": dict(sorted(symbols.items()))}
    return msgspec.json.encode(told)
