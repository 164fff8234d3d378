"""Stages, the parts of a conversion method. Each takes a spiking network and returns a changed one."""

from conversion.stages.adafire import AdaFire
from conversion.stages.base import Stage
from conversion.stages.bias import BiasCorrection, TemporalBias
from conversion.stages.early_exit import EarlyExit, SettledExit
from conversion.stages.energy_aware import EnergyAwareThresholds
from conversion.stages.potential import PotentialCorrection
from conversion.stages.quantise import Quantise
from conversion.stages.ssc import SSC
from conversion.stages.thresholds import Thresholds
from conversion.stages.trained import TrainedThresholds
from conversion.stages.weights import WeightCalibration

__all__ = [
    "SSC",
    "AdaFire",
    "BiasCorrection",
    "EarlyExit",
    "EnergyAwareThresholds",
    "PotentialCorrection",
    "Quantise",
    "SettledExit",
    "Stage",
    "TemporalBias",
    "Thresholds",
    "TrainedThresholds",
    "WeightCalibration",
]
