"""What only the test extra installs: its tests are skipped without it, but not in CI."""

from __future__ import annotations

import importlib
import os
from typing import Any

import pytest


def needs(module: str) -> Any:
    """Import a module, or skip the tests that need it and say why; in CI they fail."""
    if os.environ.get("CI"):
        return importlib.import_module(module)
    return pytest.importorskip(module, reason=f"needs {module}: pip install -e '.[test]'")
