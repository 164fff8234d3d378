"""What became of a random network: converted, refused by name, or wrong and how."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from conversion import BenchmarkError, ConversionGraph, UnsupportedOp, capture, convert, simulate
from tests.conversion.generated.connections import count_connections
from tests.conversion.generated.programs import Kind, Program

T = 64
# So many levels that what is left of the conversion's error is not the neurons' resolution.
PHI = 1024
ROUNDED = 0.02
"""Of the largest value anywhere, where half precision rounds on the way."""
CONVERTED = 0.01
"""Of the output's size, at T = 64."""


@dataclass(frozen=True)
class Verdict:
    """How the conversion of a network ended.

    Attributes:
        kind: "converted", "refused" or "wrong".
        reason: why it was refused, or what is wrong.
    """

    kind: str
    reason: str = ""


@torch.no_grad()
def judge(program: Program) -> Verdict:
    """Converts a random network and compares it with torch and with connections counted one by one."""
    try:
        graph = capture(program, program.x)
    except UnsupportedOp as error:
        return Verdict("refused", str(error))
    except Exception as error:  # Whatever else it raises is a fault.
        return Verdict("wrong", f"capture: {type(error).__name__}: {error}")
    if any(step.kind is Kind.REFUSED for step in program.steps):
        return Verdict("wrong", "an operation without a rule was converted")
    try:
        return _compare(program, graph)
    except (BenchmarkError, RuntimeError, KeyError, AssertionError, TypeError, ValueError, IndexError) as error:
        return Verdict("wrong", f"{type(error).__name__}: {error}")


def _compare(program: Program, graph: ConversionGraph) -> Verdict:
    expected, found = _flat(program(program.x)), _flat(graph.run(program.x))
    largest = max(float(value.double().abs().max()) for value in program.values(program.x))
    exact = 1e-4 if graph.dtype == torch.float32 else 1e-9
    tolerance = ROUNDED if any(step.loose for step in program.steps) else exact
    if float((found - expected).abs().max()) > tolerance * max(largest, 1):
        return Verdict("wrong", f"the graph is off by {float((found - expected).abs().max()):.3g}")

    errors = []
    for steps in (T, 8 * T):
        network = convert(graph, program.x, "burst", T=steps, phi=PHI, thresholds="max", light=False)
        outputs = _flat(simulate(network, program.x, at=[steps], count=False).mean(steps))
        errors.append(float((outputs - found).norm() / found.norm().clamp(min=1e-3)))
        if errors[0] < CONVERTED:
            break
    # What amplifies rounding errors needs more steps, and is right if these help.
    if errors[-1] > CONVERTED and errors[-1] > errors[0] / 4:
        return Verdict("wrong", f"the spiking network is off by {errors}")

    ours, theirs = network.connectivity, count_connections(program)
    fan_outs = [ours.fan_out[node].flatten() for node in graph.firing]
    sizes = [[len(fan_out) for fan_out in found] for found in (fan_outs, theirs.fan_out)]
    if sizes[0] != sizes[1]:
        return Verdict("wrong", f"layers of {sizes[0]} neurons, not {sizes[1]}")
    for layer, (mine, other) in enumerate(zip(fan_outs, theirs.fan_out, strict=True)):
        if not torch.equal(mine, other):
            return Verdict("wrong", f"fan-out of layer {layer}: {mine.tolist()}, not {other.tolist()}")
    macs = (ours.macs.static, ours.macs.step + ours.macs.head)
    if macs != (theirs.macs_once, theirs.macs):
        return Verdict("wrong", f"macs {macs}, not {(theirs.macs_once, theirs.macs)}")
    return Verdict("converted")


def _flat(output: object) -> Tensor:
    return torch.cat([value.double().flatten() for value in pytree.tree_leaves(output)])
