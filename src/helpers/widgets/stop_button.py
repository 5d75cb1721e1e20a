"""A button that stops servers, so that *Run All* leaves the conversation open."""

from __future__ import annotations

import threading

import ipywidgets

from helpers.background.lifetime import Background
from helpers.background.places import in_words


class StopButton(ipywidgets.Button):  # type: ignore[misc]
    """Stops what it is given when you press it; what still runs when the kernel ends is stopped then.

        StopButton(server)

    Args:
        *backgrounds: servers, applications or programs.
    """

    def __init__(self, *backgrounds: Background) -> None:
        self._backgrounds = backgrounds
        what = "the server" if len(backgrounds) == 1 else "the servers"
        super().__init__(description=f"Stop {what}", icon="stop")
        if not any(background.running for background in backgrounds):
            self._show_stopped()
        self.on_click(lambda button: threading.Thread(target=self._stop, daemon=True).start())

    def _stop(self) -> None:
        self.disabled = True
        failures = []
        for background in self._backgrounds:
            try:
                background.stop()
            except Exception as error:
                failures.append(in_words(error))
        self._show_stopped()
        self.tooltip = "; ".join(failures)

    def _show_stopped(self) -> None:
        self.description = "Stopped"
        self.disabled = True

    def __repr__(self) -> str:
        return f"StopButton({', '.join(repr(background.name) for background in self._backgrounds)})"
