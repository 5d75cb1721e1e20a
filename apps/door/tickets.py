"""Passes: signed, so that nobody can make one; short-lived; and spent, once they have been used up.

    passes = Passes(secrets.token_bytes(32))
    session = passes.session("ann", seconds=3600)
    ticket = passes.ticket(session)            # for one connection within 30 s
    passes.spend(passes.read(text_of_ticket))  # whose it is; a second time, `Refused`

A session is for a cookie or a header. A ticket may be seen, in a URL and so in a log: by the time
anybody reads that, it is spent. The signature is an HMAC (RFC 2104) with SHA-256;
`itsdangerous` makes the same with more options.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import math
import secrets
import time
from collections.abc import Callable

import msgspec

TICKET_SECONDS = 30.0
LONGEST_TEXT = 512
"""Characters: nobody needs more for a pass."""


class Refused(Exception):
    """A pass isn't ours, or not any more; says which."""


class Pass(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a pass says.

    Args:
        number: of this pass, and of no other.
        who: whose it is.
        until: when it ends, in seconds since 1970.
        session: the number of the session that it belongs to; its own if it is one.
        session_until: when that session ends.
    """

    number: str
    who: str
    until: float
    session: str
    session_until: float

    @property
    def is_ticket(self) -> bool:
        """Whether it is for one connection only."""
        return self.number != self.session


class Passes:
    """Makes passes, and knows its own when they come back.

    Args:
        key: 32 random bytes, the same in all processes that accept each other's passes.
        clock: tells the time, in seconds since 1970.
    """

    def __init__(self, key: bytes, *, clock: Callable[[], float] = time.time) -> None:
        self._key = key
        self._clock, self._latest = clock, -math.inf
        self._spent: dict[str, float] = {}  # number → until; a pass that has ended needn't be remembered

    def _now(self) -> float:
        """The time. It never goes back: a pass that has ended, and was forgotten, would be good again."""
        self._latest = max(self._latest, self._clock())
        return self._latest

    def session(self, who: str, seconds: float) -> Pass:
        """Return a new session."""
        number, until = secrets.token_urlsafe(12), self._now() + seconds
        return Pass(number, who, until, number, until)

    def ticket(self, session: Pass, seconds: float = TICKET_SECONDS) -> Pass:
        """Return a new ticket of a session.

        Raises:
            Refused: this is a ticket itself.
        """
        if session.is_ticket:
            raise Refused("a ticket buys no ticket")
        until = min(self._now() + seconds, session.until)
        return Pass(secrets.token_urlsafe(12), session.who, until, session.number, session.until)

    def text(self, made: Pass) -> str:
        """Return the pass as it is given away: signed, in letters that fit into a URL and a cookie."""
        said = msgspec.json.encode(made)
        return f"{as_letters(said)}.{as_letters(self._sign(said))}"

    def read(self, text: str) -> Pass:
        """Return what a pass says.

        Raises:
            Refused: it isn't ours, has ended, or is spent.
        """
        try:
            said, signature = map(from_letters, text[: LONGEST_TEXT + 1].split("."))
        except ValueError:  # binascii.Error is one
            raise Refused("this is no pass") from None
        # The signature first: nothing of a stranger's is read. Not `==`: it may stop at the first wrong
        # byte, so that its time tells how many are right
        # (https://docs.python.org/3/library/hmac.html#hmac.compare_digest).
        if len(text) > LONGEST_TEXT or not hmac.compare_digest(signature, self._sign(said)):
            raise Refused("this is no pass of ours")
        found = msgspec.json.decode(said, type=Pass)
        if found.until <= self._now():
            raise Refused("this pass has ended")
        if found.number in self._spent or found.session in self._spent:
            raise Refused("this pass has been used")
        return found

    def spend(self, used: Pass) -> Pass:
        """Have a pass refused from now on; return it."""
        self._refuse(used.number, used.until)
        return used

    def end_session(self, of: Pass) -> None:
        """Have a pass's session and all its tickets refused from now on."""
        self._refuse(of.session, of.session_until)

    def seconds_left(self, of: Pass) -> float:
        """Return how long a pass's session goes on; 0 or less when it is over."""
        return 0.0 if of.session in self._spent else of.session_until - self._now()

    def _refuse(self, number: str, until: float) -> None:
        now = self._now()
        self._spent = {number: until for number, until in self._spent.items() if until > now}
        self._spent[number] = until

    def _sign(self, said: bytes) -> bytes:
        return hmac.digest(self._key, said, "sha256")


def as_letters(data: bytes) -> str:
    """Return bytes as text, with the alphabet for URLs (RFC 4648 §5)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_letters(text: str) -> bytes:
    """Return the bytes again; the one spelling of them counts, and no other.

    Raises:
        ValueError: the text is in no such alphabet.
    """
    data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if as_letters(data) != text:
        raise binascii.Error("there is another spelling of it")
    return data
