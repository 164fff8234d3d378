"""The choice among methods: on samples that no candidate sees, by energy or by error, with all that was tried."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from torch import Tensor

from conversion import Calibration, InvalidInput, SpikingNetwork, convert, make_method, simulate
from conversion.methods import Burst, choose
from conversion.methods.auto import candidates, variants
from conversion.methods.codes import HeldValue
from conversion.stages.energy_target import measure
from tests.conversion.toys import captured_architecture, seeded


@pytest.mark.slow
def test_the_choice_keeps_its_aim() -> None:
    """Within an error it is the cheapest, within an energy the best, judged as `measure` judges held-out samples."""
    graph, inputs = captured_architecture("residual")
    held_out = (seeded(tuple(inputs.shape), 5, inputs.dtype).abs(), torch.zeros(len(inputs), dtype=torch.long))
    calibration = Calibration(graph, inputs, held_out)
    loose = choose(graph, calibration, 4, error=0.5)
    working = [trial for trial in loose.trials if not trial.fault]
    energies = sorted(trial.share for trial in working)
    energy = energies[len(energies) // 2]
    choice = choose(graph, calibration, 4, energy=energy)
    assert choice.best.error == min(trial.error for trial in choice.trials if trial.share <= energy)
    least = min(trial.error for trial in working)
    for error, choice in ((0.5, loose), (least, choose(graph, calibration, 4, error=least))):
        within = [trial for trial in choice.trials if trial.error <= error]
        assert choice.best.share == min(trial.share for trial in within)
    error, share = measure(choice.network, Calibration(graph, held_out[0]))
    assert (error, share) == pytest.approx((choice.best.error, choice.best.share))
    assert choice.frame["error"].iloc[0] == min(trial.error for trial in choice.trials)


@pytest.mark.slow
def test_no_sample_that_is_measured_on_was_fitted_to(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, inputs = captured_architecture("plain")
    fitted: list[Tensor] = []
    original = Burst.convert

    def watched(self: Burst, graph_: object, calibration: Calibration, T: int) -> SpikingNetwork:
        fitted.append(calibration.mean_inputs)
        return original(self, graph, calibration, T)

    monkeypatch.setattr(Burst, "convert", watched)
    choose(graph, Calibration(graph, inputs), 2, codes="rate")
    apart = len(inputs) // 4
    assert all(torch.equal(seen, inputs[:-apart]) for seen in fitted[:-1])
    assert torch.equal(fitted[-1], inputs)  # The chosen one gets all of them.


@pytest.mark.slow
def test_it_is_the_default_and_a_method(caplog: pytest.LogCaptureFixture) -> None:
    graph, inputs = captured_architecture("plain")
    with caplog.at_level(logging.INFO, "conversion"):
        network = convert(graph, inputs, T=4)
    assert "chosen: " in caplog.text and "that it was not fitted to" in caplog.text
    choice = choose(graph, Calibration(graph, inputs), 4)
    assert torch.equal(simulate(network, inputs).mean(4), simulate(choice.network, inputs).mean(4))
    named = convert(graph, inputs, "auto", T=4, energy=2.0, codes="rate")
    assert {neuron.coding for neuron in named.neurons.values()} == {"rate"}


def test_candidates_by_code() -> None:
    graph, _ = captured_architecture("plain")
    assert {method.name for method in candidates("rate", graph)} == {"burst"}
    assert {method.name for method in candidates("causal", graph)} == {"burst", "held"}
    assert {method.name for method in candidates("any", graph)} == {"burst", "held", "sigma_delta", "phase"}
    assert [method.label for method in variants(Burst(phi=4, signed=True))] == [
        "burst:phi=8,signed=True", "burst:phi=2,signed=True", "burst:phi=4,channelwise=False,signed=True",
        "burst:phi=4,start=shift,signed=True",
    ]  # fmt: skip
    assert [method.energy for method in variants(HeldValue()) if isinstance(method, HeldValue)] == [0, 0.5, 2]


@pytest.mark.slow
def test_what_cannot_be_reached_is_said() -> None:
    graph, inputs = captured_architecture("plain")
    calibration = Calibration(graph, inputs)
    choice = choose(graph, calibration, 1, error=1e-9, codes="rate")
    assert any("No candidate errs by 1e-09 or less" in sentence for sentence in choice.said)
    choice = choose(graph, calibration, 1, energy=1e-9, codes="rate")
    assert any("No candidate stays within 0.0% of the energy; this is the cheapest" in said for said in choice.said)
    assert choice.best.share == min(trial.share for trial in choice.trials)


def test_wrong_settings() -> None:
    graph, inputs = captured_architecture("plain")
    with pytest.raises(InvalidInput, match="has 3 samples, and a quarter of them is needed"):
        convert(graph, inputs[:3], T=2)
    with pytest.raises(InvalidInput, match="Give `energy` or `error`, one of the two"):
        make_method("auto", energy=0.2, error=0.1)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "options",
    [{"energy": NAN}, {"energy": 0.0}, {"energy": -1.0}, {"energy": INF}, {"error": NAN}, {"error": 0.0},
     {"error": -0.1}, {"error": INF}, {"samples": 0}, {"samples": -3}, {"codes": "what"}],
    ids=str,
)  # fmt: skip
def test_aims_that_nothing_can_be_compared_with(options: dict[str, Any]) -> None:
    graph, inputs = captured_architecture("plain")
    with pytest.raises(InvalidInput, match=r"The aim e|compared on|There are no codes"):
        choose(graph, Calibration(graph, inputs), 2, **options)


def test_a_candidate_whose_figures_are_not_finite_is_never_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """All comparisons with NaN are false, so that the first candidate would win."""
    graph, inputs = captured_architecture("plain")
    original = measure

    def spoilt(network: SpikingNetwork, calibration: Calibration) -> tuple[float, float]:
        error, share = original(network, calibration)
        first = next(iter(network.neurons.values()))
        return (NAN if first.phi == 4 else error), share

    monkeypatch.setattr("conversion.methods.auto.measure", spoilt)
    choice = choose(graph, Calibration(graph, inputs), 2, codes="rate", error=0.5)
    assert choice.best.error == choice.best.error
    assert [trial.fault != "" for trial in choice.trials[:2]] == [True, True]
