"""The pages that show one widget: a notebook may be open in several tabs, and one of them acts for all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

UPDATES_PER_SECOND = 20
"""How often a widget tells its pages what is new, at most."""

ANSWER_WITHIN = 1.0
"""Seconds in which the page that acts has to answer when another one comes; a page that was closed can't."""

BUSY = 0.3
"""Seconds by which a timer is late when the kernel had no time, so that an answer may be waiting."""


class Pages:
    """Which page acts: the first that shows the widget, another when it has gone, or the one that takes over.

    Jupyter sends what the kernel says to every page, and doesn't say when one is closed.

    Args:
        ask: has the page that acts asked whether it is there; it answers by `heard`.
        changed: is called when another page acts from now on, and with whether the one before has gone.
    """

    def __init__(self, ask: Callable[[], None], changed: Callable[[bool], None]) -> None:
        self._ask = ask
        self._changed = changed
        self._pages: list[str] = []
        self._asked = False
        self.acting = ""

    @property
    def several(self) -> bool:
        """Whether other pages show what the acting one does."""
        return len(self._pages) > 1

    def hello(self, page: str) -> None:
        """A page shows the widget. It says so now and then, as long as it doesn't act."""
        if page not in self._pages:
            self._pages.append(page)
        if not self.acting:
            self._choose(page, gone=False)
        elif page != self.acting and not self._asked:
            self._asked = True
            self._ask()
            self._wait(self.acting)

    def heard(self, page: str) -> bool:
        """Whether it is the page that acts that has said something; so it is there."""
        if page == self.acting:
            self._asked = False
        return page == self.acting

    def takes(self, page: str) -> None:
        """A person wants this page to act."""
        if page not in self._pages:
            self._pages.append(page)
        if page != self.acting:
            self._choose(page, gone=False)

    def _choose(self, page: str, *, gone: bool) -> None:
        self.acting = page
        self._asked = False
        self._changed(gone)

    def _wait(self, page: str) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(ANSWER_WITHIN, self._look, page, loop.time() + ANSWER_WITHIN)

    def _look(self, page: str, due: float) -> None:
        """See whether the page has answered; where the kernel was busy meanwhile, wait once more."""
        if page != self.acting or not self._asked:
            return
        if asyncio.get_running_loop().time() - due > BUSY:
            self._wait(page)
            return
        self._pages.remove(page)
        self._choose(self._pages[-1], gone=True)
