"""Sensitivity tables against simulations of the changed network as a whole."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from conversion import ConversionGraph, InvalidInput, SpikingNetwork, simulate
from conversion.calibration.sensitivity import SAMPLES, Energy, measure_sensitivity, symmetric_kl
from conversion.counting.operations import KINDS
from conversion.simulation.frames import Frames
from conversion.simulation.neuron import Neuron
from conversion.simulation.schedules import TimeSeries, sweep
from conversion.stages.base import spike_train
from tests.conversion.toys import Net, architecture, captured, captured_architecture, neurons, seeded

pytestmark = pytest.mark.slow

T = 5
# More than one batch, the last a smaller one; three candidates fill the stack with twice as many samples.
COUNT = 2 * SAMPLES + 3


def max_pooled() -> tuple[nn.Module, Tensor]:
    """A max-pool between neurons, a shortcut around it, and two outputs of which one leaves early."""

    def function(net: Any, x: Tensor) -> dict[str, Tensor]:
        a = net.a(x).relu()
        b = net.pool(net.b(a).relu())
        c = (net.c(b) + net.pool(a)).relu()
        return {"aside": net.aside(a), "main": net.head(c.flatten(1))}

    net = Net(
        function, a=nn.Conv2d(3, 4, 3, padding=1), b=nn.Conv2d(4, 4, 3, padding=1), c=nn.Conv2d(4, 4, 3, padding=1),
        pool=nn.MaxPool2d(2), aside=nn.Conv2d(4, 3, 1), head=nn.Linear(64, 5),
    )  # fmt: skip
    return net, seeded((COUNT, 3, 8, 8))


def reshaped() -> tuple[nn.Module, Tensor]:
    """Shortcuts whose value has the batch folded into other axes, or on the last one; the output reads the input."""

    def function(net: Any, x: Tensor) -> Tensor:
        a = net.a(x).relu()
        folded, turned = a.reshape(-1, 6), a.flatten(1).transpose(0, 1)
        b = net.b(a).relu()
        c = net.c(folded + b.reshape(-1, 6)).reshape(-1, 4, 6)
        d = (c + (turned + b.flatten(1).transpose(0, 1)).transpose(0, 1).reshape(-1, 4, 6)).relu()
        return net.head(d.flatten(1)) + x.mean((1, 2), keepdim=True).squeeze(2)

    return Net(
        function, a=nn.Linear(5, 6), b=nn.Linear(6, 6), c=nn.Linear(6, 6), head=nn.Linear(24, 3)
    ), seeded((COUNT, 4, 5))  # fmt: skip


def split_outside() -> tuple[nn.Module, Tensor]:
    """Halves of every sample, stacked outside the batch: samples are every other entry of its axis."""

    def function(net: Any, x: Tensor) -> Tensor:
        halves = net.a(x).relu().view(-1, 2, 4).transpose(0, 1).reshape(-1, 4)
        aside = net.s(x).relu().repeat(2, 1)
        mixed = (net.b(halves).relu() + aside + halves).view(2, -1, 4)
        return net.head(torch.cat([mixed[0], mixed[1]], 1).relu())

    parts = {"a": nn.Linear(5, 8), "s": nn.Linear(5, 4), "b": nn.Linear(4, 4), "head": nn.Linear(8, 3)}
    return Net(function, **parts), seeded((COUNT, 5))


def toy(name: str) -> Callable[[], tuple[nn.Module, Tensor]]:
    return lambda: architecture(name, samples=COUNT)


TOYS = {
    **{name: toy(name) for name in ("plain", "residual", "concat", "leaky", "conv1d", "transposed")},
    "max_pooled": max_pooled, "reshaped": reshaped, "split_outside": split_outside,
}  # fmt: skip


@cache
def graph_of(name: str) -> tuple[ConversionGraph, Tensor]:
    model, x = TOYS[name]()
    return captured(model, x), x


def candidates(network: SpikingNetwork) -> dict[fx.Node, list[Neuron]]:
    """Fewer spikes, the neuron itself, twice the threshold, a smaller one that starts otherwise."""
    return {
        node: [
            replace(n, phi=1),
            n,
            replace(n, threshold=n.threshold * 2),
            replace(n, threshold=n.threshold * 0.7, start="shift"),
        ]
        for node, n in network.neurons.items()
    }


@pytest.mark.parametrize("energy", ["spikes", "synops_unary"])
@pytest.mark.parametrize("name", TOYS)
def test_tables_equal_simulations_of_the_changed_network(name: str, energy: Energy) -> None:
    graph, x = graph_of(name)
    signed = name == "leaky"
    thresholds = [0.1 + 0.02 * i for i in range(len(graph.firing))]
    network = SpikingNetwork(graph, T).with_neurons(neurons(graph, thresholds, 3, signed=signed))
    rows = candidates(network)
    table = measure_sensitivity(network, x, rows, energy)
    ann = graph.run(x)
    assert table.base == pytest.approx(float(symmetric_kl(simulate(network, x).mean(T), ann).mean()), abs=1e-10)
    for layer, (node, row) in enumerate(rows.items()):
        for column, neuron in enumerate(row):
            readout = simulate(network.with_neurons({**network.neurons, node: neuron}), x)
            assert readout.counts is not None
            divergence = float(symmetric_kl(readout.mean(T), ann).mean())
            spent = float(readout.counts.tally[layer, -1, :, KINDS.index(energy)].mean())
            assert table.divergence[layer][column] == pytest.approx(divergence, abs=1e-10)
            assert table.energy[layer][column] == pytest.approx(spent, abs=1e-9)
        assert table.divergence[layer][1] == table.base
    # Candidates that changed nothing would agree with anything; one layer of `concat` is silent.
    different = [len({round(entry, 12) for entry in row}) for row in table.divergence]
    assert min(n for n, row in zip(different, table.energy, strict=True) if row[1] > 0) == 4


@pytest.mark.parametrize("name", TOYS)
def test_propagated_tables_pass_means_through_the_ann(name: str) -> None:
    """The ANN's answer where layers up to the changed one give their means, less that without the change, is added."""
    graph, x = graph_of(name)
    thresholds = [0.1 + 0.02 * i for i in range(len(graph.firing))]
    network = SpikingNetwork(graph, T).with_neurons(neurons(graph, thresholds, 3, signed=name == "leaky"))
    rows = candidates(network)
    simulated, table = (
        measure_sensitivity(network, x, rows, "spikes", effect) for effect in ("simulated", "propagated")
    )
    # The batches of the two are of different sizes.
    torch.testing.assert_close(torch.tensor(table.energy), torch.tensor(simulated.energy))
    assert table.base == pytest.approx(simulated.base, abs=1e-10)

    trains: dict[fx.Node, Tensor] = {}
    currents: dict[fx.Node, Sequence[Tensor]] = {}

    def mean_of(node: fx.Node, neuron: Neuron, steps: Sequence[Tensor]) -> Tensor:
        return torch.stack(spike_train(neuron, T, graph.channel_axis(node), steps)).mean(0)

    def spike(node: fx.Node, given: TimeSeries) -> TimeSeries:
        currents[node] = given[0]
        found = spike_train(network.neurons[node], T, graph.channel_axis(node), given[0])
        trains[node] = torch.stack(found).mean(0)
        return [found]

    sweep(network, [[graph.cast(x)]], T, spike)
    ann, base = graph.run(x), simulate(network, x).mean(T)
    order = list(rows)
    for layer, (node, row) in enumerate(rows.items()):

        def answer(mean: Tensor, layer: int = layer, node: fx.Node = node) -> Any:
            given = {**{before: trains[before] for before in order[:layer]}, node: mean}
            return graph.run(x, observe=lambda found, value: given.get(found))

        for column, neuron in enumerate(row):
            parts = zip(
                *map(pytree.tree_leaves, (base, answer(mean_of(node, neuron, currents[node])), answer(trains[node]))),
                strict=True,
            )
            moved = [measured + changed - without for measured, changed, without in parts]
            expected = float(symmetric_kl(moved, pytree.tree_leaves(ann)).mean())
            assert table.divergence[layer][column] == pytest.approx(expected, abs=1e-10)
        if layer == len(order) - 1:  # Nothing behind it spikes, so its mean says all.
            assert table.divergence[layer] == pytest.approx(simulated.divergence[layer], abs=1e-10)


@pytest.mark.parametrize("in_time", [False, True])
@pytest.mark.parametrize("start", [0, 2])
def test_behind_the_last_layer_means_say_all_also_of_frames_in_time(start: int, in_time: bool) -> None:
    """Later layers read the input, too, and a tangent of the sum is another for a frame than for the mean of all."""

    def function(net: Any, x: Tensor) -> Tensor:
        return torch.tanh(net.b(net.a(x).relu()) + net.c(x))

    x = seeded((4, T, 5))
    graph = captured(Net(function, a=nn.Linear(5, 6), b=nn.Linear(6, 3), c=nn.Linear(5, 3)), x[:, 0])
    network = replace(SpikingNetwork(graph, T).with_neurons(neurons(graph, [0.2], 3)), readout_start=start)
    inputs, rows = Frames(x) if in_time else x[:, 0], candidates(network)
    first, second = (measure_sensitivity(network, inputs, rows, "spikes", way) for way in ("simulated", "propagated"))
    assert len({*second.divergence[0]}) > 2
    assert second.divergence[0] == pytest.approx(first.divergence[0], abs=1e-12)


def test_samples_do_not_know_of_each_other() -> None:
    """Mean over samples, whatever their order and however they fall into batches."""
    graph, x = captured_architecture("residual", samples=COUNT)
    network = SpikingNetwork(graph, T).with_neurons(neurons(graph, [0.3] * 5, 2))
    rows = candidates(network)
    whole = measure_sensitivity(network, x, rows, "spikes")
    turned = measure_sensitivity(network, x.flip(0), rows, "spikes")
    single = [measure_sensitivity(network, sample, rows, "spikes") for sample in x.split(1)]
    for name in ("divergence", "energy"):
        expected = torch.tensor(getattr(whole, name))
        torch.testing.assert_close(torch.tensor(getattr(turned, name)), expected)
        torch.testing.assert_close(torch.stack([torch.tensor(getattr(one, name)) for one in single]).mean(0), expected)


def test_divergence_by_hand() -> None:
    """P = (1/4, 3/4), Q = (1/2, 1/2): KL(P||Q) + KL(Q||P) = 1/4 (log 2 + log 3/2) = 1/4 log 3."""
    p, q = torch.tensor([[0.0, math.log(3)]]), torch.zeros(1, 2)
    assert symmetric_kl(p, q).item() == pytest.approx(math.log(3) / 8)
    assert symmetric_kl(q, p).item() == pytest.approx(math.log(3) / 8)
    # Adding a constant to the logits changes no probability.
    assert symmetric_kl(p + 7, q - 5).item() == pytest.approx(math.log(3) / 8)


def test_divergence_is_averaged_over_positions_and_summed_over_outputs() -> None:
    maps, other = seeded((4, 3, 5, 2)), seeded((4, 3, 5, 2), seed=1)
    pixels = [symmetric_kl(maps[..., y, x], other[..., y, x]) for y in range(5) for x in range(2)]
    torch.testing.assert_close(symmetric_kl(maps, other), torch.stack(pixels).mean(0))
    logits, twin = maps[..., 0, 0], other[..., 0, 0]
    both = symmetric_kl({"a": maps, "b": logits}, {"a": other, "b": twin})
    torch.testing.assert_close(both, symmetric_kl(maps, other) + symmetric_kl(logits, twin))


def test_divergence_of_saturated_outputs_is_finite() -> None:
    """Probabilities of exactly 0 and 1: log p - log q is about the difference of logits, 2e4."""
    p, q = torch.tensor([[1e4, -1e4, 0.0]]), torch.tensor([[-1e4, 1e4, 0.0]])
    assert symmetric_kl(p, q).item() == pytest.approx(2e4)
    assert symmetric_kl(p, p).item() == 0


@pytest.mark.parametrize(
    "function",
    [lambda net, x: net.fc(x).relu().sum(1), lambda net, x: (net.fc(x).relu(), net.fc(x).relu().sum(1, keepdim=True))],
)
def test_outputs_without_classes_are_refused(function: Callable[[Any, Tensor], Any]) -> None:
    x = seeded((4, 5))
    graph = captured(Net(function, fc=nn.Linear(5, 3)), x)
    network = SpikingNetwork(graph, T).with_neurons(neurons(graph, [0.3] * len(graph.firing)))
    with pytest.raises(InvalidInput, match=r"needs outputs of shape \(N, classes, \.\.\.\) with at least two classes"):
        measure_sensitivity(network, x, candidates(network), "spikes")
