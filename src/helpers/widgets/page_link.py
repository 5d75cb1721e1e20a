"""A link to a page that runs beside the kernel, for wherever the reader's browser is."""

from __future__ import annotations

import anywidget
import traitlets

from helpers.widgets.scripts import script


class PageLink(anywidget.AnyWidget):
    """A link to a web page that a program beside the kernel serves; it opens in a new tab.

        page = BackgroundProcess([...], ready="URL: ").start()
        PageLink(f"{page.url}/?name=Ann", "Join as Ann")

    In JupyterLab it leads through Jupyter's proxy, below the notebook's own address, so that it works on
    Binder too; elsewhere straight to the address.

    Args:
        address: the page's address as the kernel sees it.
        text: what to click on; the address by default.
    """

    _esm = script("page_link.js")
    _address = traitlets.Unicode().tag(sync=True)
    _text = traitlets.Unicode().tag(sync=True)

    def __init__(self, address: str, text: str | None = None) -> None:
        self.address = address
        super().__init__(_address=address, _text=address if text is None else text)

    def __repr__(self) -> str:
        return f"PageLink({self._text!r}): {self.address}"
