"""Converted networks as files: exact round trips, and files that do not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from conversion import Calibration, ConversionGraph, SpikingNetwork, load, make_method, save, simulate
from conversion.codes import OneHot
from conversion.errors import CheckpointError, InvalidInput
from conversion.simulation.exit_rules import EntropyRule
from conversion.simulation.saving import ENTRY, _digest
from conversion.stages import Thresholds
from tests.conversion.toys import architecture, captured, seeded

pytestmark = pytest.mark.slow


@cache
def captured_twice(name: str, dtype: torch.dtype) -> tuple[ConversionGraph, ConversionGraph, Tensor]:
    """Two graphs of one network, and its inputs."""
    model, x = architecture(name, dtype)
    return captured(model, x), captured(model, x), x


def same(first: SpikingNetwork, second: SpikingNetwork, x: Tensor) -> None:
    """The same parameters and the same spikes."""
    assert (first.T, first.exit, first.nonlinear) == (second.T, second.exit, second.nonlinear)
    assert first.readout_start == second.readout_start
    assert [node.name for node in first.neurons] == [node.name for node in second.neurons]
    for one, other in zip(first.neurons.values(), second.neurons.values(), strict=True):
        for name, value in vars(one).items():
            held = getattr(other, name)
            if isinstance(value, Tensor):
                assert held.dtype == value.dtype
                assert torch.equal(held, value)
            else:
                assert held == value
    assert [node.name for node in first.weights] == [node.name for node in second.weights]
    for weight, held in zip(first.weights.values(), second.weights.values(), strict=True):
        assert torch.equal(weight, held)
    spikes, again = (simulate(network, x) for network in (first, second))
    assert spikes.counts is not None and again.counts is not None
    assert torch.equal(spikes.counts.tally, again.counts.tally)
    assert torch.equal(spikes.steps, again.steps)
    assert all(torch.equal(spikes.mean(t), again.mean(t)) for t in range(1, first.T + 1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "options", "network"),
    [
        ("calibration", {}, "plain"),
        ("calibration", {"nonlinear": "instantaneous"}, "max-pooled"),
        ("calibration_advanced", {"weights": True, "iterations": 3, "learning_rate": 1e-2}, "residual"),
        ("calibration_iat", {}, "plain"),
        ("burst", {"phi": (1, 5)}, "plain"),
        ("burst", {"phi": 3, "signed": True}, "residual"),
        ("burst", {"phi": 2}, "leaky"),
        ("burst", {"phi": 2}, "folded"),
        ("quantised_ann", {"phi": 2}, "plain"),
        ("snm", {}, "plain"),
        ("snm", {"form": "eager"}, "plain"),
        ("opt", {}, "residual"),
        ("ltb", {"rounds": 3}, "plain"),
        ("ftbc", {"phi": 2}, "plain"),
        ("energy_aware", {"per_step_bias": True}, "plain"),
        ("adafire_ssc", {"phi": 2, "phi_init": 3, "samples": 4}, "plain"),
        ("adafire_ssc_iat", {"phi": 2, "phi_init": 3, "samples": 4, "ssc_budget": 1.5}, "plain"),
        ("ann", {}, "plain"),
        ("held", {"exit": 0.5}, "plain"),
        ("held", {"wait": 1}, "leaky"),
        ("held", {}, "depthwise"),
        ("phase", {"levels": 3}, "residual"),
        ("bit_serial", {}, "max-pooled"),
        ("bit_serial", {"signed": False}, "plain"),
        ("sigma_delta", {"levels": 4}, "leaky"),
        ("dcgs", {}, "plain"),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_read_is_what_was_written(
    tmp_path: Path, method: str, options: dict[str, object], network: str, dtype: torch.dtype
) -> None:
    graph, again, x = captured_twice(network, dtype)
    held_out = (x, torch.arange(len(x)) % 5)
    converted = make_method(method, **options).convert(graph, Calibration(graph, x, held_out), 4)
    save(converted, tmp_path / "network")
    same(converted, load(graph, tmp_path / "network"), x)
    # Onto the ANN as another process captures it.
    same(converted, load(again, tmp_path / "network"), x)


def test_every_field_of_a_network_is_kept(tmp_path: Path, graph: ConversionGraph) -> None:
    """Values that no method makes together, so that none is a default that could be forgotten."""
    network = Thresholds(phi=3)(SpikingNetwork(graph, 5), Calibration(graph, X))
    first, second = network.neurons
    shared = network.neurons[first].threshold
    neurons = {
        first: replace(network.neurons[first], start="none", signed=True, slope=1 / 3, rho=0.1, bias=shared),
        second: replace(
            network.neurons[second],
            threshold=seeded((8, 2, 2)).abs() + 0.1,
            potential=seeded((8, 2, 2)),
            start="shift",
            signed=True,
            takes_back="at_threshold",
        ),
    }
    weight = next(node for node in graph.rules if node.op == "get_attr" and node.meta["val"].dim() == 4)
    network = replace(
        network.with_neurons(neurons), weights=MappingProxyType({weight: seeded(weight.meta["val"].shape).to(X.dtype)}),
        exit=EntropyRule((0.1, 1 / 3, float("inf"))), nonlinear="instantaneous",
    )  # fmt: skip
    save(network, tmp_path / "network")
    read = load(graph, tmp_path / "network")
    same(replace(network, exit=None), replace(read, exit=None), X)
    assert read.exit == network.exit
    delayed = replace(network, exit=None, readout_start=2)
    save(delayed, tmp_path / "delayed")
    same(delayed, load(graph, tmp_path / "delayed"), X)


def test_the_same_network_is_the_same_file(tmp_path: Path, graph: ConversionGraph) -> None:
    for name in ("first", "second"):
        save(make_method("burst", phi=2).convert(graph, Calibration(graph, X), 2), tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_network_takes_the_precision_of_the_graph(tmp_path: Path, graph: ConversionGraph) -> None:
    network = make_method("calibration_advanced", weights=True, iterations=1).convert(graph, Calibration(graph, X), 2)
    save(network, tmp_path / "network")
    narrow = captured(*architecture("plain", torch.float32)).to(torch.bfloat16)
    read = load(narrow, tmp_path / "network")
    assert {weight.dtype for weight in read.weights.values()} == {torch.bfloat16}
    same(network.to(torch.bfloat16), read, X)


MODEL, X = architecture("plain", torch.float32)


@pytest.fixture
def graph() -> ConversionGraph:
    return captured(MODEL, X)


@pytest.fixture
def written(tmp_path: Path, graph: ConversionGraph) -> Path:
    network = make_method("calibration_iat").convert(graph, Calibration(graph, X, (X, torch.arange(len(X)) % 5)), 2)
    save(network, tmp_path / "network.safetensors")
    return tmp_path / "network.safetensors"


def test_another_ann_is_refused(written: Path) -> None:
    with pytest.raises(CheckpointError, match=r"network\.safetensors is that of another ANN: it has the activation"):
        load(captured(*architecture("residual", torch.float32)), written)
    with pytest.raises(CheckpointError, match=r"lacks the activation relu_\d of this graph"):
        more = torch.nn.Sequential(*MODEL.children(), torch.nn.ReLU())
        load(captured(more, X), written)
    other, _ = architecture("plain", torch.float32)
    with torch.no_grad():
        next(other.parameters()).add_(1)
    with pytest.raises(CheckpointError, match=r"network\.safetensors is that of an ANN with other weights"):
        load(captured(other, X), written)


def _flip(position: Callable[[bytes], int]) -> Callable[[bytes], bytes]:
    def flipped(content: bytes) -> bytes:
        at = position(content) % len(content)
        return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]

    return flipped


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: b"no network at all",
        # One bit: of a tensor, of phi, of T, of the digest.
        _flip(lambda content: -3),
        _flip(lambda content: content.index(b"phi") + 8),
        _flip(lambda content: content.index(b"T\\") + 6),
        _flip(lambda content: content.index(b"digest") + 14),
    ],
)
def test_a_damaged_file_is_refused(written: Path, graph: ConversionGraph, damage: Callable[[bytes], bytes]) -> None:
    load(graph, written)
    written.write_bytes(damage(written.read_bytes()))
    with pytest.raises(CheckpointError, match=r"network\.safetensors .*damaged"):
        load(graph, written)


def test_a_file_that_is_not_there_or_of_another_kind_is_refused(tmp_path: Path, graph: ConversionGraph) -> None:
    with pytest.raises(CheckpointError, match=r"nothing cannot be read: No such file"):
        load(graph, tmp_path / "nothing")
    with pytest.raises(CheckpointError, match="cannot be read: Is a directory"):
        load(graph, tmp_path)
    save_file({"weight": torch.zeros(2)}, tmp_path / "weights")
    with pytest.raises(CheckpointError, match="weights is damaged or no converted network"):
        load(graph, tmp_path / "weights")


def rewritten(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes what a file says of each layer's code, and its digest."""
    with safe_open(path, "pt") as file:
        entry = json.loads(file.metadata()[ENTRY])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    header = json.loads(entry["network"])
    for layer in header["neurons"].values():
        change(layer["code"])
    text = json.dumps(header)
    save_file(tensors, path, {ENTRY: json.dumps({"digest": _digest(tensors, text), "network": text})})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda code: code.update(name="one_hit"), "has neurons in the code 'one_hit', which is not known here"),
        (lambda code: code["fields"].update(level=3), "damaged: .*unexpected keyword argument 'level'"),
        (lambda code: code.pop("fields"), "damaged"),
    ],
)
def test_a_code_that_is_unknown_or_has_other_fields_is_refused(
    tmp_path: Path, graph: ConversionGraph, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    save(make_method("sigma_delta").convert(graph, Calibration(graph, X), 2), tmp_path / "network")
    rewritten(tmp_path / "network", lambda code: None)
    load(graph, tmp_path / "network")
    rewritten(tmp_path / "network", change)
    with pytest.raises(CheckpointError, match=said):
        load(graph, tmp_path / "network")


def test_a_code_that_is_registered_nowhere_is_not_written(tmp_path: Path, graph: ConversionGraph) -> None:
    class Own(OneHot):
        """A code of a plug-in."""

    network = make_method("sigma_delta").convert(graph, Calibration(graph, X), 2)
    own = {node: replace(neuron, code=Own()) for node, neuron in network.neurons.items()}
    with pytest.raises(InvalidInput, match="The code Own cannot be written"):
        save(network.with_neurons(own), tmp_path / "network")
