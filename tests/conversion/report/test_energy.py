"""Energy and summary of a converted network for library users, against sums by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.patches import Rectangle
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from conversion import InvalidInput, SpikingModule, SpikingNetwork, UnknownName, capture, convert, energy
from conversion.counting.prices import PRICES
from conversion.report.summary import summarise
from tests.conversion.toys import seeded


def perceptron() -> SpikingNetwork:
    """3 inputs, 2 neurons with thresholds 1, 2 outputs; weights of one."""
    ann = nn.Sequential(nn.Linear(3, 2, bias=False), nn.ReLU(), nn.Linear(2, 2, bias=False)).double()
    for part in ann.parameters():
        nn.init.ones_(part)
    ones = torch.ones(1, 3, dtype=torch.float64)
    return convert(capture(ann.eval(), ones), ones, "burst", T=2, phi=4, thresholds="max", light=False)


def test_energy_by_hand() -> None:
    """The current is 3 at both steps, and threshold 3/4: 4 spikes of each neuron in each step, each read by 2."""
    table = energy(perceptron(), torch.ones(1, 3, dtype=torch.float64))
    assert table["accumulations"].tolist() == [0, 32, 32, 8, 8]
    assert table["MACs"].tolist() == [10, 6, 6, 6, 6]
    assert table["updates"].tolist() == [0, 4, 4, 4, 4]
    assert table["steps"].tolist() == [1, 2, 2, 2, 2]
    whole = 1e-9 * 4.6 * 10
    np.testing.assert_allclose(table["mJ"], [whole, *(1e-9 * (4.6 * 6 + 0.9 * n) for n in (32, 32, 8, 8))])
    np.testing.assert_allclose(table["share"], table["mJ"] / whole)
    assert list(table.index) == ["ANN", "SNN, unary", "SNN, smallest", "SNN, binary", "SNN, graded"]


def test_every_price_list_and_every_form_of_inputs() -> None:
    network = perceptron()
    inputs = seeded((10, 3), 0, torch.float64).abs()
    for name, prices in PRICES.items():
        found = energy(network, inputs, name)
        assert found["mJ"]["ANN"] == pytest.approx(1e-9 * prices.mac * 10)
    whole = energy(network, inputs)
    labelled = DataLoader(TensorDataset(inputs, torch.zeros(10)), batch_size=3)
    for other in (inputs.numpy(), [inputs[:4], inputs[4:]], labelled):
        np.testing.assert_allclose(energy(network, other), whole)
    np.testing.assert_allclose(SpikingModule(network).energy(inputs), whole)


def test_wrong_inputs_of_energy() -> None:
    with pytest.raises(UnknownName, match="no price list called 'horowitz'; did you mean horowitz45"):
        energy(perceptron(), torch.ones(1, 3), "horowitz")
    with pytest.raises(InvalidInput, match="no sample"):
        energy(perceptron(), [])


def test_a_summary_is_text_table_and_plot() -> None:
    network, inputs = perceptron(), seeded((10, 3), 0, torch.float64).abs()
    found = summarise(network, inputs)
    assert found.frame[["neurons", "phi"]].to_numpy().tolist() == [[2, 4]] and list(found.frame.index) == ["0 -> 1"]
    errors = found.layers[0].errors
    assert errors is not None and found.frame["clipping"].tolist() == [errors.clipping.rms]
    text = str(found)
    assert text.startswith(found.worst) and f"{found.energy['share']['SNN, unary']:.1%}" in text and "0 -> 1" in text
    axes = found.plot()
    drawn = sum(bar.get_width() for bar in axes.patches if isinstance(bar, Rectangle))
    parts = ("inherited", "clipping", "quantisation", "unevenness")
    assert drawn == pytest.approx(sum(getattr(errors, part).rms for part in parts))
    assert str(SpikingModule(network).report(inputs)) == text
