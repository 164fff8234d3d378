"""A converted network as an `nn.Module`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor, fx, nn

from conversion.arguments import as_tensor
from conversion.capture.graph import attribute
from conversion.errors import InvalidInput
from conversion.modules.neurons import Neurons
from conversion.modules.surrogate import Surrogate
from conversion.report.energy import energy
from conversion.report.summary import Summary, summarise
from conversion.simulation.network import SpikingNetwork, require_spiking
from conversion.simulation.simulate import Inputs, as_frames, run_steps


class SpikingModule(nn.Module):
    """A converted network that is called like the network it was made from, and trained like any other module.

    `module(images)` runs all T steps from rest and returns the network's output, in the ANN's own structure. It has the
    same spikes as `conversion.simulate`, and counts nothing. Parameters are the weights and the biases of the neurons;
    thresholds are buffers. `module.neurons[name]` are the layers: hooks see each step's current and spikes, and
    `module.neurons[name].state` is the potential after the last step. `state_dict`, `to`, `half`, copies, pickles,
    `DistributedDataParallel` and optimizers work as with any module.

    Args:
        network: the converted network; it is copied.
        surrogate: a step function that has a gradient, for training: `conversion.modules.surrogate.triangle`, or one of
            snntorch's or SpikingJelly's. None gives outputs without gradients.

    Attributes:
        steps: number of steps that each sample took in the last call, int64 of shape (N,).

    Raises:
        InvalidInput: there are no surrogate gradients for a layer's neurons, or the surrogate is no function. Loading a
            state dict raises it before anything is loaded: where a name is missing or unknown (unless `strict` is
            False), or a value has another shape or type, is not finite, of which neurons would make finite outputs, or
            a threshold not above zero.
    """

    def __init__(self, network: SpikingNetwork, surrogate: Surrogate | None = None) -> None:
        super().__init__()
        require_spiking(network)
        if surrogate is not None and not callable(surrogate):
            raise InvalidInput(
                f"A surrogate is a function, such as conversion.modules.surrogate.triangle, and this is {surrogate!r}."
            )
        self._network = copy.deepcopy(network)
        self.surrogate = surrogate
        graph = self._network.graph
        self.weights = nn.ParameterDict(
            {
                _key(node): nn.Parameter(value.detach().clone(), requires_grad=surrogate is not None)
                for node in graph.rules
                if isinstance(value := _value(self._network, node), Tensor) and value.is_floating_point()
            }
        )
        self.neurons = nn.ModuleDict(
            {
                node.name: Neurons(neuron, network.T, graph.channel_axis(node), surrogate)
                for node, neuron in self._network.neurons.items()
            }
        )
        self.steps: Tensor | None = None
        self.register_load_state_dict_pre_hook(_require_fit)

    @property
    def T(self) -> int:
        """The number of timesteps."""
        return self._network.T

    @property
    def network(self) -> SpikingNetwork:
        """The network with the parameters of now, for `simulate`, `energy`, `report` and `save`."""
        with torch.no_grad():
            weights = {
                node: weight.detach().clone()
                for node, weight in self._weights().items()
                if not torch.equal(weight, attribute(self._network.graph.module, node))
            }
            neurons = {node: self._layer(node).neuron for node in self._network.neurons}
            neurons = {node: replace(neuron, bias=neuron.bias.detach().clone()) for node, neuron in neurons.items()}
        return replace(self._network.with_neurons(neurons), weights=MappingProxyType(weights))

    def energy(self, inputs: Any, price_list: str = "horowitz45") -> pd.DataFrame:
        """The energy of one sample in mJ, beside the ANN's, on some inputs; see `conversion.report.energy.energy`."""
        return energy(self.network, inputs, price_list)

    def report(self, inputs: Any, price_list: str = "horowitz45") -> Summary:
        """Layers, errors and energy on some inputs, as text, table and plot; see `conversion.report.summary`."""
        return summarise(self.network, inputs, price_list)

    def reset(self) -> None:
        """Forgets the state of all layers, which a call leaves for whoever looks at it."""
        for node in self._network.neurons:
            self._layer(node).reset()

    def forward(self, inputs: Inputs) -> Any:
        """Runs all steps from rest.

        Args:
            inputs: shape (N, ...), the same at every step, or (T, N, ...), one for each step.

        Returns:
            The network's output after T steps; for a classifier logits of shape (N, classes).

        Raises:
            InvalidInput: the input has another shape, or holds values that are not finite.
        """
        self.reset()
        trains = self.surrogate is not None and torch.is_grad_enabled()
        # No sample leaves early in training: a loss wants all of them at the same step.
        leaving = None if trains else self._network.exit
        network = replace(self._network, weights=MappingProxyType(self._weights()), exit=leaving)
        if isinstance(inputs, np.ndarray):
            inputs = as_tensor(inputs, "The input")
        if isinstance(inputs, Tensor) and inputs.dim() == network.graph.example.dim() + 1:
            inputs = list(inputs)
        with nullcontext() if trains else torch.no_grad():
            frames = as_frames(network, inputs, self.T)
            outputs, self.steps = run_steps(network, frames, self.T, self, {self.T})
        return outputs[self.T]

    def count_input(self, t: int, samples: Tensor) -> None:
        """Counts nothing; `simulate` does."""

    def spike(self, node: fx.Node, current: Tensor) -> Tensor:
        """What a layer sends for its current; called through the layer's module, so that its hooks run."""
        output: Tensor = self.neurons[node.name](current)
        return output

    def rehearse(self, node: fx.Node, currents: Sequence[Tensor]) -> None:
        self._layer(node).rehearse(currents)

    def keep(self, samples: Tensor) -> None:
        for node in self._network.neurons:
            self._layer(node).keep(samples)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Takes a state dict, all of it or nothing; arguments as of `nn.Module.load_state_dict`.

        As a part of another module it is given its values by torch, which leaves out names that are missing or unknown
        and says so when it has taken the others.

        Raises:
            InvalidInput: see the class.
        """
        if not isinstance(state_dict, Mapping):
            raise InvalidInput(f"A state dict maps names to tensors, and this is of type {type(state_dict).__name__}.")
        names = self.state_dict().keys()
        for name in (*names, *state_dict) if strict else ():
            if name not in state_dict:
                raise InvalidInput(f"The state dict lacks '{name}'; it is of another network or conversion.")
            if name not in names:
                raise InvalidInput(f"The state dict has '{name}', which is none of the module's; is it of another one?")
        return super().load_state_dict(state_dict, strict, assign)

    def extra_repr(self) -> str:
        return f"T={self.T}"

    def _layer(self, node: fx.Node) -> Neurons:
        layer = self.neurons[node.name]
        assert isinstance(layer, Neurons)
        return layer

    def _weights(self) -> dict[fx.Node, Tensor]:
        """The weights by the node that holds each."""
        rules = self._network.graph.rules
        return {
            node: self.weights[key] for node in rules if node.op == "get_attr" and (key := _key(node)) in self.weights
        }

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        result: Self = super()._apply(fn, recurse)
        graph = self._network.graph
        graph.module._apply(fn)
        graph.example = fn(graph.example)
        return result


def _value(network: SpikingNetwork, node: fx.Node) -> Any:
    """The weight that a node holds, tuned or the ANN's own; None where it holds none."""
    if node.op != "get_attr":
        return None
    return network.weights.get(node, attribute(network.graph.module, node))


def _key(node: fx.Node) -> str:
    """The name of a weight: that of its node, but for names that a ParameterDict has for itself, such as `values`."""
    own = hasattr(nn.ParameterDict, node.name.rstrip("_"))
    return f"{node.name}_" if own else node.name


def _require_fit(
    module: nn.Module, state: Mapping[str, object], prefix: str, metadata: Mapping[str, object], *_: object
) -> None:
    """Refuses what a state dict has for a module unless each value fits, before any of them is taken."""
    own = module.state_dict()
    mine = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    for name in (name for name in own if name in mine):
        fault = _fault(name, own[name], mine[name], assigned=bool(metadata.get("assign_to_params_buffers")))
        if fault is not None:
            raise InvalidInput(f"The state dict holds '{prefix}{name}' {fault}.")


def _fault(name: str, own: Tensor, given: object, *, assigned: bool) -> str | None:
    """Says what is wrong with a value that stands for one of a module's own; None where nothing is."""
    if not isinstance(given, Tensor):
        return f"as {type(given).__name__}, and not as a tensor"
    if given.layout != torch.strided or given.is_meta or given.is_quantized:
        return f"without plain numbers: {given.layout}, {given.dtype}, on {given.device}"
    if given.shape != own.shape:
        return f"of shape {tuple(given.shape)}, and the module's has {tuple(own.shape)}"
    if own.dtype != given.dtype and (assigned or not given.is_floating_point()):
        return f"as {given.dtype}, and the module's is {own.dtype}"
    held = given.to(own.dtype)  # A number of a wider type may be infinite in it.
    # Masks of attention are weights of -inf, and stay where they are.
    if not bool((torch.isfinite(held) | (held.isneginf() & own.isneginf().to(held.device))).all()):
        return "with values that are not finite"
    if name.endswith(".threshold") and bool((own > 0).all()) and not bool((held > 0).all()):
        return "with values that are not above zero, and neurons divide by it"
    return None
