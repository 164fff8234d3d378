"""What AdaFire and SSC choose from: the tables of their searches, kept with what was measured (docs/adaptive.md)."""

from __future__ import annotations

from copy import copy
from itertools import pairwise
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, FiniteFloat, PositiveInt, model_validator

from conversion import Calibration, SpikingNetwork
from conversion.calibration.sensitivity import Energy
from conversion.stages import SSC, AdaFire, Stage
from conversion.stages.ssc import RATIOS


class Search(BaseModel):
    """One search over the layers of a network, in execution order.

    Attributes:
        parameter: what was searched for.
        candidates: its values, the same for every layer.
        divergence: S_i(k) in nats, a row for each layer with an entry for each candidate; mean over samples.
        energy: E_i(k), what the layer itself fires, of the same shape.
        counted: the count that is the energy.
        base: divergence of the network as it was.
        budget: upper bound of the sum of energies (phi), or of the increases of the divergence (rho).
        choice: the value of every layer.
        samples: number of calibration samples that it was measured on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    parameter: Literal["phi", "rho"]
    candidates: list[FiniteFloat]
    divergence: list[list[FiniteFloat]]
    energy: list[list[FiniteFloat]]
    counted: Energy
    base: FiniteFloat
    budget: FiniteFloat
    choice: list[FiniteFloat]
    samples: PositiveInt

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        """Tables have an entry for each layer and candidate, energies are no less than nothing, choices candidates."""
        for name, table in (("divergence", self.divergence), ("energy", self.energy)):
            if len(table) != len(self.choice) or any(len(row) != len(self.candidates) for row in table):
                raise ValueError(
                    f"{name} is no table of {len(self.choice)} layers and {len(self.candidates)} candidates"
                )
        if not self.choice or not self.candidates:
            raise ValueError("there are no layers or no candidates")
        if any(after <= before for before, after in pairwise(self.candidates)):
            raise ValueError("candidates are not in their order")
        if min(map(min, self.energy)) < 0:
            raise ValueError("an energy is below zero")
        if wrong := set(self.choice) - set(self.candidates):
            raise ValueError(f"{min(wrong):g} was chosen and is no candidate")
        return self


def run_stage(
    stage: Stage, network: SpikingNetwork, calibration: Calibration
) -> tuple[SpikingNetwork, Search | None]:  # fmt: skip
    """Runs a stage once; returns the network, and what it chose from if it is a search."""
    calibration = calibration.on(network.graph)
    if not isinstance(stage, AdaFire | SSC):
        return stage(network, calibration), None
    found = stage.search(network, calibration)
    # A stage applies what its own `search` says, and this one knows. Stages themselves keep nothing: their code decides
    # whether a result is stale, and records are no concern of theirs.
    answered = copy(stage)
    object.__setattr__(answered, "search", lambda *_: found)
    if isinstance(stage, AdaFire):
        candidates: list[float] = list(map(float, range(stage.phi_min, stage.phi_init + 1)))
        counted: Energy = "spikes" if stage.form == "released" else "synops_unary"
    else:
        candidates, counted = list(RATIOS), stage.energy
    search = Search(
        parameter="phi" if isinstance(stage, AdaFire) else "rho",
        candidates=candidates, counted=counted, base=found.table.base, budget=found.budget,
        divergence=[list(row) for row in found.table.divergence], energy=[list(row) for row in found.table.energy],
        choice=[candidates[index] for index in found.allocation.choice],
        samples=min(stage.samples, len(calibration.inputs)),
    )  # fmt: skip
    return answered(network, calibration), search
