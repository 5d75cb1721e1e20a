"""The rules of Magpies, without a clock and without a network.

Everybody collects coins, except for one, the magpie. The magpie is faster, can't pick anything up, and robs
whoever it touches of half their coins. Then the robbed one is the magpie. After ninety seconds the richest
wins.

    world = World(seed=1)
    ann, bob = join(world, "Ann"), join(world, "Bob")
    step(world, {ann.number: [Input(1, 0)], bob.number: []})

The same seed, joins and inputs give the same game: all numbers are whole, and only `random()` is used, which
gives the same numbers in every version of Python
(https://docs.python.org/3/library/random.html#notes-on-reproducibility).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

TICKS = 20
"""Steps per second."""

WIDTH, HEIGHT = 1600, 1000
RADIUS = 26
WALLS = (
    (360, 200, 420, 480),
    (360, 660, 700, 720),
    (740, 440, 860, 560),
    (900, 280, 1240, 340),
    (1180, 520, 1240, 800),
    (620, 140, 680, 280),
    (920, 720, 980, 860),
)
"""Left, top, right and bottom of each."""

SPEED, MAGPIE_SPEED, DASH_SPEED = 20, 23, 52
"""How far a move goes."""
DASH_MOVES, REST_MOVES = 4, 40
"""How long a dash is, and how many moves it is from the beginning of one to the next."""
STUNNED_MOVES = 20
"""How many moves a robbed player loses."""
SAFE_TICKS = 40
"""How long nobody can rob a player that has just joined or robbed, or was robbed."""

MOST_PLAYERS = 16
COINS = 16
COIN_EVERY = 8  # ticks
JEWEL = 5
"""What one coin in ten is worth."""
ROUND_TICKS, BREAK_TICKS = 90 * TICKS, 8 * TICKS

RULES: dict[str, Any] = {
    "ticks": TICKS,
    "width": WIDTH,
    "height": HEIGHT,
    "radius": RADIUS,
    "walls": WALLS,
    "speed": SPEED,
    "magpie_speed": MAGPIE_SPEED,
    "dash_speed": DASH_SPEED,
    "dash_moves": DASH_MOVES,
    "rest_moves": REST_MOVES,
}
"""What a client needs to foresee its own moves."""


class Full(Exception):
    """There is no place for another player."""


class Input(NamedTuple):
    """What a player wants to do in one move.

    Attributes:
        x: −1 to the left, 1 to the right.
        y: −1 up, 1 down.
        dash: whether to run very fast for a moment.
    """

    x: int
    y: int
    dash: bool = False


@dataclass(slots=True)
class Player:
    """A player.

    Attributes:
        number: 1 to MOST_PLAYERS, the lowest that was free.
        x: of its middle.
        y: of its middle; 0 is at the top.
        coins: what it owns.
        wins: how many rounds it has won.
        magpie: whether it robs, instead of collecting.
        away: whether nobody moves it at present; it can be robbed, or leaving would save its coins.
        dashing: moves until its dash ends.
        rest: moves until it can dash again.
        stunned: moves that it loses.
        safe: ticks in which nobody can rob it.
    """

    number: int
    name: str
    x: int
    y: int
    coins: int = 0
    wins: int = 0
    magpie: bool = False
    away: bool = False
    dashing: int = 0
    rest: int = 0
    stunned: int = 0
    safe: int = SAFE_TICKS


class Coin(NamedTuple):
    """A coin that lies there."""

    x: int
    y: int
    worth: int


@dataclass
class World:
    """All there is.

    Attributes:
        seed: the same one gives the same game.
        tick: how many steps it has made.
        ends: the tick at which the round, or the break, is over.
        resting: whether it is the break between two rounds.
    """

    seed: int = 1
    tick: int = 0
    ends: int = ROUND_TICKS
    resting: bool = False
    players: dict[int, Player] = field(default_factory=dict)
    coins: dict[int, Coin] = field(default_factory=dict)
    last_coin: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed).random
        for _ in range(COINS):
            _drop_a_coin(self)


Event = dict[str, Any]
"""Something to tell everybody, such as `{"event": "robbed", "by": 3, "whom": 5, "coins": 4}`."""


def join(world: World, name: str) -> Player:
    """Let one more play.

    Raises:
        Full: MOST_PLAYERS do already.
    """
    number = next((number for number in range(1, MOST_PLAYERS + 1) if number not in world.players), None)
    if number is None:
        raise Full(f"{MOST_PLAYERS} are playing already")
    world.players[number] = player = Player(number, name, *_free_place(world))
    return player


def step(world: World, inputs: Mapping[int, Sequence[Input]]) -> list[Event]:
    """Go on by one tick.

    Args:
        world: is changed.
        inputs: the moves that each player makes in this tick, by the player's number; none of a player means
            that it stays where it is.

    Returns:
        What happened.
    """
    world.tick += 1
    for number, player in sorted(world.players.items()):
        player.safe = max(0, player.safe - 1)
        if not player.away:
            for wanted in inputs.get(number, ()):
                move(player, wanted)
    events = []
    if not world.resting:
        _collect(world)
        events += [*_choose_a_magpie(world), *_rob(world)]
        if world.tick % COIN_EVERY == 0 and len(world.coins) < COINS:
            _drop_a_coin(world)
    if world.tick >= world.ends:
        events += _next_round(world) if world.resting else _end_round(world)
    return events


def move(player: Player, wanted: Input) -> None:
    """Move a player once, as far as walls and rules let it. A page does the same to foresee its moves."""
    player.rest = max(0, player.rest - 1)
    if player.stunned:
        player.stunned -= 1
        return
    if wanted.dash and not player.rest and (wanted.x or wanted.y):
        player.dashing, player.rest = DASH_MOVES, REST_MOVES
    speed = DASH_SPEED if player.dashing else MAGPIE_SPEED if player.magpie else SPEED
    player.dashing = max(0, player.dashing - 1)
    if wanted.x and wanted.y:
        speed = speed * 7 // 10
    player.x = _slide(player.x, wanted.x * speed, WIDTH, player.y, 0)
    player.y = _slide(player.y, wanted.y * speed, HEIGHT, player.x, 1)


def _slide(place: int, way: int, end: int, across: int, axis: int) -> int:
    """Go along one axis, 0 or 1, up to the next wall.

    Args:
        place: where the player is on this axis.
        way: how far it wants to go.
        end: of the arena.
        across: where it is on the other axis.
        axis: 0 for x, 1 for y.
    """
    to = min(max(place + way, RADIUS), end - RADIUS)
    for wall in WALLS:
        low, high = wall[axis] - RADIUS, wall[axis + 2] + RADIUS
        if low < to < high and wall[1 - axis] - RADIUS < across < wall[3 - axis] + RADIUS:
            to = low if way > 0 else high
    return to


def _near(one: Player | Coin, other: Player | Coin, distance: int) -> bool:
    return (one.x - other.x) ** 2 + (one.y - other.y) ** 2 <= distance**2


def _present(world: World) -> list[Player]:
    return [player for _, player in sorted(world.players.items()) if not player.away]


def _collect(world: World) -> None:
    for player in _present(world):
        if not player.magpie:
            for number in [n for n, coin in world.coins.items() if _near(player, coin, RADIUS + 14)]:
                player.coins += world.coins.pop(number).worth


def _choose_a_magpie(world: World) -> Iterator[Event]:
    """One of those who are there, if there are two and none is it."""
    present = _present(world)
    if len(present) > 1 and any(player.magpie for player in present):
        return
    for player in world.players.values():
        player.magpie = False
    if len(present) > 1:
        chosen = present[int(world.random() * len(present))]
        chosen.magpie = True
        yield {"event": "magpie", "who": chosen.number}


def _rob(world: World) -> Iterator[Event]:
    for magpie in [player for player in _present(world) if player.magpie and not player.stunned]:
        for _, player in sorted(world.players.items()):
            if player is not magpie and not player.safe and _near(magpie, player, 2 * RADIUS):
                loot = (player.coins + 1) // 2
                player.coins -= loot
                magpie.coins += loot
                magpie.magpie, magpie.safe = False, SAFE_TICKS
                player.magpie, player.safe = True, SAFE_TICKS
                player.stunned, player.dashing = STUNNED_MOVES, 0
                yield {"event": "robbed", "by": magpie.number, "whom": player.number, "coins": loot}
                return


def _end_round(world: World) -> Iterator[Event]:
    most = max((player.coins for player in world.players.values()), default=0)
    winners = [player for _, player in sorted(world.players.items()) if player.coins == most > 0]
    for player in winners:
        player.wins += 1
    world.resting, world.ends = True, world.tick + BREAK_TICKS
    yield {"event": "over", "winners": [player.number for player in winners], "coins": most}


def _next_round(world: World) -> Iterator[Event]:
    world.resting, world.ends = False, world.tick + ROUND_TICKS
    world.coins.clear()
    for player in world.players.values():
        player.coins, player.magpie, player.stunned, player.safe = 0, False, 0, SAFE_TICKS
    for _ in range(COINS):
        _drop_a_coin(world)
    yield {"event": "begins"}


def _drop_a_coin(world: World) -> None:
    world.last_coin += 1
    worth = JEWEL if world.random() < 0.1 else 1
    world.coins[world.last_coin] = Coin(*_free_place(world), worth)


def _free_place(world: World) -> tuple[int, int]:
    """Somewhere that isn't in a wall."""
    while True:
        x = RADIUS + int(world.random() * (WIDTH - 2 * RADIUS))
        y = RADIUS + int(world.random() * (HEIGHT - 2 * RADIUS))
        if not any(
            left - RADIUS < x < right + RADIUS and top - RADIUS < y < bottom + RADIUS
            for left, top, right, bottom in WALLS
        ):
            return x, y
