"""The quantised twin of a spiking network."""

from __future__ import annotations

from dataclasses import dataclass, replace

from conversion.calibration.statistics import Calibration
from conversion.simulation.network import SpikingNetwork
from conversion.stages.base import require_rates


@dataclass(frozen=True)
class Quantise:
    """The quantised twin: one step with the T phi + 1 levels that the network had in T steps, V / T apart.

    Its accuracy is what the number of levels allows; a further loss of the spiking network is due to time.
    """

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        require_rates(network, "The quantised twin")
        T = network.T
        neurons = {
            node: replace(
                neuron,
                threshold=neuron.threshold / T,
                phi=neuron.phi * T,
                bias=neuron.bias.mean(0) if neuron.bias.dim() == 2 else neuron.bias,
                start="none" if neuron.start == "none" else "potential",
                potential=None if neuron.potential is None else neuron.potential / T,
            )
            for node, neuron in network.neurons.items()
        }
        return replace(network.with_neurons(neurons), T=1, readout_start=0)
