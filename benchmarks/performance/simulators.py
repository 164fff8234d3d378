"""Neurons of other simulators in the place of a network's ReLUs, as a user of each would put them there.

All are integrate-and-fire neurons with one threshold for each layer and half of it as initial potential, which fire at
most once per step and subtract the threshold; a spike is worth the threshold. A simulator that is not installed is left
out. Nothing here counts spikes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from importlib.util import find_spec
from typing import ClassVar

import torch
from torch import Tensor, fx, nn


class Foreign(nn.Module):
    """A layer of neurons of another simulator.

    Args:
        threshold: of all neurons of the layer.
        T: number of steps.
    """

    package: ClassVar[str]
    """The package that it needs."""
    all_steps: ClassVar[bool] = False
    """Whether a call takes all steps, one after the other on the batch axis, and not the next one."""

    def __init__(self, threshold: float, T: int) -> None:
        super().__init__()
        self.threshold, self.T = threshold, T

    def restart(self) -> None:
        """Goes back to the initial potential."""
        raise NotImplementedError


class PlainLoop(Foreign):
    """A neuron written by hand in torch."""

    package = "torch"
    potential: Tensor | None = None

    def restart(self) -> None:
        self.potential = None

    def forward(self, current: Tensor) -> Tensor:
        if self.potential is None:
            self.potential = torch.full_like(current, self.threshold / 2)
        self.potential = self.potential + current
        output = (self.potential >= self.threshold).to(current.dtype) * self.threshold
        self.potential = self.potential - output
        return output


class SpikingJelly(Foreign):
    """SpikingJelly's IFNode with soft reset, one step per call."""

    package = "spikingjelly"
    mode: ClassVar[str] = "s"

    def __init__(self, threshold: float, T: int) -> None:
        super().__init__(threshold, T)
        from spikingjelly.activation_based.neuron import IFNode

        self.node = IFNode(threshold, v_reset=None, step_mode=self.mode)

    def restart(self) -> None:
        self.node.reset()
        self.node.v = self.threshold / 2

    def forward(self, current: Tensor) -> Tensor:
        spikes: Tensor = self.node(current)
        return spikes * self.threshold


class SpikingJellyAllSteps(SpikingJelly):
    """The same, a layer's steps in one call."""

    mode = "m"
    all_steps = True

    def forward(self, current: Tensor) -> Tensor:
        spikes: Tensor = self.node(current.unflatten(0, (self.T, -1)))
        return spikes.flatten(0, 1) * self.threshold


class SnnTorch(Foreign):
    """snntorch's Leaky without a leak, resetting by subtraction."""

    package = "snntorch"
    potential: Tensor | None = None

    def __init__(self, threshold: float, T: int) -> None:
        super().__init__(threshold, T)
        import snntorch

        exact = torch.tensor(threshold, dtype=torch.float64)
        self.node = snntorch.Leaky(beta=1.0, threshold=exact, reset_mechanism="subtract", surrogate_disable=True)

    def restart(self) -> None:
        self.potential = None

    def forward(self, current: Tensor) -> Tensor:
        if self.potential is None:
            self.potential = torch.full_like(current, self.threshold / 2)
            self.node.to(current.device, current.dtype)
        spikes: Tensor
        spikes, self.potential = self.node(current, self.potential)
        # Spikes are float32 whatever the current is.
        return spikes.to(current.dtype) * self.threshold


class Sinabs(Foreign):
    """sinabs' IAF with single spikes, a layer's steps in one call."""

    package = "sinabs"
    all_steps = True

    def __init__(self, threshold: float, T: int) -> None:
        super().__init__(threshold, T)
        from sinabs.activation import SingleSpike
        from sinabs.layers import IAF

        self.node = IAF(spike_threshold=torch.tensor(threshold, dtype=torch.float64), spike_fn=SingleSpike)
        self.started = False

    def restart(self) -> None:
        self.started = False

    def forward(self, current: Tensor) -> Tensor:
        # Samples first, then steps.
        series = current.unflatten(0, (self.T, -1)).transpose(0, 1)
        if not self.started:
            self.node.init_state_with_shape((len(series), *series.shape[2:]))
            self.node.to(current.device, current.dtype)
            self.node.v_mem.fill_(self.threshold / 2)
            self.started = True
        spikes: Tensor = self.node(series)
        return spikes.to(current.dtype).transpose(0, 1).flatten(0, 1) * self.threshold


SIMULATORS: Mapping[str, type[Foreign]] = {
    "plain loop in torch": PlainLoop,
    "SpikingJelly, step by step": SpikingJelly,
    "SpikingJelly, layer by layer": SpikingJellyAllSteps,
    "snntorch, step by step": SnnTorch,
    "sinabs, layer by layer": Sinabs,
}


def installed(kind: type[Foreign]) -> bool:
    """Whether the package is there that a kind of neurons needs."""
    return find_spec(kind.package) is not None


def with_neurons(
    ann: fx.GraphModule, thresholds: Sequence[float], T: int, kind: type[Foreign]
) -> Callable[[Tensor], Tensor]:  # fmt: skip
    """The simulation of T steps of an ANN with neurons in the place of its ReLUs: mean outputs of a batch of images.

    Args:
        ann: the traced network, whose ReLUs are modules; it is copied.
        thresholds: by ReLU, in execution order.
        T: number of steps.
        kind: the neurons.
    """
    network = deepcopy(ann)
    modules = dict(network.named_modules())
    layers: list[Foreign] = []
    for node in network.graph.nodes:
        if node.op == "call_module" and isinstance(modules[node.target], nn.ReLU):
            # A module that the network calls twice is two layers.
            name = f"neurons_{len(layers)}"
            layers.append(kind(thresholds[len(layers)], T))
            network.add_module(name, layers[-1])
            node.target = name
    assert len(layers) == len(thresholds), f"{len(layers)} ReLUs for {len(thresholds)} thresholds"
    network.recompile()
    network.eval()

    @torch.no_grad()
    def simulate(images: Tensor) -> Tensor:
        for layer in layers:
            layer.restart()
        if kind.all_steps:
            series: Tensor = network(torch.cat([images] * T))
            mean: Tensor = series.unflatten(0, (T, -1)).mean(0)
            return mean
        outputs: Tensor = network(images)
        for _ in range(T - 1):
            outputs = outputs + network(images)
        return outputs / T

    return simulate
