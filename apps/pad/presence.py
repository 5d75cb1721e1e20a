"""The people who are here, and their cursors: y-websocket's awareness, without I/O.

Each replica says about itself a state, some JSON, with a clock that counts up; `null` says that it has gone.
Nothing of it is kept: one that says nothing for half a minute is taken for gone.

Source: https://github.com/yjs/y-protocols/blob/master/awareness.js
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Any

from apps.pad.document import Reader, Rubbish, block, number

EXPIRES = 30.0
"""Seconds without a word after which somebody counts as gone; every 15 s one says the same again."""

MOST_STATES = 200
LONGEST_STATE = 4096
MOST_BRACKETS = 200
"""What is nested deeper than Python's stack could be read here, and not be written further down."""


@dataclass
class Known:
    """What is known of one replica: its clock, its state, and when it was last heard of, in seconds."""

    clock: int
    state: dict[str, Any] | None
    heard: float


class Presence:
    """The states of all who are here, by the number of their replica."""

    def __init__(self) -> None:
        self._known: dict[int, Known] = {}

    @property
    def states(self) -> dict[int, dict[str, Any]]:
        """The states of those who haven't gone."""
        return {client: known.state for client, known in self._known.items() if known.state is not None}

    def say(self, client: int, state: dict[str, Any], now: float) -> bytes:
        """Set the state of a replica of one's own, and return what to tell the others."""
        clock = self._known[client].clock + 1 if client in self._known else 1
        self._known[client] = Known(clock, state, now)
        return self.tell([client])

    def gone(self, clients: Iterable[int], now: float) -> list[int]:
        """Note that others have gone; their clock stays, as it is theirs. Return whose state has changed."""
        gone = [client for client in clients if client in self.states]
        for client in gone:
            self._known[client] = Known(self._known[client].clock, None, now)
        return gone

    def hear(self, data: bytes, now: float, but: Container[int] = ()) -> list[int]:
        """Take what somebody has said, and return of which replicas it was news.

        Args:
            data: states, as they come in a message.
            now: in seconds, of any clock.
            but: about whom nothing is believed.

        Raises:
            Rubbish: these aren't states.
        """
        heard = []
        reader = Reader(data)
        for _ in range(min(reader.number(), MOST_STATES)):
            client, clock, text = reader.number(), reader.number(), reader.block()
            if text.count(b"[") + text.count(b"{") > MOST_BRACKETS:
                raise Rubbish(f"a state has more than {MOST_BRACKETS} brackets")
            if len(text) > LONGEST_STATE:
                raise Rubbish(f"a state has more than {LONGEST_STATE} bytes")
            try:
                state = json.loads(text)
                json.dumps(state, allow_nan=False)  # NaN is no JSON: a strict reader would refuse it
            except (ValueError, RecursionError) as error:
                raise Rubbish("a state isn't JSON") from error
            if state is not None and not isinstance(state, dict):
                raise Rubbish("a state is an object or null")
            heard.append((client, Known(clock, state, now)))
        reader.end()
        return [client for client, known in heard if client not in but and self._is_news(client, known)]

    def _is_news(self, client: int, said: Known) -> bool:
        known = self._known.get(client)
        if known is None and (said.state is None or len(self._known) >= MOST_STATES):
            return False
        gone = known is not None and said.clock == known.clock and said.state is None is not known.state
        if known is not None and said.clock <= known.clock and not gone:
            return False
        self._known[client] = said
        return True

    def tell(self, clients: Iterable[int] | None = None) -> bytes:
        """The states of these, or of all who are here, as they go into a message."""
        told = [(client, self._known[client]) for client in (self.states if clients is None else clients)]
        states = (
            number(client) + number(known.clock) + block(json.dumps(known.state).encode())
            for client, known in told
        )
        return number(len(told)) + b"".join(states)

    def silent(self, now: float) -> list[int]:
        """Those still counted, of whom nothing has been heard for too long."""
        return [client for client in self.states if now - self._known[client].heard > EXPIRES]

    def keep(self, clients: Iterable[int]) -> None:
        """Forget all others, as after a connection that broke."""
        self._known = {client: self._known[client] for client in clients if client in self._known}

    def forget(self, before: float) -> None:
        """Forget who has been gone since then; until now late messages couldn't revive them."""
        gone = [c for c, known in self._known.items() if known.state is None and known.heard < before]
        for client in gone:
            del self._known[client]
