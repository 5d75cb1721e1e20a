"""The lines of a wire timeline: each event in words, as a line of text and as data for the page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from unicodedata import category

from websockets.frames import CLOSE_CODE_EXPLANATIONS

from helpers.wire import events

EXCERPT = 48
"""Characters of a payload that a line shows."""

OPENED_BYTES = 256
"""Bytes of a payload that an opened arrow shows."""

OPENED_TEXT = 1000
HEADER_BYTES = 8192
RANDOM_PING = 4
"""`websockets` puts four random bytes into its own pings: a line that must stay the same leaves them out."""


class Words(NamedTuple):
    """An event in words.

    Attributes:
        kind: the opcode's name, or `tcp`, `http`, `open`, `body`, `sse`, `error`.
        what: one or two words.
        size: bytes on the wire, where that means something.
        note: more about it, with an excerpt of what was sent.
    """

    kind: str
    what: str
    size: int | None
    note: str


@dataclass(frozen=True, slots=True)
class Row:
    """One event of the timeline.

    Attributes:
        number: counted from 1.
        event: what was seen.
        deflated: whether it is a frame of a compressed message; the first frame alone says so.
    """

    number: int
    event: events.Event
    deflated: bool = False

    @property
    def arrow(self) -> str:
        """`→` from the client to the server, `←` back, `↔` for both."""
        if isinstance(self.event, events.WebSocketOpened):
            return "↔"
        return "→" if self.event.direction == events.TO_SERVER else "←"

    def for_page(self) -> str:
        """All that the page draws of it, as JSON."""
        event = self.event
        words = in_words(event, deflated=self.deflated)
        data: dict[str, Any] = {
            "n": self.number,
            "c": event.connection,
            "up": event.direction == events.TO_SERVER,
            "ms": round(1000 * event.at, 3),
            "kind": words.kind,
            "what": words.what,
            "size": words.size,
            "note": words.note,
        }
        if isinstance(event, events.Frame):
            data["frame"] = _frame(event)
        elif isinstance(event, events.HttpRequest | events.HttpResponse):
            data["head"] = _head(event)
        elif isinstance(event, events.HttpChunk | events.HttpBody):
            data["data"] = {"length": event.length, "hex": event.data[:OPENED_BYTES].hex()}
        elif isinstance(event, events.ServerSentEvent):
            data["event"] = {"type": event.event, "id": event.id, "data": event.data[:OPENED_TEXT]}
        return json.dumps(data)


class RowMaker:
    """Numbers the events that become a row; what says the same twice does not become one."""

    def __init__(self) -> None:
        self.count = 0
        self._ended: set[int] = set()
        self._deflated: set[tuple[int, events.Direction]] = set()

    def rows(self, seen: Iterable[events.Event]) -> list[Row]:
        """The rows of the next events."""
        rows = []
        for event in seen:
            if self._wants(event):
                self.count += 1
                rows.append(
                    Row(self.count, event, isinstance(event, events.Frame) and self._is_deflated(event))
                )
        return rows

    def _is_deflated(self, frame: events.Frame) -> bool:
        if frame.opcode >= 8:
            return False
        sender = frame.connection, frame.direction
        if frame.rsv1:
            self._deflated.add(sender)
        deflated = sender in self._deflated
        if frame.fin:
            self._deflated.discard(sender)
        return deflated

    def _wants(self, event: events.Event) -> bool:
        number = event.connection
        if isinstance(event, events.HttpChunk):
            return not event.is_told
        if isinstance(event, events.TcpClosed):
            again = number in self._ended and (event.how is not events.How.FIN or event.by == "tap")
            self._ended.add(number)
            return not again
        return True


def in_words(event: events.Event, *, deflated: bool = False, steady: bool = False) -> Words:
    """An event in words.

    Args:
        event: what was seen.
        deflated: whether it is a frame of a compressed message.
        steady: leave out what differs from run to run, as the four random bytes of a ping.
    """
    match event:
        case events.Frame():
            return _frame_in_words(event, deflated, steady)
        case events.TcpOpened():
            return Words("tcp", "TCP opens", None, "")
        case events.TcpClosed():
            return Words("tcp", _CLOSED[event.how], None, _how_closed(event))
        case events.HttpRequest():
            target = text_excerpt(event.target).strip('"')
            return Words("http", f"{event.method} {target}", event.size, _upgrade(event))
        case events.HttpResponse():
            kind = event.header("content-type")
            note = _upgrade(event) or (text_excerpt(kind).strip('"') if kind else "")
            return Words("http", f"{event.status} {event.reason}".strip()[:EXCERPT], event.size, note)
        case events.WebSocketOpened():
            agreed = [f"subprotocol {event.subprotocol[:EXCERPT]}"] if event.subprotocol else []
            names = [part.split(";")[0].strip() for part in (event.extensions or "").split(",")]
            agreed += [f"with {name[:EXCERPT]}" for name in names if name]
            return Words("open", "WebSocket open", None, ", ".join(agreed))
        case events.HttpChunk():
            return Words("body", "chunk", event.wire_length, excerpt(event.data, event.length))
        case events.HttpBody():
            many = event.framing == "chunked"
            note = f"ends after {event.length:,} bytes" if many else excerpt(event.data, event.length)
            return Words("body", "body", event.wire_length, note)
        case events.ServerSentEvent():
            named = "" if event.event == "message" else f"{event.event[:EXCERPT]}: "
            return Words("sse", "event", event.length, named + text_excerpt(event.data))
        case events.Violation():
            return Words("error", "protocol error", None, f"{event.reason} ({event.rule})")
        case events.NotWebSocket():
            return Words("error", "not WebSocket", None, event.reason)
        case _:
            return Words("error", type(event).__name__, None, "")


def as_table(
    rows: Sequence[Row], *, times: bool = False, left_out: int = 0, begin: tuple[int, float] = (0, 0.0)
) -> str:
    """Rows as lines of text, in columns.

    Args:
        rows: what to show.
        times: with a column of milliseconds.
        left_out: how many older rows are not among them.
        begin: the number after which, and the time in seconds from which, numbers and times count.
    """
    if not rows and not left_out:
        return "nothing on the wire yet"
    several = len({row.event.connection for row in rows}) > 1
    lines = []
    for row in rows:
        words = in_words(row.event, deflated=row.deflated, steady=True)
        heads = isinstance(
            row.event, events.HttpRequest | events.HttpResponse
        )  # their sizes depend on versions
        cells = [str(row.number - begin[0]), row.arrow, words.what]
        cells.append("" if heads or words.size is None else f"{words.size:,}")
        if times:
            cells.insert(1, f"{1000 * (row.event.at - begin[1]):.1f}")
        if several:
            cells.insert(1, f"#{row.event.connection}")
        lines.append([*cells, words.note])
    names = ["no.", *["conn"] * several, *["ms"] * times, "", "what", "bytes", ""]
    wide = [max(map(len, column)) for column in zip(names, *lines, strict=True)][:-1]
    right = {"no.", "ms", "bytes"}

    def line(cells: Iterable[str]) -> str:
        *columns, note = cells
        put = [
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(names, columns, wide, strict=False)
        ]
        return "  ".join([*put, note]).rstrip()

    earlier = [f"… {left_out:,} earlier"] if left_out else []
    return "\n".join([line(names), *earlier, *map(line, lines)])


def excerpt(data: bytes, length: int, *, binary: bool = False) -> str:
    """The beginning of a payload: text in quotes where it is text, else hexadecimal.

    Args:
        data: the payload, or its beginning.
        length: bytes of the whole.
        binary: it needn't be text: only ASCII is taken for it, because a few random bytes can be UTF-8.
    """
    if not length:
        return ""
    if binary and not data.isascii():
        return _hexadecimal(data, length)
    try:
        text = data[: 4 * EXCERPT].decode()
    except UnicodeDecodeError as error:
        cut = error.start > 0 and len(data[: 4 * EXCERPT]) - error.start < 4 and length > error.end
        text = data[: error.start].decode() if cut else ""
    if text and not any(category(character) == "Cc" and character not in "\t\r\n" for character in text):
        return text_excerpt(text, whole=len(text.encode()) == length)
    return _hexadecimal(data, length)


def _hexadecimal(data: bytes, length: int) -> str:
    shown = data[:12]
    return shown.hex(" ") + (" …" if length > len(shown) else "")


def text_excerpt(text: str, *, whole: bool = True) -> str:
    """The beginning of a string, in quotes, with unprintable and direction-changing characters escaped."""
    quoted = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text[:EXCERPT]
    )
    return f'"{quoted}"' if whole and len(text) <= EXCERPT else f'"{quoted}…"'


def _frame_in_words(frame: events.Frame, deflated: bool, steady: bool) -> Words:
    name, message = frame.name, frame.message
    if name == "close":
        note = ""
        if frame.close_code is not None:
            meaning = _meaning(frame.close_code)
            note = f"{frame.close_code}" + (f" ({meaning})" if meaning else "")
            note += f" {text_excerpt(frame.close_reason)}" if frame.close_reason else ""
        return Words(name, name, frame.size, note or "without a code")
    if name == "reserved":
        return Words("error", f"opcode {frame.opcode}", frame.size, excerpt(frame.payload, frame.length))
    if name in ("ping", "pong"):
        if frame.length == RANDOM_PING:
            note = "4 random bytes" if steady else _hexadecimal(frame.payload, RANDOM_PING)
        else:
            note = excerpt(frame.payload, frame.length, binary=True)
        return Words(name, name, frame.size, note)
    if message is None:
        part = "first part" if name != "continuation" else "next part"
        shown = ", compressed" if deflated else f": {excerpt(frame.payload, frame.length)}"
        return Words(name, name, frame.size, f"{part}, more follow{shown}")
    binary = message.opcode != 1
    whole = "" if message.length is None else excerpt(message.data, message.length, binary=binary)
    if message.compressed:
        length = "?" if message.length is None else f"{message.length:,}"
        whole = f"{whole}, compressed {length} → {message.wire_length:,}"
    if message.frames > 1:
        whole = f"last of {message.frames} parts, together {whole}"
    return Words(name, name, frame.size, whole or "empty")


def _meaning(code: int) -> str | None:
    """What a close code says (RFC 6455 §7.4.1)."""
    return "normal closure" if code == 1000 else CLOSE_CODE_EXPLANATIONS.get(code)


_CLOSED = {events.How.FIN: "TCP ends", events.How.RST: "TCP reset", events.How.REFUSED: "TCP refused"}


def _how_closed(event: events.TcpClosed) -> str:
    if event.how is events.How.REFUSED:
        how = "no server took the connection"
    elif event.by == "tap":
        how = "cut by the tap"
    elif event.how is events.How.RST:
        how = f"by the {event.by}"
    else:
        how = f"the {event.by} sends no more"
    return how + (f"; {event.undecoded:,} bytes not decoded" if event.undecoded else "")


def _upgrade(head: events.HttpRequest | events.HttpResponse) -> str:
    value = head.header("upgrade")
    return f"Upgrade: {value[:EXCERPT]}" if value else ""


def _frame(frame: events.Frame) -> dict[str, Any]:
    data: dict[str, Any] = {
        "header": frame.header.hex(),
        "length": frame.length,
        "payload": frame.payload[:OPENED_BYTES].hex(),
        "name": frame.name,
    }
    message = frame.message
    if frame.close_code is not None:
        data["code"] = frame.close_code
        data["reason"] = frame.close_reason
        data["meaning"] = _meaning(frame.close_code) or "not registered"
    if message is not None:
        data["message"] = {
            "opcode": message.opcode,
            "frames": message.frames,
            "compressed": message.compressed,
            "wire": message.wire_length,
            "length": message.length,
            "text": message.text[:OPENED_TEXT] if message.opcode == 1 else message.data[:64].hex(" "),
        }
    return data


def _head(head: events.HttpRequest | events.HttpResponse) -> dict[str, Any]:
    if isinstance(head, events.HttpRequest):
        first = f"{head.method} {head.target[:HEADER_BYTES]} {head.version}"
    else:
        first = f"{head.version} {head.status} {head.reason}"
    fields, left = [], HEADER_BYTES
    for name, value in head.headers:
        left -= len(name) + len(value)
        if left < 0:
            break
        fields.append([name, value])
    return {"first": first, "fields": fields, "more": len(head.headers) - len(fields)}
