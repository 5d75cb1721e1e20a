"""What became of a prediction: the reader's guess next to what was measured."""

from __future__ import annotations

YES_OR_NO = {True: "yes", False: "no"}


def check_guess(guess: object, measured: bool | float | str, what: str) -> None:
    """Print whether a guess was right, or how far off it was.

        guess_connections = ...  # how many?
        check_guess(guess_connections, 1, "TCP connections")

    Args:
        guess: what the reader wrote: a number, a word, `"yes"` or `"no"`; `...` where nothing was written.
        measured: what came out, in the unit of the guess; a bool is a yes or a no.
        what: what was asked for, with its unit.

    Raises:
        TypeError: the guess isn't of the kind that was asked for; the message says what to write.
    """
    if guess is ...:
        print(f"{what}: no guess yet; it was {_shown(measured)}.")
        return
    guessed = _as_asked(guess, measured, what)
    if guessed == measured:
        print(f"{what}: you guessed {_shown(guessed)}. Right!")
        return
    off = ""
    if not isinstance(guessed, bool | str) and not isinstance(measured, bool | str):
        off = f" Off by {_shown(abs(guessed - measured))}."
    print(f"{what}: you guessed {_shown(guessed)}, it was {_shown(measured)}.{off}")


def _as_asked(guess: object, measured: bool | float | str, what: str) -> bool | float | str:
    """The guess as the kind of value that was measured; a word in the spelling of the measured one."""
    word = guess.strip().casefold() if isinstance(guess, str) else guess
    if isinstance(measured, bool):
        for answer, name in YES_OR_NO.items():
            if word == name or guess is answer:
                return answer
        raise TypeError(f'{what}: write "yes" or "no", not {guess!r}')
    if isinstance(measured, str):
        if isinstance(guess, bool) or not isinstance(guess, str | int | float):
            raise TypeError(f"{what}: write one of the choices in quotes, not {guess!r}")
        return measured if str(word) == measured.casefold() else str(guess)
    if isinstance(guess, bool) or not isinstance(guess, int | float):
        raise TypeError(f"{what}: write a number without quotes, not {guess!r}")
    return guess


def _shown(value: bool | float | str) -> str:
    if isinstance(value, bool):
        return YES_OR_NO[value]
    return f'"{value}"' if isinstance(value, str) else f"{value:,.10g}"
