"""Burst neurons with the same cap in every layer."""

from __future__ import annotations

from pydantic import Field

from conversion.methods.base import METHODS, Method
from conversion.stages import BiasCorrection, Stage, Thresholds
from conversion.thresholds import Rule


class Spiking(Method):
    """Options shared by the methods that put one kind of neuron everywhere."""

    phi: int = Field(ge=1, description="most spikes per step")
    channelwise: bool = Field(default=True, description="one threshold per channel instead of per layer")
    thresholds: Rule = Field(default="mse", description="how thresholds are chosen")
    light: bool = Field(default=True, description="correct biases (light calibration)")
    signed: bool = Field(default=False, description="neurons may take spikes back")

    def stages(self) -> tuple[Stage, ...]:
        place = Thresholds(self.thresholds, self.phi, self.channelwise, signed=self.signed)
        return (place, BiasCorrection()) if self.light else (place,)


@METHODS.register("burst")
class Burst(Spiking):
    """Burst neurons with the same phi in every layer, rounding-aware thresholds and light calibration."""

    name = "burst"
