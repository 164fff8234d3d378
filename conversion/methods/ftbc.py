"""FTBC, forward temporal bias correction (Wu et al., ECCV 2024)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from conversion.methods.base import METHODS, Method
from conversion.methods.options import Phi, Signed
from conversion.stages import Stage, StepBias, TemporalBias, Thresholds


@METHODS.register("ftbc")
class Ftbc(Method):
    """A bias for each channel and step (FTBC, Wu et al., ECCV 2024) on rounding-aware thresholds per channel.

    It needs any network of ReLUs, and no training. As in the release for networks of SNN Calibration, the bias of a
    step makes up for the error of that step alone; with `deviation=running_mean` (ours), for that of all steps so far.
    The release takes flooring thresholds per layer, and reports the best of its five passes by accuracy on the test
    set; here the last pass counts.
    """

    phi: Phi = 1
    signed: Signed = False
    deviation: Literal["step", "running_mean"] = Field(
        default="step", description="the error that a step's bias makes up for: the step's own, as published, or ours"
    )

    def stages(self) -> tuple[Stage, ...]:
        correction = StepBias() if self.deviation == "step" else TemporalBias()
        return Thresholds("mse", self.phi, signed=self.signed), correction
