"""Looks at an answer that is a dict: a word from a list for each of some names."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from helpers.checks.verdict import UNFINISHED, Verdict, shown


def why_unfit(
    answer: Any, name: str, keys: Collection[str], words: Collection[str], *, wanted: str
) -> Verdict | None:
    """What an answer lacks before it can be right or wrong.

    Args:
        answer: what the reader wrote.
        name: the dict's name, for the verdict.
        keys: the keys that it has in the stub.
        words: the values to choose from.
        wanted: what belongs in place of a `...`, like "a way".

    Returns:
        A verdict that says what is missing; None where each key has one of the words.
    """
    if answer is ...:
        return UNFINISHED
    if not isinstance(answer, dict):
        return Verdict(
            False,
            f"`{name}` is {shown(answer)}, not a dict",
            f"keep the stub's first line, `{name} = {{`, and put {wanted} in place of each `...`",
        )
    if missing := [key for key in keys if key not in answer]:
        return Verdict(
            False,
            f"`{name}` has nothing for {_listed(missing)}",
            f"keep the keys as the stub has them, and give each one {wanted}",
        )
    if more := [key for key in answer if key not in keys]:
        return Verdict(
            False,
            f"`{name}` has {_listed(more)} too, which is not in the stub",
            "keep the keys of the stub, and no others",
        )
    if todo := [key for key in keys if answer[key] is ...]:
        where = f", for {_listed(todo)}" if len(todo) < len(keys) else ""
        return Verdict(False, "there is still a `...`", f"put {wanted} in its place{where}")
    for key in keys:
        if not isinstance(answer[key], str) or answer[key] not in words:
            return Verdict(
                False,
                f"for {shown(key)} you wrote {shown(answer[key])}, which isn't one of the choices",
                f"write one of these, letter for letter: {_listed(words)}",
            )
    return None


def _listed(things: Collection[Any]) -> str:
    return ", ".join(shown(thing) for thing in things)
