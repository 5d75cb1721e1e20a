"""A room: one text, those who edit it, and what each is to be told; no I/O here.

`outgoing` and `unsaved` fill up; whoever owns the room takes them out, stores what is unsaved, and then sends
what is outgoing. So nobody is told of a change that could still be lost, and the reply to a sync step 1 says
that all that the asker had sent before is on disk.
"""

from __future__ import annotations

import json
import secrets
from collections import deque
from typing import Any, NamedTuple

from apps.chat.names import NAME_CHARACTERS, as_name
from apps.pad.document import AWARENESS, NOTHING, QUERY, STEP_1, STEP_2, Document, read, write
from apps.pad.presence import Presence
from apps.pad.seat import Caret, Edit, Join, Refused, Request, Seat, to_units, units
from apps.pad.store import Row

LARGEST = 4 * 2**20
"""Bytes of a document, and some more; what was deleted leaves a few bytes behind."""

KEPT = 2000
"""So many changes are kept for pages that come back."""

SEATS = 200
"""Pages of a room that may come back, the latest."""


class Full(Exception):
    """The document would become too large."""


class Member:
    """Somebody who is connected: a replica that speaks y-websocket, or a page, which has a seat."""

    def __init__(self) -> None:
        self.clients: set[int] = set()
        self.seat: Seat | None = None
        self.has_answered = False  # it has sent what was missing here


class Outgoing(NamedTuple):
    """What is to be told to one member; an update, to all replicas but its maker."""

    member: Member | None
    message: bytes | str
    maker: Member | None = None


class Room:
    """One text and its members.

    Args:
        name: of the room.
        updates: what is known of the text.
    """

    def __init__(self, name: str, updates: list[bytes]) -> None:
        self.name = name
        self.run = secrets.token_hex(4)
        self.document = Document()
        for update in updates:
            self.document.apply(update)
        self.presence = Presence()
        self.members: set[Member] = set()
        self.revision = 0
        self.size = sum(map(len, updates))
        self.rows = len(updates)
        self.outgoing: list[Outgoing] = []
        self.outgoing_size = 0
        self.unsaved: list[Row] = []
        self._history: deque[tuple[int, bytes, str]] = deque(maxlen=KEPT)  # revision, update, what pages get
        self._seats: dict[str, Seat] = {}

    def compact(self) -> bytes:
        """The document as a single update, which may then replace all that was stored."""
        everything = self.document.everything()
        self.size, self.rows = len(everything), 1
        return everything

    # --- replicas

    def join(self, member: Member) -> None:
        """Ask a replica for what is missing here, and tell it who is here; it asks for what it lacks."""
        self.members.add(member)
        self._tell(member, write(STEP_1, self.document.state()))
        if self.presence.states:
            self._tell(member, write(AWARENESS, self.presence.tell()))

    def hear(self, member: Member, message: bytes, now: float) -> None:
        """Do what a replica's message asks for.

        Raises:
            Rubbish: it is none.
            Full: it is an update for which there is no room.
        """
        kind, data = read(message)
        if kind == STEP_1:
            self._tell(member, write(STEP_2, self.document.missing(data)))
        elif kind == QUERY:
            self._tell(member, write(AWARENESS, self.presence.tell()))
        elif kind == AWARENESS:
            self._hear_states(member, data, now)
        elif kind == STEP_2 or member.has_answered:  # earlier updates are in its answer, without a gap
            member.has_answered = True
            if data != NOTHING:
                self._take(data, member)

    def leave(self, member: Member, now: float) -> None:
        """Tell the others that somebody has gone."""
        self.members.discard(member)
        self._tell_presence(self.presence.gone(member.clients, now))

    def look(self, now: float) -> None:
        """Take those for gone who haven't said a word for too long; pages say nothing while they are here."""
        seats = {member.seat.replica.client for member in self.members if member.seat}
        self._tell_presence(self.presence.gone(set(self.presence.silent(now)) - seats, now))
        self.presence.forget(now - 60)

    def _hear_states(self, member: Member, data: bytes, now: float) -> None:
        others = set().union(*(each.clients for each in self.members - {member}))
        news = self.presence.hear(data, now, but=others)  # nobody speaks for somebody else who is here
        for client in news:
            (member.clients.add if client in self.presence.states else member.clients.discard)(client)
        self._tell_presence(news, but=member)

    def _tell_presence(self, clients: list[int], but: Member | None = None) -> None:
        if clients:
            message = write(AWARENESS, self.presence.tell(clients))
            people = self._people()
            for member in self.members:
                if member.seat:
                    self._tell(member, people)
                elif member is not but:
                    self._tell(member, message)

    def _take(self, update: bytes, maker: Member | None, seat: Seat | None = None) -> None:
        if seat is None:  # a page's edit was looked at before its replica made it
            self._need(len(update))
        before = str(self.document) if self._seats else ""
        if self._seats:
            self.document.watch()
        new = self.document.apply(update)
        self.size += len(update)
        if new == NOTHING and seat is None:  # it came before, or what it builds on is still missing
            return
        self.rows += 1
        self.revision += 1
        self.unsaved.append(Row(self.name, new, *((seat.token, seat.number) if seat else ())))
        self.outgoing.append(Outgoing(None, new, maker))
        if self._seats:
            splices = to_units(before, self.document.splices(before))
            change = {"type": "change", "revision": self.revision, "splices": splices}
            change |= {"by": seat.replica.client, "number": seat.number} if seat else {}
            self._history.append((self.revision, new, _json(change)))
            for member in self.members:
                if member.seat:
                    self._tell(member, self._history[-1][2])

    def _tell(self, member: Member, message: bytes | str) -> None:
        self.outgoing.append(Outgoing(member, message))
        self.outgoing_size += len(message)

    # --- pages

    def sit(self, member: Member, request: Join, number: int, now: float) -> None:
        """Give a page its place, or the one that it had, with what has changed since.

        Args:
            member: the page.
            request: who it is, and what it has.
            number: of the last edit of this page that is on disk.
            now: in seconds, of any clock.
        """
        seat = self._seats.pop(request.seat, None) if request.run == self.run else None
        missed = self._since(request.revision) if seat else None
        if seat is None or missed is None or request.revision < seat.revision:
            token = request.seat if number else secrets.token_hex(16)
            seat = Seat(token, self.document.everything(), self.revision, number)
            missed = None
        seat.name = shown_name(request.name)
        for other in [each for each in self.members if each.seat and each.seat.token == seat.token]:
            self.members.discard(other)  # the same page on an older connection, not known to be dead yet
            other.seat = None
            other.clients.clear()
        self._seats[seat.token] = seat
        while len(self._seats) > SEATS:
            del self._seats[next(iter(self._seats))]
        member.seat = seat
        member.clients = {seat.replica.client}
        self.members.add(member)
        joined = {"type": "joined", "seat": seat.token, "run": self.run, "number": seat.number}
        joined |= {"id": seat.replica.client, **seat.offers()}
        if missed is None:
            joined |= {"revision": self.revision, "text": str(self.document)}
        self._tell(member, _json(joined))
        for _, change in missed or []:
            self._tell(member, change)
        self._say(seat, None, now)

    def do(self, member: Member, request: Request, now: float) -> None:
        """Do what a page asks for.

        Raises:
            Refused: it can't be done.
            Full: there is no room for it.
        """
        seat = member.seat
        if seat is None or isinstance(request, Join):
            raise Refused("this page hasn't joined yet, or has joined already")
        seen = self._since(seat.revision)
        if seen is None or not seat.revision <= request.revision <= self.revision:
            raise Refused(f"revision {request.revision} isn't known here")
        if not isinstance(request, Caret) and request.number <= seat.number:
            return  # it has come before
        seat.see(request.revision, [update for update, _ in seen[: request.revision - seat.revision]])
        caret = request.caret if isinstance(request, (Edit, Caret)) else None
        if not isinstance(request, Caret):
            self._work(seat, request)
            self._tell(member, _json({"type": "done", **seat.offers()}))
        if caret:
            self._say(seat, caret, now)

    def _say(self, seat: Seat, caret: tuple[int, int] | None, now: float) -> None:
        self.presence.say(seat.replica.client, seat.state(caret), now)
        self._tell_presence([seat.replica.client])

    def _work(self, seat: Seat, request: Any) -> None:
        self._need(sum(len(text) for _, _, text in getattr(request, "splices", ())))
        update = seat.work(request)
        self._take(update, None, seat)

    def _need(self, more: int) -> None:
        if self.size + more > LARGEST:  # unless much of it was deleted
            self.size = len(self.document.everything())
        if self.size + more > LARGEST:
            raise Full("this text can't get any larger")

    def _since(self, revision: int) -> list[tuple[bytes, str]] | None:
        """The updates since a revision, with what pages are told of them; None if they aren't all known."""
        missed = self.revision - revision
        if not 0 <= missed <= len(self._history):
            return None
        return [(update, change) for _, update, change in list(self._history)[len(self._history) - missed :]]

    def _people(self) -> str:
        """The people who are here and their cursors, for pages."""
        people = []
        text = str(self.document)
        for client, state in self.presence.states.items():
            user, cursor = state.get("user"), state.get("cursor")
            name = user.get("name") if isinstance(user, dict) else None
            places = [cursor.get(end) for end in ("anchor", "head")] if isinstance(cursor, dict) else []
            found = [self.document.find(place) for place in places]
            known = [units(text[:place]) for place in found if place is not None]
            shown = {"id": client, "name": shown_name(name)}
            people.append(shown | ({"anchor": known[0], "head": known[1]} if len(known) == 2 else {}))
        return _json({"type": "people", "revision": self.revision, "people": people})


def shown_name(name: object) -> str:
    """A name as the others see it: "somebody" if it isn't one, or has characters that can't be seen."""
    try:
        return as_name(str(name or "").encode(errors="replace").decode()[:NAME_CHARACTERS])
    except ValueError:
        return "somebody"


def _json(message: dict[str, Any]) -> str:
    text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="replace").decode()  # half an emoji, in a name that was cut, can't be sent
