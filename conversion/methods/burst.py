"""Burst neurons with a given phi, the same in every layer or one for each."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from conversion.calibration.thresholds import ThresholdRule
from conversion.methods.base import METHODS, Method
from conversion.methods.options import Between, Channelwise, HalfThreshold, Light, NonlinearInTime, Signed
from conversion.stages import BiasCorrection, EncodersBetween, Stage, Thresholds


def _at_least_one(phi: int | tuple[int, ...]) -> int | tuple[int, ...]:
    if min(phi if isinstance(phi, tuple) else (phi,), default=1) < 1:
        raise PydanticCustomError("phi", "Input should be greater than or equal to 1")
    return phi


class Spiking(Method):
    """Options shared by the methods that put one kind of neuron everywhere."""

    phi: Annotated[int | tuple[int, ...], AfterValidator(_at_least_one)] = Field(
        description="most spikes per step, of every layer or one for each layer in execution order"
    )
    channelwise: Channelwise = True
    thresholds: ThresholdRule = Field(default="mse", description="how thresholds are chosen")
    start: HalfThreshold = "potential"
    light: Light = True
    signed: Signed = False
    nonlinear: NonlinearInTime = "difference"
    between: Between = False

    def stages(self) -> tuple[Stage, ...]:
        neurons = Thresholds(self.thresholds, self.phi, self.channelwise, self.start, self.signed, self.nonlinear)
        encoders = (EncodersBetween(),) if self.between else ()
        correction = (BiasCorrection(),) if self.light else ()
        return (*encoders, neurons, *correction)


@METHODS.register("burst")
class Burst(Spiking):
    """Burst neurons with a given phi, rounding-aware thresholds and light calibration."""
