"""What NIR cannot say of a converted network: what would be lost, and what to convert with instead."""

from __future__ import annotations

from torch import fx

from conversion.capture.graph import source_line
from conversion.errors import InvalidInput, UnsupportedOp
from conversion.report.naming import layer_name, op_name
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.neuron import Neuron

INSTEAD = "Convert with one spike per step and half a threshold in the bias: calibration, or burst:phi=1,start=shift"

# What to train in the place of operations that people ask for.
ADVICE = {
    "max_pool1d": "average pooling", "max_pool2d": "average pooling", "adaptive_max_pool2d": "average pooling",
    "cat": "sums", "stack": "sums", "layer_norm": "batch normalisation", "group_norm": "batch normalisation",
}  # fmt: skip


def require_expressible(network: SpikingNetwork) -> None:
    """Refuses a network whose neurons, exits or outputs NIR has no words for.

    Raises:
        InvalidInput: the message names the layer, what would be lost, and what to convert with.
    """
    graph = network.graph
    if not network.neurons:
        raise InvalidInput(f"The network has no neurons, so there is nothing for NIR to describe. {INSTEAD}.")
    if graph.plain is not None:
        raise InvalidInput(
            "NIR cannot describe neurons between linear layers, which send negative spikes; convert without `between`."
        )
    for node, neuron in network.neurons.items():
        if lost := _lost(neuron):
            raise InvalidInput(f"NIR cannot describe the layer '{layer_name(network, node)}': {lost} {INSTEAD}.")
    if analog := [node for node in graph.firing if node not in network.neurons]:
        raise InvalidInput(
            f"NIR cannot describe the activation '{layer_name(network, analog[0])}', which has no neurons: its analog "
            f"values would be lost. {INSTEAD}."
        )
    if network.exit is not None:
        raise InvalidInput(
            f"NIR cannot describe early exit ({type(network.exit).__name__}): every sample would run all {network.T} "
            "steps. Export dataclasses.replace(network, exit=None) if that is what you want."
        )
    if not graph.out_spec.is_leaf() or len(graph.output.all_input_nodes) != 1:
        raise InvalidInput(
            "NIR can describe a network with one output tensor, and this one has several; export one that gives one."
        )


def _lost(neuron: Neuron) -> str | None:
    """What a file would lose of a layer of neurons, as a sentence; None where it loses nothing."""
    if neuron.code is not None:
        return (
            f"it has the code '{neuron.coding}', whose spikes change a value that receivers hold, and NIR's receivers "
            "add spikes of one amplitude."
        )
    if neuron.signed:
        return "its neurons take spikes back, and NIR's IF sends no negative spikes."
    if neuron.phi > 1:
        return (
            f"it sends bursts of up to {neuron.phi} spikes in a step, and NIR's IF sends one; the number of spikes "
            "would be lost."
        )
    if neuron.trial is not None:
        return "its neurons try their input before they run, and NIR's IF does not."
    if neuron.potential is not None:
        return "its initial potentials were calibrated, and NIR's IF starts at zero."
    if neuron.start == "potential":
        return "it starts from half a threshold, and NIR's IF starts at zero."
    if neuron.bias.dim() == 2:
        return "calibration gave every step a bias of its own, and a bias of NIR is the same at every step."
    return None


def refused(network: SpikingNetwork, node: fx.Node, why: str | None = None) -> UnsupportedOp:
    """The refusal of an operation by its name and source line."""
    name = op_name(node)
    reason = f"NIR has no primitive for '{name}'"
    reason = reason if why is None else f"{reason} where {why}"
    if name in ADVICE:
        advice = f"Train the network with {ADVICE[name]} in its place"
    elif node in network.head:
        advice = "It comes behind the last neurons: leave it out, and apply it to the mean output yourself"
    else:
        advice = "Train the network without it"
    return UnsupportedOp(f"{reason}, at {source_line(node)}. {advice}.")
