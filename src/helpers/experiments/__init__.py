"""Measured comparisons, and their pictures."""

from helpers.experiments.bars import Bars
from helpers.experiments.probe import Probe

__all__ = ["Bars", "Probe"]
