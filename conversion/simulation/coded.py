"""Layers of neurons whose receivers hold a value (conversion/codes): their state while they are simulated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from conversion.capture.channels import per_channel
from conversion.codes import Sent, WindowCode
from conversion.counting.spikes import count_spikes
from conversion.simulation.neuron import Layer, Neuron


class CodedLayer:
    """The state of one layer of neurons in a code, whose output at step t is the value that receivers hold by then.

    Args:
        neuron: the parameters; it has a code.
        T: number of steps of the conversion.
        axis: axis of the channels in the layer's current.
        fan_out: synaptic operations that one spike of each neuron causes, shape of one sample; None counts nothing.
    """

    def __init__(self, neuron: Neuron, T: int, axis: int, fan_out: Tensor | None = None) -> None:
        assert neuron.code is not None
        self.neuron, self.code = neuron, neuron.code
        self.T, self.axis, self.fan_out = T, axis, fan_out
        # The value spelt so far, which receivers hold but for the gain; then, in a code that chooses all at once, the
        # step and the value of each neuron's spike.
        self.state: tuple[Tensor, ...] = ()
        self.t = 0

    def step(self, current: Tensor) -> tuple[Tensor, Tensor | None]:
        """Simulates one timestep.

        Args:
            current: input of shape (N, ...) in the network's precision: what the layer knows of it by this step.

        Returns:
            The value held, like `current`; and, where spikes are counted, a tally as that of `Layer.step`.
        """
        sent = self.send(current)
        units = None if self.fan_out is None else sent.value.abs() / self.smallest
        tally = count_spikes(sent.spikes, self.fan_out, self.neuron.phi == 1, units)
        return self.held.to(current.dtype), tally

    @property
    def held(self) -> Tensor:
        """The value that receivers hold."""
        return self.state[0] if self.gain is None else self.state[0] * self.gain

    def send(self, current: Tensor) -> Sent:
        """Simulates one timestep like `step`, and returns what every neuron sends in it."""
        if not self.state:
            self._reset(current)
        self.t += 1
        held, *plan = self.state
        threshold = self.thresholds[self.t - 1]
        if isinstance(self.code, WindowCode):
            if not plan:
                plan = list(self.code.encode(self._value(current), threshold, self.T))
            now = plan[0] == self.t
            sent = Sent(plan[1] * now, now.to(held.dtype))
        else:
            sent = self.code.send(
                self._value(current) - held, held, threshold, self.t, self.T, self.neuron.phi, not self.neuron.leaky
            )
        self.state = (held + sent.value, *plan)
        return sent

    def keep(self, samples: Tensor) -> None:
        """Continues with the samples at the given indices alone."""
        self.state = tuple(part[samples] for part in self.state)

    def _value(self, current: Tensor) -> Tensor:
        """The activation function of the current and the bias of this step."""
        bias = self.biases[min(self.t, len(self.biases)) - 1]
        return self.neuron.activation(current + bias, self.axis)

    def _reset(self, current: Tensor) -> None:
        dtype, dims = torch.promote_types(current.dtype, torch.float32), current.dim()
        rows = by_step(self.neuron.threshold, self.T).to(dtype)
        self.thresholds = [per_channel(row, self.axis, dims) for row in rows]
        bias = self.neuron.bias.to(dtype)
        self.biases = [per_channel(row, self.axis, dims) for row in (bias if bias.dim() == 2 else bias[None])]
        gain = self.neuron.gain
        self.gain = None if gain is None else per_channel(gain.to(dtype), self.axis, dims)
        self.smallest = per_channel(self.code.smallest(rows, self.T, self.neuron.phi), self.axis, dims)
        if self.fan_out is not None:
            self.fan_out = self.fan_out.to(dtype)
        self.state = (torch.zeros_like(current, dtype=dtype),)


def by_step(values: Tensor, T: int) -> Tensor:
    """Thresholds or biases of every step, shape (T, channels), of which there may be one row for all."""
    return values if values.dim() == 2 else values.expand(T, -1)


def make_layer(
    neuron: Neuron, T: int, axis: int, fan_out: Tensor | None = None, fast: bool = False
) -> Layer | CodedLayer:  # fmt: skip
    """A new layer of neurons, of the code that they have."""
    if neuron.code is None:
        return Layer(neuron, T, axis, fan_out, fast)
    return CodedLayer(neuron, T, axis, fan_out)


def waited(currents: Sequence[Any], wait: int) -> list[Any]:
    """What a layer knows of its input at each of its steps if it waits: by step t, the input's step t + wait."""
    return [currents[min(t + wait, len(currents) - 1)] for t in range(len(currents))]
