"""Whether a network fits a chip of convolution cores, such as Speck or DYNAP-CNN: a table of reasons.

A core of such a chip computes one layer: a convolution, integrate-and-fire neurons of one spike per step, and sums over
windows behind them. The limits are those that sinabs 3.1 checks when it maps a network onto Speck.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from conversion.capture.roles import PLACED, SYNAPSES, UPSAMPLING, Role, arguments, packet
from conversion.exchange.parts import sample_shape, sizes
from conversion.report.naming import layer_name, module_name
from conversion.simulation.network import SpikingNetwork


@dataclass(frozen=True)
class Limits:
    """What a chip can do.

    Attributes:
        cores: layers that it computes.
        destinations: cores that one sends to.
        kernel: largest side of a kernel.
        strides: strides of convolutions.
        features: most output channels.
    """

    cores: int = 9
    destinations: int = 2
    kernel: int = 16
    strides: tuple[int, ...] = (1, 2, 4, 8)
    features: int = 1024


SPECK = Limits()


@dataclass(frozen=True)
class Reason:
    """One reason why a network does not fit: the layer, what it needs, what there is."""

    layer: str
    needs: str
    limit: str


def reasons_against(network: SpikingNetwork, limits: Limits = SPECK) -> list[Reason]:
    """All reasons why a network does not fit; none where it may.

    Counts of spikes and memory of a core are not looked at, nor the rounding to weights of 8 bits.
    """
    return list(_reasons(network, limits))


def _reasons(network: SpikingNetwork, limits: Limits) -> Iterator[Reason]:
    graph = network.graph
    weighted = [node for node in graph.body if packet(node) in SYNAPSES]
    if len(weighted) > limits.cores:
        yield Reason("the network", f"{len(weighted)} layers of weights", f"{limits.cores} cores")
    for node in weighted:
        name, features = module_name(node), sample_shape(node)[0]
        if features > limits.features:
            yield Reason(name, f"{features} output channels", f"at most {limits.features}")
        given = arguments(node)
        if "stride" not in given:
            continue
        dims = len(sample_shape(node)) - 1
        kernel = [int(side) for side in given["weight"].meta["val"].shape[2:]]
        if dims != 2 or "output_padding" in given:
            yield Reason(name, "a convolution that is not one of images", "convolutions of images")
        if max(kernel) > limits.kernel:
            yield Reason(name, f"a kernel of {' x '.join(map(str, kernel))}", f"sides of at most {limits.kernel}")
        if odd := [step for step in sizes(given["stride"], dims) if step not in limits.strides]:
            yield Reason(name, f"a stride of {odd[0]}", f"strides {', '.join(map(str, limits.strides))}")
        if any(step != 1 for step in sizes(given["dilation"], dims)):
            yield Reason(name, "a dilated kernel", "kernels without gaps")
        for other in weighted:
            if other is not node and _reads(network, node, other):
                yield Reason(name, f"the analog values of '{module_name(other)}'", "spikes (convert with between=True)")
    for node, neuron in network.neurons.items():
        name = layer_name(network, node)
        if neuron.code is not None:
            yield Reason(name, f"the code '{neuron.coding}'", "spikes of one amplitude that are added")
        elif neuron.phi > 1:
            yield Reason(name, f"bursts of up to {neuron.phi} spikes", "one spike per step (convert with phi=1)")
        if neuron.signed:
            yield Reason(name, "negative spikes", "spikes of one sign")
        readers = [other for other in weighted if _reads(network, other, node)]
        if len(readers) > limits.destinations:
            yield Reason(name, f"{len(readers)} layers that it sends to", f"at most {limits.destinations}")
    for node in graph.body:
        if graph.rules[node].role is Role.NONLINEAR:
            yield Reason(module_name(node), "an operation that is not linear", "convolutions, sums and neurons")
        elif graph.rules[node].role is Role.FIRING and node not in network.neurons:
            yield Reason(layer_name(network, node), "analog values", "spikes")
        elif packet(node) in UPSAMPLING or packet(node) in PLACED:
            yield Reason(module_name(node), f"the operation {packet(node).__name__}", "convolutions, sums and neurons")


def _reads(network: SpikingNetwork, reader: object, source: object) -> bool:
    """Whether a layer of weights reads a layer of neurons through nothing but sums, shapes and pools."""
    graph = network.graph
    waiting, seen = [node for node in graph.body if node is reader], set()
    while waiting:
        for before in waiting.pop().all_input_nodes:
            if before is source:
                return True
            if before in seen or before in network.neurons or packet(before) in SYNAPSES or before not in graph.rules:
                continue
            seen.add(before)
            waiting.append(before)
    return False
