"""The exercises of `08_edit_together`: right answers, and what is said to the wrong ones."""

from __future__ import annotations

from typing import ClassVar

from battery import Computation
from changes import but


class TestMissing(Computation):
    name = "missing"
    arguments = "log, state"
    right: ClassVar = [
        """
        def missing(log, state):
            lacking = {writer: done[state.get(writer, 0):] for writer, done in log.items()}
            return {writer: rest for writer, rest in lacking.items() if rest}
        """,
        """
        def missing(log, state):
            return {w: log[w][state.get(w, 0):] for w in log if len(log[w]) > state.get(w, 0)}
        """,
        """
        def missing(log, state):
            lacking = {}
            for writer in log:
                for number, operation in enumerate(log[writer]):
                    if writer not in state or number >= state[writer]:
                        lacking.setdefault(writer, []).append(operation)
            return lacking
        """,
        """
        def missing(log, state):
            known = dict.fromkeys(log, 0) | state
            pairs = ((writer, log[writer][known[writer]:]) for writer in log)
            return dict(pair for pair in pairs if pair[1])
        """,
        """
        def missing(log, state):
            from collections import defaultdict
            from itertools import islice
            lacking = defaultdict(list)
            for writer, operations in log.items():
                for operation in islice(operations, state.get(writer, 0), None):
                    lacking[writer] += [operation]
            return dict(lacking)
        """,
    ]
    wrong: ClassVar = [
        (but("if rest:", "if writer not in state or rest:"), "'eve': []", "leave out"),
        (but("state.get(writer, 0)", "state[writer]"), "KeyError: 'cat'", "isn't in the state"),
        (but("state.get(writer, 0)", "state.get(writer, 1)"), "{'ann': 1, 'bob': 1}", "begins there"),
        (but("state.get(writer, 0) :", ": state.get(writer, 0)"), "begins there"),
        (but("state.get(writer, 0) :", "state.get(writer, 0) + 1 :"), "begins there"),
        (but("state.get(writer, 0) :", "state.get(writer, 0) - 1 :"), "begins there"),
        (but("        if rest:\n    ", ""), "leave out"),
        (but("lacking[writer] = rest", "lacking[writer] = len(rest)"), "the list of operations"),
        (but("lacking[writer] = rest", "lacking = {writer: rest}"), "begins there"),
        (but("return lacking", "return list(lacking.values())"), "for each writer"),
        (but("return lacking", "return None"), "`None`", "for each writer"),
        (but("        if rest:", "        del operations[:1]\n        if rest:"), "for reading"),
        (
            but("for writer, operations in log.items()", "for writer, operations in list(log.items())[:2]"),
            "through the log",
        ),
        (but("in log.items():", "in [(w, log[w]) for w in state if w in log]:"), "through the log"),
        (but("in log.items():", "in [(w, log[w]) for w in log.keys() | state]:"), "'dan'", "through the log"),
        (
            but(
                "rest = operations[state.get(writer, 0) :]",
                "more = state.get(writer, 0) - len(operations)\n"
                "        rest = operations[more:] if more else []",
            ),
            "'dan': 4",
            "lacks nothing",
        ),
    ]


class TestHear(Computation):
    name = "hear"
    arguments = "people, name, clock, state, now"
    right: ClassVar = [
        """
        def hear(people, name, clock, state, now):
            if name not in people or people[name][0] < clock:
                people[name] = (clock, state, now)
            return sorted(who for who in people if people[who][1] is not None and people[who][2] >= now - 30)
        """,
        """
        def hear(people, name, clock, state, now):
            said = (clock, state, now)
            people[name] = max(people.get(name, (0, None, 0)), said, key=lambda entry: entry[0])
            here = [who for who, entry in people.items() if entry[1] is not None and now <= entry[2] + 30]
            here.sort()
            return here
        """,
        """
        def hear(people, name, clock, state, now):
            match people.get(name):
                case (known, _, _) if known >= clock:
                    pass
                case _:
                    people.update({name: (clock, state, now)})
            here = filter(lambda who: people[who][1] is not None and now - people[who][2] <= 30, people)
            return sorted(here)
        """,
        """
        def hear(people, name, clock, state, now):
            known = people[name][0] if name in people else -1
            people |= {name: (clock, state, now)} if clock > known else {}
            here = []
            for who in sorted(people):
                _, said, heard = people[who]
                if said is None or now - heard > 30:
                    continue
                here.append(who)
            return here
        """,
        """
        def hear(people, name, clock, state, now):
            try:
                news = clock > people[name][0]
            except KeyError:
                news = True
            if news:
                people[name] = clock, state, now
            gone = {who for who, entry in people.items() if entry[1] is None or now - entry[2] > 30}
            return sorted(people.keys() - gone)
        """,
    ]
    wrong: ClassVar = [
        (
            but("clock > known:", "clock > known or state is None:"),
            "said `None` with clock 1",
            "only a clock higher",
        ),
        (but("clock > known:", "clock == known + 1 or not known:"), "with clock 9"),
        (but("if clock > known", "if clock >= known"), "with clock 4", "only a clock"),
        (but("if clock > known", "if clock != known"), "with clock 3", "only a clock"),
        (but("if clock > known:\n        ", ""), "with clock 3", "only a clock"),
        (but("if clock > known", "if clock == known + 1"), "with clock 4", "people[name]"),
        (but("(clock, state, now)", "(clock, now, state)"), "TypeError"),
        (but("(clock, state, now)", "[clock, state, now]"), "people[name]"),
        (but("(clock, state, now)", "(clock, state)"), "ValueError"),
        (but("state is not None and ", ""), "said `None`", "other than `None`"),
        (but("state is not None and", "state and"), "zoe said `''`", "other than `None`"),
        (but("<= 30", "< 30"), "at 160 s", "at most 30"),
        (but(" and now - heard <= 30", ""), "at 160.5 s", "at most 30"),
        (but("sorted(", "set("), "sorted list"),
        (
            but(
                "        people[name] = (clock, state, now)\n",
                "        people[name] = (clock, state, now)\n"
                "        if state is None:\n            del people[name]\n",
            ),
            "said `None`",
            "still counts",
        ),
        (
            but(
                "    return sorted(",
                "    for who in [who for who, entry in people.items() if now - entry[2] > 30]:\n"
                "        del people[who]\n"
                "    return sorted(",
            ),
            "at 160.5 s",
            "their entry stays",
        ),
        (
            but("    if clock > known:\n", "    if clock <= known:\n        return\n    if clock > known:\n"),
            "`None`",
            "also when nothing was news",
        ),
    ]


class TestMerge(Computation):
    name = "merge"
    arguments = "mine, theirs"
    right: ClassVar = [
        """
        def merge(mine, theirs):
            merged = {}
            for key in mine.keys() | theirs.keys():
                entries = [each[key] for each in (mine, theirs) if key in each]
                merged[key] = max(entries, key=lambda entry: entry[:2])
            return merged
        """,
        """
        def merge(mine, theirs):
            newer = {key: entry for key, entry in theirs.items()
                     if entry[:2] > mine.get(key, (-1, ""))[:2]}
            return mine | newer
        """,
        """
        def merge(mine, theirs):
            return {**theirs, **{key: entry for key, entry in mine.items()
                                 if key not in theirs or theirs[key][:2] <= entry[:2]}}
        """,
        """
        def merge(mine, theirs):
            merged = mine.copy()
            for key, (clock, who, value) in theirs.items():
                if key in merged:
                    known, writer, _ = merged[key]
                    if clock < known or clock == known and who <= writer:
                        continue
                merged[key] = (clock, who, value)
            return merged
        """,
        """
        def merge(mine, theirs):
            return mine | {key: max(entry, mine.get(key, entry)) for key, entry in theirs.items()}
        """,
        """
        def merge(mine, theirs):
            import copy
            merged = copy.deepcopy(mine)
            for key in theirs:
                try:
                    if merged[key][:2] >= theirs[key][:2]:
                        continue
                except KeyError:
                    pass
                merged.update({key: theirs[key]})
            return merged
        """,
    ]
    wrong: ClassVar = [
        (but("entry[:2] > merged[key][:2]", "str(entry) > str(merged[key])"), "higher clock wins"),
        (but("entry[:2] > merged[key][:2]", "entry[0] > merged[key][0]"), "the name that is later"),
        (but("entry[:2] > merged[key][:2]", "entry[0] >= merged[key][0]"), "the name that is later"),
        (but("entry[:2] > merged[key][:2]", "entry[:2] < merged[key][:2]"), "higher clock wins"),
        (but("entry[:2] > merged[key][:2]", "True"), "higher clock wins"),
        (but("entry[:2] > merged[key][:2]", "False"), "higher clock wins"),
        (but("entry[:2] > merged[key][:2]", "entry[1::-1] > merged[key][1::-1]"), "higher clock wins"),
        (but("key not in merged or ", "key in merged and "), "only one of them"),
        (but("dict(mine)", "mine"), "you have changed"),
        (but("dict(mine)", "{}"), "higher clock wins"),
        (but("merged[key] = entry", "merged[key] = entry[2]"), "whole entries"),
        (but("    return merged\n", "    return list(merged.items())\n"), "whole entries"),
        (
            but(
                "    return merged\n",
                "    return {key: e for key, e in merged.items() if e[2] is not None}\n",
            ),
            "a deletion is an entry, too",
        ),
        (but("key not in merged or ", ""), "mine was", "KeyError: 'colour'"),
        (but("entry[:2] > merged[key][:2]", "entry[:2] > merged[key][0]"), "mine was", "theirs", "TypeError"),
    ]
