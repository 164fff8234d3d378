"""Tuning of a whole network in a code, through time, to the ANN's own answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn import functional as F

from conversion.calibration.inputs import in_own_order
from conversion.calibration.statistics import Calibration
from conversion.capture.graph import Values, evaluate
from conversion.codes import Held
from conversion.counting.operations import MACS_PER_SYNOP
from conversion.errors import InvalidInput
from conversion.simulation.coded import by_step
from conversion.simulation.compiling import worth_compiling
from conversion.simulation.network import SpikingNetwork
from conversion.stages.base import require_neurons, require_same_graph
from conversion.stages.early_exit import answers_classes
from conversion.stages.straight_through import HeldSteps

BATCH, TEMPERATURE, WARM_UP, CLIP = 64, 4.0, 20, 5.0
# Learning rates of log thresholds, of biases, and of the ANN's own weights; with 3e-4 those overfit.
RATES = {"threshold": 1e-2, "bias": 2e-3, "weight": 1e-4}
# Weights of the errors of the last answers, and shares of the samples that take the first steps.
ERRORS, TAKEN = (0.5, 0.8, 1.0), (1.0, 0.25, 0.12)
# Pixels by which images are shifted.
SHIFT = 4
# The number of a window's spikes has the gradient of that of n |u| / (|u| + SILENT), u the value in thresholds.
SILENT = 0.1


@dataclass(frozen=True)
class Tuning:
    """Tunes thresholds, biases and weights of a network in a code by gradient descent, without labels.

    Its answers y_t after each step are to agree with the ANN's within a budget of energy. It minimises

        sum_t w_t 16 KL(softmax(ANN / 4) || softmax(y_t / 4)) + 5 max((E_first + sum_t p_t E_t) / E_target - 1, 0)

    by Adam, with E_first the multiplications of the first layer, E_t the accumulations of step t as a share of the
    ANN's energy, and p_t the share of the samples that are expected to take step t. The number of spikes is rounded;
    its gradient is that of the number before rounding where it is within phi, and none beyond. Images are flipped and
    shifted by up to four pixels at random.

    That is for held values of causal neurons. Where all layers wait for their whole input, in another code, there is
    one answer and one pass, and the value held at the end has the gradient of the value itself within the reach of the
    code. What its n spikes cost hardly depends on anything but whether there are any, and values near zero are those
    that may become silent: n has the gradient of n |u| / (|u| + 0.1), with u the value in thresholds.

    Attributes:
        target: E_target; None is the energy of the network as it is.
        iterations: number of updates, of 64 samples each.
    """

    target: float | None = None
    iterations: int = 500

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        require_neurons(network, "Tuning")
        require_same_graph(network.graph, calibration)
        neurons = network.neurons.values()
        held = [isinstance(neuron.code, Held) for neuron in neurons]
        window = not any(held) and all(neuron.wait >= network.T for neuron in neurons)
        if not window and not (all(held) and not network.waits):
            raise InvalidInput(
                "Tuning is for neurons in the code 'held' that do not wait, and in any other code that wait for their "
                "whole input; put such before it."
            )
        if any(neuron.gain is not None for neuron in neurons):
            raise InvalidInput(
                "Tuning knows one amplitude for a threshold, and these neurons have a gain between them."
            )
        if not answers_classes(calibration):
            raise InvalidInput(
                "Tuning compares probabilities of classes, and this network's output is no scores of classes; use "
                "method 'held', which is calibrated layer by layer."
            )
        if not isinstance(calibration.inputs, Tensor):
            raise InvalidInput("Tuning takes inputs that do not change in time; use method 'held' for frames.")
        return _Parameters(network, calibration, self.target, window).run(self.iterations)


class _Parameters:
    """The parameters of a network while they are tuned."""

    def __init__(self, network: SpikingNetwork, calibration: Calibration, target: float | None, window: bool) -> None:
        self.network, self.graph = network, network.graph
        self.generator = torch.Generator().manual_seed(calibration.seed)
        self.inputs = in_own_order(calibration.mean_inputs)
        own = network.start(self.graph.example)
        trained = dict(self.graph.module.named_parameters())
        self.weights = {node: _leaf(own[node]) for node in own if node.op == "get_attr" and str(node.target) in trained}
        # With a window one pass says all.
        T = self.passes = 1 if window else network.T
        self.thresholds = {
            node: _leaf(by_step(neuron.threshold, network.T)[:T].log()) for node, neuron in network.neurons.items()
        }
        self.biases = {node: _leaf(by_step(neuron.bias, network.T)[:T]) for node, neuron in network.neurons.items()}
        connections = network.connectivity
        macs = connections.macs
        whole = replace(network, neurons=MappingProxyType({})).connectivity.macs
        total = whole.static + whole.step + whole.head
        self.first = (macs.static + T * macs.step + macs.head) / total
        if target is not None and self.first >= target:
            raise InvalidInput(
                f"The target of energy is {target:.3f} of the ANN's, and operations on analog values alone, those of "
                f"the first layer among them, take {self.first:.3f}; give more."
            )
        # Of one spike of each neuron, shape (positions, channels).
        self.prices = {
            node: (fan_out * MACS_PER_SYNOP / total).movedim(self.graph.channel_axis(node) - 1, -1)
            .reshape(-1, self.graph.channels(node)).to(torch.float32).contiguous()
            for node, fan_out in connections.fan_out.items()
        }  # fmt: skip
        self.fast = False
        self.target = self._energy() if target is None else target

    @torch.enable_grad()
    def run(self, iterations: int) -> SpikingNetwork:
        # Forward and backward.
        updates = 2 * iterations * BATCH * self.passes * sum(price.numel() for price in self.prices.values())
        self.fast = worth_compiling(updates, self.graph.example.device)
        groups = {"threshold": self.thresholds, "bias": self.biases, "weight": self.weights}
        optimiser = torch.optim.Adam(
            [{"params": list(leaves.values()), "lr": RATES[name]} for name, leaves in groups.items()]
        )
        leaves = [leaf for group in groups.values() for leaf in group.values()]
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, iterations))
        for _ in range(iterations):
            inputs = self.graph.cast(self._batch())
            with torch.no_grad():
                wanted = self.graph.run(inputs).float()
            optimiser.zero_grad()
            self._loss(inputs, wanted).backward(inputs=leaves)
            torch.nn.utils.clip_grad_norm_(leaves, CLIP)
            optimiser.step()
            schedule.step()
        return self._tuned()

    def _batch(self) -> Tensor:
        """Samples of the calibration set, drawn at random; images are flipped and shifted."""
        inputs = self.inputs
        drawn = inputs[torch.randint(len(inputs), (BATCH,), generator=self.generator).to(inputs.device)]
        return augmented(drawn, self.generator) if drawn.dim() == 4 else drawn

    @torch.no_grad()
    def _energy(self) -> float:
        """The energy of the network before it is tuned, on the first samples."""
        inputs = self.graph.cast(self.inputs[:BATCH])
        return float(self._answers(inputs)[1])

    def _loss(self, inputs: Tensor, wanted: Tensor) -> Tensor:
        outputs, energy = self._answers(inputs)
        loss = 5 * F.relu(energy / self.target - 1)
        for t, output in enumerate(outputs):
            loss = loss + ERRORS[max(t - len(outputs), -len(ERRORS))] * _distance(output, wanted)
        return loss

    def _answers(self, inputs: Tensor) -> tuple[list[Tensor], Tensor]:
        """The answers after each step, and the energy as a share of the ANN's.

        Node after node, with the samples of all steps as one batch: those of the first step, of the second ...
        """
        network, T = self.network, self.passes
        energy, taken = torch.full((), self.first), torch.tensor([TAKEN[min(t, len(TAKEN) - 1)] for t in range(T)])
        values = self.graph.start(inputs, {node: leaf.to(self.graph.dtype) for node, leaf in self.weights.items()})
        changing = network.changing(constant_input=True)
        repeated: Values = {}

        def at_all_steps(node: fx.Node) -> Any:
            if node in changing or not (node is self.graph.input or node in computed):
                return values[node]
            if node not in repeated:
                repeated[node] = torch.cat([values[node]] * T)
            return repeated[node]

        computed = {*network.body, *network.head}
        for node in (*network.body, *network.head):
            if node in network.neurons:
                source = node.all_input_nodes[0]
                current = values[source]
                held, spent = self._fire(node, current, 1 if source in changing else T)
                energy = energy + (spent * taken).sum() / len(inputs)
                values[node] = held.to(current.dtype)
            elif node in changing:
                values[node] = evaluate(node, {source: at_all_steps(source) for source in node.all_input_nodes})
            else:
                values[node] = evaluate(node, values)
        ends = {node: at_all_steps(node) for node in self.graph.output.all_input_nodes}
        return list(self.graph.finish(ends).float().chunk(T)), energy

    def _fire(self, node: fx.Node, current: Tensor, times: int) -> tuple[Tensor, Tensor]:
        """The values held after all steps, and the energy of the spikes of each step.

        Args:
            node: a layer of neurons.
            current: of all steps, or of any where it is the same at each.
            times: how often the current is to be repeated.
        """
        neuron, axis = self.network.neurons[node], self.graph.channel_axis(node)
        # Channels last, positions in one axis: a view, for images as `ConversionGraph.cast` orders them.
        last = current.float().movedim(axis, -1)
        T, channels = self.passes, last.shape[-1]
        by_step = last.reshape(T // times, -1, self.prices[node].shape[0], channels).expand(T, -1, -1, -1)
        if neuron.wait:
            held, spent = self._tell(node, by_step[0])
        else:
            bias, logarithm = (leaves[node].expand(T, channels) for leaves in (self.biases, self.thresholds))
            held, spent = HeldSteps.apply(by_step, bias, logarithm, self.prices[node], neuron, self.fast)
        return held.reshape(-1, *last.shape[1:]).movedim(-1, axis), spent

    def _tell(self, node: fx.Node, current: Tensor) -> tuple[Tensor, Tensor]:
        """The value held after all steps of a window, and the energy of its spikes; shape (N, positions, channels)."""
        neuron, T = self.network.neurons[node], self.network.T
        assert neuron.code is not None
        threshold = self.thresholds[node][0].exp()
        value = neuron.activation(current + self.biases[node][0])
        with torch.no_grad():
            held, spikes = neuron.code.outcome(value, threshold, T, neuron.phi, rectified=not neuron.leaky)
            level = held / threshold
            within = value.abs() <= neuron.code.reach(T, neuron.phi) * threshold
        units = value / threshold
        size = units.abs()
        soft = spikes * size / (size + SILENT)
        spent = ((soft + (spikes - soft).detach()) * self.prices[node]).sum()
        return threshold * torch.where(within, units + (level - units).detach(), level), spent

    @torch.no_grad()
    def _tuned(self) -> SpikingNetwork:
        neurons = {
            node: replace(
                neuron,
                threshold=self.thresholds[node].detach().exp().to(neuron.threshold.dtype).squeeze(0),
                bias=self.biases[node].detach().to(neuron.bias.dtype).squeeze(0),
            )
            for node, neuron in self.network.neurons.items()
        }
        tuned = {node: leaf.detach().to(self.graph.dtype) for node, leaf in self.weights.items()}
        weights: Mapping[fx.Node, Tensor] = MappingProxyType({**self.network.weights, **tuned})
        return replace(self.network.with_neurons(neurons), weights=weights)


def augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images of shape (N, C, H, W), each flipped or not and shifted by up to four pixels, at random.

    Borders are repeated: what lies beyond an image is nothing that a network would know.
    """
    padded = F.pad(images, (SHIFT,) * 4, mode="replicate")
    height, width = images.shape[2:]
    offsets = torch.randint(2 * SHIFT + 1, (len(images), 2), generator=generator).tolist()
    flips = torch.rand(len(images), generator=generator) < 0.5
    rows = [
        image[:, y : y + height, x : x + width].flip(2) if flip else image[:, y : y + height, x : x + width]
        for image, (y, x), flip in zip(padded, offsets, flips.tolist(), strict=True)
    ]
    return torch.stack(rows).contiguous(memory_format=torch.preserve_format)


def _distance(output: Tensor, wanted: Tensor) -> Tensor:
    """16 KL of probabilities at temperature 4, the mean over samples and positions."""
    ours, theirs = (F.log_softmax(scores / TEMPERATURE, 1) for scores in (output, wanted))
    divergence = (theirs.exp() * (theirs - ours)).sum(1).mean()
    return TEMPERATURE**2 * divergence


def _rate(step: int, iterations: int) -> float:
    """The factor of learning rates: rising linearly, then falling to zero on a cosine."""
    warm = min((step + 1) / WARM_UP, 1.0)
    return warm * 0.5 * (1 + math.cos(math.pi * step / iterations))


def _leaf(values: Tensor) -> Tensor:
    return values.detach().float().clone().requires_grad_()
