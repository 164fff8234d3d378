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

from conversion.calibration.statistics import Calibration
from conversion.capture.channels import per_channel
from conversion.capture.graph import Values, evaluate
from conversion.codes import Held
from conversion.codes.held import ROUNDING
from conversion.counting.operations import MACS_PER_SYNOP
from conversion.errors import InvalidInput
from conversion.simulation.coded import by_step
from conversion.simulation.compiling import compiled, worth_compiling
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.neuron import Neuron, leaky_relu
from conversion.stages.base import require_neurons, require_same_graph
from conversion.stages.early_exit import answers_classes

BATCH, TEMPERATURE, WARM_UP, CLIP = 64, 4.0, 20, 5.0
# Learning rates of log thresholds, of biases, and of the ANN's own weights; with 3e-4 those overfit.
RATES = {"threshold": 1e-2, "bias": 2e-3, "weight": 1e-4}
# Weights of the errors of the last answers, and shares of the samples that take the first steps.
ERRORS, TAKEN = (0.5, 0.8, 1.0), (1.0, 0.25, 0.12)
# Pixels by which images are shifted.
SHIFT = 4


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
    one answer and one pass, the value held at the end has the gradient of the value itself within the reach of the
    code, and energy has none: the number of spikes hardly depends on the amplitudes that they have.

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
        # In an order of their own, so that the same are drawn whatever the order of the calibration set.
        inputs = calibration.mean_inputs
        self.inputs = inputs[inputs.flatten(1).sum(1, dtype=torch.float64).argsort()]
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
        self.prices = {
            node: (fan_out * MACS_PER_SYNOP / total).to(torch.float32) for node, fan_out in connections.fan_out.items()
        }
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
        """The answers after each step, and the energy as a share of the ANN's."""
        network, T = self.network, self.passes
        outputs: list[Tensor] = []
        held: dict[fx.Node, Tensor] = {}
        energy = torch.full((), self.first)
        start = self.graph.start(inputs, {node: leaf.to(self.graph.dtype) for node, leaf in self.weights.items()})
        changing = network.changing(constant_input=True)
        for node in network.body:
            if node not in changing:
                start[node] = evaluate(node, start)
        for t in range(T):
            values: Values = dict(start)
            spent = torch.zeros(())
            for node in network.body:
                if node not in changing:
                    continue
                if node in network.neurons:
                    current = values[node.all_input_nodes[0]]
                    held[node], energy_of_layer = self._fire(node, current, held.get(node), t)
                    spent = spent + energy_of_layer / len(inputs)
                    values[node] = held[node].to(current.dtype)
                else:
                    values[node] = evaluate(node, values)
            for node in network.head:
                values[node] = evaluate(node, values)
            outputs.append(self.graph.finish(values).float())
            energy = energy + TAKEN[min(t, len(TAKEN) - 1)] * spent
        return outputs, energy

    def _fire(self, node: fx.Node, current: Tensor, held: Tensor | None, t: int) -> tuple[Tensor, Tensor]:
        """The value held, and the energy of the spikes that changed it."""
        neuron, axis, dims = self.network.neurons[node], self.graph.channel_axis(node), current.dim()
        if neuron.wait:
            return self._tell(node, current)
        before = torch.zeros_like(current, dtype=torch.float32) if held is None else held
        after, spent = _Fire.apply(
            current.float() + per_channel(self.biases[node][t], axis, dims), before,
            per_channel(self.thresholds[node][t], axis, dims), self.prices[node], neuron, self.fast,
        )  # fmt: skip
        return after, spent

    def _tell(self, node: fx.Node, current: Tensor) -> tuple[Tensor, Tensor]:
        """The value held after all steps of a window, and the energy of its spikes."""
        neuron, axis, dims = self.network.neurons[node], self.graph.channel_axis(node), current.dim()
        assert neuron.code is not None
        T = self.network.T
        threshold = per_channel(self.thresholds[node][0].exp(), axis, dims)
        value = neuron.activation(current.float() + per_channel(self.biases[node][0], axis, dims))
        with torch.no_grad():
            spelt = list(neuron.code.spell([value] * T, [threshold] * T, neuron.phi, rectified=neuron.slope == 0))
            spent = sum(((spikes * self.prices[node]).sum() for _, spikes in spelt), torch.zeros(()))
            level = spelt[-1][0] / threshold
            within = value.abs() <= neuron.code.reach(T, neuron.phi) * threshold
        units = value / threshold
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


class _Fire(torch.autograd.Function):
    """One step of `Held`, with gradients that pass the rounding of the number of spikes k.

    With u = (a - h) / V before rounding, dk/du is 1 where |u| is within phi and 0 beyond, and d|k|/du is sign(k) there.
    """

    @staticmethod
    def forward(
        ctx: Any, current: Tensor, held: Tensor, logarithm: Tensor, price: Tensor, neuron: Neuron, fast: bool
    ) -> tuple[Tensor, Tensor]:
        """The value held after the step, and the sum of the spikes' prices.

        Args:
            current: with its bias, shape (N, ...).
            held: before the step.
            logarithm: of the thresholds, in a shape that fits the current.
            price: of one spike of each neuron, shape of one sample.
            neuron: says phi and the activation function.
            fast: compile what is done for each neuron.
        """
        ctx.neuron, ctx.fast = neuron, fast
        threshold = logarithm.exp()
        ctx.save_for_backward(current, held, threshold, price)
        spell = compiled(_spell) if fast else _spell
        after, spent = spell(current, held, threshold, price, neuron.phi, neuron.slope, neuron.ceiling)
        return after, spent

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        derive = compiled(_derive) if ctx.fast else _derive
        current, held, threshold, price = ctx.saved_tensors
        of_after, of_spent = gradients
        neuron = ctx.neuron
        found = derive(
            current, held, threshold, price, neuron.phi, neuron.slope, neuron.ceiling, of_after, of_spent
        )  # fmt: skip
        return (*found, None, None, None)


def _units(
    current: Tensor, held: Tensor, threshold: Tensor, phi: int, slope: float, ceiling: float
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The error in thresholds, u, and the number of spikes with its sign, k."""
    units = (leaky_relu(current, slope).clamp(max=ceiling) - held) / threshold
    return units, units.sign() * torch.floor(units.abs() + ROUNDING).clamp(max=phi)


def _spell(
    current: Tensor, held: Tensor, threshold: Tensor, price: Tensor, phi: int, slope: float, ceiling: float
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The value held after a step, and the sum of the spikes' prices."""
    _, spikes = _units(current, held, threshold, phi, slope, ceiling)
    return held + spikes * threshold, (spikes.abs() * price).sum()


def _derive(
    current: Tensor, held: Tensor, threshold: Tensor, price: Tensor, phi: int, slope: float, ceiling: float,
    of_after: Tensor, of_spent: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of the current, the value held before and the logarithm of the thresholds, from those of `_spell`.

    The units are computed again: reading them from memory would take longer.
    """
    units, spikes = _units(current, held, threshold, phi, slope, ceiling)
    within = (units.abs() < phi + 0.5).to(units.dtype)
    counted = units.sign() * (spikes != 0) * price * of_spent * within
    of_value = of_after * within + counted / threshold
    # h + k V by log V: V (k - u) where k follows u, V k where it does not; and |k| by log V: -sign(k) u.
    by_neuron = (spikes - units * within) * of_after * threshold - counted * units
    axes = [axis for axis in range(units.dim()) if threshold.shape[axis] == 1]
    slopes = torch.where(current > 0, 1.0, slope) * (current < ceiling)
    return of_value * slopes, of_after - of_value, by_neuron.sum(axes, keepdim=True)


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
