"""Measured comparisons, and their pictures."""

from helpers.experiments.bars import Bars
from helpers.experiments.crowd import crowd, mute
from helpers.experiments.fan_out import FanOutComparison, compare_fan_out
from helpers.experiments.grouped_bars import GroupedBars
from helpers.experiments.never_reads import NeverReads, one_never_reads
from helpers.experiments.news_server import NewsServer
from helpers.experiments.probe import Probe
from helpers.experiments.push import PushComparison, PushRun, compare_push
from helpers.experiments.request_reply import RequestComparison, compare_requests
from helpers.experiments.taps import BackgroundTap, tapped
from helpers.experiments.verdicts import Verdicts

__all__ = [
    "BackgroundTap",
    "Bars",
    "FanOutComparison",
    "GroupedBars",
    "NeverReads",
    "NewsServer",
    "Probe",
    "PushComparison",
    "PushRun",
    "RequestComparison",
    "Verdicts",
    "compare_fan_out",
    "compare_push",
    "compare_requests",
    "crowd",
    "mute",
    "one_never_reads",
    "tapped",
]
