"""The stage that lets neurons try their input before they run (SRP, COS)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType

from torch import Tensor

from conversion.calibration.statistics import Calibration
from conversion.errors import InvalidInput
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.trial import Trial
from conversion.stages.base import require_rates, require_same_graph


@dataclass(frozen=True)
class Trials:
    """Neurons that try their input, and the steps that this takes.

    Where neurons are silenced (SRP) all layers try in the same steps, which come before the T that are read. Where
    potentials are shifted (COS) every layer has to have sent the steps that the next one tries, so with a trial longer
    than T the simulation has as many, of which the first T are read.

    Attributes:
        trial: its length, and what follows.
    """

    trial: Trial

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        require_rates(network, "A trial")
        require_same_graph(network.graph, calibration)
        if not isinstance(calibration.inputs, Tensor):
            raise InvalidInput(
                "Neurons that try their input need it to be the same at every step, and these inputs are frames in "
                "time; choose a method that tries nothing, such as 'qcfs'."
            )
        T, steps = network.T, self.trial.steps
        neurons = {node: replace(neuron, trial=self.trial) for node, neuron in network.neurons.items()}
        if self.trial.then == "silence":
            return replace(network, T=T + steps, readout_start=steps, neurons=MappingProxyType(neurons))
        end = T if steps > T else None
        return replace(network, T=max(T, steps), readout_end=end, neurons=MappingProxyType(neurons))
