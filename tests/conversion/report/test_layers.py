"""The report of layers: errors, rates and names against the simulator and the user's modules."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from conversion import Calibration, InvalidInput, SpikingNetwork, convert, make_method, simulate
from conversion.report.errors import PARTS
from conversion.report.layers import ErrorParts, ErrorSize, LayerReport, advice, explain, worst
from conversion.simulation.neuron import Start
from tests.conversion.toys import (
    ARCHITECTURES,
    Net,
    architecture,
    captured,
    captured_architecture,
    seeded,
    with_thresholds,
)

# More than one batch of the sweep.
IMAGES = seeded((75, 3, 6, 6))


def open_network() -> nn.Module:
    """A residual network that shows all its activations, one of its channels never active."""

    def function(net: Any, x: Tensor) -> tuple[Tensor, ...]:
        a = net.stem(x).relu()
        b = net.one(a).relu()
        c = (net.two(b) + a).relu()
        return a, b, c, net.head(c.flatten(1))

    net = Net(
        function, stem=nn.Conv2d(3, 4, 3, padding=1), one=nn.Conv2d(4, 8, 3, stride=2, padding=1),
        two=nn.ConvTranspose2d(8, 4, 2, stride=2), head=nn.Linear(4 * 36, 5),
    )  # fmt: skip
    with torch.no_grad():
        net.get_parameter("one.bias")[:2] = -1e3
    return net


def test_errors_rates_and_silence_agree_with_the_simulator() -> None:
    graph = captured(open_network(), IMAGES)
    calibration = Calibration(graph, IMAGES)
    network = make_method("burst", phi=2).convert(graph, calibration, T=3)
    report = explain(network, calibration, samples=75)
    readout = simulate(network, IMAGES)
    assert readout.counts is not None
    for i, (layer, sent, ann) in enumerate(zip(report, readout.mean(3)[:3], graph.run(IMAGES)[:3], strict=True)):
        error, scale = sent - ann, float(ann.square().mean().sqrt())
        assert layer.errors is not None
        assert layer.activation == pytest.approx(scale)
        assert layer.errors.total.rms == pytest.approx(float(error.square().mean().sqrt()) / scale)
        assert layer.errors.total.mean == pytest.approx(float(error.mean()) / scale, abs=1e-9)
        assert sum(getattr(layer.errors, part).mean for part in PARTS) == pytest.approx(layer.errors.total.mean)
        assert layer.neurons == readout.counts.neurons[i]
        spikes = float(readout.counts.tally[i, -1, :, 0].mean())
        assert layer.rate == pytest.approx(spikes / layer.neurons / 3)
        assert layer.silent == pytest.approx(1 - float((sent > 0).any(0).double().mean()))
    assert report[1].silent is not None
    assert report[1].silent >= 2 / 8


@pytest.mark.parametrize("start", ["potential", "shift", "none"])
def test_the_first_layer_inherits_nothing_however_neurons_start(start: Start) -> None:
    graph, inputs = captured_architecture("leaky")
    calibration = Calibration(graph, inputs)
    method = make_method("burst", phi=3, start=start, light=False)
    first = explain(method.convert(graph, calibration, T=4), calibration)[0].errors
    assert first is not None
    assert first.inherited.rms == pytest.approx(0, abs=1e-12)
    assert first.quantisation.rms > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_first_layer_is_fed_evenly_and_the_twin_throughout(name: str) -> None:
    graph, inputs = captured_architecture(name)
    calibration = Calibration(graph, inputs)
    spiking = explain(make_method("calibration", light=False).convert(graph, calibration, T=4), calibration)
    twin = explain(make_method("quantised_ann", phi=2).convert(graph, calibration, T=4), calibration)
    assert len(spiking) == len(twin) == len(graph.firing)
    first = spiking[0].errors
    assert first is not None
    assert (first.inherited.rms, first.unevenness.rms) == pytest.approx((0, 0), abs=1e-12)
    assert first.quantisation.rms > 0
    assert all(layer.errors is not None and layer.errors.unevenness.rms < 1e-12 for layer in twin)


def test_more_steps_leave_the_clipping() -> None:
    graph, inputs = captured_architecture("plain")
    calibration = Calibration(graph, inputs)
    network = with_thresholds(graph, 256, [0.3, 50.0])
    first, second = explain(network, calibration)
    assert first.errors is not None and second.errors is not None
    assert first.errors.clipping.rms > 50 * first.errors.quantisation.rms
    assert second.errors.inherited.rms > 0
    assert (second.errors.clipping.rms, first.threshold, second.threshold) == (0, (0.3, 0.3), (50.0, 50.0))
    assert worst([first, second]).startswith("0 -> 2 adds most error")
    assert "mainly clipping" in worst([first, second])
    assert advice([first, second]).startswith(
        "What layers add is mainly clipping: it is the largest part in 1 of 2, from 0 -> 2 (layer 1) on. A larger phi"
    )


def test_advice_by_the_kind_of_error() -> None:
    """Bursts out of step are uneven; signed ones are told that they are signed; twins are only too coarse."""
    graph, inputs = captured_architecture("residual")
    calibration = Calibration(graph, inputs)
    uneven = explain(make_method("burst", phi=8).convert(graph, calibration, T=2), calibration)
    worse = [layer.model_copy(update={"errors": _only(layer, "unevenness")}) for layer in uneven]
    assert advice(worse).endswith("Signed neurons (`signed=True`) take back the spikes that came too early.")
    signed = [layer.model_copy(update={"role": "signed"}) for layer in worse]
    assert "signed already" in advice(signed)
    coarse = [layer.model_copy(update={"errors": _only(layer, "quantisation")}) for layer in uneven]
    assert "mainly quantisation: it is the largest part in 5 of 5" in advice(coarse)


def _only(layer: LayerReport, part: str) -> ErrorParts:
    """The errors of a layer that adds no other than one kind."""
    assert layer.errors is not None
    none = {other: ErrorSize(rms=0, mean=0) for other in ("clipping", "quantisation", "unevenness")}
    return layer.errors.model_copy(update=none | {part: ErrorSize(rms=0.1, mean=0)})


def test_layers_are_named_by_the_modules_they_stand_for() -> None:
    graph, inputs = captured_architecture("residual")
    calibration = Calibration(graph, inputs)
    report = explain(convert(graph, inputs, "burst", T=2, phi=2), calibration)
    assert [layer.name for layer in report] == [
        "stem -> relu", "a -> relu", "b -> relu", "c -> relu", "d + projection -> relu"
    ]  # fmt: skip
    assert report[2].source.endswith("x = (self.b_norm(self.b(self.a_norm(self.a(x)).relu())) + x).relu()")
    assert "/" not in report[2].source.split(":")[0]
    assert {layer.role for layer in report} == {"spiking"}


def test_an_ann_has_no_layer_that_adds_an_error() -> None:
    graph, inputs = captured_architecture("plain")
    report = explain(SpikingNetwork(graph, 1), Calibration(graph, inputs))
    assert [layer.role for layer in report] == ["analog", "analog"]
    assert worst(report) == "No layer spikes, so none adds an error."
    assert advice(report) == "No layer adds an error."


def test_a_report_survives_json() -> None:
    graph, inputs = captured_architecture("leaky")
    report = explain(convert(graph, inputs, "burst", T=2, phi=2), Calibration(graph, inputs))
    adapter = TypeAdapter(list[LayerReport])
    assert adapter.validate_json(adapter.dump_json(report)) == report
    assert {layer.role for layer in report} == {"signed"}


def test_what_cannot_be_explained_is_refused() -> None:
    model, inputs = architecture("plain")
    graph, other = captured(model, inputs), captured(model, inputs)
    network = convert(graph, inputs, "burst", T=2, phi=1)
    with pytest.raises(InvalidInput, match="another network"):
        explain(network, Calibration(other, inputs))
    with pytest.raises(InvalidInput, match="looks at 0 samples; give at least 1"):
        explain(network, Calibration(graph, inputs), samples=0)
