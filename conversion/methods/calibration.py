"""SNN Calibration (Li et al., ICML 2021): 'light', the paper's baseline, and 'advanced'."""

from __future__ import annotations

from pydantic import Field

from conversion.methods.base import METHODS, Method
from conversion.methods.options import Channelwise, HalfThreshold, Light, NonlinearInTime
from conversion.stages import BiasCorrection, PotentialCorrection, Stage, Thresholds, WeightCalibration


@METHODS.register("calibration")
class CalibrationLight(Method):
    """SNN Calibration (Li et al., ICML 2021), 'light', as the paper's baseline: one spike per step.

    Thresholds minimise the squared error of a flooring quantiser on the published 95-step grid, one per layer; half
    a threshold enters as a current. Batches are pooled where the released code averages seven with weights 0.9^i.
    """

    channelwise: Channelwise = False
    start: HalfThreshold = "shift"
    light: Light = True
    nonlinear: NonlinearInTime = "difference"

    def stages(self) -> tuple[Stage, ...]:
        neurons = Thresholds("mse_floor", 1, self.channelwise, self.start, nonlinear=self.nonlinear)
        return (neurons, BiasCorrection()) if self.light else (neurons,)


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
