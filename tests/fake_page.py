"""A browser's page without a browser, for tests of what a panel tells it and of what it may say."""

from __future__ import annotations

import itertools
from typing import Any

from helpers.widgets.panel import BrowserClient, Panel


class FakePage:
    """A browser that shows a panel: it keeps what the kernel shows and tells, and says what it shall say.

    It knows what `widgets/protocol.md` says, and it alone knows the panel's private names.
    """

    def __init__(self, panel: Panel, id: str = "the page") -> None:
        self.panel = panel
        self.views: list[dict[str, Any]] = []
        self.told: list[dict[str, Any]] = []
        self.id = id
        self._numbers = itertools.count(1)
        panel.observe(lambda change: self.views.append(change["new"]), "_view")
        if isinstance(panel, BrowserClient):
            panel._tell = self._keep  # type: ignore[method-assign]

    def _keep(self, content: dict[str, Any], buffers: list[bytes] | None = None) -> None:
        self.told.append({**content, "buffers": buffers or []})

    @property
    def view(self) -> dict[str, Any]:
        return self.panel._view

    @property
    def address(self) -> str:
        return self.panel._address

    @property
    def lines(self) -> list[tuple[str, str]]:
        """The log that is shown: direction and text."""
        return [(direction, text) for _, direction, text in self.view["log"]]

    def shows(self, state: str) -> bool:
        """Whether the state is shown, and nothing is missing in the log."""
        return self.view["state"] == state and len(self.view["log"]) == len(self.panel.log)

    def says(self, do: str, *buffers: bytes, **content: Any) -> None:
        self.panel._from_the_page(
            self.panel, {"do": do, "page": self.id, **content}, [memoryview(b) for b in buffers]
        )

    def press(self, do: str, **content: Any) -> int:
        """What a ClientPanel's page says when a person presses a button; returns the number of the wish."""
        number = next(self._numbers)
        self.says(do, number=number, **content)
        return number

    def state(self, state: str, detail: str = "") -> None:
        """A BrowserClient's page tells its state."""
        self.says("state", state=state, detail=detail, route="through Jupyter's proxy")

    def batch(
        self, *lines: tuple[str, str | None], buffers: tuple[bytes, ...] = (), skipped: int = 0
    ) -> None:
        """A BrowserClient's page tells what has come and gone."""
        self.says("batch", *buffers, lines=list(lines), skipped=skipped)
