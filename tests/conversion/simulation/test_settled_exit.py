"""Early exit of samples whose output has settled: the rule, the bar it learns, and what leaves when."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from conversion import Calibration, convert, load, save, simulate
from conversion.errors import InvalidInput
from conversion.simulation.exit_rules import SettledRule, is_power_of_two, relative_change
from conversion.simulation.network import SpikingNetwork
from conversion.stages import SettledExit
from conversion.stages.early_exit import largest_change
from tests.conversion.toys import Net, captured, seeded

T = 16


def two_outputs() -> tuple[SpikingNetwork, Tensor]:
    """A network with two outputs of different shape, and inputs."""
    x = seeded((12, 3, 6, 6))
    parts = {"conv": nn.Conv2d(3, 4, 3), "box": nn.Conv2d(4, 2, 1), "score": nn.Linear(4, 3)}

    def forward(m: Any, v: Tensor) -> tuple[Tensor, Tensor]:
        fired = m.conv(v).relu()
        return m.box(fired), m.score(fired.mean((2, 3)))

    graph = captured(Net(forward, **parts), x)
    return convert(graph, x, "burst", T=T, phi=2), x


def test_change_is_relative_and_of_all_outputs_together() -> None:
    now = (torch.tensor([[3.0], [0.0]]), torch.tensor([[[4.0]], [[0.0]]]))
    before = (torch.tensor([[3.0], [0.0]]), torch.tensor([[[1.0]], [[0.0]]]))
    assert relative_change(now, before).tolist() == pytest.approx([3 / 5, 0])


def test_it_looks_at_powers_of_two_and_never_at_the_first_alone() -> None:
    rule = SettledRule(10.0)
    assert [t for t in range(1, 33) if rule.decides_at(t)] == [1, 2, 4, 8, 16, 32]
    assert not rule.exits(torch.zeros(3, 2), 1, None).any()
    assert rule.exits(torch.ones(3, 2), 2, torch.zeros(3, 2)).all()


def test_the_bar_by_hand() -> None:
    """Sample 0 settles at once, sample 1 only seems to: letting both go costs 0.3 on average, sample 0 alone 0.1."""
    changes = torch.tensor([[0.1, 0.1], [0.2, 0.3]])
    distances = torch.tensor([[0.2, 0.1], [0.4, 0.2]])
    assert largest_change(changes, distances, 0.31) == pytest.approx(0.3)
    assert largest_change(changes, distances, 0.29) == pytest.approx(0.1)
    assert largest_change(changes, distances, 0.09) == -1


@given(st.integers(0, 2**16), st.floats(0.01, 1))
def test_no_larger_bar_would_do(seed: int, tolerance: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    changes, distances = torch.rand(2, 5, 3, generator=generator)

    def mean(bar: float) -> float:
        left = [next((k for k in range(3) if row[k] <= bar), None) for row in changes.tolist()]
        return sum(0.0 if k is None else float(distances[i, k]) for i, k in enumerate(left)) / 5

    found = largest_change(changes, distances, tolerance)
    assert mean(found) <= tolerance + 1e-6
    assert all(mean(bar) > tolerance - 1e-6 for bar in changes.flatten().tolist() if bar > found)


def test_samples_leave_as_if_the_others_were_not_there() -> None:
    network, x = two_outputs()
    fixed = simulate(network, x)
    looks = [2, 4, 8, 16]
    changes = torch.stack([relative_change(fixed.mean(t), fixed.mean(t // 2)) for t in looks])
    bar = float(changes[:3].amin(0).median())
    settled = changes <= bar
    expected = torch.tensor([looks[int(k)] for k in torch.where(settled.any(0), settled.int().argmax(0), 3)])
    assert len(expected.unique()) > 1, "the toy must lose samples at more than one step"
    early = simulate(replace(network, exit=SettledRule(bar)), x)
    assert torch.equal(early.steps, expected)
    assert fixed.counts is not None and early.counts is not None
    for i, step in enumerate(expected.tolist()):
        for found, wanted in zip(early.mean(T), fixed.mean(step), strict=True):
            torch.testing.assert_close(found[i], wanted[i], rtol=0, atol=1e-12)
        torch.testing.assert_close(early.counts.tally[:, -1, i], fixed.counts.tally[:, step - 1, i])
    # What is read in between does not change who leaves when.
    assert torch.equal(simulate(replace(network, exit=SettledRule(bar)), x, at=[3, T]).steps, expected)


def test_the_learnt_bar_keeps_its_promise_and_a_larger_tolerance_saves_more() -> None:
    network, x = two_outputs()
    calibration = Calibration(network.graph, x)
    last = simulate(network, x, at=[T]).mean(T)
    means = []
    for tolerance in (1e-9, 0.02, 0.1, 10.0):
        leaving = SettledExit(tolerance)(network, calibration)
        readout = simulate(leaving, x, at=[T])
        assert float(relative_change(last, readout.mean(T)).mean()) <= tolerance + 1e-6
        means.append(float(readout.steps.double().mean()))
    assert means[0] == T and means[-1] == 2
    assert means == sorted(means, reverse=True) and len(set(means)) > 2


def test_it_needs_neither_labels_nor_classes_and_can_be_kept(tmp_path: Path) -> None:
    x = seeded((4, 3, 6, 6))
    graph = captured(Net(lambda m, v: m.last(m.conv(v).relu()), conv=nn.Conv2d(3, 4, 3), last=nn.Conv2d(4, 1, 1)), x)
    network = convert(graph, x, "calibration_iat", T=8, rule="settled", tolerance=0.2)
    save(network, tmp_path / "network.safetensors")
    again = load(graph, tmp_path / "network.safetensors")
    assert isinstance(again.exit, SettledRule) and again.exit == network.exit and again.exit.max_change > 0
    with pytest.raises(InvalidInput, match="held_out="):
        convert(graph, x, "calibration_iat", T=8)


def test_of_one_step_there_is_nothing_to_save() -> None:
    network, x = two_outputs()
    for steps in (1, 2):
        leaving = SettledExit(10.0)(replace(network, T=steps), Calibration(network.graph, x))
        assert simulate(leaving, x).steps.tolist() == [steps] * len(x)
    with pytest.raises(InvalidInput, match="sets thresholds before"):
        SettledExit()(SpikingNetwork(network.graph, T), Calibration(network.graph, x))


def test_powers_of_two() -> None:
    assert [t for t in range(1, 20) if is_power_of_two(t)] == [1, 2, 4, 8, 16]
