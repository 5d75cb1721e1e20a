"""What clients and server say to each other, as JSON. A client first says whether it plays or watches:

    {"type": "join", "name": "Ann"}
    {"type": "join", "name": "Ann", "seat": "q1b2…"}             when it comes back
    {"type": "watch"}                                            gives up its place, if it had one

then, 20 times a second, what its player shall do in one move, numbered from 1; and now and then a ping:

    {"type": "input", "number": 17, "x": 1, "y": 0, "dash": false}
    {"type": "ping", "time": 1234.5}

and gets

    {"type": "hello", "rules": {"ticks": 20, "speed": 20, "walls": […], …}}      once, at first
    {"type": "welcome", "you": 3, "seat": "q1b2…", "ack": 0}     or {"type": "watching"}
    {"type": "snapshot", "tick": 812, "ack": 17, "body": {…}, "ends": …, "players": {…}, "coins": {…}}
    {"type": "changes", "tick": 813, "ack": 18, "body": {…}, "players": {"3": {"x": 420}},
     "coins": {"7": null}, "events": [{"event": "robbed", "by": 3, "whom": 5, "coins": 4}]}
    {"type": "pong", "time": 1234.5}
    {"type": "error", "text": "you aren't playing: join first"}
    {"type": "bye", "code": 4001, "text": "you're playing in another window now"}   and then a close

`ack` is the number of the last input that has been dealt with, and `body` all that the player's next moves
depend on. Changes say what is different from the tick before; null is for what is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from apps.chat.names import as_name
from apps.game.world import RULES, Event, Input, Player, World

LONGEST_MESSAGE = 512
NAME_CHARACTERS = 16

Step = Literal[-1, 0, 1]


class Join(msgspec.Struct, tag="join", forbid_unknown_fields=True):
    """A client wants to play."""

    name: str
    seat: Annotated[str, msgspec.Meta(max_length=64)] = ""


class Watch(msgspec.Struct, tag="watch", forbid_unknown_fields=True):
    """A client wants to watch."""


class Move(msgspec.Struct, tag="input", forbid_unknown_fields=True):
    """What a player shall do in one move."""

    number: Annotated[int, msgspec.Meta(ge=1, lt=2**31)]
    x: Step
    y: Step
    dash: bool = False

    @property
    def wanted(self) -> Input:
        """It, as the rules know it."""
        return Input(self.x, self.y, self.dash)


class Ping(msgspec.Struct, tag="ping", forbid_unknown_fields=True):
    """A client wants to know how long the way is."""

    time: float


Request = Join | Watch | Move | Ping
REQUESTS = msgspec.json.Decoder(Request)


class BadRequest(Exception):
    """What a client asks for makes no sense; the message says why."""


def read_request(message: str | bytes) -> Request:
    """Understand a client's message.

    Raises:
        BadRequest: it isn't one of the requests above.
    """
    if isinstance(message, bytes):
        raise BadRequest("send text messages, not binary ones")
    try:
        request: Request = REQUESTS.decode(message)
    except msgspec.ValidationError as error:
        raise BadRequest(f"this isn't a valid request: {error}") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest(f"this isn't JSON: {error}") from None
    if isinstance(request, Join):
        request.name = read_name(request.name)
    return request


def read_name(text: str) -> str:
    """A player's name, as it is shown.

    Raises:
        BadRequest: it is empty or too long, or has characters that can't be seen.
    """
    if not text.strip():
        raise BadRequest("type a name first")
    try:
        name = as_name(text)
    except ValueError as error:
        raise BadRequest(str(error)) from None
    if len(name) > NAME_CHARACTERS:
        raise BadRequest(f"a name has at most {NAME_CHARACTERS} characters")
    return name


View = dict[str, Any]
"""What everybody may see of the world, as plain values."""


def view(world: World) -> View:
    """What everybody may see."""
    players = {
        str(player.number): {
            "name": player.name,
            "x": player.x,
            "y": player.y,
            "coins": player.coins,
            "wins": player.wins,
            "magpie": player.magpie,
            "away": player.away,
            "stunned": player.stunned > 0,
            "safe": player.safe > 0,
            "dashing": player.dashing > 0,
        }
        for player in world.players.values()
    }
    coins = {str(number): list(coin) for number, coin in world.coins.items()}
    return {"ends": world.ends, "resting": world.resting, "players": players, "coins": coins}


def changes(before: View, after: View) -> View:
    """What has changed from one view to the next."""
    changed: View = {}
    for name in ("ends", "resting"):
        if before[name] != after[name]:
            changed[name] = after[name]
    players: View = dict.fromkeys(before["players"].keys() - after["players"].keys())
    for number, player in after["players"].items():
        known = before["players"].get(number, {})
        if player != known:
            players[number] = {name: value for name, value in player.items() if known.get(name) != value}
    coins: View = dict.fromkeys(before["coins"].keys() - after["coins"].keys())
    coins |= {number: coin for number, coin in after["coins"].items() if number not in before["coins"]}
    return changed | {name: part for name, part in (("players", players), ("coins", coins)) if part}


def apply(seen: View, changed: View) -> None:
    """Bring a view up to date with a snapshot or with changes, as a client does."""
    for name in ("ends", "resting"):
        seen[name] = changed.get(name, seen.get(name))
    for kind in ("players", "coins"):
        for number, part in changed.get(kind, {}).items():
            if part is None:
                seen[kind].pop(number, None)
            elif kind == "players":
                seen[kind].setdefault(number, {}).update(part)
            else:
                seen[kind][number] = part


def body(player: Player) -> dict[str, Any]:
    """All that a player's next moves depend on."""
    names = ("x", "y", "magpie", "dashing", "rest", "stunned")
    return {name: getattr(player, name) for name in names}


def shared_part(tick: int, seen: View, events: list[Event]) -> bytes:
    """The part of a snapshot or of changes that is the same for all."""
    return msgspec.json.encode({"tick": tick, **seen, **({"events": events} if events else {})})[1:]


def state_message(
    kind: Literal["snapshot", "changes"], shared: bytes, ack: int, player: Player | None
) -> bytes:
    """A snapshot or changes, for one client; `player` is its own, None if it watches."""
    if player is None:
        return b'{"type":"%s",%s' % (kind.encode(), shared)
    own = msgspec.json.encode(body(player))
    return b'{"type":"%s","ack":%d,"body":%s,%s' % (kind.encode(), ack, own, shared)


def message(kind: str, **content: Any) -> bytes:
    """Any other message."""
    return msgspec.json.encode({"type": kind, **content})


def hello() -> bytes:
    """A server's first message."""
    return message("hello", rules=RULES)


def read_state(text: str | bytes) -> Mapping[str, Any]:
    """A server's message, as a client reads it."""
    content: dict[str, Any] = msgspec.json.decode(text)
    return content
