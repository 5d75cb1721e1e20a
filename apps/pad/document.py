"""Text that several people edit, and the y-websocket protocol that replicas speak; no I/O here.

Each replica has the whole text and changes its own copy at once. A change is an *update*, some bytes that any
replica can apply, in any order and more than once. On the wire, a message is one of:

    0 0 STATE    sync step 1   "this is what I have": a state vector
    0 1 UPDATE   sync step 2   "and this is what you lack"
    0 2 UPDATE   update        "I have just changed this"
    1 STATES     awareness     who is here, and where their cursors are; see `presence.py`
    3            query         "who is here?"

Source: https://github.com/yjs/y-protocols/blob/master/PROTOCOL.md and y-websocket, which adds the query.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from pycrdt import Assoc, Doc, StickyIndex, Subscription, Text, TextEvent, TransactionEvent, merge_updates

STEP_1, STEP_2, UPDATE, AWARENESS, QUERY = "step 1", "step 2", "update", "awareness", "query"
KINDS = {(0, 0): STEP_1, (0, 1): STEP_2, (0, 2): UPDATE, (1,): AWARENESS, (3,): QUERY}
HEADS = {kind: bytes(head) for head, kind in KINDS.items()}

ROOT = "text"
"""The name under which the text is in its document; `doc.getText("text")` in Yjs."""

FLAT = 10_000
"""Bytes of an update in which nothing is nested so deep that pycrdt would run out of stack, and crash."""

PANIC = "PanicException"
"""What pycrdt raises when its Rust has panicked; no `Exception`, and no name that could be imported."""

NOTHING = b"\0\0"
"""The update that changes nothing."""

Splice = tuple[int, int, str]
"""An edit: where, how many characters are removed there, and what is put in their place."""


class Rubbish(ValueError):
    """Bytes that aren't what they should be; the text of the exception says what is wrong."""


class Message(NamedTuple):
    """What was received.

    Args:
        kind: STEP_1, STEP_2, UPDATE, AWARENESS or QUERY.
        data: a state vector, an update, or states.
    """

    kind: str
    data: bytes


class Reader:
    """Reads what lib0 has written, and raises Rubbish where bytes are missing.

    Source: https://github.com/dmonad/lib0/blob/main/encoding.js
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self) -> int:
        """An unsigned number: seven bits in each byte, the lowest first; the eighth says that more follow."""
        number = shift = 0
        while True:
            if self._at == len(self._data) or shift > 56:
                raise Rubbish("a number is cut off or too long")
            byte = self._data[self._at]
            self._at += 1
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number

    def byte(self) -> int:
        """A single byte."""
        self._at += 1
        if self._at > len(self._data):
            raise Rubbish("a byte is missing")
        return self._data[self._at - 1]

    def block(self) -> bytes:
        """Some bytes with their number in front."""
        end = self.number() + self._at
        if end > len(self._data):
            raise Rubbish("bytes are missing")
        begin, self._at = self._at, end
        return self._data[begin:end]

    def end(self) -> None:
        """Nothing may follow."""
        if self._at != len(self._data):
            raise Rubbish("there are bytes too many")


def number(value: int) -> bytes:
    """Write an unsigned number as `Reader.number` reads it."""
    written = bytearray()
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    written.append(value)
    return bytes(written)


def block(data: bytes) -> bytes:
    """Write some bytes with their number in front."""
    return number(len(data)) + data


def write(kind: str, data: bytes = b"") -> bytes:
    """A message for the wire."""
    return HEADS[kind] + (b"" if kind == QUERY else block(data))


def read(message: bytes) -> Message:
    """A message from the wire.

    Raises:
        Rubbish: it is none.
    """
    reader = Reader(message)
    head: tuple[int, ...] = (reader.number(),)
    if head == (0,):
        head = (0, reader.number())
    if head not in KINDS:
        raise Rubbish("there is no such message")
    data = b"" if KINDS[head] == QUERY else reader.block()
    reader.end()
    return Message(KINDS[head], data)


def read_state(state: bytes) -> dict[int, int]:
    """A state vector: how many UTF-16 units of each client's insertions are known; deletions don't count.

    Raises:
        Rubbish: it is none.
    """
    reader = Reader(state)
    known = {}
    for _ in range(reader.number()):
        client = reader.number()
        known[client] = reader.number()
    reader.end()
    return known


class Document:
    """A replica of the text.

        ann, bob = Document(), Document()
        update = ann.edit([(0, 0, "hello")])
        bob.apply(update)

    Positions count characters, as in Python's strings. pycrdt counts bytes of UTF-8.

    Args:
        client: its number, by default a random one; no two replicas may ever have the same.
    """

    def __init__(self, client: int | None = None) -> None:
        self.doc: Doc[Any] = Doc(client_id=client)
        self.text = Text()
        self.doc[ROOT] = self.text
        self._made: list[bytes] = []
        self._deltas: list[list[dict[str, Any]]] = []
        self._watching: Subscription | None = None
        self.doc.observe(self._note)

    def __str__(self) -> str:
        return str(self.text)

    @property
    def client(self) -> int:
        """Its number."""
        return self.doc.client_id

    def _note(self, event: TransactionEvent) -> None:
        self._made.append(event.update)

    def _note_delta(self, event: TextEvent) -> None:
        self._deltas.append(event.delta)  # type: ignore[attr-defined]

    def watch(self) -> None:
        """Note what changes, for `splices`; it costs some time."""
        self._watching = self._watching or self.text.observe(self._note_delta)

    def edit(self, splices: Iterable[Splice], origin: str | None = None) -> bytes:
        """Change the text, and return the update that does the same elsewhere.

        Args:
            splices: done in turn: the second is about the text that the first has left.
            origin: whose edit it is, for undo.

        Raises:
            ValueError: it isn't within the text, or can't be written in UTF-8.
        """
        return self.change(lambda: self._splice(splices), origin)

    def change(self, work: Callable[[], object], origin: str | None = None) -> bytes:
        """Do some work that changes the text, and return the update."""
        self._made.clear()
        self._deltas.clear()
        if origin is None:  # an undo manager opens a transaction of its own
            work()
        else:
            with self.doc.transaction(origin=origin):
                work()
        return self._made[-1] if self._made else NOTHING

    def _splice(self, splices: Iterable[Splice]) -> None:
        with self.doc.transaction():
            text = str(self.text)
            for at, removed, inserted in splices:
                if not 0 <= at <= at + removed <= len(text):
                    raise ValueError(f"there is no {at} to {at + removed} in {len(text)} characters")
                inserted.encode()
                begin = len(text[:at].encode())
                if removed:
                    del self.text[begin : begin + len(text[at : at + removed].encode())]
                if inserted:
                    self.text.insert(begin, inserted)
                text = text[:at] + inserted + text[at + removed :]

    def apply(self, update: bytes) -> bytes:
        """Apply an update of another replica.

        Returns:
            What has changed here: NOTHING if it came before; more than it says if others had waited for it.

        Raises:
            Rubbish: it is none.
        """
        self._made.clear()
        self._deltas.clear()
        if Reader(update).number() > len(update):  # pycrdt would first make room for so many
            raise Rubbish("the update says that it is longer than it is")
        if len(update) > FLAT:
            _only_text(Reader(update))
        try:
            self.doc.apply_update(update)
        except BaseException as error:
            if not isinstance(error, (ValueError, RuntimeError)) and type(error).__name__ != PANIC:
                raise
            if not self._made:
                raise Rubbish(f"the update can't be read: {error}") from error
            return self._made[-1]  # this is in the text now; what is wrong had come before, and waited for it
        if not self._made:
            return NOTHING
        known = self._made[-1]  # of all of whose predecessors something is known; pycrdt leaves out the rest
        return update if known in (NOTHING, update) else merge_updates(update, known)

    def splices(self, before: str) -> list[Splice]:
        """What the last `edit`, `change` or `apply` has changed.

        Args:
            before: the text that it has changed.

        Returns:
            Splices, to be done in turn; a single one that spans them all without `watch()`.
        """
        after = str(self)
        found = list(_from_deltas(before, self._deltas))
        return found if spliced(before, found) == after else difference(before, after)

    def state(self) -> bytes:
        """What is known here, as a state vector."""
        return self.doc.get_state()

    def missing(self, state: bytes) -> bytes:
        """The update that a replica in this state lacks.

        Raises:
            Rubbish: it is no state.
        """
        read_state(state)
        return self.doc.get_update(state)

    def everything(self) -> bytes:
        """The whole document as one update."""
        return self.doc.get_update()

    def mark(self, at: int) -> dict[str, Any]:
        """A position that stays with its character when the text changes, as Yjs writes it in JSON."""
        begin, length = len(str(self)[:at].encode()), len(self.text)
        if begin >= length:
            return {"type": None, "tname": ROOT, "item": None, "assoc": 0}  # the end, wherever that will be
        return StickyIndex.new(self.text, begin, Assoc.AFTER).to_json()

    def find(self, mark: Any) -> int | None:
        """Where a marked position is now; None if that isn't known here, or it is no position."""
        if not isinstance(mark, dict):
            return None
        item = mark.get("item")
        if item is None:
            return len(str(self)) if mark.get("tname") == ROOT else None
        try:
            client, clock = item["client"], item["clock"]
            if not type(client) is type(clock) is int or not 0 <= clock < read_state(self.state()).get(
                client, 0
            ):
                return None
        except (TypeError, KeyError):
            return None
        kept = {"item": {"client": client, "clock": clock}, "assoc": -1 if mark.get("assoc") == -1 else 0}
        offset = StickyIndex.from_json(kept, self.text).get_index()
        return len(str(self).encode()[:offset].decode(errors="ignore"))


def _only_text(update: Reader) -> None:
    """Look through an update for text and deletions; arrays and shared types could be nested in each other.

    Source: `readItemContent` and `readClientsStructRefs` in https://github.com/yjs/yjs

    Raises:
        Rubbish: there is something else in it.
    """
    for _ in range(update.number()):
        structs, _, _ = update.number(), update.number(), update.number()
        for _ in range(structs):
            info = update.byte()
            kind, origins = info & 31, (info >> 7) + (info >> 6 & 1)
            for _ in range(0 if kind in (0, 10) else 2 * origins):  # a replica's number and a clock each
                update.number()
            if not origins and kind not in (0, 10):
                if update.number():  # what it is in has a name, or was made by a replica
                    update.block()
                else:
                    update.number(), update.number()
                if info & 32:
                    update.block()
            if kind in (0, 1, 10):  # forgotten, deleted, left out: only their length
                update.number()
            elif kind in (3, 4, 5, 6):  # bytes, text, something embedded, a format
                for _ in range(1 + (kind == 6)):
                    update.block()
            else:
                raise Rubbish("the update has something in it that is no text")


def _from_deltas(text: str, deltas: list[list[dict[str, Any]]]) -> Iterable[Splice]:
    """Splices from what pycrdt says about a change, in which lengths count bytes."""
    for delta in deltas:
        data, at, begin = text.encode(), 0, 0  # `begin` counts in the text that is being left
        for step in delta:
            length = int(step.get("retain", step.get("delete", 0)))
            passed = len(data[begin : begin + length].decode(errors="ignore"))
            if "retain" in step:
                at, begin = at + passed, begin + length
            elif "delete" in step:
                yield at, passed, ""
                begin += length
                text = text[:at] + text[at + passed :]
            elif isinstance(step["insert"], str):
                yield at, 0, step["insert"]
                text = text[:at] + step["insert"] + text[at:]
                at += len(step["insert"])


def spliced(text: str, splices: Iterable[Splice]) -> str:
    """The text after these splices."""
    for at, removed, inserted in splices:
        text = text[:at] + inserted + text[at + removed :]
    return text


def difference(before: str, after: str) -> list[Splice]:
    """The one splice that turns one text into another, or none."""
    if before == after:
        return []
    most = min(len(before), len(after))
    head = next((at for at in range(most) if before[at] != after[at]), most)
    tail = next((at for at in range(most - head) if before[-1 - at] != after[-1 - at]), most - head)
    return [(head, len(before) - head - tail, after[head : len(after) - tail])]
