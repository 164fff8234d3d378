"""LTB, local threshold balancing (Bu et al., CVPR 2025)."""

from __future__ import annotations

from pydantic import Field

from conversion.methods.base import METHODS, Method
from conversion.stages import DelayedReadout, LocalThresholdBalancing, Stage


@METHODS.register("ltb")
class Ltb(Method):
    """Thresholds balanced by channel, and a readout that leaves out the first steps (LTB, Bu et al., CVPR 2025).

    Neurons start at half a threshold, and steps before the readout are counted as all others. It needs any network of
    ReLUs, and no training. It follows SpikingJelly's LocalThresholdBalancingRecipe: the notebook of the release
    estimates its delay from an attribute that its layers do not have. A maximum between neurons is that of running
    sums, where the release pools currents before the neurons. The release balances on 4,000 batches of 100 augmented
    training images (10 in its notebook); here the calibration set is gone through again and again. It fits nothing on
    test data.
    """

    rounds: int = Field(default=100, ge=1, description="batches that thresholds are balanced on, one after the other")
    batch: int = Field(default=100, ge=1, description="calibration samples in a batch")
    delayed: bool = Field(default=True, description="the readout leaves out the steps that spikes need to come through")

    def stages(self) -> tuple[Stage, ...]:
        balanced = LocalThresholdBalancing(self.rounds, self.batch)
        return (balanced, DelayedReadout(self.batch)) if self.delayed else (balanced,)
