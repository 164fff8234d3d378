"""Layers of neurons whose receivers hold a value (conversion/codes): their state while they are simulated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from conversion.capture.channels import per_channel
from conversion.codes import Code, Sent, WindowCode
from conversion.counting.spikes import count_spikes
from conversion.simulation.compiling import compiled
from conversion.simulation.neuron import Layer, Neuron, activate, ordered, slope_along


class CodedLayer:
    """The state of one layer of neurons in a code, whose output at step t is the value that receivers hold by then.

    Args:
        neuron: the parameters; it has a code.
        T: number of steps of the conversion.
        axis: axis of the channels in the layer's current.
        fan_out: synaptic operations that one spike of each neuron causes, shape of one sample; None counts nothing.
        fast: compile the update, which takes seconds once and is several times faster from then on.
    """

    def __init__(
        self, neuron: Neuron, T: int, axis: int, fan_out: Tensor | None = None, fast: bool = False
    ) -> None:  # fmt: skip
        assert neuron.code is not None
        self.neuron, self.code = neuron, neuron.code
        self.T, self.axis, self.fan_out = T, axis, fan_out
        self.update = compiled(tell) if fast else tell
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
        held, *plan = self._before(current)
        held, output, tally = self.update(
            held, tuple(plan), current, **self._now(), gain=self.gain, fan_out=self.fan_out, smallest=self.smallest
        )
        self.state = (held, *plan)
        return output, tally

    @property
    def held(self) -> Tensor:
        """The value that receivers hold."""
        return self.state[0] if self.gain is None else self.state[0] * self.gain

    def send(self, current: Tensor) -> Sent:
        """Simulates one timestep like `step`, and returns what every neuron sends in it."""
        held, *plan = self._before(current)
        sent = sends(held, tuple(plan), current, **self._now())
        self.state = (held + sent.value, *plan)
        return sent

    def keep(self, samples: Tensor) -> None:
        """Continues with the samples at the given indices alone."""
        self.state = tuple(part[samples] for part in self.state)

    def _before(self, current: Tensor) -> tuple[Tensor, ...]:
        """The state before the next step, which begins here."""
        if not self.state:
            self._reset(current)
        self.t += 1
        held, *plan = self.state
        if isinstance(self.code, WindowCode) and not plan:
            now = self._now()
            value = activate(current + now["bias"], now["slope"], now["ceiling"])
            plan = list(self.code.encode(value, now["threshold"], self.T))
        return held, *plan

    def _now(self) -> dict[str, Any]:
        """The parameters of this step."""
        bias = self.biases[min(self.t, len(self.biases)) - 1]
        return self.constants | {"bias": bias, "threshold": self.thresholds[self.t - 1], "t": self.t}

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
            self.fan_out = ordered(self.fan_out.to(dtype), current)
        self.state = (torch.zeros_like(current, dtype=dtype),)
        self.constants = {
            "code": self.code, "T": self.T, "phi": self.neuron.phi, "rectified": not self.neuron.leaky,
            "slope": slope_along(self.neuron.slope, self.state[0], self.axis), "ceiling": self.neuron.ceiling,
        }  # fmt: skip


def sends(
    held: Tensor, plan: tuple[Tensor, ...], current: Tensor, *, code: Code, bias: Tensor, threshold: Tensor,
    slope: float | Tensor, ceiling: float, t: int, T: int, phi: int, rectified: bool,
) -> Sent:  # fmt: skip
    """What a layer sends in step t, by a plan that a code of a window has made, or by what it knows now."""
    if plan:
        step, value = plan
        now = step == t
        return Sent(value * now, now.to(held.dtype))
    value = activate(current + bias, slope, ceiling)
    return code.send(value - held, held, threshold, t, T, phi, rectified)


def tell(
    held: Tensor, plan: tuple[Tensor, ...], current: Tensor, *, gain: Tensor | None, fan_out: Tensor | None,
    smallest: Tensor, phi: int, **now: Any,
) -> tuple[Tensor, Tensor, Tensor | None]:  # fmt: skip
    """One timestep of neurons in a code: what receivers hold but for the gain, what they hold, tally."""
    sent = sends(held, plan, current, phi=phi, **now)
    held = held + sent.value
    units = None if fan_out is None else sent.value.abs() / smallest
    output = held if gain is None else held * gain
    return held, output.to(current.dtype), count_spikes(sent.spikes, fan_out, phi == 1, units)


def by_step(values: Tensor, T: int) -> Tensor:
    """Thresholds or biases of every step, shape (T, channels), of which there may be one row for all."""
    return values if values.dim() == 2 else values.expand(T, -1)


def make_layer(
    neuron: Neuron, T: int, axis: int, fan_out: Tensor | None = None, fast: bool = False
) -> Layer | CodedLayer:  # fmt: skip
    """A new layer of neurons, of the code that they have."""
    if neuron.code is None:
        return Layer(neuron, T, axis, fan_out, fast)
    return CodedLayer(neuron, T, axis, fan_out, fast)


def waited(currents: Sequence[Any], wait: int) -> list[Any]:
    """What a layer knows of its input at each of its steps if it waits: by step t, the input's step t + wait."""
    return [currents[min(t + wait, len(currents) - 1)] for t in range(len(currents))]
