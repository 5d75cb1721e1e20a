"""Finds a Chromium-like browser and starts it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

ON_PATH = ("chromium", "google-chrome", "chrome", "msedge")

# Nothing here needs a graphics card or may talk to the outside. The meaning of each:
# https://github.com/GoogleChrome/chrome-launcher/blob/main/docs/chrome-flags-for-tools.md
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class NoBrowser(Exception):
    """There is no browser to test with."""


def find_browser(playwright: Playwright) -> str:
    """The path of the browser to test with.

    The environment variable ``CHROME`` comes first, then Playwright's own download, then what is on the path.

    Raises:
        NoBrowser: None is there, or ``CHROME`` names a file that isn't.
    """
    if wanted := os.environ.get("CHROME"):
        if found := shutil.which(wanted):
            return found
        raise NoBrowser(f"CHROME is {wanted!r}, which is no program")
    own = playwright.chromium.executable_path
    if Path(own).exists():
        return own
    for name in ON_PATH:
        if found := shutil.which(name):
            return found
    raise NoBrowser(
        "no Chromium, Chrome or Edge found: install one, set CHROME, or run: playwright install chromium"
    )


def launch(playwright: Playwright) -> Browser:
    """Start the browser, without a window.

    Raises:
        NoBrowser: None is there.
    """
    flags = list(FLAGS)
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--no-sandbox")  # Chromium refuses to start as root with its sandbox
    return playwright.chromium.launch(executable_path=find_browser(playwright), args=flags)
