"""Functions that are called with what a tap records, while it records: in batches, twenty times a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from helpers.wire.events import Event
from helpers.wire.recorder import Recorder

PAUSE = 0.05
"""Seconds between two calls of a listener."""

Listener = Callable[[list[Event]], None]


class Listeners:
    """The functions that are called with what a recorder has decoded.

    It belongs to the loop that records: call its methods there.

    Args:
        recorder: what they hear of.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._listeners: list[Listener] = []
        self._timer: asyncio.TimerHandle | None = None
        self._failure: Exception | None = None

    def add(self, listener: Listener, *, past: bool) -> None:
        """Call a function from now on, at most twenty times a second.

        Args:
            listener: is called with the new events. When it raises it is not called again.
            past: whether it is called first with the events that were recorded before.
        """
        if not self._listeners:
            self._recorder.collect(True)
            self._recorder.on_record = self._recorded
        if past:
            untold, recorded = self._recorder.catch_up()
            self._call(untold)
            listener(recorded)
        self._listeners.append(listener)

    def remove(self, listener: Listener) -> None:
        """Call a function no longer."""
        if listener in self._listeners:
            self._listeners.remove(listener)
        if not self._listeners:
            self._recorder.on_record = None
            self._recorder.collect(False)

    def tell_all(self) -> None:
        """Tell now everything that has been recorded."""
        while self._listeners and self._tell():
            pass

    def close(self) -> None:
        """Tell the last of it."""
        if self._timer is not None:
            self._timer.cancel()
        self.tell_all()

    def raise_failure(self) -> None:
        """Raise what a listener has raised.

        Raises:
            Exception: what a listener has raised, once.
        """
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _recorded(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PAUSE, self._notify)

    def _notify(self) -> None:
        more = self._tell()
        self._timer = asyncio.get_running_loop().call_later(0, self._notify) if more else None

    def _tell(self) -> bool:
        """Tell a part of what is new; returns whether there is more."""
        events, more = self._recorder.fresh()
        self._call(events)
        return more

    def _call(self, events: list[Event]) -> None:
        for listener in list(self._listeners) if events else ():
            try:
                listener(events)
            except Exception as error:
                self._failure = self._failure or error
                self._listeners.remove(listener)
