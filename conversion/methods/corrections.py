"""Methods that correct what light calibration leaves: potentials, weights, a bias for each step, signed spikes."""

from __future__ import annotations

from pydantic import Field

from conversion.methods.base import METHODS, Method
from conversion.simulation.neuron import Start
from conversion.stages import (
    BiasCorrection,
    EnergyAwareThresholds,
    PotentialCorrection,
    Stage,
    TemporalBias,
    Thresholds,
    WeightCalibration,
)


@METHODS.register("calibration_advanced")
class CalibrationAdvanced(Method):
    """SNN Calibration (Li et al., ICML 2021), 'advanced': initial potentials, and weights, in place of the bias.

    The released code calibrates potentials alone on CIFAR and weights before potentials on ImageNet; neurons are
    those of the light variant: phi = 1, one flooring threshold per layer, half a threshold as a current.
    """

    channelwise: bool = Field(default=False, description="one threshold per channel instead of per layer")
    start: Start = Field(default="shift", description="how neurons get their half threshold")
    weights: bool = Field(default=False, description="tune the weights of every layer first")
    potential: bool = Field(default=True, description="correct the initial potential of every neuron")
    iterations: int = Field(default=5000, ge=1, description="of weight tuning, for each layer")
    learning_rate: float = Field(default=1e-5, gt=0, allow_inf_nan=False, description="of weight tuning, at its start")

    def stages(self) -> tuple[Stage, ...]:
        stages: list[Stage] = [Thresholds("mse_floor", 1, self.channelwise, self.start)]
        if self.weights:
            stages.append(WeightCalibration(self.iterations, self.learning_rate))
        if self.potential:
            stages.append(PotentialCorrection())
        return tuple(stages)


@METHODS.register("ftbc")
class Ftbc(Method):
    """A bias for each channel and step (FTBC, Wu et al., ECCV 2024) on rounding-aware thresholds per channel."""

    phi: int = Field(default=1, ge=1, description="most spikes per step")
    signed: bool = Field(default=False, description="neurons may take spikes back")

    def stages(self) -> tuple[Stage, ...]:
        return Thresholds("mse", self.phi, signed=self.signed), TemporalBias()


@METHODS.register("snm")
class Snm(Method):
    """The signed neuron with memory (Wang et al., IJCAI 2022), post-training: nothing shifted, nothing corrected.

    Thresholds are the largest activation of each channel, where the paper takes that of each neuron; and a spike is
    taken back as soon as the potential is below zero, where the paper waits for minus a threshold.
    """

    light: bool = Field(default=False, description="correct biases (light calibration)")

    def stages(self) -> tuple[Stage, ...]:
        place = Thresholds("max", 1, start="none", signed=True)
        return (place, BiasCorrection()) if self.light else (place,)


@METHODS.register("energy_aware")
class EnergyAware(Method):
    """Our own: bursts with a generous cap, and thresholds that weigh error against the energy of spikes."""

    energy: float = Field(
        default=0.05, ge=0, allow_inf_nan=False, description="the weight of energy; 0 minimises the error alone"
    )
    phi: int = Field(default=8, ge=1, description="most spikes per step")
    signed: bool = Field(default=False, description="neurons may take spikes back")
    per_step_bias: bool = Field(default=False, description="correct a bias for each step in place of one for all")

    @property
    def converges(self) -> bool:
        return self.energy == 0

    def stages(self) -> tuple[Stage, ...]:
        place = EnergyAwareThresholds(self.energy, self.phi, self.signed)
        return place, TemporalBias() if self.per_step_bias else BiasCorrection()
