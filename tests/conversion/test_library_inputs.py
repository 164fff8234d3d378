"""Inputs that people pass to the library, each with what becomes of it: sets, arrays, wrappers, paths, copies.

The name of a test ends in the number of its case, as in test_cases.
"""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, TensorDataset

from conversion import (
    InvalidInput,
    SpikingModule,
    SpikingNetwork,
    UnknownName,
    UnsupportedOp,
    capture,
    convert,
    energy,
    load,
    save,
    simulate,
)
from tests.conversion.test_cases import IMAGES, head
from tests.conversion.toys import Net

# -------------------- A7: calibration sets


def _classifier() -> nn.Module:
    torch.manual_seed(0)
    return Net(lambda net, x: net.fc(net.conv(x).relu().mean((2, 3))), **head()).eval()


def test_calibration_sets_that_are_taken_a7() -> None:
    graph = capture(_classifier(), IMAGES)
    labels = torch.arange(4)
    sets: list[Any] = [
        IMAGES,
        [IMAGES[:2], IMAGES[2:]],
        IMAGES.numpy(),
        [IMAGES[:2].numpy(), IMAGES[2:].numpy()],
        DataLoader(TensorDataset(IMAGES, labels), 2),
        DataLoader(TensorDataset(IMAGES), 2),
        DataLoader(list(IMAGES), 2),  # type: ignore[arg-type]
        [(IMAGES[:2], labels[:2]), (IMAGES[2:], labels[2:])],
        (batch for batch in IMAGES.split(2)),
    ]
    found = [simulate(convert(graph, batches, "burst", T=4, phi=4), IMAGES).mean(4) for batches in sets]
    assert all(torch.equal(output, found[0]) for output in found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("batches", "named"),
    [
        ({"image": IMAGES}, "dict"),
        ([{"image": IMAGES, "label": 0}], r"dict with the keys 'image', 'label'"),
        (None, "NoneType"),
        (7, "int"),
        ("train", "str"),
        ([None], "NoneType"),
        ([IMAGES, "label"], "str"),
        ([(IMAGES, IMAGES, IMAGES)], "tuple"),
        (TensorDataset(IMAGES), r"TensorDataset, whose items are single samples.*DataLoader"),
        ([], "is empty"),
        (torch.tensor(1.0), "single number"),
        (np.array([["a"]]), "numpy array of type <U1"),
    ],
)  # fmt: skip
def test_other_calibration_sets_are_named_a7(batches: Any, named: str) -> None:
    with pytest.raises(InvalidInput, match=f"(?i)calibration.*{named}"):
        convert(capture(_classifier(), IMAGES), batches, "burst", T=4, phi=4)


# -------------------- A8: example inputs


def test_an_array_is_an_example_a8() -> None:
    model = _classifier()
    graph = capture(model, IMAGES.numpy())  # type: ignore[arg-type]
    torch.testing.assert_close(graph.run(IMAGES), model(IMAGES))
    network = convert(graph, IMAGES, "burst", T=4, phi=4)
    found = simulate(network, IMAGES.numpy()).mean(4)  # type: ignore[arg-type]
    assert torch.equal(found, simulate(network, IMAGES).mean(4))


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ((IMAGES, IMAGES), "tuple of 2.*one input tensor"),
        ([IMAGES], "list of 1.*one input tensor"),
        ({"x": IMAGES}, "dict of 1.*one input tensor"),
        (IMAGES[:0], r"shape \(0, 3, 6, 6\); pass a batch of at least one sample"),
        (np.zeros((0, 3, 6, 6)), r"shape \(0, 3, 6, 6\)"),
        (torch.tensor(1.0), r"shape \(\); pass a batch"),
        (IMAGES * math.nan, "not finite"),
        ("image.png", "str"),
        (np.array(["a"]), "numpy array of type <U1"),
    ],
)
def test_other_examples_are_named_a8(example: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=f"The example input .*{message}"):
        capture(_classifier(), example)


def test_a_network_needs_an_example_a8() -> None:
    with pytest.raises(InvalidInput, match="captured with an example input; pass a batch of your data"):
        capture(_classifier())


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda x: x, "The network is a .*function"),
        (7, "The network is a .*int"),
        (torch.jit.trace(_classifier(), IMAGES), "The network is a .*TorchScript"),
        ("resnet18", "resnet18 is no ONNX file by its name; pass a network"),
    ],
)
def test_what_is_no_network_is_named_a8(model: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        capture(model, IMAGES)


# -------------------- A9: wrappers


class AnyNumber(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = _classifier()

    def forward(self, *xs: Tensor) -> Tensor:
        return self.inner(xs[0])


WRAPPED: dict[str, Callable[[], Any]] = {
    "parallel": lambda: nn.DataParallel(_classifier()),
    "compiled": lambda: torch.compile(_classifier()),
    "both": lambda: torch.compile(nn.DataParallel(_classifier())),
    "averaged": lambda: AveragedModel(_classifier()),
    "any number of inputs": AnyNumber,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WRAPPED)
def test_wrappers_are_taken_off_a9(name: str) -> None:
    graph = capture(WRAPPED[name]().eval(), IMAGES)
    torch.testing.assert_close(graph.run(IMAGES), _classifier()(IMAGES))


def test_a_network_of_two_inputs_is_a_sentence_a9() -> None:
    class Two(nn.Module):
        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return a + b

    with pytest.raises(UnsupportedOp, match="missing a required argument: 'b'"):
        capture(Two().eval(), IMAGES)


# -------------------- A10: arguments of any form


@pytest.fixture(scope="module")
def converted() -> SpikingNetwork:
    return convert(capture(_classifier(), IMAGES), IMAGES, "burst", T=8, phi=4)


def test_paths_may_be_strings_a10(converted: SpikingNetwork, tmp_path: Path) -> None:
    save(converted, str(tmp_path / "a.safetensors"))
    again = load(converted.graph, str(tmp_path / "a.safetensors"))
    assert torch.equal(simulate(again, IMAGES).mean(8), simulate(converted, IMAGES).mean(8))


def test_unknown_names_list_the_known_ones_a10(converted: SpikingNetwork) -> None:
    counts = simulate(converted, IMAGES).counts
    assert counts is not None
    with pytest.raises(UnknownName, match=r"did you mean synops_\w+ or synops_\w+"):
        counts.total("synops", 8)
    with pytest.raises(UnknownName, match="sweep"):
        simulate(converted, IMAGES, schedule="sweeps")  # type: ignore[arg-type]


@pytest.mark.parametrize("T", ["8", 8.0, None, True, [8]])
def test_what_is_no_whole_number_is_named_a10(converted: SpikingNetwork, T: Any) -> None:
    with pytest.raises(InvalidInput, match=r"^T is .*whole number"):
        convert(converted.graph, IMAGES, "burst", T=T, phi=4)
    if T is not None:
        with pytest.raises(InvalidInput, match=r"^T is .*whole number"):
            simulate(converted, IMAGES, T=T)
    with pytest.raises(InvalidInput, match=r"readout step is .*whole number"):
        simulate(converted, IMAGES, at=[T])


def test_whole_numbers_of_numpy_and_torch_a10(converted: SpikingNetwork) -> None:
    expected = simulate(converted, IMAGES).mean(8)
    whole: list[Any] = [np.int64(8), torch.tensor(8)]
    for T in whole:
        again = convert(converted.graph, IMAGES, "burst", T=T, phi=4)
        assert torch.equal(simulate(again, IMAGES, T=T).mean(8), expected)


# -------------------- A11: a network object behaves like one

COPIES = {
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
}


@pytest.mark.parametrize("way", COPIES)
def test_copies_compute_the_same_a11(converted: SpikingNetwork, way: str, tmp_path: Path) -> None:
    again = COPIES[way](converted)
    found, expected = simulate(again, IMAGES), simulate(converted, IMAGES)
    assert torch.equal(found.mean(8), expected.mean(8))
    assert found.counts is not None and expected.counts is not None
    assert torch.equal(found.counts.tally, expected.counts.tally)
    assert [node.name for node in again.graph.rules] == [node.name for node in converted.graph.rules]
    # A network saved from one loads onto the other, and a copied graph can be converted.
    save(again, tmp_path / "copy")
    load(converted.graph, tmp_path / "copy")
    anew = convert(COPIES[way](converted.graph), IMAGES, "burst", T=8, phi=4)
    assert torch.equal(simulate(anew, IMAGES).mean(8), expected.mean(8))


def test_a_deep_copy_is_independent_a11(converted: SpikingNetwork) -> None:
    before = simulate(converted, IMAGES).mean(8)
    again = copy.deepcopy(converted)
    for parameter in again.graph.module.parameters():
        nn.init.zeros_(parameter)
    again.to(torch.bfloat16)
    assert torch.equal(simulate(converted, IMAGES).mean(8), before)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["quantised_ann", "held", "calibration_advanced", "adafire"])
def test_networks_of_all_kinds_are_copied_a11(method: str) -> None:
    def function(net: Any, x: Tensor) -> Tensor:
        q, k = net.conv(x).relu().flatten(2).chunk(2, 1)
        return net.fc((q @ k.transpose(1, 2)).softmax(-1).flatten(1))

    graph = capture(Net(function, **head()).eval(), IMAGES)
    options: dict[str, Any] = {"phi": 4} if method == "quantised_ann" else {}
    network = convert(graph, IMAGES, method, T=4, **options)
    found = simulate(pickle.loads(pickle.dumps(network)), IMAGES).mean(network.T)
    assert torch.equal(found, simulate(network, IMAGES).mean(network.T))


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_reads_out_the_same_steps_a11(converted: SpikingNetwork, way: str) -> None:
    part = replace(converted, readout_start=2, readout_end=5)
    again = COPIES[way](part)
    assert (again.readout_start, again.readout_end) == (2, 5)
    assert torch.equal(simulate(again, IMAGES).mean(8), simulate(part, IMAGES).mean(8))
    assert not torch.equal(simulate(part, IMAGES).mean(8), simulate(converted, IMAGES).mean(8))


def test_a_summary_has_a_few_lines_a11(converted: SpikingNetwork) -> None:
    assert repr(converted).splitlines() == [
        "SpikingNetwork for T = 8: 1 layers of neurons (rate code, up to 4 spikes per step)",
        "of a ConversionGraph of an input of shape (N, 3, 6, 6) in float32:",
        "  4 operations (3 linear, 1 firing), 137 parameters",
    ]
    assert len(repr(converted.graph)) < 200


# -------------------- What is no converted network, and places that are not there


def test_what_was_not_captured_or_not_converted_is_named_with_the_step_that_is_missing(tmp_path: Path) -> None:
    ann = _classifier()
    graph = capture(ann, IMAGES)
    snn = convert(graph, IMAGES, "burst", T=2, phi=2)
    with pytest.raises(InvalidInput, match=r"this is a tests Net; capture it first"):
        convert(ann, IMAGES, T=2)  # type: ignore[arg-type]
    takers: list[Callable[[Any], object]] = [
        lambda network: simulate(network, IMAGES),
        lambda network: energy(network, IMAGES),
        lambda network: save(network, tmp_path / "network"),
        SpikingModule,
    ]
    for take in takers:
        for wrong, remedy in (
            (ann, "capture and convert"),
            (graph, "convert it first"),
            (SpikingModule(snn), "`network`"),
        ):
            with pytest.raises(InvalidInput, match=remedy):
                take(wrong)


def test_a_folder_that_is_not_there_is_named_before_a_network_is_saved(tmp_path: Path) -> None:
    snn = convert(capture(_classifier(), IMAGES), IMAGES, "burst", T=2, phi=2)
    with pytest.raises(InvalidInput, match=r"There is no folder .*missing for network; make it first"):
        save(snn, tmp_path / "missing" / "network")
