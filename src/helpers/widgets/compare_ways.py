"""Comparisons of the ways to hear news and to get replies, with a progress bar."""

from __future__ import annotations

from helpers.experiments.push import PushRun
from helpers.experiments.request_reply import RequestRun
from helpers.widgets.progress import comparison

compare_push = comparison("compare_push", PushRun)
compare_requests = comparison("compare_requests", RequestRun)
