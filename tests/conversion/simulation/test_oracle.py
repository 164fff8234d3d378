"""Spikes and synaptic operations against implementations that share no code with this one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import simulate
from tests.conversion.toys import captured, seeded, with_thresholds

T = 8
THRESHOLDS = [0.8, 0.45, 0.3]
IMAGES = seeded((5, 2, 10, 10))


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3, groups=2, padding=1), nn.ReLU(),
        nn.AvgPool2d(1), nn.Conv2d(8, 4, 3, dilation=2), nn.ReLU(), nn.Flatten(), nn.Linear(4, 5),
    ).double()  # fmt: skip


def normalised(model: nn.Sequential) -> list[nn.Conv2d | nn.Linear]:
    """The layers with weights W V_(l-1) / V_l and biases b / V_l, for thresholds of one and spikes of 0 and 1."""
    layers = [layer for layer in model if isinstance(layer, (nn.Conv2d, nn.Linear))]
    for layer, (before, after) in zip(layers, pairwise([1, *THRESHOLDS, 1]), strict=True):
        assert layer.bias is not None
        layer.weight.data *= before / after
        layer.bias.data /= after
    return layers


def ones(layer: nn.Module) -> nn.Module:
    """The layer with all weights one and no bias: what it makes of spikes is how many weights they meet."""
    assert isinstance(layer, (nn.Conv2d, nn.Linear)) and layer.bias is not None
    nn.init.ones_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def snntorch_spikes(layers: list[nn.Conv2d | nn.Linear]) -> Iterator[tuple[list[Tensor], Tensor]]:
    """Spikes of each layer and the logits, step by step, with snntorch's neurons.

    They integrate and fire; the soft reset is ours. Theirs comes a step later or, without delay, is applied before the
    decision wherever a potential stayed above the threshold, which makes it another neuron.
    """
    snntorch = pytest.importorskip("snntorch")
    *hidden, head = layers
    neurons = [snntorch.Leaky(beta=1.0, threshold=1.0, reset_mechanism="none").double() for _ in hidden]
    potentials: list[Tensor | None] = [None] * len(hidden)
    for _ in range(T):
        value, spikes = IMAGES, []
        for i, (layer, neuron) in enumerate(zip(hidden, neurons, strict=True)):
            current = layer(value)
            held = potentials[i]
            value, potentials[i] = neuron(current, torch.full_like(current, 0.5) if held is None else held)
            value = value.double()
            potentials[i] = potentials[i] - value
            spikes.append(value)
        yield spikes, head(value.flatten(1))


@torch.no_grad()
def test_spikes_and_synaptic_operations_of_snntorch() -> None:
    """Independent: snntorch's neuron, module by module instead of a captured graph, weights normalised to thresholds of
    one, and synaptic operations counted forwards by pushing 0/1 spikes through layers of ones, not by a gradient."""
    x = IMAGES
    graph = captured(network(), x)
    torch.manual_seed(0)
    model = network()
    for mine, original in zip(model.parameters(), graph.module.parameters(), strict=True):
        mine.data.copy_(original)
    readout = simulate(with_thresholds(graph, T, THRESHOLDS), x)
    assert readout.counts is not None

    layers = normalised(model)
    steps = list(snntorch_spikes(layers))
    counters = [ones(layer) for layer in layers[1:]]
    for layer, counter in enumerate(counters):
        spikes = torch.stack([step[0][layer] for step in steps])
        assert set(spikes.unique().tolist()) == {0.0, 1.0}
        fired = spikes.flatten(2).sum(2).cumsum(0)
        inputs = spikes.flatten(0, 1)
        met = counter(inputs.flatten(1) if isinstance(counter, nn.Linear) else inputs)
        synops = met.flatten(1).sum(1).view(T, -1).cumsum(0)
        for kind, expected in enumerate([*[fired] * 4, *[synops] * 4]):
            assert torch.equal(readout.counts.tally[layer, :, :, kind], expected)
    logits = torch.stack([step[1] for step in steps]).cumsum(0)
    for t in range(1, T + 1):
        torch.testing.assert_close(readout.mean(t), logits[t - 1] / t, rtol=0, atol=1e-10)


@torch.no_grad()
def test_synaptic_operations_of_spikingjelly() -> None:
    """Independent: SpikingJelly counts at the level of the dispatcher, from the tensors that reach a convolution."""
    counting = pytest.importorskip("spikingjelly.activation_based.op_counter")
    readout = simulate(with_thresholds(captured(network(), IMAGES), T, THRESHOLDS), IMAGES)
    assert readout.counts is not None
    torch.manual_seed(0)
    layers = normalised(network())
    counter = counting.SynOpCounter()
    for spikes, _ in list(snntorch_spikes(layers)):
        with counting.DispatchCounterMode([counter]):
            for layer, value in zip(layers[1:], spikes, strict=True):
                layer(value.flatten(1) if isinstance(layer, nn.Linear) else value)
    assert counter.get_total() == int(readout.counts.total("synops_unary", T).sum())


@torch.no_grad()
def test_synaptic_operations_of_neurobench() -> None:
    """Independent: NeuroBench counts effective accumulates of each layer by hooks, from its inputs being 0 or 1."""
    layer_macs = pytest.importorskip("neurobench.metrics.utils.layers").single_layer_MACs
    readout = simulate(with_thresholds(captured(network(), IMAGES), T, THRESHOLDS), IMAGES)
    assert readout.counts is not None
    torch.manual_seed(0)
    layers = normalised(network())
    total = 0
    for spikes, _ in list(snntorch_spikes(layers)):
        for layer, value in zip(layers[1:], spikes, strict=True):
            operations, spiking = layer_macs(value.flatten(1) if isinstance(layer, nn.Linear) else value, layer)
            assert spiking
            total += int(operations)
    assert total == int(readout.counts.total("synops_unary", T).sum())


@torch.no_grad()
@pytest.mark.parametrize("phi", [3, 7])
def test_bursts_against_a_loop_over_steps(phi: int) -> None:
    """Independent: the equations of the neuron, written out for this network; layers of ones."""
    model = network()
    thresholds = [V / 8 for V in THRESHOLDS]
    readout = simulate(with_thresholds(captured(model, IMAGES), T, thresholds, phi, start="shift"), IMAGES)
    assert readout.counts is not None
    torch.manual_seed(1)
    counters = [ones(layer) for layer in network() if isinstance(layer, (nn.Conv2d, nn.Linear))][1:]
    *hidden, head = [layer for layer in model if isinstance(layer, (nn.Conv2d, nn.Linear))]
    potentials: list[Tensor] = [torch.zeros(())] * len(hidden)
    logits = torch.zeros(())
    totals = torch.zeros(len(hidden), 8, len(IMAGES), dtype=torch.float64)
    for t in range(1, T + 1):
        value = IMAGES
        for i, (layer, V) in enumerate(zip(hidden, thresholds, strict=True)):
            potentials[i] = potentials[i] + layer(value) + 0.5 * V / T
            n = torch.clamp(torch.floor(potentials[i] / V), 0, phi)
            potentials[i] = potentials[i] - n * V
            value = n * V
            digits = torch.tensor([int(k).bit_count() for k in n.flatten()], dtype=n.dtype).view_as(n)
            for kind, count in enumerate((n, digits, F.hardtanh(n, 0, 1), n)):
                totals[i, kind] += count.flatten(1).sum(1)
                arriving = counters[i](count.flatten(1) if isinstance(counters[i], nn.Linear) else count)
                totals[i, kind + 4] += arriving.flatten(1).sum(1)
        logits = logits + head(value.flatten(1))
        assert torch.equal(readout.counts.tally[:, t - 1], totals.transpose(1, 2))
        torch.testing.assert_close(readout.mean(t), logits / t, rtol=0, atol=1e-10)
    assert totals[:, 0].sum() > totals[:, 1].sum() > totals[:, 2].sum() > 0
