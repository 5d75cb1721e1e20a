"""One process's copy of all rooms: it does what a log says, and so do all other copies, in the same order.

No network, no clock: the same entries make the same rooms everywhere. `shared.py` brings the log.

    replica = Replica()
    replica.clients["w1/1"] = ann
    replica.do({"do": "join", "key": "w1/1", "name": "Ann", "room": "lobby"})  # ann gets her `welcome`
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apps.chat.names import same_name
from apps.chat.room import TRY_LATER, Event, Member, Refused, Room, Rooms

GONE_KEPT = 200
"""Members of dead processes who are remembered: what they have said may still be on its way."""
IDS_KEPT = 2000
"""Of messages, so that one that is sent again, to another process, is said once."""
PROCESSES_KEPT = 100
"""Whose last entry is remembered, so that one that was written twice counts once."""


class Seat(Member):
    """Somebody's place in this process's copy of a room, whichever process their connection is in.

    Args:
        name: the name they asked for.
        client: who sits here, if the connection is in this process.
        session: what tells that it is the same person who comes back to another process.
    """

    def __init__(self, name: str, client: Member | None, session: str) -> None:
        super().__init__(name)
        self.client, self.session = client, session

    def put(self, text: str) -> bool:
        """Hand it on. All copies have to do the same, so a client that is too slow only leaves by the log."""
        if self.client and not self.client.put(text):
            self.client.close(TRY_LATER, "you read too slowly: connect again")
            self.client = None
        return True

    def lags(self) -> bool:
        """Whether the client lags, if it is here."""
        return self.client is not None and self.client.lags()

    def close(self, code: int, why: str) -> None:
        """Hang up, if the client is here."""
        if self.client:
            self.client.close(code, why)


class Replica:
    """All rooms by what the log says. `clients` are those connected to this process, by their keys."""

    def __init__(self) -> None:
        self.rooms = Rooms()
        self.seats: dict[str, tuple[Room, Seat]] = {}
        self.clients: dict[str, Member] = {}
        self._gone: dict[str, list[str]] = {}
        self._ids: dict[str, None] = {}
        self._batches: dict[str, int] = {}

    @property
    def workers(self) -> set[str]:
        """The processes that have somebody in a room."""
        return {key.partition("/")[0] for key in self.seats}

    def state(self) -> list[Event]:
        """Return all that another copy has to know, in pieces: the dead, and each room."""
        keys = {seat: key for key, (_, seat) in self.seats.items()}
        known = {"gone": self._gone, "ids": list(self._ids), "batches": self._batches}
        rooms = [
            {
                "room": room.name,
                "members": [[keys[seat], seat.name, seat.session] for seat in seats(room)],
                "history": list(room.history),
            }
            for room in self.rooms.values()
        ]
        return [known, *rooms]

    def take(self, state: Iterable[Event]) -> None:
        """Begin again with the state of another copy."""
        for part in (self.rooms, self.seats, self._gone, self._ids, self._batches):
            part.clear()
        for piece in state:
            if "ids" in piece:
                self._gone, self._batches = piece["gone"], piece["batches"]
                self._ids = dict.fromkeys(piece["ids"])
                continue
            room = self.rooms[same_name(piece["room"])] = Room(piece["room"])
            room.history.extend(piece["history"])
            for key, name, session in piece["members"]:
                self.seats[key] = room, Seat(name, None, session)
                room.join(self.seats[key][1])

    def is_new(self, entry: Event) -> bool:
        """Whether an entry counts: one that its process couldn't see confirmed is written again."""
        last = self._batches.pop(entry["by"], 0)
        self._batches[entry["by"]] = max(last, entry["number"])
        forget(self._batches, PROCESSES_KEPT)
        return bool(entry["number"] > last)

    def do(self, action: Event) -> None:
        """Do what an entry says."""
        match action:
            case {"do": "join", "key": key, "name": name, "room": room_name, "session": session}:
                self._let_in(key, name, room_name, session)
            case {"do": "hear", "key": key, "text": text, "id": id}:
                self._hear(key, text, id)
            case {"do": "leave", "key": key} if key in self.seats:
                room, seat = self.seats.pop(key)
                room.leave(seat)
            case {"do": "say", "who": who, "room": room_name, "text": text}:
                if there := self.rooms.named(room_name):
                    there.say(who, text)
            case {"do": "gone", "worker": worker}:
                self._write_off(worker)

    def _let_in(self, key: str, name: str, room_name: str, session: str) -> None:
        client = self.clients.get(key)
        try:
            room = self.rooms.find(name, room_name)
        except Refused as refused:
            if client:
                client.close(refused.code, refused.reason)
            return
        back = next((seat for seat in seats(room) if session and seat.session == session), None)
        if back:  # from another process, which may not know yet that it has lost this client
            old = next(key for key, (_, seat) in self.seats.items() if seat is back)
            del self.seats[old]
        seat = back or Seat(name, client, session)
        seat.client = client
        self.seats[key] = room, seat
        if back:
            room.send(seat, room.welcome(seat.name))
        else:
            room.join(seat)
        if client:
            client.name = seat.name

    def _hear(self, key: str, text: str, id: str) -> None:
        if id in self._ids:
            return
        if id:
            self._ids[id] = None
            forget(self._ids, IDS_KEPT)
        if key in self.seats:
            room, seat = self.seats[key]
            room.hear(seat, text, id)
        elif key in self._gone and text[:1] != "/":
            room_name, who = self._gone[key]
            if there := self.rooms.named(room_name):
                there.say(who, text, id)

    def _write_off(self, worker: str) -> None:
        for key in [key for key in self.seats if key.startswith(f"{worker}/")]:
            room, seat = self.seats.pop(key)
            self._gone[key] = [room.name, seat.name]
            forget(self._gone, GONE_KEPT)
            room.leave(seat)


def seats(room: Room) -> list[Seat]:
    """Return who is in a copy of a room."""
    return [member for member in room.members.values() if isinstance(member, Seat)]


def forget(known: dict[str, Any], most: int) -> None:
    """Forget what was put in first, beyond so much."""
    while len(known) > most:
        del known[next(iter(known))]
