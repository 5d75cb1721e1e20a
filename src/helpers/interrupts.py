"""Lets the reader's ■ end a cell that awaits, and shows where the reader's own code was.

ipykernel 7 answers an interrupt by cancelling the cell's task. A loop that waits for the operating system
doesn't notice that until something else wakes it: `await asyncio.sleep(8)` ran on for its eight seconds, and
a cell that waited for a message went on until one came. A loop that handles any signal itself is woken by
every signal, so it is enough to have it handle one that nobody sends.

Sources: https://github.com/ipython/ipykernel/issues/881 and
https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.add_signal_handler
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from types import TracebackType
from typing import Any

from helpers.readers_code import is_readers


def in_a_notebook() -> bool:
    """Whether a Jupyter kernel runs this."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None) is not None


def answer_interrupts() -> None:
    """Have signals wake the loop that runs the reader's cells; does nothing where no kernel runs this.

    On Windows signals don't wake a loop; there an interrupt still waits for the next event.
    """
    if not in_a_notebook():
        return
    shell = sys.modules["IPython"].get_ipython()
    shell.set_custom_exc((KeyboardInterrupt, asyncio.CancelledError), _show_the_readers_lines)
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        return
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    loop.add_signal_handler(signal.SIGUSR2, lambda: None)  # nobody sends it; unhandled, it ends the kernel


def _show_the_readers_lines(
    shell: Any, kind: type[BaseException], error: BaseException, trace: TracebackType, tb_offset: int | None
) -> None:
    """Leave out of a traceback the forty lines of what the reader's own code had called."""
    places, kept = [trace], None
    while places[-1].tb_next:
        places.append(places[-1].tb_next)
    for place in reversed(places):
        if is_readers(place.tb_frame.f_code.co_filename):
            kept = TracebackType(kept, place.tb_frame, place.tb_lasti, place.tb_lineno)
    error.__suppress_context__, error.__cause__ = True, None
    shell.showtraceback((kind, error, kept or trace), tb_offset=0)
