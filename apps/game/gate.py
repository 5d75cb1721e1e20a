"""The gate to the network: whoever has the join code may come in. And the invitation that shows the code."""

from __future__ import annotations

import contextlib
import io
import secrets
import socket
import time
from collections import deque

import segno

WHITE_ON_BLACK, PLAIN = "\033[38;5;231;48;5;16m", "\033[0m"
"""Of the 256 colours, the ones that themes leave alone: blocks are the code's light parts."""

LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
"""What can't be mistaken for something else when it is read out."""

CODE_LETTERS = 6
"""Nearly 900 million codes."""

MOST_WRONG = 10
WRONG_SECONDS = 60
"""After so many wrong codes in so many seconds, an address has to wait, even with the right one."""

MOST_ADDRESSES = 1000
"""Of how many addresses wrong codes are remembered."""


class Refused(Exception):
    """Somebody may not come in; the message says why."""


def new_code() -> str:
    """A join code."""
    return "".join(secrets.choice(LETTERS) for _ in range(CODE_LETTERS))


class Gate:
    """Asks for the join code.

    Args:
        code: without one, everybody may come in.
    """

    def __init__(self, code: str = "") -> None:
        self.code = code
        self._wrong: dict[str, deque[float]] = {}

    def check(self, code: str, address: str) -> None:
        """Let somebody in.

        Args:
            code: as it was typed.
            address: of the machine that they come from.

        Raises:
            Refused: the code is wrong, or there were too many wrong ones from there.
        """
        if not self.code:
            return
        now = time.monotonic()
        wrong = self._wrong.get(address, deque())
        while wrong and wrong[0] < now - WRONG_SECONDS:
            wrong.popleft()
        if len(wrong) >= MOST_WRONG:
            raise Refused(f"too many wrong codes: wait {wrong[0] + WRONG_SECONDS - now:.0f} seconds")
        if secrets.compare_digest(code.strip().upper().encode(), self.code.encode()):
            return
        if not code:
            raise Refused("the join code is missing")
        wrong.append(now)
        self._wrong.pop(address, None)
        self._wrong[address] = wrong  # the last one that was heard of comes last
        if len(self._wrong) > MOST_ADDRESSES:
            del self._wrong[next(iter(self._wrong))]
        raise Refused("the join code is wrong")


def own_address() -> str:
    """This machine's address in its network; 127.0.0.1 if it is in none.

    Nothing is sent: connecting a UDP socket only chooses the way
    (https://man7.org/linux/man-pages/man2/connect.2.html).
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as chooses, contextlib.suppress(OSError):
        chooses.connect(("192.0.2.1", 9))  # reserved for documentation, RFC 5737
        return str(chooses.getsockname()[0])
    return "127.0.0.1"


def invitation(url: str, *, coloured: bool = False) -> str:
    """An address as a QR code, for a terminal.

    Args:
        url: the address.
        coloured: whether the terminal knows ANSI colours. Then the code is black on white in every theme;
            without them it is the right way round on a dark background only.
    """
    drawn = io.StringIO()
    segno.make(url, micro=False).terminal(drawn, compact=True)
    if not coloured:
        return drawn.getvalue()
    lines = drawn.getvalue().splitlines()
    lines[-1] = lines[-1].replace("▀", "█")  # the margin's last row, of which there is only the upper half
    return "".join(f"{WHITE_ON_BLACK}{line}{PLAIN}\n" for line in lines)
