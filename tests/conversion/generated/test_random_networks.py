"""Random small networks: converted as torch computes them, with connections counted one by one, or refused by name.

`python -m tests.conversion.generated.run` tries thousands; a wrong one is written out as a test of its own.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, assume, given, settings
from torch import nn

from tests.conversion.generated.connections import count_connections
from tests.conversion.generated.networks import programs, seeded_program
from tests.conversion.generated.programs import Kind, Program, Step
from tests.conversion.generated.verdict import judge
from tests.conversion.toys import conv_connections, seeded

# The first of those that the command tries. What it found wrong is written out, in tests/conversion/test_cases.py: a
# network whose constants are neither parameters nor buffers, and whose input has another type.
SEEDS = range(7)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_a_network_by_its_seed(seed: int) -> None:
    program = seeded_program(seed)
    verdict = judge(program)
    assert verdict.kind != "wrong", f"{program}\n{verdict.reason}"


# The same networks in every run: what a commit breaks, it breaks for everybody.
@pytest.mark.slow
@settings(max_examples=12, derandomize=True, suppress_health_check=list(HealthCheck), deadline=None)
@given(programs())
def test_networks_that_hypothesis_draws(program: Program) -> None:
    assume(any(step.kind is Kind.FIRE for step in program.steps))
    verdict = judge(program)
    assert verdict.kind != "wrong", f"{program}\n{verdict.reason}"


def test_the_counter_against_loops_over_weights() -> None:
    """Counted by moving inputs, a convolution has the connections that loops over its weights find."""
    conv = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2).double()
    steps = [
        Step(Kind.FIRE, "relu", (0,), F.relu),
        Step(Kind.WEIGHTS, "conv", (1,), lambda layer, v: layer(v), part=0),
    ]
    counted = count_connections(Program(steps, [conv], seeded((2, 4, 5, 5))))
    expected = conv_connections((4, 5, 5), conv.weight, stride=2, padding=1, groups=2)
    assert torch.equal(counted.fan_out[0], expected.flatten())
    assert (counted.macs_once, counted.macs) == (0, 0)


@pytest.mark.parametrize("function", [torch.floor, lambda v: v.int() + 0.0], ids=["floor", "int"])
def test_a_wrong_conversion_would_be_seen(function: object) -> None:
    """An operation that has to be refused is refused, and a program that computes something else is wrong."""
    steps = [Step(Kind.FIRE, "relu", (0,), F.relu), Step(Kind.REFUSED, "rounding", (1,), function)]  # type: ignore[arg-type]
    assert judge(Program(steps, [], seeded((3, 4)))).kind == "refused"


def test_a_wrong_count_would_be_seen() -> None:
    """The program says of its convolution that it has no weights: the counter then finds other connections."""
    conv = nn.Conv1d(2, 3, 2).double()
    steps = [
        Step(Kind.FIRE, "relu", (0,), F.relu),
        Step(Kind.PASS, "conv", (1,), lambda layer, v: layer(v), part=0),
        Step(Kind.WEIGHTS, "product", (2,), lambda v: v @ torch.ones(4, 2, dtype=v.dtype)),
    ]
    verdict = judge(Program(steps, [conv], seeded((3, 2, 5))))
    assert verdict.kind == "wrong" and "fan-out" in verdict.reason
