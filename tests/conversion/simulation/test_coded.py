"""Layers in a code: compiled, they say what they say uncompiled."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch import Tensor

from conversion.codes import Code, Held, Phase
from conversion.simulation.coded import make_layer
from conversion.simulation.neuron import Neuron

T = 3


def told(code: Code, fast: bool) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs and tallies of three steps of eight samples, two of which leave before the last."""
    chance = torch.Generator().manual_seed(0)
    # Sums of few powers of two: floating point is exact.
    currents = [torch.randint(-64, 64, (8, 2, 5, 5), generator=chance) / 32 for _ in range(T)]
    fan_out = torch.randint(1, 9, (1, 2, 5, 5), generator=chance).float()
    neuron = Neuron(
        torch.tensor([[1.0, 0.5], [0.5, 0.25], [0.25, 0.125]]), 7, torch.tensor([0.25, 0.0]), slope=0.25, signed=True,
        code=code, gain=torch.tensor([1.0, 2.0]),
    )  # fmt: skip
    layer = make_layer(neuron, T, 1, fan_out, fast)
    outputs, tallies = [], []
    for t, current in enumerate(currents):
        if t == T - 1:
            layer.keep(torch.arange(6))
            current = current[:6]
        output, tally = layer.step(current)
        assert tally is not None
        outputs.append(output)
        tallies.append(tally)
    return outputs, tallies


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("code", [Held(), Phase()], ids=lambda code: code.name)
def test_a_compiled_layer_holds_and_counts_the_same(code: Code) -> None:
    outputs, tallies = told(code, fast=False)
    fast_outputs, fast_tallies = told(code, fast=True)
    assert any(output.abs().sum() > 0 for output in outputs)
    assert all(torch.equal(one, other) for one, other in zip(outputs, fast_outputs, strict=True))
    for one, other in zip(tallies, fast_tallies, strict=True):
        # Amplitudes of a phase are no powers of two, and their sums are rounded.
        torch.testing.assert_close(one, other, rtol=1e-6 if code.name == "phase" else 0, atol=0)
