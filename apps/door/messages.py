"""What is said on a connection: requests that are checked before anything is done, and answers.

    {"type": "enter", "token": "…"}               who I am: the first message, and a later one to stay longer
    {"type": "say", "room": "lobby", "text": "…"}
    {"type": "expel", "room": "lobby", "who": "bob"}   for owners
    {"type": "log out"}                           ends all connections of this session

Each may have an "id", which comes back with the error that it causes. The server sends `welcome`, `said`,
`expelled` (to the owner who asked, and to whom it is about), `rights`, `error`, and `bye` before it closes.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from apps.door.tickets import LONGEST_TEXT

TEXT_CHARACTERS = 1000
MESSAGE_BYTES = 16 * TEXT_CHARACTERS
"""JSON may write a character in 12 bytes."""

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_CHARACTERS)]
Token = Annotated[str, msgspec.Meta(max_length=LONGEST_TEXT)]
Id = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]  # above, JavaScript's numbers have gaps


class Request(msgspec.Struct, tag_field="type", forbid_unknown_fields=True, kw_only=True):
    """What all requests have."""

    id: Id | None = None


class Enter(Request, tag="enter"):
    """Say who one is, with a session or a ticket."""

    token: Token


class Say(Request, tag="say"):
    """Say something in a room."""

    room: Name
    text: Text


class Expel(Request, tag="expel"):
    """Take somebody's rights in a room away."""

    room: Name
    who: Name


class LogOut(Request, tag="log out"):
    """End the session, everywhere."""


class BadRequest(Exception):
    """A request that can't be followed, and why, for whoever sent it.

    Args:
        why: in words.
        id: of the request, where it had one.
    """

    def __init__(self, why: str, id: int | None = None) -> None:
        super().__init__(why)
        self.id = id


ECHOES = {"Invalid value": "there is no such request", "Object contains unknown field": "an unknown field"}
"""How msgspec begins to repeat what was sent, and what is said instead."""

AnyRequest = Enter | Say | Expel | LogOut
_decoder: msgspec.json.Decoder[AnyRequest] = msgspec.json.Decoder(AnyRequest)


def read_request(message: str | bytes) -> AnyRequest:
    """Read a message.

    Raises:
        BadRequest: it is no request; says what is wrong and where, and repeats nothing of it.
    """
    if isinstance(message, bytes):
        raise BadRequest("send text, not bytes")
    try:
        return _decoder.decode(message)
    except (msgspec.DecodeError, RecursionError) as error:
        # Never the text itself: a close frame has room for 123 bytes, and a log is for our own words.
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        for words, instead in ECHOES.items():
            why = instead if why.startswith(words) else why
        raise BadRequest(why[:100]) from None
    except UnicodeError:  # half of a surrogate pair
        raise BadRequest("it isn't Unicode") from None


def as_text(kind: str, **fields: Any) -> str:
    """Return an answer as it is sent."""
    return msgspec.json.encode({"type": kind, **fields}).decode()
