"""Parallel conversion (Hao et al., ICML 2025)."""

from __future__ import annotations

from conversion.methods.base import METHODS, Method
from conversion.stages import ParallelNeurons, Stage


@METHODS.register("parallel")
class Parallel(Method):
    """Parallel conversion (Hao et al., ICML 2025), its mode without training: not causal, T levels in the first steps.

    Step t fires if T times the mean current of **all** T steps and half a threshold are t thresholds or more, so no
    layer can begin before the one before it has ended: here it waits for its whole input, and the latency says so. It
    computes a network quantised to T levels. Thresholds are the largest activations, or those a network was trained
    with; a spike is worth a little more than its threshold, which corrects means. The release finds its corrections on
    the training set.
    """

    def stages(self) -> tuple[Stage, ...]:
        return (ParallelNeurons(),)
