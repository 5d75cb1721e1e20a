"""The chat without a network: who is in which room, what is remembered there, and who is told what.

Nothing in here sends, waits or knows FastAPI. A room is told who joins, leaves or says something, and puts
the events that follow into the outboxes of those they are for:

    room = Rooms().find("Ann", "lobby")
    room.join(ann)           # ann gets `welcome`, the others get `joined`
    room.hear(ann, "hello")  # everybody gets `said`

An event is a dict whose "type" is `welcome`, `joined`, `left`, `typing`, `said`, `told` or `error`.
"""

from __future__ import annotations

import abc
import json
from collections import deque
from collections.abc import Callable
from itertools import chain, count
from typing import Any

from apps.chat.names import NAME_CHARACTERS, as_name, same_name

TEXT_CHARACTERS = 4096
ROOM_MEMBERS = 1000
ROOMS = 100
HISTORY_EVENTS = 50
HISTORY_CHARACTERS = 16_384

# Close codes: RFC 6455 §7.4.1; 1012 and 1013 are from the registry that it opened.
UNSUPPORTED, POLICY, TOO_BIG, RESTART, TRY_LATER = 1003, 1008, 1009, 1012, 1013

SERVER = "server"  # the name under which the server itself speaks; no member gets it

Event = dict[str, Any]


def as_text(event: Event) -> str:
    """Return the event as it is sent."""
    return json.dumps(event, ensure_ascii=False)


class Refused(Exception):
    """There is no place for somebody.

    Args:
        code: the close code to hang up with.
        reason: why, for the person.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code, self.reason = code, reason


class Member(abc.ABC):
    """Somebody in a room. How a message reaches them is a subclass's business, but it must not take time.

    Args:
        name: the name they asked for; `join` adds a number where it is taken.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    @abc.abstractmethod
    def put(self, text: str) -> bool:
        """Take a message, to be sent later. Returns False when there is no space for it."""

    @abc.abstractmethod
    def lags(self) -> bool:
        """Whether there is little space left."""

    @abc.abstractmethod
    def close(self, code: int, why: str) -> None:
        """Hang up, after what was put before. By then the member is out of the room."""


class Room:
    """The members of a room, by name, and the last that was said there.

    Everybody in a room gets the same events in the same order. A member whose outbox is full is told to try
    again later (1013) and is out of the room at once; the others only notice that it has left.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.members: dict[str, Member] = {}
        self._names: dict[str, str] = {same_name(SERVER): SERVER}  # taken: what counts as the same → the name
        self.history: deque[Event] = deque(maxlen=HISTORY_EVENTS)

    def join(self, member: Member) -> None:
        """Let a member in: the others hear of it, and the member gets a `welcome`."""
        member.name = self.free_name(as_name(member.name))
        self.broadcast({"type": "joined", "who": member.name})
        self.members[member.name] = member
        self._names[same_name(member.name)] = member.name
        self.send(member, self.welcome(member.name))

    def leave(self, member: Member) -> None:
        """Let a member go and tell the others; a second time does nothing."""
        if self.members.get(member.name) is member:
            self._remove(member)
            self.broadcast({"type": "left", "who": member.name})

    def drop(self, member: Member, code: int, why: str) -> None:
        """Hang up on a member."""
        member.close(code, why)
        self.leave(member)

    def hear(self, member: Member, text: str | None, id: str = "") -> None:
        """Do what a member's message asks for; None is a message that isn't text.

        Args:
            member: who said it.
            text: what was said.
            id: the same when a message is said again: nobody is to see it twice.
        """
        if text is None:
            self.drop(member, UNSUPPORTED, "send text, not bytes")
        elif len(text) > TEXT_CHARACTERS:
            self.drop(member, TOO_BIG, f"a message has at most {TEXT_CHARACTERS:,} characters")
        elif text == "/typing":
            self.broadcast({"type": "typing", "who": member.name}, but=member)
        elif text.startswith("/to "):
            self.whisper(member, text.removeprefix("/to "))
        elif text.startswith("/"):
            self.send(member, {"type": "error", "text": "commands are: /to NAME TEXT, /typing"})
        else:
            self.say(member.name, text, id)

    def when_heard(self, tell: Callable[[], None]) -> None:
        """Call a function as soon as what was heard so far is safe; that is at once, in one process."""
        tell()

    def say(self, who: str, text: str, id: str = "") -> None:
        """Say something: everybody here gets it, and so will those who come later."""
        event = {"type": "said", "who": who, "text": text, **({"id": id} if id else {})}
        self.remember(event)
        self.broadcast(event)

    def whisper(self, member: Member, name_and_text: str) -> None:
        """Tell one member something; the longest name that fits counts, because names may have spaces."""
        words = name_and_text.split(" ")
        for end in range(min(len(words) - 1, NAME_CHARACTERS), 0, -1):
            name = self._names.get(same_name(" ".join(words[:end])))
            if name and name in self.members:
                text = " ".join(words[end:])
                event = {"type": "told", "who": member.name, "to": name, "text": text}
                for one in {member, self.members[name]}:
                    self.send(one, event)
                return
        self.send(member, {"type": "error", "text": "write /to NAME TEXT, with the name of a member"})

    def lags(self) -> bool:
        """Whether anybody here lags behind, so that those who talk should wait a little."""
        return any(member.lags() for member in self.members.values())

    def send(self, member: Member, event: Event) -> None:
        """Bring an event to one member."""
        if not member.put(as_text(event)):
            self.drop(member, TRY_LATER, "you read too slowly")

    def broadcast(self, event: Event, but: Member | None = None) -> None:
        """Deliver an event to everybody here, in one order; drop those who can't take it."""
        events = deque([event])
        while events:
            text = as_text(events.popleft())
            for member in list(self.members.values()):
                if member is not but and not member.put(text):
                    self._remove(member)
                    member.close(TRY_LATER, "you read too slowly: connect again")
                    events.append({"type": "left", "who": member.name})

    def welcome(self, name: str) -> Event:
        """Return the first event that a member gets."""
        members, history = list(self.members), list(self.history)
        return {"type": "welcome", "name": name, "room": self.name, "members": members, "history": history}

    def remember(self, event: Event) -> None:
        """Add to the history, and forget the oldest where it has become too long."""
        self.history.append(event)
        while sum(len(said["text"]) for said in self.history) > HISTORY_CHARACTERS:
            self.history.popleft()

    def free_name(self, name: str) -> str:
        """Return the name, with a number where it is taken."""
        same = same_name(name)
        endings = chain([""], (f"-{number}" for number in count(2)))
        return name + next(ending for ending in endings if same + ending not in self._names)

    def _remove(self, member: Member) -> None:
        del self.members[member.name], self._names[same_name(member.name)]


class Rooms(dict[str, Room]):
    """All rooms, by what names that count as the same have in common.

    A room is made when somebody asks for it; an empty one goes when space is short.
    """

    def find(self, name: str, room_name: str) -> Room:
        """Return the room that somebody wants to join.

        Raises:
            Refused: one of the names won't do, or there is no place.
        """
        try:
            as_name(name)
            room_name = as_name(room_name)
        except ValueError as problem:
            raise Refused(POLICY, str(problem)) from None
        key = same_name(room_name)
        if key not in self and len(self) == ROOMS:
            empty = next((key for key, room in self.items() if not room.members), None)
            if empty is None:
                raise Refused(TRY_LATER, f"all {ROOMS} rooms are in use")
            del self[empty]
        room = self.setdefault(key, Room(room_name))
        if len(room.members) == ROOM_MEMBERS:
            raise Refused(TRY_LATER, f"the room is full: it has {ROOM_MEMBERS:,} members")
        return room

    def named(self, room_name: str) -> Room | None:
        """Return the room of that name, if there is one."""
        return self.get(same_name(room_name))
