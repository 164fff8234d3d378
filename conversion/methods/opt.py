"""OPT, the optimal conversion by a shift (Deng & Gu, ICLR 2021)."""

from __future__ import annotations

from pydantic import Field

from conversion.methods.base import METHODS, Method
from conversion.stages import OutputNeurons, Stage, Thresholds


@METHODS.register("opt")
class Opt(Method):
    """Thresholds at the maximum of each layer and half a threshold as a current (OPT, Deng & Gu, ICLR 2021).

    The last layer spikes too. It needs any network of ReLUs; the paper trains with activations clipped at a threshold,
    which then is the maximum. The release adds its current twice where a layer has a bias; here it is V / (2 T), as in
    the paper. It fits nothing on test data.
    """

    output: bool = Field(default=True, description="the last layer spikes too")

    @property
    def converges(self) -> bool:
        return not self.output

    def stages(self) -> tuple[Stage, ...]:
        neurons = Thresholds("max", 1, channelwise=False, start="shift")
        return (neurons, OutputNeurons("layer", "shift")) if self.output else (neurons,)
