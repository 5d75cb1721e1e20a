"""The replica of one page, kept by the server: a browser has no CRDT of its own unless it loads Yjs.

The page has its text, and the *revision* of the room that it has seen. It sends its edits as plain splices:
"from revision 17: at 5, remove 0, put an x". Its replica here is brought to revision 17, where the page was,
and does the edit; the update that this makes is applied to the room's document like anybody else's. So the
CRDT, and nobody else, decides where the x goes among what has come since 17.

A page has one edit on the way at a time, with a number. The change that it has made in the room comes back to
it with that number, when it is on disk. A page that was cut off comes back with its `seat` and the last
revision that it has seen, and gets the changes since; its numbers keep an edit from being made twice.

Positions count UTF-16 units here, as in JavaScript.
"""

from __future__ import annotations

from typing import Any

import msgspec
from pycrdt import UndoManager

from apps.pad.document import NOTHING, Document, Splice, spliced

MOST_SPLICES = 1000
PAGE = "page"
CAPTURE = 500
"""Milliseconds: what is typed at shorter intervals is undone together."""

COLOURS = ("#1565c0", "#c2410c", "#15803d", "#9333ea", "#be123c", "#0f766e", "#a16207", "#4338ca")


class Join(msgspec.Struct, tag="join"):
    """The first message: who it is, and, if it was here before, what it has."""

    name: str
    seat: str = ""
    run: str = ""
    revision: int = 0


class Edit(msgspec.Struct, tag="edit"):
    """Splices to the text as the page had it at a revision, and where its cursor is afterwards."""

    number: int
    revision: int
    splices: list[Splice]
    caret: tuple[int, int] | None = None


class Undo(msgspec.Struct, tag="undo"):
    """Undo this page's last edit, or redo it."""

    number: int
    revision: int
    again: bool = False


class Caret(msgspec.Struct, tag="caret"):
    """Where this page's selection begins and ends."""

    revision: int
    caret: tuple[int, int]


Request = Join | Edit | Undo | Caret
read_request = msgspec.json.Decoder(Request).decode


class Refused(ValueError):
    """What a page asks for can't be done; the text of the exception says why."""


class Seat:
    """A page's replica.

    Args:
        token: with which the page comes back.
        everything: the room's document.
        revision: the room's.
        number: of the last edit that this page has made.
    """

    def __init__(self, token: str, everything: bytes, revision: int, number: int) -> None:
        self.token = token
        self.name = ""
        self.revision = revision
        self.number = number
        self.replica = Document()
        self.replica.apply(everything)
        self._undo = UndoManager(scopes=[self.replica.text], capture_timeout_millis=CAPTURE)
        self._undo.include_origin(PAGE)

    def see(self, revision: int, updates: list[bytes]) -> None:
        """Bring the replica to where the page is: it has seen these."""
        for update in updates:
            self.replica.apply(update)
        self.revision = revision

    def work(self, request: Edit | Undo) -> bytes:
        """Make the page's edit, or undo one, and return the update.

        Raises:
            Refused: this text can't be edited that way.
        """
        if isinstance(request, Undo):
            update = self.replica.change(self._undo.redo if request.again else self._undo.undo)
        elif len(request.splices) > MOST_SPLICES:
            raise Refused(f"an edit has at most {MOST_SPLICES} parts")
        else:
            try:
                splices = from_units(str(self.replica), request.splices)
                update = self.replica.edit(splices, PAGE) if splices else NOTHING
            except ValueError as error:
                raise Refused(str(error)) from error
        self.number = request.number
        return update

    def offers(self) -> dict[str, bool]:
        """Whether this page has something to undo, and to redo."""
        return {"undo": self._undo.can_undo(), "redo": self._undo.can_redo()}

    def state(self, caret: tuple[int, int] | None) -> dict[str, Any]:
        """What the others are told of this page, as y-websocket's editors say it."""
        colour = COLOURS[self.replica.client % len(COLOURS)]
        state: dict[str, Any] = {"user": {"name": self.name, "color": colour, "colorLight": colour + "33"}}
        if caret:
            text = str(self.replica)
            places = (min(max(0, place), units(text)) for place in caret)
            anchor, head = (self.replica.mark(characters(text, place)) for place in places)
            state["cursor"] = {"anchor": anchor, "head": head}
        return state


def units(text: str) -> int:
    """How many UTF-16 units there are."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def characters(text: str, place: int) -> int:
    """The position in characters of one in UTF-16 units.

    Raises:
        ValueError: it is within a character.
    """
    return place if text.isascii() else len(text.encode("utf-16-le")[: 2 * place].decode("utf-16-le"))


def from_units(text: str, splices: list[Splice]) -> list[Splice]:
    """Splices that count characters, from such as count UTF-16 units.

    Raises:
        ValueError: they aren't within the text, or begin or end within a character.
    """
    found = []
    for at, removed, inserted in splices:
        if not 0 <= at <= at + removed <= units(text):
            raise ValueError(f"there is no {at} to {at + removed} in {units(text)} units")
        begin = characters(text, at)
        found.append((begin, characters(text, at + removed) - begin, inserted))
        text = spliced(text, found[-1:])
    return found


def to_units(text: str, splices: list[Splice]) -> list[Splice]:
    """Splices that count UTF-16 units, from such as count characters."""
    found = []
    for at, removed, inserted in splices:
        found.append((units(text[:at]), units(text[at : at + removed]), inserted))
        text = spliced(text, [(at, removed, inserted)])
    return found
