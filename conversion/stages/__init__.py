"""Stages, the parts of a conversion method. Each takes a spiking network and returns a changed one."""

from conversion.stages.adafire import AdaFire
from conversion.stages.balancing import DelayedReadout, LocalThresholdBalancing
from conversion.stages.base import Stage
from conversion.stages.between import EncodersBetween
from conversion.stages.bias import BiasCorrection
from conversion.stages.codes import CodedNeurons
from conversion.stages.early_exit import ConfidentExit, EarlyExit, SettledExit
from conversion.stages.energy_aware import EnergyAwareThresholds
from conversion.stages.energy_target import AtEnergy
from conversion.stages.neuronwise import NeuronThresholds, OutputNeurons
from conversion.stages.normal_fit import NormalFit
from conversion.stages.parallel import ParallelNeurons
from conversion.stages.potential import PotentialCorrection
from conversion.stages.quantise import Quantise
from conversion.stages.robustnorm import RunningThresholds
from conversion.stages.ssc import SSC
from conversion.stages.temporal_bias import StepBias, TemporalBias
from conversion.stages.thresholds import Thresholds
from conversion.stages.trained import TrainedThresholds
from conversion.stages.trials import Trials
from conversion.stages.tuning import Tuning
from conversion.stages.weights import WeightCalibration

__all__ = [
    "SSC",
    "AdaFire",
    "AtEnergy",
    "BiasCorrection",
    "CodedNeurons",
    "ConfidentExit",
    "DelayedReadout",
    "EarlyExit",
    "EncodersBetween",
    "EnergyAwareThresholds",
    "LocalThresholdBalancing",
    "NeuronThresholds",
    "NormalFit",
    "OutputNeurons",
    "ParallelNeurons",
    "PotentialCorrection",
    "Quantise",
    "RunningThresholds",
    "SettledExit",
    "Stage",
    "StepBias",
    "TemporalBias",
    "Thresholds",
    "TrainedThresholds",
    "Trials",
    "Tuning",
    "WeightCalibration",
]
