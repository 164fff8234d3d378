"""Options that several methods have: their types and the texts that describe them.

Each method gives its own default, in its own order: `light: Light = True`. Names of cells show options in that order.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from conversion.simulation.network import Nonlinear
from conversion.simulation.neuron import Start

Phi = Annotated[int, Field(ge=1, description="most spikes per step")]
Between = Annotated[
    bool, Field(description="signed neurons also between linear layers that have no activation between them")
]
Channelwise = Annotated[bool, Field(description="one threshold per channel instead of per layer")]
HalfThreshold = Annotated[Start, Field(description="how neurons get their half threshold")]
HalfThresholdOrForm = Annotated[
    Start | None, Field(description="how neurons get their half threshold; null is as the form has it")
]
Light = Annotated[bool, Field(description="correct biases (light calibration)")]
Signed = Annotated[bool, Field(description="neurons may take spikes back")]
NonlinearInTime = Annotated[
    Nonlinear,
    Field(description="nonlinear operations of the running mean (of a max-pool: LIPooling), or of each step by itself"),
]
