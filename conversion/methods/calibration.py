"""SNN Calibration (Li et al., ICML 2021), the paper's baseline."""

from __future__ import annotations

from conversion.methods.base import METHODS, Method
from conversion.methods.options import Channelwise, HalfThreshold, Light, NonlinearInTime
from conversion.stages import BiasCorrection, Stage, Thresholds


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
