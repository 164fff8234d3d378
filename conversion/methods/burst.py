"""Burst neurons with a given cap, the same in every layer or one for each."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from conversion.calibration.thresholds import ThresholdRule
from conversion.methods.base import METHODS, Method
from conversion.simulation.network import Nonlinear
from conversion.simulation.neuron import Start
from conversion.stages import BiasCorrection, Stage, Thresholds


def _at_least_one(phi: int | tuple[int, ...]) -> int | tuple[int, ...]:
    if min(phi if isinstance(phi, tuple) else (phi,), default=1) < 1:
        raise PydanticCustomError("phi", "Input should be greater than or equal to 1")
    return phi


class Spiking(Method):
    """Options shared by the methods that put one kind of neuron everywhere."""

    phi: Annotated[int | tuple[int, ...], AfterValidator(_at_least_one)] = Field(
        description="most spikes per step, of every layer or one for each layer in execution order"
    )
    channelwise: bool = Field(default=True, description="one threshold per channel instead of per layer")
    thresholds: ThresholdRule = Field(default="mse", description="how thresholds are chosen")
    start: Start = Field(default="potential", description="how neurons get their half threshold")
    light: bool = Field(default=True, description="correct biases (light calibration)")
    signed: bool = Field(default=False, description="neurons may take spikes back")
    nonlinear: Nonlinear = Field(
        default="difference", description="nonlinear operations of the running mean, or of each step by itself"
    )

    def stages(self) -> tuple[Stage, ...]:
        place = Thresholds(self.thresholds, self.phi, self.channelwise, self.start, self.signed, self.nonlinear)
        return (place, BiasCorrection()) if self.light else (place,)


@METHODS.register("burst")
class Burst(Spiking):
    """Burst neurons with a given phi, rounding-aware thresholds and light calibration."""
