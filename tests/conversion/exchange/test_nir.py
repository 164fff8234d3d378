"""Converted networks in NIR and back: the same spikes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from conversion import SpikingNetwork, simulate
from conversion.exchange.hdf5 import read_trace
from conversion.exchange.nir_export import export_nir
from conversion.exchange.nir_import import import_nir
from conversion.exchange.trace import golden_trace, run_in_double
from conversion.simulation.neuron import Neuron
from tests.conversion.exchange.networks import small, spiking
from tests.conversion.toys import ARCHITECTURES, Net, captured, seeded

nir = pytest.importorskip("nir", reason="NIR needs the extra 'nir': pip install -e '.[nir]'")


def require_same(network: SpikingNetwork, path: Path, shape: tuple[int, ...]) -> None:
    """The network and what is read of its file spike alike, and their outputs agree to rounding."""
    inputs = seeded((5, *shape), 2)
    nir.write(path, export_nir(network))
    back = import_nir(path)
    before = run_in_double(network, inputs)
    after = run_in_double(back.network, inputs, {node: name for name, node in back.layers.items()})
    assert after.spikes.keys() == before.spikes.keys()
    for name, fired in before.spikes.items():
        assert torch.equal(after.spikes[name], fired), name
    assert any(bool(fired.any()) and not bool(fired.all()) for fired in before.spikes.values())
    torch.testing.assert_close(after.output, before.output, rtol=1e-10, atol=1e-10)
    # The answer, too: the mean over the steps that are read.
    T = network.T
    torch.testing.assert_close(
        simulate(back.network, inputs).mean(T), simulate(network, inputs).mean(T), rtol=1e-10, atol=1e-10
    )


@pytest.mark.slow
@pytest.mark.parametrize(("name", "channelwise"), [("residual", True), ("depthwise", False), ("linear", True)])
def test_what_is_read_back_spikes_alike(name: str, channelwise: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    make, shape = ARCHITECTURES[name]
    require_same(spiking(make(), shape, channelwise=channelwise), tmp_path / "net.nir", shape)


def _shared() -> nn.Module:
    """One convolution before two layers of neurons, and a signal that is added to itself."""

    def function(net: Any, x: Tensor) -> Tensor:
        x = net.a(x)
        first, second = x.relu(), (0.5 * x - net.shift).relu()
        return net.head((first - second + first).relu().flatten(1))

    return Net(function, a=nn.Conv2d(2, 3, 3), shift=torch.tensor([[[0.1]], [[0.2]], [[-0.1]]]), head=nn.Linear(48, 4))


def _padded_average() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(), nn.AvgPool2d(3, 2, 1), nn.Conv2d(4, 6, 3, padding="same", groups=2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(24, 6), nn.ReLU(), nn.Linear(6, 3),
    )  # fmt: skip


def _option_a() -> nn.Module:
    """A shortcut that takes every second pixel and pads with channels of zeros; some channels of the input alone."""

    def function(net: Any, x: Tensor) -> Tensor:
        x = net.a(x[:, 1:3]).relu()
        x = (net.b(x) + nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 2))).relu()
        return net.head(x.flatten(1))

    return Net(function, a=nn.Conv2d(2, 4, 3, padding=1), b=nn.Conv2d(4, 7, 3, 2, padding=1), head=nn.Linear(63, 4))


def test_shortcuts_of_option_a_come_back_as_one_convolution(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = spiking(_option_a(), (3, 6, 6))
    require_same(network, tmp_path / "net.nir", (3, 6, 6))
    assert sum(isinstance(node, nir.Conv2d) for node in export_nir(network).nodes.values()) == 4


@pytest.mark.slow
@pytest.mark.parametrize("make", [_shared, _padded_average])
def test_sums_constants_and_pools_come_back(make: Callable[[], nn.Module], tmp_path: Path) -> None:
    torch.manual_seed(1)
    require_same(spiking(make(), (2, 6, 6)), tmp_path / "net.nir", (2, 6, 6))


def test_neurons_without_half_a_threshold_come_back(tmp_path: Path) -> None:
    require_same(small(method="calibration", start="none"), tmp_path / "net.nir", (2, 6, 6))


def test_thresholds_of_single_neurons_come_back(tmp_path: Path) -> None:
    network = small(light=False)
    grown = {
        node: replace(
            neuron, threshold=neuron.threshold.view(-1, 1, 1) * (1 + seeded(_shape(node), 3).abs()), start="none"
        )
        for node, neuron in network.neurons.items()
    }
    require_same(network.with_neurons(grown), tmp_path / "net.nir", (2, 6, 6))


def _shape(node: Any) -> tuple[int, ...]:
    return tuple(int(size) for size in node.meta["val"].shape[1:])


def test_a_readout_that_begins_late_comes_back(tmp_path: Path) -> None:
    require_same(replace(small(), readout_start=2, readout_end=5), tmp_path / "net.nir", (2, 6, 6))


def test_every_neuron_fires_at_one_and_starts_at_zero() -> None:
    graph = export_nir(small())
    neurons = [node for node in graph.nodes.values() if isinstance(node, nir.IF)]
    assert len(neurons) == 2
    for node in neurons:
        assert (node.v_threshold == 1).all() and (node.r == 1).all() and (node.v_reset == 0).all()


def test_every_node_carries_what_a_simulator_has_to_keep_to(tmp_path: Path) -> None:
    nir.write(tmp_path / "net.nir", export_nir(small(T=7)))
    graph = nir.read(tmp_path / "net.nir")
    assert graph.metadata["T"] == 7 and graph.metadata["half_threshold"]
    assert (graph.metadata["first"], graph.metadata["last"]) == (1, 7)
    position = {name: int(node.metadata["order"]) for name, node in graph.nodes.items()}
    assert sorted(position.values()) == list(range(len(position)))
    assert all(position[before] < position[behind] for before, behind in graph.edges)
    for node in graph.nodes.values():
        assert node.metadata["T"] == 7
        if isinstance(node, nir.IF):
            found = {
                name: node.metadata[name] for name in ("reset", "fires_at", "spikes_per_step", "initial_potential")
            }
            assert found == {"reset": "subtract", "fires_at": ">=", "spikes_per_step": 1, "initial_potential": 0}


def test_the_golden_trace_is_what_the_neurons_do_by_hand(tmp_path: Path) -> None:
    """One neuron with a current of 0.3 in thresholds, and half a threshold over T = 4 steps: 0.425 a step."""
    graph = captured(nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU(), nn.Linear(1, 1)), seeded((1, 1)))
    graph.module.get_parameter("0.weight").data.fill_(0.6)
    (node,) = graph.firing
    neuron = Neuron(torch.tensor([2.0], dtype=torch.float64), 1, torch.zeros(1, dtype=torch.float64), start="shift")
    trace = golden_trace(SpikingNetwork(graph, 4).with_neurons({node: neuron}), torch.ones(1, 1))
    nir.write_data(tmp_path / "trace.nir", trace)
    found = read_trace(tmp_path / "trace.nir").nodes
    assert found["relu"].observables["spikes"].data.dtype == bool
    # v = .425, .85, 1.275 -> .275, .7
    assert found["relu"].observables["spikes"].data.reshape(-1).tolist() == [False, False, True, False]
    assert found["input"].observables["input"].data.reshape(-1).tolist() == [1, 1, 1, 1]
    assert found["output"].observables["output"].data.shape == (1, 4, 1)


def test_the_margin_of_a_trace_is_the_nearest_that_a_potential_came_to_the_threshold() -> None:
    graph = captured(nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU()), seeded((1, 1)))
    graph.module.get_parameter("0.weight").data.fill_(0.3)
    (node,) = graph.firing
    neuron = Neuron(torch.ones(1, dtype=torch.float64), 1, torch.zeros(1, dtype=torch.float64), start="none")
    run = run_in_double(SpikingNetwork(graph, 5).with_neurons({node: neuron}), torch.ones(1, 1))
    # v = .3, .6, .9, 1.2 -> .2, .5
    assert run.margin == pytest.approx(0.1)
