"""Measured comparisons, and their pictures."""

from helpers.experiments.bars import Bars
from helpers.experiments.news_server import NewsServer
from helpers.experiments.probe import Probe
from helpers.experiments.push import PushComparison, PushRun, compare_push
from helpers.experiments.request_reply import RequestComparison, compare_requests
from helpers.experiments.taps import BackgroundTap, tapped
from helpers.experiments.verdicts import Verdicts

__all__ = [
    "BackgroundTap",
    "Bars",
    "NewsServer",
    "Probe",
    "PushComparison",
    "PushRun",
    "RequestComparison",
    "Verdicts",
    "compare_push",
    "compare_requests",
    "tapped",
]
