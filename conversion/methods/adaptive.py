"""Adaptive Calibration: the paper's own methods (docs/adaptive.md)."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from conversion.calibration.sensitivity import Effect, Energy
from conversion.methods.base import METHODS, Method
from conversion.methods.options import Channelwise, HalfThresholdOrForm, Light
from conversion.stages import SSC, AdaFire, BiasCorrection, Stage, Thresholds
from conversion.stages.adafire import Form
from conversion.stages.ssc import Grid


@METHODS.register("adafire")
class Adaptive(Method):
    """AdaFire: burst neurons, each layer with its own phi within the energy of a uniform one.

    The released form is the authors' code: flooring thresholds, a constant shift, tables at phi_init, spikes counted.
    The corrected form sets thresholds for every candidate and counts synaptic operations.
    """

    phi: int = Field(default=4, description="the energy of this phi in every layer is the unit of the budget")
    phi_init: int = Field(default=8, description="largest phi of a layer")
    phi_min: int = Field(default=1, description="smallest phi of a layer")
    budget: float = Field(default=1.0, description="share of the energy of uniform phi")
    form: Form = Field(default="released", description="how sensitivity and energy are measured")
    samples: int = Field(default=128, description="calibration samples searched on")
    effect: Effect = Field(
        default="simulated",
        description="how AdaFire finds the effect of a phi: layers behind are simulated, or the ANN's take the mean",
    )
    start: HalfThresholdOrForm = None
    channelwise: Channelwise = True
    light: Light = True

    @model_validator(mode="after")
    def _refuse_early(self) -> Self:
        # The stages refuse what they cannot do when they are made.
        self.stages()
        return self

    def stages(self) -> tuple[Stage, ...]:
        released = self.form == "released"
        start = self.start or ("shift" if released else "potential")
        neurons = Thresholds("mse_floor" if released else "mse", channelwise=self.channelwise, start=start)
        search = AdaFire(
            neurons, self.phi, self.phi_init, self.phi_min, self.budget, self.form, self.samples, self.effect
        )
        return (search, *self.correction())

    def correction(self) -> tuple[Stage, ...]:
        """The stages after every change of thresholds."""
        return (BiasCorrection(),) if self.light else ()


@METHODS.register("adafire_ssc")
class AdaFireSSC(Adaptive):
    """AdaFire, then SSC: larger thresholds where the output changes little, and biases corrected again."""

    ssc_budget: float = Field(default=1.0, description="ratio of divergences that SSC keeps to")
    ssc_grid: Grid = Field(
        default="every", description="which threshold ratios SSC measures: every one, or a few and curves through them"
    )

    def stages(self) -> tuple[Stage, ...]:
        energy: Energy = "spikes" if self.form == "released" else "synops_unary"
        return (*super().stages(), SSC(self.ssc_budget, energy, self.samples, self.ssc_grid), *self.correction())
