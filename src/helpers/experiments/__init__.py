"""Measured comparisons, and their pictures."""

from helpers.experiments.bars import Bars
from helpers.experiments.probe import Probe
from helpers.experiments.taps import BackgroundTap, tapped

__all__ = ["BackgroundTap", "Bars", "Probe", "tapped"]
