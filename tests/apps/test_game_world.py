"""The rules of the game, the places in it, and what is told of it; no network."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from apps.game.bots import choose
from apps.game.game import IDLE_TICKS, KEPT_TICKS, MOST_SAVED, Game, Seat
from apps.game.gate import MOST_WRONG, Gate, Refused, new_code
from apps.game.messages import BadRequest, Move, View, apply, changes, read_request, view
from apps.game.world import (
    BREAK_TICKS,
    DASH_MOVES,
    DASH_SPEED,
    HEIGHT,
    MOST_PLAYERS,
    RADIUS,
    REST_MOVES,
    ROUND_TICKS,
    SAFE_TICKS,
    SPEED,
    STUNNED_MOVES,
    WALLS,
    WIDTH,
    Coin,
    Full,
    Input,
    Player,
    World,
    join,
    move,
    step,
)

RIGHT, STILL = Input(1, 0), Input(0, 0)


def played(seed: int, ticks: int = 400, players: int = 5) -> World:
    """A world in which bots have played."""
    world, chance = World(seed), random.Random(7)
    for number in range(players):
        join(world, f"P{number}")
    for _ in range(ticks):
        seen = view(world)
        step(world, {number: [choose(seen, str(number), chance)] for number in world.players})
    return world


def test_the_same_seed_and_inputs_give_the_same_game_and_another_seed_another() -> None:
    assert view(played(3)) == view(played(3))
    assert view(played(3)) != view(played(4))
    world = World(1)
    assert list(world.coins.values())[:2] == [(1337, 750, 1), (1034, 773, 1)], "in every Python"


def test_nobody_is_ever_in_a_wall_or_outside_and_bots_get_somewhere() -> None:
    chance = random.Random(5)
    player = Player(1, "Ann", 300, 300)
    for _ in range(20_000):
        wanted = Input(chance.choice((-1, 0, 1)), chance.choice((-1, 0, 1)), chance.random() < 0.3)
        for _ in range(chance.randrange(1, 12)):
            before = (player.x, player.y)
            move(player, wanted)
            assert RADIUS <= player.x <= WIDTH - RADIUS
            assert RADIUS <= player.y <= HEIGHT - RADIUS
            assert max(abs(player.x - before[0]), abs(player.y - before[1])) <= DASH_SPEED
            for left, top, right, bottom in WALLS:
                inside = (
                    left - RADIUS < player.x < right + RADIUS and top - RADIUS < player.y < bottom + RADIUS
                )
                assert not inside
    assert sum(player.coins for player in played(3).players.values()) > 20


def two(magpie_at: int = 100) -> tuple[World, Player, Player]:
    """A world with Ann, the magpie, and Bob, who is at 100 and has five coins."""
    world = World(1)
    ann, bob = join(world, "Ann"), join(world, "Bob")
    world.coins.clear()
    ann.magpie, bob.coins = True, 5
    for player, x in ((ann, magpie_at), (bob, 100)):
        player.x, player.y, player.safe = x, 60, 0
    return world, ann, bob


def test_a_magpie_robs_half_and_the_robbed_one_is_the_magpie_and_stunned() -> None:
    world, ann, bob = two()
    assert step(world, {}) == [{"event": "robbed", "by": 1, "whom": 2, "coins": 3}]
    assert (ann.coins, bob.coins, ann.magpie, bob.magpie) == (3, 2, False, True)
    for _ in range(STUNNED_MOVES):
        step(world, {2: [RIGHT]})
        assert (bob.x, bob.y) == (100, 60)
    step(world, {2: [RIGHT]})
    assert bob.x > 100
    assert ann.magpie is False, "she is safe for a while"
    for _ in range(SAFE_TICKS):
        step(world, {})
    assert ann.magpie


def test_a_magpie_collects_nothing_and_others_do() -> None:
    world, ann, bob = two(magpie_at=800)
    world.coins = {1: Coin(800, 60, 1), 2: Coin(100, 60, 5)}
    step(world, {})
    assert (ann.coins, bob.coins, 1 in world.coins, 2 in world.coins) == (0, 10, True, False)


def test_a_dash_is_fast_and_short_and_has_to_rest() -> None:
    player, ways = Player(1, "Ann", 60, 60), []
    for _ in range(REST_MOVES + 1):
        before = player.x
        move(player, Input(1 if player.x < 1000 else -1, 0, True))
        ways.append(abs(player.x - before))
    assert ways == [DASH_SPEED] * DASH_MOVES + [SPEED] * (REST_MOVES - DASH_MOVES) + [DASH_SPEED]


def test_leaving_saves_no_coins_and_another_one_is_the_magpie() -> None:
    world, ann, bob = two()
    cleo = join(world, "Cleo")
    bob.away = True
    assert step(world, {}) == [{"event": "robbed", "by": 1, "whom": 2, "coins": 3}]
    assert step(world, {})[0]["event"] == "magpie"
    assert [bob.magpie, ann.magpie + cleo.magpie] == [False, True]
    cleo.away = True
    step(world, {})
    assert [player.magpie for player in world.players.values()] == [False] * 3, "Ann is alone"


def test_a_round_ends_and_the_next_begins() -> None:
    world, _, bob = two(magpie_at=1500)
    events = [event for _ in range(ROUND_TICKS) for event in step(world, {})]
    assert events == [{"event": "over", "winners": [2], "coins": bob.coins}]
    assert (bob.wins, world.resting) == (1, True)
    events = [event for _ in range(BREAK_TICKS + 1) for event in step(world, {})]
    assert [event["event"] for event in events] == ["begins", "magpie"]
    assert (bob.coins, bob.wins, world.resting) == (0, 1, False)


def test_changes_bring_a_view_up_to_date() -> None:
    world, chance = World(2), random.Random(1)
    seen: View = {"players": {}, "coins": {}}
    before = view(world)
    apply(seen, before)
    for tick in range(2500):
        if tick % 50 == 0 and len(world.players) < MOST_PLAYERS:
            join(world, f"P{tick}")
        if tick % 130 == 129:
            del world.players[chance.choice(list(world.players))]
        step(world, {n: [choose(view(world), str(n), chance)] for n in world.players})
        now = view(world)
        apply(seen, changes(before, now))
        assert seen == now
        before = now


def sat(*names: str) -> tuple[Game, list[Seat]]:
    game = Game(1)
    return game, [game.sit(name) for name in names]


def test_one_who_comes_back_gets_its_place_and_its_coins_for_a_while() -> None:
    game, (ann, bob) = sat("Ann", "Bob")
    ann.player.coins = 7
    game.leave(ann)
    assert game.sit("Ann", ann.token) is ann
    assert (ann.player.coins, ann.player.away) == (7, False)
    assert game.sit("Eve", "a guess") not in (ann, bob)
    game.leave(ann)
    gone: list[Seat] = []
    for _ in range(KEPT_TICKS + 1):
        gone += game.tick()[1]
    assert gone == [ann]
    assert game.sit("Ann", ann.token) is not ann


def test_a_full_game_refuses_until_somebody_is_away_or_idle() -> None:
    game, seats = sat(*(f"P{number}" for number in range(MOST_PLAYERS)))
    with pytest.raises(Full, match="16 are playing already"):
        game.sit("Ann")
    game.leave(seats[4])
    assert game.sit("Ann").player.number == 5
    for number in range(IDLE_TICKS + 1):
        game.hear(seats[0], number + 1, RIGHT)
        gone = game.tick()[1]
    assert len(gone) == MOST_PLAYERS - 1
    assert list(game.seats) == [1]


def test_inputs_that_were_late_count_together_and_no_more_than_there_was_time_for() -> None:
    game, (ann,) = sat("Ann")
    ann.player.x, ann.player.y = 60, 60
    for number in range(1, 101):
        game.hear(ann, number, RIGHT)
    game.tick()
    assert (ann.player.x, ann.ack) == (60 + MOST_SAVED * SPEED, 100)
    for number in range(101, 201):
        game.hear(ann, number, RIGHT)
    game.tick()
    assert ann.player.x == 60 + (MOST_SAVED + 1) * SPEED, "one tick, one move"


def after(cheat: Callable[[Game, Seat], object]) -> tuple[View, View]:
    """The world after a few ticks, with a cheat before the last one, and without."""
    worlds = []
    for does in (cheat, lambda game, seat: None):
        game, (ann, bob) = sat("Ann", "Bob")
        for seat, x in ((ann, 60), (bob, 1400)):
            seat.player.x, seat.player.y = x, 60
        for number in range(1, 4):
            game.hear(ann, number, Input(1, 0, number == 1))
            game.hear(bob, number, Input(-1, 0))
            game.tick()
        ann.player.stunned = 3 if does is cheat and cheat is while_stunned else 0
        does(game, ann)
        game.tick()
        worlds.append(view(game.world))
    return worlds[0], worlds[1]


def sent(text: str) -> Callable[[Game, Seat], object]:
    """A cheat that is a message of its own kind."""

    def cheat(game: Game, seat: Seat) -> None:
        with pytest.raises(BadRequest):
            read_request(text)

    return cheat


def heard(number: int, wanted: Input) -> Callable[[Game, Seat], object]:
    return lambda game, seat: game.hear(seat, number, wanted)


def while_stunned(game: Game, seat: Seat) -> None:
    game.hear(seat, 4, Input(1, 0, True))
    game.world.players[1].coins += 0


CHEATS: dict[str, Callable[[Game, Seat], object]] = {
    "its own position": sent('{"type": "input", "number": 4, "x": 1, "y": 0, "at": [900, 500]}'),
    "a giant step": sent('{"type": "input", "number": 4, "x": 50, "y": 0}'),
    "a fraction more": sent('{"type": "input", "number": 4, "x": 1.9, "y": 0}'),
    "true for a step": sent('{"type": "input", "number": 4, "x": true, "y": 0}'),
    "not a number": sent('{"type": "input", "number": 4, "x": NaN, "y": 0}'),
    "coins": sent('{"type": "input", "number": 4, "x": 1, "y": 0, "coins": 99}'),
    "another one's move": sent('{"type": "input", "number": 4, "x": 1, "y": 0, "player": 2}'),
    "a number below one": sent('{"type": "input", "number": -4, "x": 1, "y": 0}'),
    "somebody's robbery": sent('{"type": "rob", "whom": 2}'),
    "an input again": heard(3, RIGHT),
    "an old number": heard(1, Input(1, 0, True)),
    "moving while stunned": while_stunned,
}


@pytest.mark.parametrize("name", CHEATS)
def test_a_cheat_changes_nothing(name: str) -> None:
    with_cheat, without = after(CHEATS[name])
    for player in (with_cheat["players"]["1"], without["players"]["1"]):
        player.pop("stunned")
    assert with_cheat == without


def test_what_is_no_cheat_moves_a_player() -> None:
    request = read_request('{"type": "input", "number": 4, "x": 1, "y": 0}')
    assert isinstance(request, Move)
    with_move, without = after(heard(request.number, request.wanted))
    assert with_move["players"]["1"]["x"] > without["players"]["1"]["x"]


def test_the_gate_wants_the_code_and_after_many_wrong_ones_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, now = Gate("K7M2QD"), [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    gate.check(" k7m2qd ", "10.0.0.1")
    for code in ["", *["AAAAAA"] * MOST_WRONG]:
        with pytest.raises(Refused, match="join code is"):
            gate.check(code, "10.0.0.2")
    with pytest.raises(Refused, match="too many wrong codes: wait 60 seconds"):
        gate.check("K7M2QD", "10.0.0.2")
    gate.check("K7M2QD", "10.0.0.1")
    now[0] += 61
    gate.check("K7M2QD", "10.0.0.2")
    for number in range(3000):
        with pytest.raises(Refused):
            gate.check("AAAAAA", f"10.1.{number // 250}.{number % 250}")
    assert len(gate._wrong) <= 1000
    assert len({new_code() for _ in range(50)}) > 45


def test_bots_run_from_the_magpie_and_chase_the_richest() -> None:
    seen: Any = {
        "coins": {"1": [500, 500, 1]},
        "players": {
            "1": {"x": 400, "y": 500, "coins": 0, "magpie": False, "safe": False},
            "2": {"x": 500, "y": 500, "coins": 3, "magpie": True, "safe": False},
            "3": {"x": 700, "y": 500, "coins": 9, "magpie": False, "safe": False},
        },
    }

    def usual(me: str) -> tuple[int, int]:
        chosen = [choose(seen, me, random.Random(seed))[:2] for seed in range(30)]
        return max(set(chosen), key=chosen.count)

    assert usual("1") == (-1, 0)
    assert usual("2") == (1, 0)
