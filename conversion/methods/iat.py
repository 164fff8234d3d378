"""Early exit (IAT) on top of other methods: confident samples exit early, or those whose output has settled."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from conversion.methods.adaptive import AdaFireSSC, Adaptive
from conversion.methods.base import METHODS
from conversion.methods.calibration import CalibrationLight
from conversion.methods.options import HalfThreshold, HalfThresholdOrForm
from conversion.simulation.exit_rules import Sign
from conversion.stages import EarlyExit, SettledExit, Stage


class Exits(BaseModel):
    """Options of early exit: those of IAT, and of the rule for outputs without classes."""

    rule: Literal["entropy", "settled"] = Field(default="entropy", description="IAT's, or ours for boxes and the like")
    tolerance: float = Field(
        default=0.05, gt=0, allow_inf_nan=False, description="mean relative distance from step T's output, of settled"
    )
    base: float = Field(default=0.6, allow_inf_nan=False, description="alpha_base of Eq. 18")
    scale: float = Field(default=0.4, allow_inf_nan=False, description="beta of Eq. 18")
    delta: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="delta of Eq. 18")
    sign: Sign = Field(default="code", description="entropy as in the released code, or as in the paper's text")

    def exit(self) -> Stage:
        """The stage that sets the exit rule; it comes last."""
        if self.rule == "settled":
            return SettledExit(self.tolerance)
        return EarlyExit(self.base, self.scale, self.delta, self.sign)


# Half a threshold is in the potential from the start: the published current has given only t / T of it by step t, so
# that early readouts are too low.
@METHODS.register("calibration_iat")
class CalibrationIat(Exits, CalibrationLight):
    """SNN Calibration whose confident samples exit early."""

    start: HalfThreshold = "potential"

    def stages(self) -> tuple[Stage, ...]:
        return (*super().stages(), self.exit())


@METHODS.register("adafire_iat")
class AdaFireIat(Exits, Adaptive):
    """AdaFire whose confident samples exit early."""

    start: HalfThresholdOrForm = "potential"

    def stages(self) -> tuple[Stage, ...]:
        return (*super().stages(), self.exit())


@METHODS.register("adafire_ssc_iat")
class AdaFireSSCIat(Exits, AdaFireSSC):
    """All three of the paper's techniques."""

    start: HalfThresholdOrForm = "potential"

    def stages(self) -> tuple[Stage, ...]:
        return (*super().stages(), self.exit())
