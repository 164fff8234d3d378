"""RobustNorm (Rueckauer et al., 2017), as SpikingJelly computes it."""

from __future__ import annotations

from pydantic import Field

from conversion.methods.base import METHODS, Method
from conversion.stages import RunningThresholds, Stage
from conversion.stages.robustnorm import Statistic


@METHODS.register("robustnorm")
class RobustNorm(Method):
    """Thresholds at the 99.9 % quantile of each layer's activations (Rueckauer et al., Front. Neurosci. 2017).

    As in SpikingJelly's RateCodingRecipe, the quantile is a running average over batches with momentum 0.1; neurons
    start at zero and nothing is shifted. It needs any network of ReLUs, and no training. The release fits nothing on
    test data; the batch size is its user's, and here that of its examples.
    """

    statistic: Statistic = Field(default="quantile", description="of a batch; maxima are averaged in the same way")
    batch: int = Field(default=100, ge=1, description="calibration samples in a batch of the running average")

    def stages(self) -> tuple[Stage, ...]:
        return (RunningThresholds(self.statistic, self.batch),)
