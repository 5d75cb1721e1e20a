"""The exercises of `08_edit_together`."""

from __future__ import annotations

import copy
from typing import Any

from helpers.checks.answer import Answer
from helpers.checks.chance import chance
from helpers.checks.trial import try_function
from helpers.checks.verdict import NotYet, Verdict, shown
from helpers.checks.whose import check

ONLY_READ = "what you are given is for reading only: make a new dict"
FROM_WHERE = "the peer has the first `state[writer]` operations of each writer, so what it lacks begins there"
NO_STATE = "of a writer who isn't in the state, the peer has nothing: `state.get(writer, 0)`"
IN_THE_LOG = "go through the log, not the state: the peer may lack a writer, or know one that you don't"
MORE = "the peer may have more than you: then it lacks nothing"
LEAVE_OUT = "leave out a writer of whom the peer has everything"
AS_LOG = "return a dict: for each writer the list of operations that the peer lacks"
ONLY_NEWS = "only a clock higher than the one known changes the entry"
AS_ENTRY = "write `people[name] = (clock, state, now)` when it is news"
KEEP_CLOCK = "keep the entry of somebody who has left, with `None` as its state: its clock still counts"
KEEP_SILENT = "somebody silent isn't returned, but their entry stays"
ALSO_OLD = "return the list also when nothing was news"
WHO_IS_HERE = "somebody is here if they have a state other than `None`, heard at most 30 seconds before `now`"
SORTED = "return the names as a sorted list"
HIGHER_WINS = "the higher clock wins; if they are equal, the name that is later in the alphabet"
BOTH_KEYS = "a key that only one of them has belongs in the merged map, too"
KEEP_DELETION = "a deletion is an entry, too: keep `(clock, who, None)`"
AS_MAP = "return a dict with whole entries, `(clock, who, value)`"


@check
def missing(function: Any) -> Verdict:
    """Check `def missing(log, state)`, which returns the operations that a peer in this state lacks."""

    async def scenario(answer: Answer) -> str:
        log = {"ann": ["a0", "a1", "a2"], "bob": ["b0"], "cat": ["c0", "c1"], "eve": []}
        states: list[dict[str, int]] = [
            {"ann": 1, "bob": 1},
            {},
            {"ann": 3, "bob": 1, "cat": 2, "eve": 0},
            {"ann": 5, "dan": 4},
            {"ann": 0, "bob": 0, "cat": 1},
        ]
        states += [{name: chance.randrange(4) for name in log} for _ in range(3)]
        for state in states:
            right = {writer: rest for writer, all_ in log.items() if (rest := all_[state.get(writer, 0) :])}
            given, asked = copy.deepcopy(log), dict(state)
            when = f"the log is `{log}`, the peer's state `{state}`"
            try:
                returned = await answer(given, asked)
            except NotYet as not_yet:
                if not isinstance(answer.error, KeyError):
                    raise
                hint = NO_STATE if answer.error.args[:1] and answer.error.args[0] in log else IN_THE_LOG
                raise NotYet(f"{when}: {not_yet.verdict.said}", hint, sure=True) from not_yet
            if (given, asked) != (log, state):
                raise NotYet(f"{when}; you have changed one of them", ONLY_READ)
            if returned != right:
                a_log = isinstance(returned, dict) and all(isinstance(v, list) for v in returned.values())
                hint = FROM_WHERE if a_log else AS_LOG
                if a_log and {k: v for k, v in returned.items() if v != []} == right:
                    hint = LEAVE_OUT
                elif a_log:
                    wrong = {w for w in log.keys() | returned.keys() if returned.get(w) != right.get(w)}
                    if wrong.isdisjoint([*state, *returned]):
                        hint = IN_THE_LOG
                    elif all(state.get(writer, 0) > len(log.get(writer, ())) for writer in wrong):
                        hint = MORE
                raise NotYet(f"{when}; you returned {shown(returned)}, expected `{right}`", hint)
        return "each peer got what it lacked, and nothing that it had"

    return try_function(function, scenario, arguments="log, state", coroutine=False)


@check
def hear(function: Any) -> Verdict:
    """Check `def hear(people, name, clock, state, now)`, which notes states, and says who is here."""

    async def scenario(answer: Answer) -> str:
        people: dict[str, Any] = {}
        right: dict[str, Any] = {}
        for name, clock, state, now in (
            ("bob", 1, "line 1", 100.0),
            ("ann", 4, "line 2", 110.0),
            ("ann", 3, "line 9", 112.0),
            ("ann", 4, "line 8", 113.0),
            ("bob", 2, "line 3", 130.0),
            ("ann", 5, None, 131.0),
            ("ann", 5, "line 2", 132.0),
            ("zoe", 1, "", 160.0),
            ("zoe", 1, "", 160.5),
            ("bob", 1, None, 160.75),
            ("ann", 9, "line 1", 161.0),
            ("bob", 2, "line 3", 191.0),
            ("bob", 3, "line 3", 192.0),
        ):
            before = dict(right)
            news = clock > right.get(name, (0,))[0]
            if news:
                right[name] = (clock, state, now)
            here = sorted(who for who, (_, said, at) in right.items() if said is not None and now - at <= 30)
            when = f"with `{before}`, at {now:g} s {name} said `{state!r}` with clock {clock}"
            returned = await answer(people, name, clock, state, now)
            if people != right:
                silent = {who for who in right.keys() - people.keys() if now - right[who][2] > 30}
                hint = AS_ENTRY if news else ONLY_NEWS
                if news and state is None and name not in people:
                    hint = KEEP_CLOCK
                elif silent and people == {who: right[who] for who in right if who not in silent}:
                    hint = KEEP_SILENT
                raise NotYet(f"{when}; now it is {shown(people)}, expected `{right}`", hint)
            if returned != here:
                unsorted = isinstance(returned, list | tuple | set) and set(returned) == set(here)
                hint = SORTED if unsorted else ALSO_OLD if returned is None and not news else WHO_IS_HERE
                raise NotYet(f"{when}; you returned {shown(returned)}, expected `{here}`", hint)
        return "news counted, late and repeated messages didn't, and anybody silent was gone"

    return try_function(function, scenario, arguments="people, name, clock, state, now", coroutine=False)


@check
def merge(function: Any) -> Verdict:
    """Check `def merge(mine, theirs)`, which merges maps in which the last writer wins."""

    async def scenario(answer: Answer) -> str:
        def entry() -> tuple[int, str, Any]:
            clock, who = chance.randrange(3), chance.choice(["ann", "bob"])
            return clock, who, None if clock == 1 else f"{who}'s {clock}"

        first: list[tuple[dict[str, Any], dict[str, Any]]] = [
            ({"title": (3, "ann", "Plans")}, {"title": (2, "bob", "Notes")}),
            ({"title": (3, "ann", "Plans")}, {"title": (4, "bob", "Notes"), "colour": (1, "bob", "blue")}),
            ({"title": (3, "ann", "Plans")}, {"title": (3, "bob", "Notes")}),
            ({"title": (3, "bob", "Plans")}, {"title": (3, "ann", "Zebra")}),
            ({"title": (3, "ann", "Plans")}, {"title": (4, "ann", None)}),
            ({"title": (3, "ann", None)}, {"title": (3, "ann", None)}),
            ({"size": (10, "ann", 5)}, {"size": (9, "bob", "five")}),
            ({"size": (3, "ann", 5)}, {}),
        ]
        for keys in ("ab", "abc", "b"):
            first.append(({key: entry() for key in "abc"}, {key: entry() for key in keys}))
        for mine, theirs in first:
            right = dict(mine)
            for key, other in theirs.items():
                if key not in mine or other[:2] > mine[key][:2]:
                    right[key] = other
            given, others = dict(mine), dict(theirs)
            when = f"mine was `{mine}`, theirs `{theirs}`"
            try:
                returned = await answer(given, others)
            except NotYet as not_yet:
                if answer.error is None:
                    raise
                raise NotYet(f"{when}: {not_yet.verdict.said}", not_yet.verdict.hint, sure=True) from not_yet
            if (given, others) != (mine, theirs):
                raise NotYet(f"{when}; you have changed one of them", ONLY_READ)
            if returned != right:
                whole = isinstance(returned, dict) and all(
                    value in (mine.get(key), theirs.get(key)) for key, value in returned.items()
                )
                hint = HIGHER_WINS if whole else AS_MAP
                if whole and set(returned) != set(right):
                    hint = BOTH_KEYS
                    if all(right[key][2] is None for key in right.keys() - returned.keys()):
                        hint = KEEP_DELETION
                raise NotYet(f"{when}; you returned {shown(returned)}, expected `{right}`", hint)
        return "the last writer won, in either order, and both maps stayed as they were"

    return try_function(function, scenario, arguments="mine, theirs", coroutine=False)
