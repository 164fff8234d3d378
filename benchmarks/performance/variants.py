"""What was tried to make codes better, what each attempt changes, and those that change nothing or do harm.

    python -m benchmarks.performance.variants --data-root DATA --weights DIR [--network resnet20] [--only TEXT]

Every variant is converted on 1,024 training images of CIFAR-10 without labels and compared with the ANN on others that
it has not seen: how often both name the same class, the symmetric divergence of their probabilities in nats, the
distance of the outputs relative to the ANN's, and the energy as a share of the ANN's. No test image is looked at.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import torch
import typer
from torch import Tensor, fx
from torch.nn import functional as F

from adapters import NETWORKS, find_weights
from benchmarks.execution.evaluate import calibration_set, prepare
from benchmarks.pages.markdown import table
from conversion import Calibration, SpikingNetwork, make_method, simulate
from conversion.calibration.sensitivity import symmetric_kl
from conversion.capture.graph import ConversionGraph, Values, evaluate
from conversion.capture.roles import arguments
from conversion.codes import Held, OneHot, Phase, SignedDigits
from conversion.simulation.exit_rules import relative_change
from conversion.simulation.neuron import Neuron
from conversion.stages import CodedNeurons, Tuning
from conversion.stages.base import spike_train
from conversion.stages.energy_target import energy_of_ann, energy_up_to
from tasks import TASKS

# Makes a network from a graph and its calibration set.
Variant = Callable[[ConversionGraph, Calibration], SpikingNetwork]
CALIBRATION = 1024
# Positions of a layer's output that its weights are refitted to, and the ridge relative to the inputs' mean square.
REFITTED, RIDGE = 40_000, 1e-3


def method(name: str, T: int, **options: object) -> Variant:
    """A method as it is."""
    return lambda graph, calibration: make_method(name, **options).convert(graph, calibration, T)


def stages(T: int, *parts: Callable[[SpikingNetwork, Calibration], SpikingNetwork]) -> Variant:
    """Stages, one after the other."""

    def convert(graph: ConversionGraph, calibration: Calibration) -> SpikingNetwork:
        network = SpikingNetwork(graph, T)
        for part in parts:
            network = part(network, calibration)
        return network

    return convert


def alike(variant: Variant) -> Variant:
    """The same, with all layers taken for equally influential."""

    def convert(graph: ConversionGraph, calibration: Calibration) -> SpikingNetwork:
        blind = Calibration(graph, calibration.inputs, calibration.held_out, calibration.seed)
        vars(blind)["influences"] = dict.fromkeys(graph.firing, 1.0)
        return variant(graph, blind)

    return convert


@dataclass(frozen=True)
class SomeWait(CodedNeurons):
    """Neurons of which some layers wait a step for their input, by their place: 0 at the input, 1 at the output."""

    waits: Callable[[float], bool] = lambda place: True

    def unfitted(self, graph: ConversionGraph, node: fx.Node, T: int) -> Neuron:
        place = graph.firing.index(node) / (len(graph.firing) - 1)
        return replace(super().unfitted(graph, node, T), wait=int(self.waits(place)))


@dataclass(frozen=True)
class Refitted:
    """Neurons of a window's code, with the weights of every convolution refitted to what the layers before it send.

    By ridge regression from coded inputs X to what the ANN's own layer makes of its own, Z:
    W' = W + (Z - W X) X^T (X X^T + eps)^-1, layer after layer.
    """

    neurons: CodedNeurons

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        graph, T, generator = network.graph, network.T, torch.Generator().manual_seed(calibration.seed)
        inputs = graph.cast(calibration.mean_inputs[: self.neurons.samples])
        analog, coded = graph.start(inputs), graph.start(inputs)
        prices, found, weights = self.neurons.prices(calibration), {}, {}
        after: set[fx.Node] = set()
        with torch.no_grad():
            for node in graph.body:
                analog[node] = evaluate(node, analog)
                if after.intersection(node.all_input_nodes):
                    after.add(node)
                if node in graph.firing:
                    axis, known = graph.channel_axis(node), [coded[node.all_input_nodes[0]]] * T
                    neuron = self.neurons.unfitted(graph, node, T)
                    found[node] = self.neurons.fitted(neuron, [known], [analog[node]], axis, T, prices[node], generator)
                    coded[node] = spike_train(found[node], T, axis, known)[-1]
                    after.add(node)
                    continue
                if node.target is torch.ops.aten.conv2d.default and node.args[0] in after:
                    weight = node.args[1]
                    assert isinstance(weight, fx.Node)
                    weights[weight] = coded[weight] = coded[weight] + _refit(node, analog[node], coded, generator)
                coded[node] = evaluate(node, coded)
        changed = replace(network, nonlinear="instantaneous", weights=MappingProxyType(weights))
        return changed.with_neurons(found)


def _refit(node: fx.Node, wanted: Tensor, coded: Values, generator: torch.Generator) -> Tensor:
    """What is added to the weight of a convolution."""
    source, weight = (coded[argument] for argument in node.args[:2] if isinstance(argument, fx.Node))
    given = arguments(node)
    patches = F.unfold(source, weight.shape[2:], stride=given["stride"], padding=given["padding"])
    patches = patches.transpose(1, 2).flatten(0, 1)
    missing = (wanted - evaluate(node, coded)).movedim(1, -1).flatten(0, 2)
    drawn = torch.randperm(len(patches), generator=generator)[:REFITTED]
    patches, missing = patches[drawn].double(), missing[drawn].double()
    squares = patches.T @ patches
    squares += RIDGE * squares.diagonal().mean() * torch.eye(len(squares), dtype=torch.float64)
    change: Tensor = torch.linalg.solve(squares, patches.T @ missing)
    return change.T.reshape(weight.shape).to(weight.dtype)


def phase(energy: float = 0.1, per_octave: int = 8, levels: int = 5) -> CodedNeurons:
    return CodedNeurons(Phase(per_octave, levels), "window", energy=energy)


VARIANTS: dict[str, Variant] = {
    "held": method("held", 3),
    "held, layers alike": alike(method("held", 3)),
    "held, energy has no weight": method("held", 3, energy=0.0),
    "held, the second half waits a step": stages(
        3, SomeWait(Held(), 0, 7, "every", 1.0, waits=lambda place: place > 0.5)
    ),
    "held, two steps": method("held", 2),
    "sigma_delta": method("sigma_delta", 3),
    "sigma_delta, layers alike": alike(method("sigma_delta", 3)),
    "sigma_delta, energy has no weight": method("sigma_delta", 3, energy=0.0),
    "sigma_delta, exit at .99": method("sigma_delta", 3, exit=0.99),
    "sigma_delta, no layer waits": method("sigma_delta", 3, wait=0),
    "sigma_delta, the first half waits a step": stages(
        3, SomeWait(OneHot(6), energy=0.05, waits=lambda place: place <= 0.5)
    ),
    "sigma_delta, the second half waits a step": stages(
        3, SomeWait(OneHot(6), energy=0.05, waits=lambda place: place > 0.5)
    ),
    "sigma_delta, a window": method("sigma_delta", 3, wait="window"),
    "sigma_delta, two steps": method("sigma_delta", 2),
    "bit_serial": method("bit_serial", 5),
    "bit_serial, layers alike": alike(method("bit_serial", 5)),
    "bit_serial, energy has no weight": method("bit_serial", 5, energy=0.0),
    "bit_serial, unsigned": method("bit_serial", 5, signed=False),
    "phase": method("phase", 8),
    "phase, layers alike": alike(method("phase", 8)),
    "phase, energy has no weight": method("phase", 8, energy=0.0),
    "phase, weights refitted": stages(8, Refitted(phase())),
    "phase, 24 amplitudes": stages(8, phase(levels=3)),
    "phase, 24 amplitudes, weights refitted": stages(8, Refitted(phase(levels=3))),
    "phase, 16 amplitudes a quarter of an octave apart": stages(8, phase(per_octave=4, levels=2)),
    "dcgs": method("dcgs", 2),
    "dcgs, energy .03": method("dcgs", 2, energy=0.03),
    # Some minutes each.
    "held_tuned": method("held_tuned", 3),
    "held_tuned, two steps": method("held_tuned", 2),
    "sigma_delta, a window, tuned": stages(3, CodedNeurons(OneHot(6), "window", energy=0.05), Tuning()),
    "bit_serial, tuned": stages(5, CodedNeurons(SignedDigits(), "window", energy=0.02), Tuning()),
    "phase_tuned": method("phase_tuned", 8),
    "phase_tuned, at .08": method("phase_tuned", 8, target=0.08),
    "phase_tuned, at .07": method("phase_tuned", 8, target=0.07),
}


def main(
    data_root: Annotated[Path, typer.Option(help="folder of the datasets, with CIFAR-10")],
    weights: Annotated[Path, typer.Option(help="folder with the weights of the network")],
    network: Annotated[str, typer.Option(help="a network for CIFAR-10")] = "resnet20",
    only: Annotated[str, typer.Option(help="variants whose names begin so")] = "",
    samples: Annotated[int, typer.Option(min=1, help="training images that are compared on")] = 2048,
) -> None:
    """Prints a row for each variant."""
    adapter = NETWORKS[network](TASKS["cifar10"](data_root))
    prepared = prepare(adapter, find_weights(network, "cifar10", weights), torch.device("cpu"), torch.float32)
    graph, drawn = prepared.graph, calibration_set(prepared, CALIBRATION + samples, 0).mean_inputs
    calibration, unseen = Calibration(graph, drawn[:CALIBRATION]), Calibration(graph, drawn[CALIBRATION:])
    columns = ["variant", "same answer, %", "divergence", "distance", "energy, %", "seconds"]
    print("\n".join(table(columns, [])), flush=True)
    for name, variant in VARIANTS.items():
        if name.startswith(only):
            began = time.process_time()
            converted = variant(graph, calibration)
            spent = time.process_time() - began
            figures = [
                f"{figure:.{digits}f}" for figure, digits in zip(compared(converted, unseen), (2, 4, 3, 2), strict=True)
            ]
            print(table([], [[name, *figures, f"{spent:.0f}"]])[-1], flush=True)


def compared(network: SpikingNetwork, unseen: Calibration) -> list[float]:
    """Means over samples: the same class as the ANN in percent, divergence, distance, and energy in percent."""
    found, whole = [], energy_of_ann(network)
    for batch in unseen.mean_inputs.split(unseen.pass_batch):
        readout = simulate(network, batch, at=[network.T], fast=True)
        ours, wanted = readout.mean(network.T), network.graph.run(batch)
        assert readout.counts is not None  # Asked for by default.
        share = energy_up_to(network.T, readout.counts) / whole
        same = 100.0 * (ours.argmax(1) == wanted.argmax(1))
        found.append(torch.stack([same, symmetric_kl(wanted, ours), relative_change(wanted, ours), 100 * share], 1))
    return torch.cat(found).mean(0).tolist()


if __name__ == "__main__":
    typer.run(main)
