"""Connections of a program, counted by moving one input value of each operation at a time.

It shares nothing with `conversion.counting`: no graph, no roles, no gradient. An output that moves is connected to the
input that was moved; fan-outs are products of such tables along the program.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from tests.conversion.generated.programs import Function, Kind, Program, Step

MOVED = 1e4
"""Far beyond every value, so that a maximum follows it; float16 still holds it."""
SEEN = 1e-5
"""The part of a move that has to arrive."""


@dataclass
class Value:
    """A value of one sample: which neurons' spikes lie at its positions, and where it is analog.

    Attributes:
        events: by layer of neurons, how often a spike of each lies at each position, shape (neurons, positions).
        analog: 1 where the value is no sum of spikes, shape (positions,).
        changing: it depends on neurons.
    """

    events: dict[int, Tensor]
    analog: Tensor
    changing: bool = False


@dataclass
class Connections:
    """What one sample costs.

    Attributes:
        fan_out: synaptic operations of one spike of each neuron, by layer, flattened.
        macs_once: multiplications by analog values before the first neurons.
        macs: those behind neurons.
    """

    fan_out: list[Tensor] = field(default_factory=list)
    macs_once: int = 0
    macs: int = 0

    def charge(self, events: dict[int, Tensor]) -> None:
        for layer, counted in events.items():
            self.fan_out[layer] = self.fan_out[layer] + counted.sum(1)

    def add_layer(self, size: int) -> dict[int, Tensor]:
        """The spikes of a new layer of neurons, each at its own place."""
        self.fan_out.append(torch.zeros(size, dtype=torch.float64))
        return {len(self.fan_out) - 1: torch.eye(size, dtype=torch.float64)}


@torch.no_grad()
def count_connections(program: Program) -> Connections:
    """Counts the connections of a program for its first sample."""
    real = [value[:1] for value in program.values(program.x)]
    encoded = [step.kind in (Kind.NONLINEAR, Kind.PRODUCT) and _drives_weights(program, i + 1)
               for i, step in enumerate(program.steps)]  # fmt: skip
    counted = Connections()
    values = [Value({}, torch.ones(real[0].numel(), dtype=torch.float64))]
    for i, step in enumerate(program.steps):
        values.append(_step(program, step, values, real, counted, encoded=encoded[i]))
    for index in program.outputs:
        counted.charge(values[index].events)
    return counted


def _step(
    program: Program, step: Step, values: list[Value], real: list[Tensor], counted: Connections, *, encoded: bool
) -> Value:
    sources = [values[source] for source in step.sources]
    arguments = [real[source] for source in step.sources]
    part = [] if step.part is None else [program.parts[step.part]]
    if step.kind in (Kind.FIRE, Kind.NONLINEAR, Kind.PRODUCT):
        # Spikes are added up where they arrive; a value that is read twice arrives once.
        read = [_uncast(program, source) for source in step.sources]
        for source in read if step.apart else set(read):
            counted.charge(values[source].events)
        size = program.apply_step(step, *arguments).numel()
        changing = any(source.changing for source in sources)
        if step.kind is Kind.FIRE or encoded:
            return Value(counted.add_layer(size), torch.zeros(size, dtype=torch.float64), changing=True)
        return Value({}, torch.ones(size, dtype=torch.float64), changing)
    for kind, function in step.phases or ((step.kind, step.function),):
        tables = [_table(function, part, arguments, moved) for moved in range(len(arguments))]
        sources = [_through(kind, tables, sources, counted)]
        arguments = [function(*part, *arguments)]
    return sources[0]


def _through(kind: Kind, tables: list[Tensor], sources: list[Value], counted: Connections) -> Value:
    """A value behind an operation whose outputs are connected to its inputs as the tables say."""
    events: dict[int, Tensor] = {}
    for table, source in zip(tables, sources, strict=True):
        for layer, spikes in source.events.items():
            reached = spikes @ table
            events[layer] = events[layer] + reached if layer in events else reached
    reads = torch.stack([source.analog @ table for table, source in zip(tables, sources, strict=True)]).sum(0)
    analog = (reads > 0).double()
    changing = any(source.changing for source in sources)
    if kind is Kind.PASS:
        return Value(events, analog, changing)
    if kind is Kind.MERGE:
        counted.charge({layer: spikes * analog for layer, spikes in events.items()})
        return Value({layer: spikes * (1 - analog) for layer, spikes in events.items()}, analog, changing)
    counted.charge(events)
    if changing:
        counted.macs += round(float(reads.sum()))
    else:
        counted.macs_once += round(float(reads.sum()))
    return Value({}, torch.ones_like(analog), changing)


def _table(function: Function, part: list[torch.nn.Module], arguments: list[Tensor], moved: int) -> Tensor:
    """Whether each output depends on each value of one argument, shape (values, outputs)."""
    value = arguments[moved]
    before = function(*part, *arguments)
    found = torch.zeros(value.numel(), before.numel(), dtype=torch.float64)
    size, shift = value.numel(), MOVED if value.is_floating_point() else 7
    shifts = torch.eye(size, dtype=torch.float64).view(size, *value.shape[1:])
    # Up for maxima and down for minima; bytes wrap around, but not to where they were.
    for sign in (1, -1):
        shifted = value + (sign * shift * shifts).to(value.dtype)
        others = [shifted if i == moved else other.expand(size, *other.shape[1:]) for i, other in enumerate(arguments)]
        after = function(*part, *others)
        # More than rounding: other batch sizes are computed by other kernels.
        found += ((after - before).abs() > SEEN * shift).reshape(size, -1).double()
    return (found > 0).double()


def _uncast(program: Program, value: int) -> int:
    """The value that another one is but for casts."""
    while value and program.steps[value - 1].cast:
        (value,) = program.steps[value - 1].sources
    return value


def _drives_weights(program: Program, value: int) -> bool:
    """Whether a value meets weights or another signal before the next activation or nonlinear operation."""
    readers = [(i + 1, step) for i, step in enumerate(program.steps) if value in step.sources]
    for index, step in readers:
        if step.kind in (Kind.WEIGHTS, Kind.PRODUCT):
            return True
        if step.kind in (Kind.PASS, Kind.MERGE) and _drives_weights(program, index):
            return True
    return False
