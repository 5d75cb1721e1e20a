"""The players: places that are kept for those who come back, and inputs, as many as there is time for.

A player may make one move per tick. Moves that it didn't make are saved for it, up to MOST_SAVED, because
inputs that were late come together. All further ones count as dealt with, and change nothing.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from apps.game.world import TICKS, Event, Full, Input, Player, World, join, step

MOST_SAVED = 8
"""Moves that a player can make in one tick, if it made none for as long: inputs may be 0.4 s late."""
KEPT_TICKS = 30 * TICKS
"""How long the place of one who has left is kept."""
IDLE_TICKS = 120 * TICKS
"""A player that hasn't moved for so long gives up its place."""


@dataclass(slots=True)
class Seat:
    """A place in the game.

    Attributes:
        player: whose it is.
        token: shows that one who comes back is the same.
        ack: the number of the last input that was dealt with.
        saved: how many moves it may still make.
        inputs: what it does in the next tick.
        since: the tick of the last movement; or when it left, if it is away.
    """

    player: Player
    token: str
    since: int
    ack: int = 0
    saved: int = MOST_SAVED
    inputs: list[Input] = field(default_factory=list)


class Game:
    """A world, and who sits where.

        game = Game(seed=1)
        seat = game.sit("Ann")
        game.hear(seat, 1, Input(1, 0))
        events, gone = game.tick()

    Args:
        seed: of the world.
    """

    def __init__(self, seed: int = 1) -> None:
        self.world = World(seed)
        self.seats: dict[int, Seat] = {}

    def sit(self, name: str, token: str = "") -> Seat:
        """Take a place: the one that this token belongs to, or a new one.

        Raises:
            Full: there is none.
        """
        now = self.world.tick
        for seat in self.seats.values():
            if token and secrets.compare_digest(seat.token.encode(), token.encode()):
                seat.player.away, seat.player.name, seat.since = False, name, now
                return seat
        try:
            player = join(self.world, name)
        except Full:
            away = [seat for seat in self.seats.values() if seat.player.away]
            if not away:
                raise
            self.give_up(min(away, key=lambda seat: seat.since))
            player = join(self.world, name)
        self.seats[player.number] = seat = Seat(player, secrets.token_urlsafe(12), now)
        return seat

    def leave(self, seat: Seat) -> None:
        """The connection is gone; the place is kept for a while."""
        seat.player.away, seat.since = True, self.world.tick
        seat.inputs.clear()

    def give_up(self, seat: Seat) -> None:
        """Free a place for good."""
        if self.seats.get(seat.player.number) is seat:
            del self.seats[seat.player.number], self.world.players[seat.player.number]

    def hear(self, seat: Seat, number: int, wanted: Input) -> None:
        """Note an input for the next tick, if it is new, and if there is a move left for it."""
        if number <= seat.ack:
            return
        seat.ack = number
        if seat.saved:
            seat.saved -= 1
            seat.inputs.append(wanted)
            if wanted.x or wanted.y:
                seat.since = self.world.tick

    def tick(self) -> tuple[list[Event], list[Seat]]:
        """Go on by one tick.

        Returns:
            What happened; and the seats of those who were idle, or away, for too long, which are free now.
        """
        events = step(self.world, {number: seat.inputs for number, seat in self.seats.items()})
        gone = []
        for seat in list(self.seats.values()):
            seat.inputs.clear()
            seat.saved = min(seat.saved + 1, MOST_SAVED)
            if self.world.tick - seat.since > (KEPT_TICKS if seat.player.away else IDLE_TICKS):
                self.give_up(seat)
                gone.append(seat)
        return events, gone
