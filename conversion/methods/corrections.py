"""Methods beyond light calibration: corrected potentials or weights, a bias for each step, signed spikes, energy."""

from __future__ import annotations

from pydantic import Field

from conversion.methods.base import METHODS, Method
from conversion.methods.options import Channelwise, HalfThreshold, Light, Phi, Signed
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

    channelwise: Channelwise = False
    start: HalfThreshold = "shift"
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

    phi: Phi = 1
    signed: Signed = False

    def stages(self) -> tuple[Stage, ...]:
        return Thresholds("mse", self.phi, signed=self.signed), TemporalBias()


@METHODS.register("snm")
class Snm(Method):
    """The signed neuron with memory (Wang et al., IJCAI 2022), post-training: nothing shifted, nothing corrected.

    Thresholds are the largest activation of each channel, where the paper takes that of each neuron; and a spike is
    taken back as soon as the potential is below zero, where the paper waits for minus a threshold.
    """

    light: Light = False

    def stages(self) -> tuple[Stage, ...]:
        neurons = Thresholds("max", 1, start="none", signed=True)
        return (neurons, BiasCorrection()) if self.light else (neurons,)


@METHODS.register("energy_aware")
class EnergyAware(Method):
    """Ours: bursts with a large phi, and thresholds that weigh error against the energy of spikes."""

    energy: float = Field(
        default=0.05, ge=0, allow_inf_nan=False, description="the weight of energy; 0 minimises the error alone"
    )
    phi: Phi = 8
    signed: Signed = False
    per_step_bias: bool = Field(default=False, description="correct a bias for each step instead of one for all")

    @property
    def converges(self) -> bool:
        return self.energy == 0

    def stages(self) -> tuple[Stage, ...]:
        neurons = EnergyAwareThresholds(self.energy, self.phi, self.signed)
        return neurons, TemporalBias() if self.per_step_bias else BiasCorrection()
