"""QCFS (Bu et al., ICLR 2022): networks trained to be converted."""

from __future__ import annotations

from conversion.methods.base import METHODS, Method
from conversion.stages import Stage, TrainedThresholds


@METHODS.register("qcfs")
class Qcfs(Method):
    """Networks trained with QCFS activations (Bu et al., ICLR 2022): the thresholds they learnt, one spike per step.

    Potentials start at half a threshold, and nothing is calibrated. T is free: it need not be the number of levels.
    """

    trained = True

    def stages(self) -> tuple[Stage, ...]:
        return (TrainedThresholds(),)
