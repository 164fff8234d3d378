"""What NIR cannot describe, and graphs and files of others that have no place here, are refused in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from conversion import SpikingNetwork
from conversion.codes import CODES
from conversion.errors import BenchmarkError, InvalidInput, UnsupportedOp
from conversion.exchange import libraries
from conversion.exchange.contract import GraphContract
from conversion.exchange.files import save_nir
from conversion.exchange.hdf5 import read_trace
from conversion.exchange.nir_export import export_nir
from conversion.exchange.nir_import import _order, import_nir
from conversion.exchange.trace import run_in_double
from conversion.simulation.exit_rules import ConfidenceRule
from conversion.simulation.neuron import Neuron
from tests.conversion.exchange.networks import small, spiking
from tests.conversion.toys import Net, seeded

nir = pytest.importorskip("nir", reason="NIR needs the extra 'nir': pip install -e '.[nir]'")


def one_layer(**changes: Any) -> SpikingNetwork:
    """A network whose first layer of neurons has other parameters."""
    network = small(light=False)
    first = next(iter(network.neurons))
    return network.with_neurons(dict(network.neurons) | {first: replace(network.neurons[first], **changes)})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "lost"),
    [
        ({"phi": 4}, r"layer '0 -> 1': it sends bursts of up to 4 spikes .* number of spikes would be lost"),
        ({"signed": True}, "take spikes back"),
        ({"start": "potential"}, "starts from half a threshold"),
        ({"potential": torch.ones(5, dtype=torch.float64)}, "initial potentials"),
        ({"bias": torch.zeros(6, 5, dtype=torch.float64)}, "every step a bias of its own"),
    ],
)
def test_neurons_that_nir_cannot_describe_are_refused_with_what_to_convert_with(
    changes: dict[str, Any], lost: str
) -> None:
    with pytest.raises(InvalidInput, match=f"{lost}.*Convert with .*calibration, or burst:phi=1,start=shift"):
        export_nir(one_layer(**changes))


def test_codes_exits_and_networks_without_neurons_are_refused() -> None:
    network = small()
    held = {
        node: Neuron(neuron.threshold, 1, neuron.bias, code=CODES["held"]()) for node, neuron in network.neurons.items()
    }
    with pytest.raises(InvalidInput, match=r"the code 'held'.*a value that receivers hold"):
        export_nir(replace(network, neurons=held, nonlinear="instantaneous"))
    with pytest.raises(InvalidInput, match=r"early exit .ConfidenceRule.*exit=None"):
        export_nir(replace(network, exit=ConfidenceRule(0.9)))
    with pytest.raises(InvalidInput, match="no neurons"):
        export_nir(network.with_neurons({}))
    separable = [nn.Conv2d(2, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 3, 1), nn.ReLU()]
    with pytest.raises(InvalidInput, match="convert without `between`"):
        export_nir(spiking(nn.Sequential(*separable), (2, 6, 6), between=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([nn.MaxPool2d(2)], r"no primitive for 'max_pool2d', at .*average pooling in its place"),
        ([nn.ConvTranspose2d(3, 3, 2)], r"no primitive for 'conv_transpose2d', at .*Train the network without it"),
        ([nn.Upsample(scale_factor=2)], r"no primitive for 'upsample_nearest2d', at "),
        (
            [nn.AvgPool2d(3, 2, 1, count_include_pad=False)],
            "no primitive for 'avg_pool2d' where its windows are of several sizes",
        ),
        # On a square map the shape stays the same.
        ([Net(lambda _, x: x.transpose(2, 3))], r"no primitive for 'transpose', at "),
        ([nn.AdaptiveAvgPool2d(3)], "where its windows are of several sizes"),
    ],
)
def test_operations_that_nir_lacks_are_refused_by_name(layers: list[nn.Module], message: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), *layers, nn.Conv2d(3, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 1))
    with pytest.raises(UnsupportedOp, match=message):
        export_nir(spiking(model, (2, 6, 6), light=False))


def test_an_operation_behind_the_last_neurons_is_refused_with_where_to_put_it() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3), nn.LogSoftmax(1))
    with pytest.raises(UnsupportedOp, match=r"'log_softmax'.*apply it to the mean output yourself"):
        export_nir(spiking(model, (3,)))


def test_a_library_that_is_not_installed_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(libraries, "import_module", missing)
    with pytest.raises(InvalidInput, match=r"needs nir, which is not installed: pip install -e '\.\[nir\]'"):
        export_nir(small())


def foreign(**changes: Any) -> Any:
    """A graph as another tool writes it: no contract."""
    neuron = {"r": np.ones(3), "v_threshold": np.full(3, 0.5), "v_reset": np.zeros(3)} | changes
    nodes = {
        "input": nir.Input(np.array([2])), "fc": nir.Affine(np.arange(6.0).reshape(3, 2) / 10, np.zeros(3)),
        "if": nir.IF(**neuron), "output": nir.Output(np.array([3])),
    }  # fmt: skip
    return nir.NIRGraph(nodes, [("input", "fc"), ("fc", "if"), ("if", "output")])


def test_a_graph_of_another_tool_is_simulated_with_the_steps_that_are_given() -> None:
    """Currents of .3 r, .9 r, 1.5 r for inputs (1, 1) at r = 0.5: .05, .25, .45 against a threshold of .5."""
    back = import_nir(foreign(r=np.full(3, 0.5)), T=4)
    run = run_in_double(back.network, torch.ones(1, 2))
    # .05 .1 .15 .2 never; .25 .5 fires, 0 ... at steps 2 and 4; .45 .9 -> .4, .85 -> .35, .8 -> .3.
    assert run.spikes["relu"][0].T.tolist() == [[False] * 4, [False, True, False, True], [False, True, True, True]]
    assert [*back.layers] == ["if"] and back.contract is None
    with pytest.raises(InvalidInput, match="does not say for how many steps"):
        import_nir(foreign())


def _with(graph: Any, name: str, node: Any) -> Any:
    graph.nodes[name] = node
    return graph


def _neurons(*shape: int) -> Any:
    return nir.IF(np.ones(shape), np.ones(shape), np.zeros(shape))


def _summing(outputs: int) -> Any:
    """Adds a signal of another size to that of the neurons."""
    graph = _edges(foreign(), ("input", "other"), ("other", "if"))
    return _with(graph, "other", nir.Affine(np.ones((outputs, 2)), np.zeros(outputs)))


def _contracted(**changes: Any) -> Any:
    graph = foreign()
    graph.metadata = GraphContract(4, 1, 4, half_threshold=False).metadata() | changes
    return graph


def _edges(graph: Any, *more: tuple[str, str]) -> Any:
    graph.edges = [*graph.edges, *more]
    return graph


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (
            lambda: _with(foreign(), "if", nir.LIF(*[np.ones(3)] * 4)),
            "node 'if' of the kind LIF, which has no counterpart",
        ),
        (lambda: _with(foreign(), "if", nir.Delay(np.ones(3))), "node 'if' of the kind Delay"),
        (lambda: foreign(v_reset=np.ones(3)), "reset to other potentials than zero"),
        (lambda: foreign(v_threshold=np.zeros(3)), "a threshold that is not positive"),
        (lambda: foreign(r=np.array([1, np.nan, 1])), "in 'if' a r that is not finite"),
        (lambda: _edges(foreign(), ("if", "fc")), "has feedback at the node"),
        (lambda: _edges(foreign(), ("gone", "fc")), "an edge to the node 'gone'"),
        (lambda: _with(foreign(), "second", nir.Input(np.array([2]))), "has 2 nodes of the kind Input"),
        (lambda: _with(foreign(), "fc", nir.Affine(np.ones((3, 4)), np.zeros(3))), "no network that can be computed"),
        (lambda: _with(foreign(), "if", nir.Scale(np.ones(3))), "has no neurons"),
        (lambda: _edges(foreign(), ("fc", "if")), "the edge from 'fc' to 'if' more than once"),
        (lambda: _with(foreign(), "input", nir.Input(np.array([10**6, 10**6]))), "which is none of a sample"),
        (lambda: _with(foreign(), "input", nir.Input(np.array([-2]))), "which is none of a sample"),
        (
            lambda: _with(foreign(), "if", _neurons(4, 3)),
            r"'if' parameters of shape \(4, 3\) for a signal of shape \(3,\)",
        ),
        (lambda: _with(foreign(), "if", _neurons(6)), "no network that can be computed"),
        (lambda: _summing(1), r"sums, at the node 'if', signals of shapes"),
        (lambda: _contracted(T=2.5), "2.5 is no whole number"),
        (lambda: _contracted(T=10**12, last=10**12), "a contract of 1000000000000 steps"),
        (lambda: _contracted(half_threshold="False"), "cannot be read"),
    ],
)
def test_graphs_that_have_no_place_here_are_refused_in_a_sentence(graph: Callable[[], Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        import_nir(graph(), T=4)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("reset", "to_zero", "asks of the neurons 'if' for reset to_zero"), ("spikes_per_step", 4, "spikes_per_step 4")],
)
def test_a_contract_that_we_do_not_keep_is_refused(name: str, value: Any, message: str) -> None:
    graph = foreign()
    graph.nodes["if"].metadata = {name: value}
    with pytest.raises(InvalidInput, match=message):
        import_nir(graph, T=4)


def test_a_long_chain_is_put_in_order_at_once() -> None:
    """Names and edges in the wrong order; a search of all that waits, for each node, would take hours."""
    count = 50_000
    nodes = {str(place): nir.Scale(np.ones(1)) for place in reversed(range(count))}
    edges = [(str(place), str(place + 1)) for place in reversed(range(count - 1))]
    assert _order(nodes, edges, "The graph") == [str(place) for place in range(count)]


def test_biases_with_half_a_threshold_hold_for_one_number_of_steps() -> None:
    graph = export_nir(small(T=6))
    assert import_nir(graph, T=6).network.T == 6
    with pytest.raises(InvalidInput, match="for T = 6"):
        import_nir(graph, T=8)


def _broken_files(h5py: Any, folder: Path) -> dict[str, tuple[Callable[[Any], None], str]]:
    (folder / "secret").write_bytes(b"x" * 64)

    def external(file: Any) -> None:
        file["node"]["nodes"]["fc"].create_dataset(
            "more", shape=(64,), dtype="u1", external=[(str(folder / "secret"), 0, 64)]
        )

    def link(file: Any) -> None:
        file["node"]["nodes"]["other"] = h5py.ExternalLink("other.h5", "/node")

    def bomb(file: Any) -> None:
        file["node"].create_dataset("more", shape=(2**40,), dtype="f8", chunks=(2**20,), compression="gzip")

    def unknown(file: Any) -> None:
        del file["node"]["nodes"]["if"]["type"]
        file["node"]["nodes"]["if"]["type"] = "Quantum"

    def deep(file: Any) -> None:
        file.create_group("a/b/c/d/e/f/g/h/i/j/k")

    return {
        "external": (external, "'more' that lie in other files"), "link": (link, "a link, 'other', in place of a"),
        "bomb": (bomb, "more than 4 GiB"), "unknown": (unknown, "a node that NIR does not know"),
        "deep": (deep, "more than 8 deep"),
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["external", "link", "bomb", "unknown", "deep"])
def test_files_that_point_out_of_themselves_or_swell_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "net.nir"
    nir.write(path, foreign())
    change, message = _broken_files(h5py, tmp_path)[kind]
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(InvalidInput, match=f"{path.name} .*{message}"):
        import_nir(path, T=4)


def test_files_that_are_none_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"gone\.nir cannot be read: No such file"):
        import_nir(tmp_path / "gone.nir")
    (tmp_path / "text.nir").write_text("no HDF5")
    with pytest.raises(InvalidInput, match=r"text\.nir cannot be read: it is no HDF5 file"):
        import_nir(tmp_path / "text.nir")
    nir.write(tmp_path / "net.nir", foreign())
    (tmp_path / "half.nir").write_bytes((tmp_path / "net.nir").read_bytes()[:3000])
    with pytest.raises(BenchmarkError, match=r"half\.nir"):
        import_nir(tmp_path / "half.nir")
    with pytest.raises(InvalidInput, match=r"net\.nir is no trace"):
        read_trace(tmp_path / "net.nir")


def test_a_folder_that_is_not_there_and_inputs_of_another_shape_are_named(tmp_path: Path) -> None:
    snn = spiking(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), (3,))
    with pytest.raises(InvalidInput, match=r"There is no folder .*missing for net.nir; make it first"):
        save_nir(snn, tmp_path / "missing" / "net.nir", seeded((2, 3)))
    with pytest.raises(InvalidInput, match=r"have shape \(2, 5\); the network takes \(N, \*\(3,\)\)"):
        save_nir(snn, tmp_path / "net.nir", seeded((2, 5)))
    assert not list(tmp_path.iterdir())
