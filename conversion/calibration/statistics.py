"""The calibration set and the ANN's statistics on it, which are measured once and used by every stage."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx

from conversion.arguments import named
from conversion.calibration.histogram import ChannelHistogram
from conversion.calibration.influence import influences
from conversion.calibration.inputs import in_own_order, input_batches, network_input
from conversion.calibration.normal import Moments
from conversion.capture.graph import ConversionGraph
from conversion.errors import InvalidInput
from conversion.simulation.frames import NetworkInput, concatenate, input_steps, mean_input, split_batches

# Numbers in a batch of inputs: 32 small images, one large one. Activations then stay near the cores from step to step.
SWEEP_SIZE = 32 * 3 * 32 * 32
# Samples whose gradients say how much layers matter.
INFLUENCED = 128


class Calibration:
    """Training inputs that a conversion may look at, with the ANN's statistics on them.

    One object serves every method and every T converted from the same graph: statistics are gathered once. `inputs`
    are those of a spiking network, `mean_inputs`, of shape (N, ...), those of the ANN.

    Args:
        graph: the captured ANN.
        batches: network inputs, each of shape (N, ...), or frames in time; one of them alone is one batch. A loader
            may give them with labels, which are left out.
        held_out: inputs of other training samples with their classes, shapes (M, ...) and (M,), or (M, H, W) where
            every position has a class; on them early exit learns how sure a correct prediction is.
        seed: seed of the random draws of stages.

    Raises:
        InvalidInput: there is no sample, one of another shape than was captured, or a value that is not finite.
    """

    def __init__(
        self, graph: ConversionGraph, batches: Iterable[NetworkInput] | NetworkInput,
        held_out: tuple[NetworkInput, Tensor] | None = None, seed: int = 0,
    ) -> None:  # fmt: skip
        if not isinstance(graph, ConversionGraph):
            raise InvalidInput(
                f"A captured network is needed, and this is a {named(graph)}; capture it first: capture(ann, example)."
            )
        batches = input_batches(batches)
        if not sum(len(batch) for batch in batches):
            raise InvalidInput("The calibration set is empty; give at least one batch of training inputs.")
        if held_out is not None:
            held_out = (network_input(held_out[0], "The held-out inputs"), held_out[1])
        expected = tuple(graph.example.shape[1:])
        self.held_out = None if held_out is None else (held_out[0], torch.as_tensor(held_out[1]))
        others = [] if held_out is None else [held_out[0]]
        for batch in (*batches, *others):
            if tuple(batch.shape[1:]) != expected:
                shape = tuple(batch.shape)
                raise InvalidInput(f"A calibration batch has shape {shape}; the network takes (N, *{expected}).")
        if self.held_out is not None and (not len(others[0]) or self.held_out[1].shape[:1] != others[0].shape[:1]):
            sizes = f"{len(others[0])} samples and labels of shape {tuple(self.held_out[1].shape)}"
            raise InvalidInput(
                f"The held-out set has {sizes}; give one class index for each sample, or one for each of its positions."
            )
        self.graph = graph
        self.seed = seed
        self._encoded: Calibration | None = None
        # What searches of stages found on it, which others that differ in what they choose from it use again.
        self.findings: dict[Hashable, Any] = {}
        self.inputs = concatenate(batches)
        self.mean_inputs = mean_input(self.inputs)
        values = (batch if isinstance(batch, Tensor) else batch.values for batch in (self.inputs, *others))
        # As all are where the least and the greatest are; of photographs, asking each value takes 20 times as long.
        if not all(bool(torch.isfinite(torch.stack(value.aminmax())).all()) for value in values if value.numel()):
            raise InvalidInput("The calibration set holds values that are not finite.")

    def on(self, graph: ConversionGraph) -> Calibration:
        """The same samples with the statistics of the graph with encoders between linear layers, if that is given.

        For any other graph it is this object.
        """
        if graph.plain is not self.graph:
            return self
        if self._encoded is None:
            self._encoded = Calibration(graph, self.inputs, self.held_out, self.seed)
        return self._encoded

    def sweeps(self, T: int, samples: int | None = None) -> list[list[Tensor]]:
        """The inputs of all samples, or of the first ones, by batch and timestep of a sweep."""
        inputs = self.inputs[slice(samples)]
        return [
            [self.graph.cast(step) for step in input_steps(batch, T)]
            for batch in split_batches(inputs, self.sweep_batch)
        ]

    @property
    def sweep_batch(self) -> int:
        """Samples in a batch of a sweep, in which all steps go through a layer at once."""
        return min(max(SWEEP_SIZE // self.mean_inputs[0].numel(), 1), 32)

    @property
    def pass_batch(self) -> int:
        """Samples in a batch of the ANN."""
        return 2 * self.sweep_batch

    @cached_property
    def histograms(self) -> dict[fx.Node, ChannelHistogram]:
        """The ANN's activations by layer, from one pass."""
        graph = self.graph
        found = {node: ChannelHistogram(graph.channels(node)) for node in graph.firing}
        for batch in self.mean_inputs.split(self.pass_batch):
            graph.run(batch, observe=lambda node, value: found[node].add(value, graph.channel_axis(node)))
        return found

    @cached_property
    def moments(self) -> dict[fx.Node, Moments]:
        """Mean and standard deviation of the ANN's currents by layer, those that activations are computed from."""
        graph = self.graph
        sources = {node: node.all_input_nodes[0] for node in graph.firing}
        # Count, sum and sum of squares.
        sums = {node: torch.zeros(3, graph.channels(node), dtype=torch.float64) for node in graph.firing}

        def add(node: fx.Node, current: Tensor) -> None:
            rows = current.movedim(graph.channel_axis(node), -1).flatten(0, -2).double().cpu()
            sums[node] += torch.stack([torch.full_like(rows[0], len(rows)), rows.sum(0), rows.square().sum(0)])

        for batch in self.mean_inputs.split(self.pass_batch):
            seen: dict[fx.Node, Tensor] = {graph.input: graph.cast(batch)}

            def observe(node: fx.Node, value: Tensor, seen: dict[fx.Node, Tensor] = seen) -> None:
                seen[node] = value

            graph.run(batch, observe, also=set(sources.values()))
            for node, source in sources.items():
                add(node, seen[source])
        means = {node: (total / count, squares / count) for node, (count, total, squares) in sums.items()}
        return {node: Moments(mean, (square - mean**2).clamp(min=0).sqrt()) for node, (mean, square) in means.items()}

    @cached_property
    def influences(self) -> Mapping[fx.Node, float]:
        """How much an error of each layer changes the ANN's answer; see `conversion.calibration.influence`."""
        inputs = in_own_order(self.mean_inputs[:INFLUENCED])
        return influences(self.graph, inputs.split(self.pass_batch), torch.Generator().manual_seed(self.seed))

    @cached_property
    def maxima(self) -> dict[fx.Node, Tensor]:
        """The ANN's largest activation of every neuron, and its largest outputs, in the shape of one sample."""
        found: dict[fx.Node, Tensor] = {}

        def observe(node: fx.Node, value: Tensor) -> None:
            largest = value.amax(0)
            found[node] = torch.maximum(found[node], largest) if node in found else largest

        for batch in self.mean_inputs.split(self.pass_batch):
            self.graph.run(batch, observe, also=self.graph.output_encoders)
        return found
