"""Comparisons of servers that send to everybody, with a progress bar."""

from __future__ import annotations

from helpers.experiments.fan_out import FanOutRun
from helpers.experiments.never_reads import NeverReadsRun
from helpers.widgets.progress import comparison

compare_fan_out = comparison("compare_fan_out", FanOutRun)
one_never_reads = comparison("one_never_reads", NeverReadsRun)
