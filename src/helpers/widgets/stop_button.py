"""A button that stops servers, so that *Run All* leaves the conversation open."""

from __future__ import annotations

import threading
from typing import Protocol

import ipywidgets

from helpers.readers_code import in_words


class Stoppable(Protocol):
    """What has a name and can be stopped."""

    name: str

    @property
    def running(self) -> bool:
        """Whether it has been started and not been stopped."""

    def stop(self) -> None:
        """Stop; may raise what failed before."""


class StopButton(ipywidgets.Button):  # type: ignore[misc]
    """Stops what it is given when you press it; what still runs when the kernel ends is stopped then.

        StopButton(server)

    Args:
        *backgrounds: servers, applications, programs or taps.
    """

    def __init__(self, *backgrounds: Stoppable) -> None:
        for background in backgrounds:
            if not hasattr(background, "running"):
                raise TypeError(f"StopButton stops servers, taps and programs, not {background!r}")
        self._backgrounds = backgrounds
        what = "the server" if len(backgrounds) == 1 else "the servers"
        super().__init__(description=f"Stop {what}", icon="stop", layout={"width": "max-content"})
        if not any(background.running for background in backgrounds):
            self._show_stopped()
        self.on_click(lambda button: threading.Thread(target=self._stop, daemon=True).start())

    def _stop(self) -> None:
        self.disabled = True
        failures = []
        for background in self._backgrounds:
            try:
                getattr(background, "newest", background).stop()  # its cell may have been run again
            except Exception as error:
                failures.append(in_words(error))
        self._show_stopped()
        self.tooltip = "; ".join(failures)

    def _show_stopped(self) -> None:
        self.description = "Stopped"
        self.disabled = True

    def __repr__(self) -> str:
        return f"StopButton({', '.join(repr(background.name) for background in self._backgrounds)})"
