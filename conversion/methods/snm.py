"""SNM, the signed neuron with memory (Wang et al., IJCAI 2022)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from conversion.methods.base import METHODS, Method
from conversion.methods.options import Light
from conversion.stages import BiasCorrection, NeuronThresholds, OutputNeurons, Stage, Thresholds


@METHODS.register("snm")
class Snm(Method):
    """The signed neuron with memory (SNM, Wang et al., IJCAI 2022), post-training: nothing shifted, nothing corrected.

    Every neuron has its own threshold, its largest activation on the calibration set; it takes a spike back when its
    potential is at minus the threshold; and the last layer spikes too. It needs any network of ReLUs, no training, and
    inputs of one size. The release takes thresholds from the test set too, and scores 9,984 of 10,000 test images.

    With `form=eager` (ours) thresholds are per channel, a spike is taken back as soon as the potential is below zero,
    and the last layer is read out without neurons.
    """

    light: Light = False
    form: Literal["published", "eager"] = Field(
        default="published", description="the published neuron, or ours, which takes spikes back as soon as it can"
    )

    @property
    def converges(self) -> bool:
        return self.form == "eager"

    def stages(self) -> tuple[Stage, ...]:
        correction = (BiasCorrection(),) if self.light else ()
        if self.form == "eager":
            return (Thresholds("max", 1, start="none", signed=True), *correction)
        return (NeuronThresholds(), OutputNeurons("neuron", "none", signed=True), *correction)
