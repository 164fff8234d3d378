"""The stage that takes thresholds as training left them, for networks trained with QCFS activations."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from conversion.calibration.statistics import Calibration
from conversion.capture.graph import source_line
from conversion.errors import InvalidInput
from conversion.simulation.network import SpikingNetwork
from conversion.stages.base import put_neurons, require_activations


@dataclass(frozen=True)
class TrainedThresholds:
    """Puts integrate-and-fire neurons in the place of QCFS activations (Bu et al., ICLR 2022).

    A layer's threshold is the one that its activation was trained with, its potential starts at half of it, and it
    fires one spike per step at most. Nothing is calibrated.

    Raises:
        InvalidInput: an activation is no QCFS.
    """

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        graph = network.graph
        require_activations(graph, calibration)
        thresholds = {}
        for node in graph.firing:
            activation = graph.activation(node)
            if activation.levels is None:
                raise InvalidInput(
                    f"The activation {node.target} at {source_line(node)} was not trained to be converted; a network "
                    "with QCFS activations in every layer is needed. Train one of those called qcfs_* "
                    "(python run_all.py train --task cifar10 --network qcfs_resnet20), or choose another method."
                )
            thresholds[node] = torch.tensor([activation.ceiling], dtype=torch.float64)
        return put_neurons(network, thresholds, "potential")
