"""SNN Calibration (Li et al., ICML 2021), the paper's baseline."""

from __future__ import annotations

from pydantic import Field

from conversion.methods.base import METHODS, Method
from conversion.simulation.network import Nonlinear
from conversion.simulation.neuron import Start
from conversion.stages import BiasCorrection, Stage, Thresholds


@METHODS.register("calibration")
class CalibrationLight(Method):
    """SNN Calibration (Li et al., ICML 2021), 'light', as the paper's baseline: one spike per step.

    Thresholds minimise the squared error of a flooring quantiser on the published 95-step grid, one per layer; half
    a threshold enters as a current. Batches are pooled where the released code averages seven with weights 0.9^i.
    """

    channelwise: bool = Field(default=False, description="one threshold per channel instead of per layer")
    start: Start = Field(default="shift", description="how neurons get their half threshold")
    light: bool = Field(default=True, description="correct biases (light calibration)")
    nonlinear: Nonlinear = Field(
        default="difference", description="nonlinear operations of the running mean, or of each step by itself"
    )

    def stages(self) -> tuple[Stage, ...]:
        place = Thresholds("mse_floor", 1, self.channelwise, self.start, nonlinear=self.nonlinear)
        return (place, BiasCorrection()) if self.light else (place,)
