"""Neurons in a code, with thresholds and biases fitted layer after layer to what reaches them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, fx

from conversion.calibration.statistics import Calibration
from conversion.capture.graph import ConversionGraph, Values, evaluate, last_uses
from conversion.codes import Code, Held
from conversion.simulation.coded import waited
from conversion.simulation.compiling import worth_compiling
from conversion.simulation.frames import running_means
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.neuron import Neuron
from conversion.simulation.schedules import TimeSeries, sweep
from conversion.stages.base import neurons_of, require_activations, spike_train
from conversion.stages.energy_aware import relative_fan_out

Wait = int | Literal["window"]
Reading = Literal["every", "last"]
# Candidate thresholds: the largest is this share of a channel's largest activation, each next one smaller by a ratio,
# down to where all spikes together reach a share of it.
LARGEST, RATIO, SHARE = 1.6, 1.18, 0.28
# Ratios of the thresholds of two consecutive steps, where they fall from step to step.
FALLS = {2: (1.5, 2.0, 3.0, 4.0), 3: (1.5, 2.0, 3.0)}
# Positions of each channel that candidates are tried on, and that biases are corrected on: the mean error of so many is
# known to a hundredth of its spread.
POSITIONS, CORRECTED = 2048, 16_384
# A dead channel's largest activation.
LEAST = 1e-3
CORRECTION, ROUNDS = 0.7, 2
# The log of the largest factor by which the influence of a layer changes its weight of energy.
MOST = math.log(8)
# Compiling saves some 30 ns for each update of a coded neuron, ten times what `worth_compiling` counts with.
SAVES = 10
# lambda_t and w_t where the value after every step is read: an early step has to be cheap, since many samples take no
# other, and need not be exact. From trials with a ResNet-20 for CIFAR-10, some on half of the test images.
EVERY = {1: ((0.02,), (1.0,)), 2: ((0.06, 0.004), (0.5, 1.0)), 3: ((0.08, 0.02, 0.002), (0.5, 0.5, 1.0))}


@dataclass(frozen=True)
class CodedNeurons:
    """Puts neurons of a code in the place of activations, layer after layer in one sweep.

    The input of a layer is what the layers before it, fitted already, hold at each step, so that a layer makes up for
    their errors. By channel its thresholds are the candidates that minimise, over positions drawn at random,

        sum_t w_t MSE(h_t, a) / E[a^2] + sum_t lambda_t r f / F E[spikes in step t],

    with h_t the value held after step t, a the ANN's activation, E[a^2] over the whole layer, f the mean fan-out of the
    channel's neurons, F the mean over layers of their mean fan-out, and r the inverse of the layer's influence on the
    answer, with a geometric mean of 1 over layers and between 1 / 8 and 8: where errors do harm, energy counts for less
    (`conversion.calibration.influence`). Then biases d_t are added to the currents that
    bring the mean of what is read to the mean of a: twice d_t += 0.7 (mean a - mean h_t).

    Attributes:
        code: the code.
        wait: steps that a layer waits for its input, or "window" for all of it.
        phi: most spikes per step, in codes of bursts.
        reading: the values that are read: the "last" alone (w_T = 1, the same lambda at every step, one bias), or
            "every" one, as where samples may exit (w_t and a falling lambda_t, a bias for each step).
        energy: lambda where the last is read, else a factor of all lambda_t.
        samples: calibration samples, the first ones, that are looked at.
    """

    code: Code
    wait: Wait = 0
    phi: int = 1
    reading: Reading = "last"
    energy: float = 0.0
    samples: int = 256

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        graph, T = network.graph, network.T
        require_activations(graph, calibration)
        prices = self.prices(calibration)
        inputs = calibration.mean_inputs[: self.samples]
        activations = Activations(graph, inputs.split(calibration.sweep_batch))
        generator = torch.Generator().manual_seed(calibration.seed)
        neurons = {node: self.unfitted(graph, node, T) for node in graph.firing}
        fast = worth_compiling(SAVES * T * len(inputs) * neurons_of(graph), graph.example.device)
        network = replace(network, nonlinear="instantaneous").with_neurons(neurons)

        def spike(node: fx.Node, currents: TimeSeries) -> TimeSeries:
            axis, targets = graph.channel_axis(node), activations(node)
            known = [waited(batch, neurons[node].wait) for batch in currents]
            neurons[node] = self.fitted(neurons[node], known, targets, axis, T, prices[node], generator)
            return [spike_train(neurons[node], T, axis, batch, fast) for batch in known]

        with torch.no_grad():
            sweep(network, [running_means(steps) for steps in calibration.sweeps(T, self.samples)], T, spike)
        return network.with_neurons(neurons)

    def prices(self, calibration: Calibration) -> dict[fx.Node, Tensor]:
        """r f / F of every channel, by layer."""
        fan_outs = relative_fan_out(calibration.graph)
        if not self.energy:
            return dict(fan_outs)
        logarithms = {node: -math.log(max(influence, 1e-300)) for node, influence in calibration.influences.items()}
        mean = sum(logarithms.values()) / len(logarithms)
        factors = {node: math.exp(min(max(found - mean, -MOST), MOST)) for node, found in logarithms.items()}
        return {node: factors[node] * fan_out for node, fan_out in fan_outs.items()}

    def unfitted(self, graph: ConversionGraph, node: fx.Node, T: int) -> Neuron:
        """The neuron that takes an activation's place, with a threshold of 1."""
        function = graph.activation(node)
        one = torch.ones(1, device=graph.example.device)
        wait = T if self.wait == "window" else self.wait
        return Neuron(one, self.phi, 0 * one, slope=function.slope, code=self.code, wait=wait, ceiling=function.ceiling)

    def fitted(
        self, neuron: Neuron, currents: Sequence[Sequence[Tensor]], targets: Sequence[Tensor], axis: int, T: int,
        price: Tensor, generator: torch.Generator,
    ) -> Neuron:  # fmt: skip
        """The neuron with thresholds and biases for its currents, by batch and step, and its targets, by batch."""
        largest = torch.stack([_rows(target, axis).abs().amax(0) for target in targets]).amax(0).clamp(min=LEAST)
        drawn = torch.randperm(sum(_positions(target, axis) for target in targets), generator=generator)[:CORRECTED]
        wanted = _drawn(targets, axis, drawn)
        series = [_drawn([batch[t] for batch in currents], axis, drawn) for t in range(T)]
        few = [current[:POSITIONS] for current in series]
        thresholds = self._thresholds(neuron, few, wanted[:POSITIONS], largest, T, price.to(wanted))
        neuron = replace(neuron, threshold=thresholds, bias=torch.zeros_like(thresholds))
        for first in range(T) if self.reading == "every" else [0]:
            read = first if self.reading == "every" else T - 1
            for _ in range(ROUNDS):
                # Later steps do not change what is held at this one.
                held = spike_train(neuron, T, 1, series[: read + 1])[-1]
                bias = neuron.bias.clone()
                bias[first : read + 1] += CORRECTION * (wanted - held).mean(0, dtype=torch.float64).to(bias.dtype)
                neuron = replace(neuron, bias=bias)
        return neuron

    def _weights(self, T: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """lambda_t and w_t of steps 1..T."""
        if self.reading == "last":
            return (self.energy,) * T, (0.0,) * (T - 1) + (1.0,)
        if T in EVERY:
            energies, weights = EVERY[T]
        else:  # From the first to the last of three steps, by equal ratios.
            first, _, last = EVERY[3][0]
            energies = tuple(first * (last / first) ** (t / (T - 1)) for t in range(T))
            weights = (0.5,) * (T - 1) + (1.0,)
        return tuple(self.energy * energy for energy in energies), weights

    def _thresholds(
        self, neuron: Neuron, series: Sequence[Tensor], wanted: Tensor, largest: Tensor, T: int, price: Tensor
    ) -> Tensor:
        """The best candidate of every channel, shape (T, channels), for currents and targets of shape (n, channels)."""
        power = wanted.square().mean().clamp(min=1e-12)
        energies, weights = self._weights(T)
        best = torch.full_like(largest, torch.inf)
        chosen = largest.expand(T, -1).clone()
        values = [neuron.activation(current) for current in series]
        for shares in candidates(self.code, T, self.phi):
            thresholds = torch.outer(wanted.new_tensor(shares), largest)
            cost = torch.zeros_like(best)
            spelt = self.code.spell(values, list(thresholds), self.phi, rectified=not neuron.leaky)
            for (held, spikes), energy, weight in zip(spelt, energies, weights, strict=True):
                if weight:
                    cost += weight * (held - wanted).square().mean(0) / power
                if energy:
                    cost += energy * price * spikes.mean(0)
            better = cost < best
            best = torch.where(better, cost, best)
            chosen = torch.where(better, thresholds, chosen)
        return chosen


class Activations:
    """The ANN's activations, computed batch by batch from node to node as they are asked for, in execution order."""

    def __init__(self, graph: ConversionGraph, batches: Sequence[Tensor]) -> None:
        self.graph = graph
        self.pending = iter(graph.body)
        self.values: list[Values] = [graph.start(graph.cast(batch)) for batch in batches]
        self.freed = last_uses(graph.body, keep=())

    def __call__(self, node: fx.Node) -> list[Tensor]:
        """The activations of one node, by batch."""
        for current in self.pending:
            for values in self.values:
                values[current] = evaluate(current, values)
            if current is node:
                found = [values[node] for values in self.values]
                self._free(current)
                return found
            self._free(current)
        raise AssertionError(f"{node} was asked for out of order")

    def _free(self, node: fx.Node) -> None:
        for done in self.freed.get(node, ()):
            for values in self.values:
                del values[done]


def candidates(code: Code, T: int, phi: int) -> Iterator[tuple[float, ...]]:
    """Thresholds of steps 1..T that are tried, as shares of a channel's largest activation.

    Bursts that are held have thresholds that fall by a ratio from step to step; other codes bring their amplitudes
    with them.
    """
    falls: Sequence[tuple[float, ...]] = [(1.0,) * T]
    reach = code.reach(T, phi)
    if isinstance(code, Held):
        ratios = itertools.product(FALLS.get(T, (2.0,)), repeat=T - 1)
        falls = [tuple(itertools.accumulate((1.0, *fall), lambda a, b: a * b))[::-1] for fall in ratios]
        reach = phi  # Of the last step: the others have larger thresholds.
    share = SHARE / reach
    while share < LARGEST:
        for fall in falls:
            yield tuple(share * factor for factor in fall)
        share *= RATIO


def _positions(values: Tensor, axis: int) -> int:
    return values.numel() // values.shape[axis]


def _rows(values: Tensor, axis: int) -> Tensor:
    """Channels last, all other axes in one."""
    return values.movedim(axis, -1).flatten(0, -2)


def _drawn(batches: Sequence[Tensor], axis: int, drawn: Tensor) -> Tensor:
    """Positions of all batches by their numbers, in that order; shape (n, channels), float32 at least."""
    parts, order, start = [], [], 0
    for values in batches:
        inside = (drawn >= start) & (drawn < start + _positions(values, axis))
        parts.append(_rows(values, axis)[(drawn[inside] - start).to(values.device)])
        order.append(inside.nonzero().squeeze(1))
        start += _positions(values, axis)
    rows = torch.cat(parts)[torch.cat(order).argsort().to(parts[0].device)]
    return rows.to(torch.promote_types(rows.dtype, torch.float32))
