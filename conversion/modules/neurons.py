"""A layer of neurons as a module: its parameters, its state between steps, and a place for hooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Self

import torch
from torch import Tensor, nn

from conversion.modules.surrogate import Surrogate, with_gradient
from conversion.simulation.coded import CodedLayer, make_layer
from conversion.simulation.neuron import Layer, Neuron

BUFFERS = ("threshold", "potential", "gain")


class Neurons(nn.Module):
    """One layer of neurons of a `SpikingModule`, called with its current at every step.

    Attributes:
        bias: the current that is added at every step, a parameter; see `Neuron.bias`.
        threshold: see `Neuron.threshold`; a buffer, as `potential` and `gain` where the neuron has them.

    Args:
        neuron: the parameters that the conversion found.
        T: number of steps of the conversion.
        axis: axis of the channels in the layer's current.
        surrogate: gradient of the spikes; None gives none.
    """

    bias: nn.Parameter
    threshold: Tensor

    def __init__(self, neuron: Neuron, T: int, axis: int, surrogate: Surrogate | None = None) -> None:
        super().__init__()
        self._neuron, self.T, self.axis, self.surrogate = neuron, T, axis, surrogate
        if surrogate is not None:
            with_gradient(neuron, surrogate)  # Refuses neurons without one.
        self.bias = nn.Parameter(neuron.bias.detach().clone())
        for name in BUFFERS:
            value = getattr(neuron, name)
            self.register_buffer(name, None if value is None else value.detach().clone())
        self._layer: Layer | CodedLayer | None = None

    @property
    def neuron(self) -> Neuron:
        """The parameters as they are now."""
        return replace(self._neuron, bias=self.bias, **{name: getattr(self, name) for name in BUFFERS})

    @property
    def state(self) -> Tensor | None:
        """The membrane potential after the last step, or the value that receivers hold; None before the first."""
        return None if self._layer is None or not self._layer.state else self._layer.state[0]

    def reset(self) -> None:
        """Forgets the state; the next call is step 1."""
        self._layer = None

    def forward(self, current: Tensor) -> Tensor:
        """What the layer sends at its next step, spikes times threshold, for a current of shape (N, ...)."""
        output: Tensor = self._running().step(current)[0]
        return output

    def rehearse(self, currents: Sequence[Tensor]) -> None:
        """Tries the first currents before step 1, where the neurons do; see `conversion.simulation.trial`."""
        layer = self._running()
        assert isinstance(layer, Layer)
        layer.rehearse(currents)

    def keep(self, samples: Tensor) -> None:
        """Continues with the samples at the given indices alone."""
        self._running().keep(samples)

    def extra_repr(self) -> str:
        low, high = float(self.threshold.min()), float(self.threshold.max())
        threshold = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
        signed = ", signed" * self._neuron.signed
        return f"threshold={threshold}, phi={self._neuron.phi}, code={self._neuron.coding}{signed}"

    def _running(self) -> Layer | CodedLayer:
        if self._layer is None:
            self._layer = make_layer(self.neuron, self.T, self.axis)
            if self.surrogate is not None and torch.is_grad_enabled():
                assert isinstance(self._layer, Layer)
                self._layer.update = with_gradient(self._neuron, self.surrogate)
        return self._layer

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Moves to a device or a precision, but to none below float32: thresholds add up over steps."""
        self.reset()

        def moved(value: Tensor) -> Tensor:
            found = fn(value)
            return value.to(found.device) if found.dtype in (torch.float16, torch.bfloat16) else found

        result: Self = super()._apply(moved, recurse)
        return result

    def __getstate__(self) -> dict[str, object]:
        """What is copied and pickled: no state of a simulation, which may hang on a graph of gradients."""
        return {**vars(self), "_layer": None}
