"""References of spiking networks: the ANN, and the quantised ANN with the levels of a burst network."""

from __future__ import annotations

from conversion.methods.base import METHODS, Method
from conversion.methods.burst import Spiking
from conversion.stages import Quantise, Stage


@METHODS.register("ann")
class Ann(Method):
    """The ANN itself, in floating point: the reference of every table."""

    timed = False

    def stages(self) -> tuple[Stage, ...]:
        return ()


@METHODS.register("quantised_ann")
class QuantisedAnn(Spiking):
    """The twin of a burst network: the ANN with activations rounded to T phi + 1 levels, in one pass.

    It has the burst network's thresholds and its own light calibration. No burst network at the same T and phi can
    be expected to do better, so its distance from the twin is the error due to time.
    """

    def stages(self) -> tuple[Stage, ...]:
        stages = super().stages()
        uncorrected = len(stages) - self.light
        return (*stages[:uncorrected], Quantise(), *stages[uncorrected:])
