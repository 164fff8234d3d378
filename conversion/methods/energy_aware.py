"""Thresholds that weigh error against energy (ours)."""

from __future__ import annotations

from pydantic import Field

from conversion.methods.base import METHODS, Method
from conversion.methods.options import Phi, Signed
from conversion.stages import BiasCorrection, EnergyAwareThresholds, Stage, TemporalBias


@METHODS.register("energy_aware")
class EnergyAware(Method):
    """Ours: bursts with a large phi, and thresholds that weigh error against the energy of spikes."""

    energy: float = Field(
        default=0.05, ge=0, allow_inf_nan=False, description="the weight of energy; 0 minimises the error alone"
    )
    phi: Phi = 8
    signed: Signed = False
    per_step_bias: bool = Field(default=False, description="correct a bias for each step instead of one for all")

    @property
    def converges(self) -> bool:
        return self.energy == 0

    def stages(self) -> tuple[Stage, ...]:
        neurons = EnergyAwareThresholds(self.energy, self.phi, self.signed)
        return neurons, TemporalBias() if self.per_step_bias else BiasCorrection()
