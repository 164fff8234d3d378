"""Converted networks as NIR graphs (Pedersen et al., Nature Communications 2024).

Every neuron fires at 1 and sends 1 (`conversion.exchange.folding`). Half a threshold and the calibration's bias are in
the bias before the neurons.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, fx

from conversion.errors import UnsupportedOp
from conversion.exchange.contract import GraphContract, NeuronContract, NodeContract
from conversion.exchange.folding import Folding
from conversion.exchange.libraries import library
from conversion.exchange.limits import refused, require_expressible
from conversion.exchange.parts import Part
from conversion.exchange.signals import Signal, by_channel
from conversion.report.naming import module_name
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.neuron import Neuron

if TYPE_CHECKING:
    import nir


def export_nir(network: SpikingNetwork) -> nir.NIRGraph:
    """A converted network as a NIR graph.

    Nodes are called as in the captured graph, the ends "input" and "output". Weights are in float64. Every node carries
    what a simulator has to keep to for the same spikes (`conversion.exchange.contract`).

    Args:
        network: neurons send one spike per step at most, none negative, and start from zero (start="shift").

    Raises:
        InvalidInput: NIR cannot describe the neurons; the message says what would be lost, and what to convert with.
        UnsupportedOp: NIR has no primitive for an operation, which the message names with its source line.
    """
    nir = library("nir", "nir")
    require_expressible(network)
    parts = _ForNIR(network).fold()
    shifted = any(neuron.start == "shift" for neuron in network.neurons.values())
    last = network.T if network.readout_end is None else network.readout_end
    contract = GraphContract(network.T, network.readout_start + 1, last, shifted)
    nodes = {name: _node(nir, part, contract.T, order) for order, (name, part) in enumerate(parts.items())}
    edges = [(source, name) for name, part in parts.items() for source in part.sources]
    # nir 1.0.8 takes the channels of one group for all of them when it checks types.
    typed = all(part.fields.get("groups", 1) == 1 for part in parts.values())
    return nir.NIRGraph(nodes, edges, metadata=contract.metadata(), type_check=typed)


class _ForNIR(Folding):
    def beyond(self, node: fx.Node, why: str | None = None) -> Signal:
        raise refused(self.network, node, why)

    def carried(self, key: str, factor: Tensor, offset: Tensor, shape: tuple[int, ...]) -> str:
        """NIR adds constants in layers of weights alone: here one of a weight for each channel."""
        name, channels = self.name(f"{key}_shifted"), shape[0]
        if len(shape) == 1:
            fields: dict[str, Any] = {"weight": torch.diag(factor.expand(channels)), "bias": offset.expand(channels)}
            self.add(name, "Affine", fields, shape, [key])
            return name
        if len(shape) != 3 or not (by_channel(factor) and by_channel(offset)):
            raise UnsupportedOp(
                f"NIR adds constants to whole channels of an image alone, and behind '{key}' another one is added; "
                "convert with one threshold for each channel."
            )
        weight = factor.expand(channels, 1, 1).reshape(channels, 1, 1, 1)
        fields = {"input_shape": shape[1:], "weight": weight, "bias": offset.reshape(-1).expand(channels),
                  "stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": channels}  # fmt: skip
        self.add(name, "Conv", fields, shape, [key])
        return name

    def added(self, neuron: Neuron, of_sample: Callable[[Tensor], Tensor]) -> Tensor:
        bias = of_sample(neuron.bias) / of_sample(neuron.threshold)
        return bias + 1 / (2 * self.network.T) if neuron.start == "shift" else bias


def _node(nir: Any, part: Part, T: int, order: int) -> nir.NIRNode:
    """A part as a node of NIR."""
    module = "" if part.origin is None else module_name(part.origin)
    kind = NeuronContract if part.kind == "Neurons" else NodeContract
    metadata = kind(T, order, module).metadata()
    given = {name: value.contiguous().numpy() if isinstance(value, Tensor) else value
             for name, value in part.fields.items()}  # fmt: skip
    shape = np.array(part.shape)
    if part.kind == "Input":
        return nir.Input(input_type=shape, metadata=metadata)
    if part.kind == "Output":
        return nir.Output(output_type=shape, metadata=metadata)
    if part.kind == "Neurons":
        ones, zeros = np.ones(part.shape), np.zeros(part.shape)
        return nir.IF(r=ones, v_threshold=ones, v_reset=zeros, metadata=metadata)
    if part.kind == "Affine":
        return nir.Affine(**given, metadata=metadata)
    if part.kind == "Scale":
        return nir.Scale(np.broadcast_to(given["scale"], part.shape).copy(), metadata=metadata)
    if part.kind == "Flatten":
        # NIR counts the axes of one sample.
        return nir.Flatten(np.array(given["input_shape"]), start_dim=0, end_dim=-1, metadata=metadata)
    if part.kind == "AvgPool":
        return nir.AvgPool2d(**{name: np.array(value) for name, value in given.items()}, metadata=metadata)
    if len(part.shape) == 3:
        return nir.Conv2d(**given, metadata=metadata)
    single = {name: given[name][0] for name in ("input_shape", "stride", "dilation")}
    padding = given["padding"] if isinstance(given["padding"], str) else given["padding"][0]
    return nir.Conv1d(**(given | single | {"padding": padding}), metadata=metadata)
