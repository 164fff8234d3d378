"""H-MT, groups of neurons whose thresholds halve (AAAI 2026)."""

from __future__ import annotations

from pydantic import Field

from conversion.methods.base import METHODS, Method
from conversion.stages import NormalFit, Stage


@METHODS.register("hmt")
class Hmt(Method):
    """Multi-threshold neurons in binary (H-MT, AAAI 2026): thresholds theta, theta/2 ... are subtracted while they fit.

    A step sends up to `levels` spikes, each of an amplitude of its own: a burst of at most 2^levels - 1 of the
    smallest, in binary. The potential starts at half of the smallest. Thresholds fit a normal distribution of each
    channel's currents, for the T that is run, from training images; nothing is corrected. No code was released. The
    paper's pairs of such groups, for layers whose outputs may be negative, are not built: such activations are refused.
    """

    levels: int = Field(default=4, ge=1, le=15, description="spikes of a step, each worth half of the one before")

    def stages(self) -> tuple[Stage, ...]:
        return (NormalFit(2**self.levels - 1),)
