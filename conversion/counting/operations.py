"""Kinds of operations that are counted: those that spikes cause, and those on analog values (docs/energy.md).

Their energy is a matter of price lists (`conversion.counting.prices`).
"""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, model_validator
from torch import Tensor

Steps = TypeVar("Steps", float, Tensor)


class SpikeOperations(BaseModel):
    """Spikes and the synaptic operations that they cause, for one sample.

    A burst of n spikes is n spikes, as many binary digits as n has ones, one event, and n units: spikes of the layer's
    smallest amplitude. In codes whose spikes have several amplitudes one spike is as many units as its amplitude is of
    the smallest. Each times its fan-out gives the synaptic operations when it is sent as spikes (unary), in binary, as
    one graded event, or in spikes of the smallest amplitude.
    """

    spikes: float
    digits: float
    events: float
    units: float
    synops_unary: float
    synops_binary: float
    synops_graded: float
    synops_smallest: float

    @model_validator(mode="before")
    @classmethod
    def _of_one_amplitude(cls, content: Any) -> Any:
        """Records from before units were counted are of bursts, whose spikes are all of the smallest amplitude."""
        if isinstance(content, dict) and "units" not in content and "spikes" in content:
            return content | {"units": content["spikes"], "synops_smallest": content.get("synops_unary")}
        return content


# What searches within a conversion weigh: an addition of 0.9 pJ and half a multiplication, by one of 4.6 pJ
# (45 nm, Horowitz, ISSCC 2014). What tables show is a matter of price lists.
MACS_PER_SYNOP = 0.9 / 4.6
MACS_PER_FLOP = 0.5

KINDS = tuple(SpikeOperations.model_fields)
"""Names of the counts of every layer and step, in order."""


class AnalogOperations(BaseModel):
    """Operations on values that are not spikes, for one sample.

    Attributes:
        macs_once: multiplications by analog values that are needed once since the input is constant.
        macs_step: those that are needed at every step.
        macs_head: those behind the last neurons, needed once in any case.
        flops_once, flops_step: floating-point operations of nonlinear nodes, by the same rule; those behind the last
            neurons are in `flops_once`.
    """

    macs_once: float
    macs_step: float
    # Records from before nonlinear operations were counted are of networks without any.
    macs_head: float = 0
    flops_once: float = 0
    flops_step: float = 0

    def macs_in(self, steps: Steps) -> Steps:
        """Multiplications in some number of steps."""
        return self.macs_once + self.macs_head + steps * self.macs_step

    def flops_in(self, steps: Steps) -> Steps:
        """Floating-point operations of nonlinear nodes in some number of steps."""
        return self.flops_once + steps * self.flops_step
