"""Searches are kept as they were found: once, beside the network that the stage alone would give."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.execution.workbench import exit_thresholds
from benchmarks.freshness.sources import Sources
from benchmarks.records.converted import ConversionCache
from benchmarks.records.searches import run_stage
from conversion import Calibration, ConversionGraph, SpikingNetwork, capture
from conversion.simulation.exit_rules import ConfidenceRule, EntropyRule, SettledRule
from conversion.stages import SSC, AdaFire, Stage, Thresholds

PHI = AdaFire(Thresholds(), phi=2, phi_init=4, samples=16)
RHO = SSC(budget=1.5, samples=16)


@pytest.fixture(scope="module")
def toy() -> tuple[ConversionGraph, Calibration]:
    torch.manual_seed(1)
    ann = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    graph = capture(ann, torch.zeros(1, 6))
    return graph, Calibration(graph, torch.randn(32, 6))


def parameters(network: SpikingNetwork) -> list[tuple[int, float, list[float]]]:
    return [(neuron.phi, neuron.rho, neuron.threshold.tolist()) for neuron in network.neurons.values()]


@pytest.mark.slow
def test_a_search_is_made_once_and_changes_nothing(
    toy: tuple[ConversionGraph, Calibration], monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, calibration = toy
    base = SpikingNetwork(graph, 2)
    before: dict[Stage, SpikingNetwork] = {PHI: base, RHO: PHI(base, calibration)}
    for stage, kind in ((PHI, AdaFire), (RHO, SSC)):
        alone, found = stage(before[stage], calibration), stage.search(before[stage], calibration)
        calls: list[object] = []
        real = kind.search
        monkeypatch.setattr(kind, "search", lambda *given, real=real, calls=calls: (calls.append(1), real(*given))[1])
        network, search = run_stage(stage, before[stage], calibration)
        assert len(calls) == 1 and parameters(network) == parameters(alone)
        assert search is not None
        assert search.divergence == [list(row) for row in found.table.divergence]
        assert search.energy == [list(row) for row in found.table.energy]
        assert (search.base, search.budget, search.samples) == (found.table.base, found.budget, 16)
        chosen = [neuron.phi if kind is AdaFire else neuron.rho for neuron in network.neurons.values()]
        assert search.choice == chosen and search.parameter == ("phi" if kind is AdaFire else "rho")


def test_searches_are_read_with_the_networks_that_they_made(
    toy: tuple[ConversionGraph, Calibration], tmp_path: Path
) -> None:
    graph, calibration = toy

    def convert() -> tuple[int, list[str]]:
        cache = ConversionCache(tmp_path, Sources(), time.perf_counter)
        made: list[int] = []

        def samples() -> Calibration:
            made.append(1)
            return calibration

        found = cache.convert((PHI, RHO), graph, 2, {"task": "toy", "network": "toy"}, samples)
        return len(made), [search.parameter for search in found.searches]

    first, again = convert(), convert()
    assert first[0] > 0 and again[0] == 0
    assert first[1] == again[1] == ["phi", "rho"]


def test_exit_thresholds_are_those_of_every_step(toy: tuple[ConversionGraph, Calibration]) -> None:
    def of(rule: EntropyRule | ConfidenceRule | SettledRule | None) -> list[float]:
        return exit_thresholds(SpikingNetwork(toy[0], 3, exit=rule))

    assert of(EntropyRule((0.5, 0.7))) == [0.5, 0.7, 0.7]
    assert of(ConfidenceRule(0.9)) == [0.9] * 3
    assert of(SettledRule(0.1)) == of(None) == []
