"""The people, and what each may do in which room."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from enum import IntEnum

COST = {"n": 2**14, "r": 8, "p": 1}
"""16 MiB of memory and some 50 ms for each password that is tried (RFC 7914 §2)."""


class Right(IntEnum):
    """What somebody may do in a room; each includes those before it."""

    NONE, READ, WRITE, OWN = range(4)


@dataclass
class Person:
    """Somebody, with a right for each room.

    Args:
        salt: random, so that equal passwords don't look alike.
        digest: of the password, which isn't kept.
        rooms: what they may do where.
    """

    salt: bytes
    digest: bytes
    rooms: dict[str, Right] = field(default_factory=dict)


def digest(password: str, salt: bytes) -> bytes:
    """Return what is kept of a password."""
    return hashlib.scrypt(password.encode("utf-8", "replace"), salt=salt, dklen=32, **COST)


class People(dict[str, Person]):
    """Everybody, by name."""

    def add(self, name: str, password: str, rooms: dict[str, Right]) -> None:
        """Add somebody."""
        salt = secrets.token_bytes(16)
        self[name] = Person(salt, digest(password, salt), rooms)

    def knows(self, name: str, password: str) -> bool:
        """Whether the password is right. It takes as long for a name that nobody has. (Blocks for 50 ms.)"""
        person = self.get(name, NOBODY)
        return hmac.compare_digest(digest(password, person.salt), person.digest) and person is not NOBODY

    def may(self, name: str, right: Right, room: str) -> bool:
        """Whether somebody may do this in a room, now. In a room that doesn't exist nobody may."""
        return name in self and self[name].rooms.get(room, Right.NONE) >= right

    def expel(self, name: str, room: str) -> None:
        """Take somebody's rights in a room away."""
        if name in self:
            self[name].rooms.pop(room, None)

    def rooms_of(self, name: str) -> dict[str, str]:
        """Return the rooms that somebody may read, each with what they may do there, in words."""
        return {room: right.name.lower() for room, right in self[name].rooms.items()}


NOBODY = Person(bytes(16), bytes(32))
