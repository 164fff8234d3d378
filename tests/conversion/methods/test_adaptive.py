"""AdaFire and SSC: what they search, what they choose, what they apply."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from conversion import Calibration, ConversionGraph, InvalidInput, SpikingNetwork, convert, make_method, simulate
from conversion.calibration.sensitivity import symmetric_kl
from conversion.counting.operations import KINDS
from conversion.stages import SSC, AdaFire, BiasCorrection, Thresholds
from conversion.stages.ssc import FEW_RATIOS, RATIOS, scaled
from tests.conversion.toys import Net, architecture, captured, captured_architecture, seeded

pytestmark = pytest.mark.slow

T = 3
RELEASED, CORRECTED = Thresholds("mse_floor", start="shift"), Thresholds("mse")


@cache
def residual() -> tuple[ConversionGraph, Calibration]:
    """Five layers of neurons with both kinds of shortcut."""
    model, x = architecture("residual", samples=12)
    # Differences between the classes that are worth keeping.
    model.head.weight.data *= 10  # type: ignore[operator, union-attr]
    graph = captured(model, x)
    return graph, Calibration(graph, x)


def spikes_and_divergence(network: SpikingNetwork, x: Tensor, layer: int, kind: str = "spikes") -> tuple[float, float]:
    readout = simulate(network, x)
    assert readout.counts is not None
    divergence = symmetric_kl(readout.mean(network.T), network.graph.run(x))
    return float(readout.counts.tally[layer, -1, :, KINDS.index(kind)].mean()), float(divergence.mean())


def assert_same_neurons(found: SpikingNetwork, expected: SpikingNetwork) -> None:
    for node in expected.neurons:
        one, other = found.neurons[node], expected.neurons[node]
        assert torch.equal(one.threshold, other.threshold)
        assert torch.equal(one.bias, other.bias)
        assert (one.phi, one.start, one.signed, one.rho) == (other.phi, other.start, other.signed, other.rho)


# -------------------------------------------------------------------------------------------------------------- AdaFire


def test_released_form_changes_only_the_cap() -> None:
    """S_i(k), E_i(k): all layers at phi_init and the thresholds that fit it, layer i fires at most k."""
    graph, calibration = residual()
    base = convert(
        graph, calibration.mean_inputs, "burst", T=T, phi=5, thresholds="mse_floor", start="shift", light=False
    )
    stage = AdaFire(RELEASED, phi=3, phi_init=5, phi_min=2, samples=10)
    found = stage.search(SpikingNetwork(graph, T), calibration)
    for layer, node in enumerate(graph.firing):
        for column, phi in enumerate((2, 3, 4, 5)):
            changed = base.with_neurons({**base.neurons, node: replace(base.neurons[node], phi=phi)})
            spikes, divergence = spikes_and_divergence(changed, calibration.mean_inputs[:10], layer)
            assert found.table.energy[layer][column] == pytest.approx(spikes)
            assert found.table.divergence[layer][column] == pytest.approx(divergence)
    assert found.budget == pytest.approx(sum(row[1] for row in found.table.energy))


def test_corrected_form_recalibrates_every_candidate() -> None:
    """All layers at phi with corrected biases; layer i at k with the threshold for k; energy in synaptic operations."""
    graph, calibration = residual()
    base = convert(graph, calibration.mean_inputs, "burst", T=T, phi=3)
    stage = AdaFire(CORRECTED, phi=3, phi_init=4, phi_min=2, form="corrected", budget=0.95, samples=12)
    found = stage.search(SpikingNetwork(graph, T), calibration)
    for column, phi in enumerate((2, 3, 4)):
        placed = convert(graph, calibration.mean_inputs, "burst", T=T, phi=phi, light=False).neurons
        for layer, node in enumerate(graph.firing):
            candidate = replace(base.neurons[node], phi=phi, threshold=placed[node].threshold)
            changed = base.with_neurons({**base.neurons, node: candidate})
            synops, divergence = spikes_and_divergence(changed, calibration.mean_inputs, layer, "synops_unary")
            assert found.table.energy[layer][column] == pytest.approx(synops)
            assert found.table.divergence[layer][column] == pytest.approx(divergence)
    assert found.budget == pytest.approx(0.95 * sum(row[1] for row in found.table.energy))


@pytest.mark.parametrize("place", [RELEASED, CORRECTED])
@pytest.mark.parametrize("budget", [0.9, 1.0, 1.2])
def test_the_allocation_is_the_best_of_all(place: Thresholds, budget: float) -> None:
    """Each of 4^5 allocations: least predicted divergence within the budget."""
    graph, calibration = residual()
    stage = AdaFire(
        place, phi=2, phi_init=4, budget=budget, form="released" if place is RELEASED else "corrected", samples=12
    )
    found = stage.search(SpikingNetwork(graph, T), calibration)
    divergence, energy = found.table.divergence, found.table.energy
    best = min(
        sum(row[k] for row, k in zip(divergence, choice, strict=True))
        for choice in itertools.product(range(4), repeat=5)
        if sum(row[k] for row, k in zip(energy, choice, strict=True)) <= found.budget * (1 + 1e-12)
    )
    assert found.allocation.loss == pytest.approx(best)
    assert found.allocation.loss == pytest.approx(sum(divergence[i][phi - 1] for i, phi in enumerate(found.phi)))
    assert found.allocation.cost == pytest.approx(sum(energy[i][phi - 1] for i, phi in enumerate(found.phi)))
    assert found.allocation.cost <= found.budget * (1 + 1e-12)


def test_thresholds_are_set_again_for_what_was_found() -> None:
    """Order of steps: search at phi_init, phi_l, thresholds, biases. The same as bursts with the list by hand."""
    graph, calibration = residual()
    for form, place, rule, start in (("released", RELEASED, "mse_floor", "shift"),
                                     ("corrected", CORRECTED, "mse", "potential")):  # fmt: skip
        phi = AdaFire(place, phi=3, phi_init=5, form=form).search(SpikingNetwork(graph, T), calibration).phi  # type: ignore[arg-type]
        assert len(set(phi)) > 1
        found = convert(graph, calibration.mean_inputs, "adafire", T=T, phi=3, phi_init=5, form=form)
        by_hand = convert(graph, calibration.mean_inputs, "burst", T=T, phi=phi, thresholds=rule, start=start)
        assert tuple(neuron.phi for neuron in found.neurons.values()) == phi
        assert_same_neurons(found, by_hand)


@pytest.mark.parametrize(("form", "rule"), [("released", "mse_floor"), ("corrected", "mse")])
@pytest.mark.parametrize("start", ["shift", "potential"])
@pytest.mark.parametrize("light", [False, True])
def test_with_one_candidate_it_is_uniform_bursts(form: str, rule: str, start: str, light: bool) -> None:
    graph, calibration = residual()
    common: dict[str, Any] = {"start": start, "light": light, "channelwise": False}
    found = convert(graph, calibration.mean_inputs, "adafire", T=T, phi=3, phi_init=3, phi_min=3, form=form, **common)
    burst = convert(graph, calibration.mean_inputs, "burst", T=T, phi=3, thresholds=rule, **common)
    assert_same_neurons(found, burst)


def branches(dead: str) -> tuple[ConversionGraph, Calibration]:
    """Two layers side by side, of which the output does not depend on one."""
    torch.manual_seed(0)
    first, second = nn.Linear(6, 8), nn.Linear(6, 8)
    out = {"first": nn.Linear(8, 4), "second": nn.Linear(8, 4)}
    nn.init.zeros_(out[dead].weight)

    def function(net: Any, x: Tensor) -> Tensor:
        return net.from_a(net.a(x).relu()) + net.from_b(net.b(x).relu())

    x = seeded((20, 6)) * 2
    graph = captured(Net(function, a=first, b=second, from_a=out["first"], from_b=out["second"]), x)
    return graph, Calibration(graph, x)


@pytest.mark.parametrize(("dead", "layer"), [("first", 0), ("second", 1)])
def test_the_layer_that_does_not_matter_pays(dead: str, layer: int) -> None:
    """In execution order, for both searches: the released code applies SSC's list in reverse."""
    graph, calibration = branches(dead)
    network = convert(graph, calibration.mean_inputs, "adafire", T=T, phi=2, phi_init=6)
    phi = [neuron.phi for neuron in network.neurons.values()]
    assert phi[layer] == 1
    assert phi[1 - layer] > 2
    uniform = convert(graph, calibration.mean_inputs, "burst", T=T, phi=4)
    compressed = SSC()(uniform, calibration)
    rho = [neuron.rho for neuron in compressed.neurons.values()]
    assert rho[layer] == 10
    assert rho[1 - layer] < 10
    node = graph.firing[layer]
    assert torch.equal(compressed.neurons[node].threshold, 10 * uniform.neurons[node].threshold)


def test_a_budget_out_of_reach_names_the_smallest_one() -> None:
    graph, calibration = residual()
    stage = AdaFire(RELEASED, phi=4, phi_min=3, budget=0.1)
    network = SpikingNetwork(graph, T)
    with pytest.raises(InvalidInput, match=r"budget is 0\.1 of the energy of phi = 4, and no allocation") as error:
        stage.search(network, calibration)
    smallest = float(str(error.value).split("needs less than ")[1].split()[0])
    assert 0.1 < smallest < 1
    assert set(replace(stage, budget=smallest + 1e-3).search(network, calibration).phi) <= {3, 4}
    with pytest.raises(InvalidInput, match="needs less than"):
        replace(stage, budget=smallest - 1e-3).search(network, calibration)


# ------------------------------------------------------------------------------------------------------------------ SSC


@pytest.mark.parametrize("energy", ["spikes", "synops_unary"])
def test_ratios_of_thresholds_one_layer_at_a_time(energy: str) -> None:
    """S_i(rho), E_i(rho) on the network as it is; V_i times rho, everything else unchanged."""
    graph, calibration = residual()
    network = convert(graph, calibration.mean_inputs, "burst", T=T, phi=(4, 2, 3, 1, 4), start="shift")
    table = SSC(energy=energy).search(network, calibration).table  # type: ignore[arg-type]
    x = calibration.mean_inputs
    for layer, node in enumerate(graph.firing):
        for column in (0, 1, 5, 18):
            neuron = network.neurons[node]
            changed = replace(neuron, threshold=neuron.threshold * (1 + column / 2))
            spent, divergence = spikes_and_divergence(
                network.with_neurons({**network.neurons, node: changed}), x, layer, energy
            )
            assert table.energy[layer][column] == pytest.approx(spent)
            assert table.divergence[layer][column] == pytest.approx(divergence)
        assert table.divergence[layer][0] == table.base


@pytest.mark.parametrize(("phi", "budget"), [(1, 0.95), (1, 1.0), (4, 1.5), (4, 4.0)])
def test_least_energy_within_the_budget(phi: int, budget: float) -> None:
    """sum E_i least, sum [S_i - S_0] <= (budget - 1) L S_0; by trying all of 19^3 allocations."""
    graph, x = captured_architecture("depthwise", samples=12)
    calibration = Calibration(graph, x)
    network = convert(graph, x, "burst", T=T, phi=phi, light=False)
    found = SSC(budget).search(network, calibration)
    S, E, base = found.table.divergence, found.table.energy, found.table.base
    best = min(
        sum(row[k] for row, k in zip(E, choice, strict=True))
        for choice in itertools.product(range(19), repeat=3)
        if sum(row[k] - base for row, k in zip(S, choice, strict=True)) <= (budget - 1) * 3 * base
    )
    assert found.allocation.loss == pytest.approx(best)
    chosen = [RATIOS.index(rho) for rho in found.rho]
    assert sum(row[k] for row, k in zip(E, chosen, strict=True)) == pytest.approx(best)
    assert sum(row[k] - base for row, k in zip(S, chosen, strict=True)) <= (budget - 1) * 3 * base + 1e-15
    assert best < sum(row[0] for row in E)


def test_the_ratios_are_those_of_the_paper() -> None:
    assert (RATIOS[0], RATIOS[1], RATIOS[-1], len(RATIOS)) == (1.0, 1.5, 10.0, 19)
    assert set(FEW_RATIOS) < set(RATIOS) and (FEW_RATIOS[0], FEW_RATIOS[-1]) == (RATIOS[0], RATIOS[-1])


def test_few_ratios_are_measured_and_the_choice_is_among_all() -> None:
    """Measured entries are those of the whole table, the others lie between; the best of all 19^3 is taken."""
    graph, x = captured_architecture("depthwise", samples=12)
    calibration = Calibration(graph, x)
    network = convert(graph, x, "burst", T=T, phi=4, light=False)
    every, few = (SSC(2.0, grid=grid).search(network, calibration) for grid in ("every", "few"))
    S, E, base = few.table.divergence, few.table.energy, few.table.base
    places = [RATIOS.index(rho) for rho in FEW_RATIOS]
    for found, measured in ((S, every.table.divergence), (E, every.table.energy)):
        for row, whole in zip(found, measured, strict=True):
            assert [row[k] for k in places] == pytest.approx([whole[k] for k in places])
            for first, last in itertools.pairwise(places):
                between, ends = row[first + 1 : last], sorted((row[first], row[last]))
                assert all(ends[0] <= entry <= ends[1] for entry in between)
    best = min(
        sum(row[k] for row, k in zip(E, choice, strict=True))
        for choice in itertools.product(range(19), repeat=3)
        if sum(row[k] - base for row, k in zip(S, choice, strict=True)) <= 3 * base
    )
    assert few.allocation.loss == pytest.approx(best)
    assert best < sum(row[0] for row in E)


def test_a_ratio_of_one_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, calibration = residual()
    network = convert(graph, calibration.mean_inputs, "burst", T=T, phi=3)
    monkeypatch.setattr("conversion.stages.ssc.RATIOS", (1.0,))
    found = SSC()(network, calibration)
    assert_same_neurons(found, network)
    before, after = (simulate(one, calibration.mean_inputs) for one in (network, found))
    assert before.counts is not None and after.counts is not None
    assert torch.equal(before.counts.tally, after.counts.tally)
    assert torch.equal(before.mean(T), after.mean(T))


def test_a_demand_out_of_reach_names_the_smallest_one() -> None:
    graph, calibration = residual()
    network = convert(graph, calibration.mean_inputs, "burst", T=T, phi=3)
    with pytest.raises(InvalidInput, match="SSC's budget is 0 of the divergence, and no thresholds") as error:
        SSC(0).search(network, calibration)
    smallest = float(str(error.value).split("reach less than ")[1].split()[0])
    assert 0 < smallest <= 1
    assert SSC(smallest + 1e-3).search(network, calibration).allocation.cost <= (smallest + 1e-3 - 1) * 5 * (
        SSC().search(network, calibration).table.base
    )  # fmt: skip


def test_amplitude_and_start_follow_the_threshold() -> None:
    """One neuron, V = 1 and current 0.8 at T = 4; with rho = 2 spikes are worth 2 and come at v >= 2."""
    fc = nn.Linear(1, 1, bias=False)
    nn.init.ones_(fc.weight)
    x = torch.tensor([[0.8]], dtype=torch.float64)
    graph = captured(nn.Sequential(fc, nn.ReLU()), x)
    outputs = {}
    for start in ("potential", "shift"):
        network = convert(graph, x, "burst", T=4, phi=1, thresholds="max", light=False, start=start)
        node = graph.firing[0]
        assert network.neurons[node].threshold.tolist() == pytest.approx([0.8])
        double = network.with_neurons({node: scaled(network.neurons[node], 2)})
        readout = simulate(double, x)
        assert readout.counts is not None
        outputs[start] = (4 * readout.mean(4)).item(), readout.counts.tally[0, :, 0, 0].tolist()
    # v(0) = 0.8, then 0.8 a step: spikes of 1.6 at t = 1 and t = 3.
    assert outputs["potential"] == (pytest.approx(3.2), [1, 1, 2, 2])
    # 0.8 + 1.6 / 8 = 1 a step: v = 1, 2 - 1.6, 1.4, 2.4 - 1.6: at t = 2 and t = 4.
    assert outputs["shift"] == (pytest.approx(3.2), [0, 1, 1, 2])


def test_factors_add_up_in_what_a_neuron_reports() -> None:
    graph, calibration = residual()
    neuron = next(iter(convert(graph, calibration.mean_inputs, "burst", T=T, phi=3).neurons.values()))
    assert (neuron.rho, scaled(neuron, 1.5).rho, scaled(scaled(neuron, 1.5), 2).rho) == (1, 1.5, 3)
    assert scaled(neuron, 1) is neuron


# -------------------------------------------------------------------------------------------------------------- methods


@pytest.mark.parametrize("form", ["released", "corrected"])
def test_order_of_steps(form: str) -> None:
    """AdaFire, biases, SSC on the corrected network, thresholds times rho, biases again."""
    graph, calibration = residual()
    options = {"phi": 3, "phi_init": 5, "form": form, "start": "potential"}
    network = make_method("adafire", **options).convert(graph, calibration, T)
    stage = SSC(1.3, "spikes" if form == "released" else "synops_unary")
    compressed = BiasCorrection()(stage(network, calibration), calibration)
    found = make_method("adafire_ssc", **options, ssc_budget=1.3).convert(graph, calibration, T)
    assert_same_neurons(found, compressed)
    assert any(neuron.rho > 1 for neuron in found.neurons.values())
    coarse = BiasCorrection()(replace(stage, grid="few")(network, calibration), calibration)
    found = make_method("adafire_ssc", **options, ssc_budget=1.3, ssc_grid="few").convert(graph, calibration, T)
    assert_same_neurons(found, coarse)


def test_each_form_has_its_own_start() -> None:
    graph, calibration = residual()
    for options, start in (
        ({}, "shift"), ({"form": "corrected"}, "potential"), ({"start": "potential"}, "potential"),
    ):  # fmt: skip
        network = make_method("adafire", **options, phi=2, phi_init=3, light=False).convert(graph, calibration, T)
        assert {neuron.start for neuron in network.neurons.values()} == {start}


def test_a_leaky_network_is_searched_with_signed_neurons() -> None:
    graph, x = captured_architecture("leaky")
    network = convert(graph, x, "adafire_ssc", T=T)
    assert [(neuron.signed, neuron.slope) for neuron in network.neurons.values()] == [(True, 0.1), (True, 0.2)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"phi_min": 5}, "searches phi from 5 to 8 for the energy of phi = 4; give 1 <= phi_min <= phi <= phi_init"),
        ({"phi": 9}, "searches phi from 1 to 8 for the energy of phi = 9"),
        ({"phi_init": 3}, "searches phi from 1 to 3 for the energy of phi = 4"),
        ({"phi_min": 0}, "searches phi from 0"),
        ({"budget": 0}, "AdaFire's budget is 0.0 of the energy of uniform phi; give more than 0"),
        ({"budget": float("nan")}, "AdaFire's budget is nan"),
        ({"samples": 0}, "searches on 0 samples"),
        ({"ssc_budget": -0.1}, "SSC's budget is -0.1; give a ratio of divergences, 0 or more"),
        ({"form": "fixed"}, "option 'form' = 'fixed'"),
        ({"ssc_grid": "coarse"}, "option 'ssc_grid' = 'coarse'"),
    ],
)
def test_impossible_searches_are_refused_before_work_starts(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        make_method("adafire_ssc", **options)


def test_phi_of_every_layer_by_hand() -> None:
    graph, calibration = residual()
    phi = (1, 4, 2, 3, 5)
    network = convert(graph, calibration.mean_inputs, "burst", T=T, phi=phi)
    assert tuple(neuron.phi for neuron in network.neurons.values()) == phi
    for node, entry in zip(graph.firing, phi, strict=True):
        uniform = convert(graph, calibration.mean_inputs, "burst", T=T, phi=entry)
        assert torch.equal(network.neurons[node].threshold, uniform.neurons[node].threshold)
    assert_same_neurons(
        convert(graph, calibration.mean_inputs, "burst", T=T, phi=[2] * 5),
        convert(graph, calibration.mean_inputs, "burst", T=T, phi=2),
    )


@pytest.mark.parametrize(
    ("phi", "message"),
    [
        ((1, 2), "phi has 2 entries for 5 layers; give one for each of relu, relu_1, relu_2, relu_3, relu_4"),
        ((), "phi has 0 entries for 5 layers"),
        ((1, 2, 0, 4, 5), "option 'phi' = .*greater than or equal to 1"),
        ("many", "option 'phi' = 'many'"),
    ],
)
def test_a_list_of_phi_that_does_not_fit_is_refused(phi: Any, message: str) -> None:
    graph, calibration = residual()
    with pytest.raises(InvalidInput, match=message):
        convert(graph, calibration.mean_inputs, "burst", T=T, phi=phi)
