"""The stage that puts encoders between linear layers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from conversion.calibration.statistics import Calibration
from conversion.capture.between import encode_between
from conversion.errors import InvalidInput
from conversion.simulation.network import SpikingNetwork


@dataclass(frozen=True)
class EncodersBetween:
    """Takes the graph in which weights that read the sums of other weights have an encoder before them.

    Stages after it put signed neurons there, as in the place of activations. It is the first stage, if there is one:
    neurons belong to nodes of one graph.
    """

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        if network.neurons or network.weights:
            raise InvalidInput("Encoders between linear layers come before neurons; make this the first stage.")
        return replace(network, graph=encode_between(network.graph))
