"""Integrate-and-fire neurons that may fire up to phi spikes per step (section 3.1 of the paper).

A layer adds its current to the membrane potential, fires n = clamp(floor(v / threshold), 0, phi) spikes, subtracts
n threshold (soft reset) and transmits n threshold. phi = 1 is the neuron of SNN Calibration; a larger phi is the
burst neuron of AdaFire. The signed neuron takes spikes back that it fired too early: eagerly, or as the signed neuron
with memory does (SNM, Wang et al., IJCAI 2022).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from conversion.capture.channels import per_channel, per_neuron
from conversion.capture.roles import is_leaky
from conversion.codes import RATE, Code
from conversion.counting.spikes import MOST_SPIKES, count_spikes
from conversion.errors import InvalidInput
from conversion.simulation.compiling import compiled
from conversion.simulation.trial import Trial, lasting, shifted_start

Start = Literal["potential", "shift", "none"]
TakesBack = Literal["eagerly", "at_threshold"]


@dataclass(frozen=True, eq=False)
class Neuron:
    """The parameters of one layer of neurons.

    Attributes:
        threshold: potential at which one spike is fired, and a spike's amplitude; shape (channels,) or (1,), or that of
            one sample where every neuron has its own.
        phi: most spikes per step.
        bias: current that calibration adds at every step; shape (channels,) or (1,), or (T, channels) where every step
            has its own. A simulation of more steps goes on with the last.
        start: how the half threshold that turns flooring into rounding enters: "potential" as v(0) = threshold / 2,
            "shift" as a current of threshold / (2 T) at every step, which the paper uses. They agree at t = T only.
            With "none" the neuron floors.
        signed: may fire negative spikes, as long as its total stays at or above zero.
        takes_back: when a signed neuron does: "eagerly", as soon as it has sent more than its input so far calls for;
            or "at_threshold", when its potential is at minus a threshold or below, as published (SNM).
        slope: slope of a leaky ReLU, or of a PReLU one for each channel; above zero the total may be
            negative, and the neuron has to be signed.
        rho: factor of the threshold that SSC chose; the threshold has it already.
        potential: potential that calibration adds to v(0); shape (channels,), or that of one sample.
        code: the code that its spikes are in; None is the rate code, all else about which is above. A neuron of another
            code compares its activation function with the value that its receivers hold (`conversion.codes`). Its
            threshold has shape (channels,), (1,) or (T, channels), and its bias is added to the current; it has neither
            start, potential nor rho.
        wait: number of steps that it waits for its input: at its step t it knows what its input knows at t + wait. With
            T or more it waits for all of it (a window). Rate codes do not wait.
        ceiling: where the activation function of a coded neuron saturates.
        in_binary: a burst is sent as the binary digits of its number of spikes: as single spikes of 1, 2, 4 ...
            thresholds (H-MT). It says the same, and is counted by its digits.
        gain: what receivers hold, as a factor of what a coded neuron spells: the amplitude of a spike apart from the
            threshold that it is compared with; shape (channels,) or (1,).
        trial: what a neuron of the rate code tries before it runs; None is nothing.
    """

    threshold: Tensor
    phi: int
    bias: Tensor
    start: Start = "potential"
    signed: bool = False
    slope: float | tuple[float, ...] = 0.0
    rho: float = 1.0
    potential: Tensor | None = None
    takes_back: TakesBack = "eagerly"
    code: Code | None = None
    wait: int = 0
    ceiling: float = math.inf
    in_binary: bool = False
    gain: Tensor | None = None
    trial: Trial | None = None

    def __post_init__(self) -> None:
        if self.wait < 0 or (self.wait and self.code is None):
            raise InvalidInput(
                f"A neuron waits {self.wait} steps; give 0 or more, and 0 in the rate code, where no step is the last."
            )
        if self.code is not None and self.leaky and not self.code.signed:
            raise InvalidInput(
                f"The code '{self.code.name}' has no negative values, which a leaky ReLU or an encoder sends; take a "
                "signed one."
            )
        if self.code is None and self.gain is not None:
            raise InvalidInput("A gain is for neurons in a code, whose receivers hold a value; rates have none.")
        if self.in_binary and (self.code is not None or self.signed):
            raise InvalidInput("Bursts in binary are those of the rate code, and say no sign; take unsigned neurons.")
        plain = self.code is None and self.phi == 1 and not self.signed and self.start == "potential"
        if self.trial is not None and not (plain and self.potential is None):
            raise InvalidInput(
                "A trial is for neurons that fire one spike per step at most, take none back, and start from half a "
                "threshold."
            )
        if self.phi < 1:
            raise InvalidInput(f"phi is {self.phi}, but a neuron fires at least 1 spike per step; give phi >= 1.")
        if self.phi > MOST_SPIKES:
            raise InvalidInput(f"phi is {self.phi}, but a neuron fires at most {MOST_SPIKES} spikes per step.")
        if not bool((torch.isfinite(self.threshold) & (self.threshold > 0)).all()):
            raise InvalidInput("A threshold is not a positive finite number.")
        if self.leaky and not self.signed and self.code is None:
            raise InvalidInput("A leaky ReLU has negative outputs and needs the signed neuron.")
        if self.leaky and self.takes_back != "eagerly":
            raise InvalidInput(
                "The neuron of a leaky ReLU takes spikes back eagerly; memory is for outputs above zero."
            )

    @property
    def leaky(self) -> bool:
        """Whether its outputs may be negative."""
        return is_leaky(self.slope)

    @property
    def lowest(self) -> int:
        """Lowest mean number of spikes per step, net of negative ones: -phi for a leaky ReLU, else 0."""
        return -self.phi if self.leaky else 0

    @property
    def coding(self) -> str:
        """The name of its code."""
        return RATE if self.code is None else self.code.name

    def waits(self, T: int) -> str:
        """The number of steps that it waits for its input, or tries it, or "window" where it waits for all of T."""
        return "window" if self.wait >= T else str(self.delay(T))

    @property
    def rehearsal(self) -> int:
        """Steps of its input that it tries before its first step."""
        return self.trial.steps if self.trial is not None and self.trial.then == "shift" else 0

    def delay(self, T: int) -> int:
        """Steps by which it answers later than its input: those that it waits, or that it tries before."""
        return min(self.wait, T) + self.rehearsal

    def activation(self, current: Tensor, axis: int = -1) -> Tensor:
        """The activation function that a coded neuron stands for, of a current with its channels on an axis."""
        return activate(current, slope_along(self.slope, current, axis), self.ceiling)

    def payload_bits(self, T: int) -> int:
        """Bits that an event carries besides its address: the number of spikes of a burst, the sign of a signed one."""
        if self.code is not None:
            return self.code.payload_bits(T, self.phi, rectified=not self.leaky)
        return self.signed + (self.phi - 1).bit_length()

    def to(self, device: torch.device) -> Neuron:
        moved = {name: getattr(self, name) for name in ("threshold", "bias", "potential", "gain")}
        return replace(self, **{name: value.to(device) for name, value in moved.items() if value is not None})


class Layer:
    """The state of one layer of neurons while it is simulated.

    Args:
        neuron: the parameters.
        T: number of steps of the conversion, over which the paper's shift is spread.
        axis: axis of the channels in the layer's current.
        fan_out: synaptic operations that one spike of each neuron causes, shape of one sample; None counts nothing.
        fast: compile the update, which takes seconds once and is several times faster from then on.
    """

    def __init__(self, neuron: Neuron, T: int, axis: int, fan_out: Tensor | None = None, fast: bool = False) -> None:
        self.neuron = neuron
        self.T = T
        self.axis = axis
        self.fan_out = fan_out
        update = _update(neuron)
        self.update = compiled(update) if fast else update
        self.state: tuple[Tensor, ...] = ()
        self.t = 0

    def __copy__(self) -> Layer:
        """A layer that goes on by itself from the same state, which a step changes in place."""
        copied = object.__new__(Layer)
        vars(copied).update(vars(self) | {"state": tuple(part.clone() for part in self.state)})
        return copied

    def step(self, current: Tensor) -> tuple[Tensor, Tensor | None]:
        """Simulates one timestep.

        Args:
            current: input of shape (N, ...) in the network's precision.

        Returns:
            The output, spikes times threshold, like `current`; and, where spikes are counted, a tally of shape
            (8, N, M): M partial sums in the order of `conversion.counting.operations.KINDS`.
        """
        if not self.state:
            self._reset(current)
        constant = self._constant(self.t)
        self.t += 1
        *self.state, output, tally = self.update(*self.state, current, constant, **self.constants)
        trial = self.neuron.trial
        if trial is not None and trial.then == "silence" and self.t == trial.steps:
            potential, _ = self.state
            threshold = self.constants["threshold"]
            silenced = lasting(potential, threshold)
            self.state = (potential.copy_(threshold / 2), silenced)
        return output, tally

    def rehearse(self, currents: Sequence[Tensor]) -> None:
        """Tries the first currents, as neurons that shift their potential do before the first step."""
        self._reset(currents[0])
        dtype = self.state[0].dtype
        known = [current.to(dtype) + self._constant(t) for t, current in enumerate(currents)]
        self.state = (shifted_start(known, self.constants["threshold"]),)

    def keep(self, samples: Tensor) -> None:
        """Continues with the samples at the given indices alone."""
        self.state = tuple(part[samples] for part in self.state)

    def _constant(self, t: int) -> Tensor:
        """What is added to the current of step t + 1."""
        return self.currents[min(t, len(self.currents) - 1)]

    def _reset(self, current: Tensor) -> None:
        # Potentials keep float32 whatever the weights' precision: increments are small beside what they add up to.
        dtype = torch.promote_types(current.dtype, torch.float32)
        dims = current.dim()
        threshold = per_neuron(self.neuron.threshold.to(dtype), self.axis, dims)
        if len(self.neuron.threshold.shape) > 1:
            threshold = ordered(threshold, current)
        bias = self.neuron.bias.to(dtype)
        offset = threshold / 2 if self.neuron.start == "potential" else torch.zeros_like(threshold)
        # One for all steps, or one for each.
        self.currents = [per_channel(row, self.axis, dims) for row in (bias if bias.dim() == 2 else bias[None])]
        if self.neuron.start == "shift":
            self.currents = [row + threshold / (2 * self.T) for row in self.currents]
        self.constants: dict[str, Any] = {
            "threshold": threshold,
            # A tensor, so that one compiled update serves every phi.
            "single": self.neuron.phi == 1,
            "phi": torch.tensor(float(self.neuron.phi), dtype=dtype, device=current.device),
            "fan_out": None if self.fan_out is None else ordered(self.fan_out.to(dtype), current),
        }
        if self.neuron.in_binary:
            self.constants["in_binary"] = True
        potential = torch.empty_like(current, dtype=dtype).copy_(offset.expand_as(current))
        if self.neuron.potential is not None:
            potential += per_neuron(self.neuron.potential.to(dtype), self.axis, dims)
        self.state = (potential,)
        if _judges(self.neuron):
            self.state = (potential, torch.ones_like(potential))
        if self.neuron.signed:
            self.state = (potential, torch.zeros_like(potential))
            if self.neuron.takes_back == "eagerly":
                self.constants |= {"offset": offset, "slope": slope_along(self.neuron.slope, potential, self.axis)}


def ordered(values: Tensor, current: Tensor) -> Tensor:
    """Values of each neuron in the memory order of a current: another order costs more than the whole update."""
    return torch.empty_like(current[:1], dtype=values.dtype).copy_(values)


def fire(
    potential: Tensor, current: Tensor, constant: Tensor, threshold: Tensor, phi: Tensor, fan_out: Tensor | None,
    single: bool, in_binary: bool = False,
) -> tuple[Tensor, Tensor, Tensor | None]:  # fmt: skip
    """One timestep of the burst neuron: new potential, output, tally."""
    potential += current + constant
    spikes = torch.floor(potential / threshold).clamp(min=0).minimum(phi)
    output = spikes * threshold
    potential -= output
    return potential, output.to(current.dtype), count_spikes(spikes, fan_out, single, in_binary=in_binary)


def fire_if_heard(
    potential: Tensor, heard: Tensor, current: Tensor, constant: Tensor, threshold: Tensor, phi: Tensor,
    fan_out: Tensor | None, single: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:  # fmt: skip
    """One timestep of a neuron that may have been silenced: new potential, who is heard, output, tally.

    A silenced neuron is reset as if it fired, and sends nothing (SRP).
    """
    potential += current + constant
    fired = torch.floor(potential / threshold).clamp(min=0).minimum(phi)
    spikes = fired * heard
    output = (spikes * threshold).to(current.dtype)
    potential -= fired * threshold
    return potential, heard, output, count_spikes(spikes, fan_out, single)


def fire_signed(
    potential: Tensor, total: Tensor, current: Tensor, constant: Tensor, threshold: Tensor, phi: Tensor,
    fan_out: Tensor | None, single: bool, offset: Tensor, slope: float | Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:  # fmt: skip
    """One timestep of the signed neuron: new potential, new total of spikes, output, tally.

    It follows the activation f of its summed input S: after each step its total of spikes is as near to
    floor((f(S) + offset) / threshold) as phi spikes of either sign allow. For a ReLU that is
    n = max(clamp(floor(v / threshold), -phi, phi), -total).
    """
    potential += current + constant
    summed = potential + total * threshold - offset
    wanted = torch.floor((leaky_relu(summed, slope) + offset) / threshold)
    spikes = (wanted - total).minimum(phi).maximum(-phi)
    output = spikes * threshold
    potential -= output
    total += spikes
    return potential, total, output.to(current.dtype), count_spikes(spikes.abs(), fan_out, single)


def fire_with_memory(
    potential: Tensor, total: Tensor, current: Tensor, constant: Tensor, threshold: Tensor, phi: Tensor,
    fan_out: Tensor | None, single: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:  # fmt: skip
    """One timestep of the signed neuron with memory: new potential, new total of spikes, output, tally.

    It fires where v >= threshold, and takes back where v <= -threshold what it has sent so far (SNM, Wang et al., IJCAI
    2022, whose phi is 1): n = max(clamp(trunc(v / threshold), -phi, phi), -total).
    """
    potential += current + constant
    spikes = torch.trunc(potential / threshold).minimum(phi).maximum(-phi).maximum(-total)
    output = spikes * threshold
    potential -= output
    total += spikes
    return potential, total, output.to(current.dtype), count_spikes(spikes.abs(), fan_out, single)


def slope_along(slope: float | tuple[float, ...], value: Tensor, axis: int) -> float | Tensor:
    """A slope as a factor of a value: one number, or one for each channel along an axis."""
    if not isinstance(slope, tuple):
        return slope
    return per_channel(value.new_tensor(slope), axis, value.dim())


def leaky_relu(value: Tensor, slope: float | Tensor) -> Tensor:
    """Leaky ReLU: the value above zero, `slope` times the value below."""
    if isinstance(slope, Tensor):
        return torch.where(value > 0, value, slope * value)
    return F.leaky_relu(value, slope)


def activate(current: Tensor, slope: float | Tensor, ceiling: float) -> Tensor:
    """The activation function that a coded neuron stands for."""
    return leaky_relu(current, slope).clamp(max=ceiling)


def _update(neuron: Neuron) -> Callable[..., Any]:
    if _judges(neuron):
        return fire_if_heard
    if not neuron.signed:
        return fire
    return fire_signed if neuron.takes_back == "eagerly" else fire_with_memory


def _judges(neuron: Neuron) -> bool:
    """Whether a trial decides which neurons may send."""
    return neuron.trial is not None and neuron.trial.then == "silence"
