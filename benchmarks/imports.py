"""What `import helpers` costs, against what it stands on."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

BASE = "import websockets.asyncio.server, ipywidgets"
OURS = {
    "import helpers": "import helpers",
    "what chapter 00 imports of it": "from helpers import BackgroundServer, ClientPanel, StopButton",
}


def seconds(code: str) -> float:
    """How long a new Python takes to run `code`."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - begin


def run(rounds: int) -> list[str]:
    """Each import in turn with the base and with an empty program, which is subtracted."""
    lines = []
    for label, code in OURS.items():
        ratios = []
        for _ in range(2 * rounds):
            empty, base, ours = seconds("pass"), seconds(BASE), seconds(code)
            ratios.append((ours - empty) / (base - empty))
        goal = " (≤ 1.30)" if code == "import helpers" else ""
        lines.append(f"{label} / {BASE}: {statistics.median(ratios):.2f}{goal}")
    return lines
