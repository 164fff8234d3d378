"""Inputs that once went wrong, each with its right value, and others of the same kind.

The name of a test ends in the number of its case.
"""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import (
    InvalidInput,
    UnsupportedOp,
    capture,
    convert,
    simulate,
)
from conversion.counting.fanout import connect
from tests.conversion.capture.test_export import operations, same_as_module
from tests.conversion.toys import Net, captured, randomise_norms, relative_error, seeded

IMAGES = seeded((4, 3, 6, 6), dtype=torch.float32)


def head(**parts: nn.Module) -> dict[str, nn.Module]:
    """A convolution and a classifier with other parts between them."""
    return {"conv": nn.Conv2d(3, 4, 3, padding=1), "fc": nn.Linear(4, 5), **parts}


# -------------------- A1: casts

CASTS = {
    "float at the end": lambda net, x: net.fc(net.conv(x).relu().mean((2, 3))).float(),
    "to a type": lambda net, x: net.fc(net.conv(x).relu().to(torch.float32).mean((2, 3))),
    "to a device": lambda net, x: net.fc(net.conv(x).to("cpu").relu().mean((2, 3))),
    "half and back": lambda net, x: net.fc(net.conv(x).relu().half().float().mean((2, 3))),
    "double inside": lambda net, x: net.fc(net.conv(x).double().relu().mean((2, 3)).float()),
    "type_as": lambda net, x: net.fc(net.conv(x).relu().type_as(x).mean((2, 3))),
    "sum in a type": lambda net, x: net.fc(net.conv(x).relu().mean((2, 3), dtype=torch.float64).float()),
    "wider constant": lambda net, x: net.fc(
        (net.conv(x).relu().mean((2, 3)) * torch.arange(4, dtype=torch.float64)).float()
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASTS)
def test_casts_between_floats_are_linear_a1(name: str) -> None:
    model = Net(CASTS[name], **head()).eval()
    graph = capture(model, IMAGES)
    with torch.no_grad():
        expected = model(IMAGES)
    # float16 keeps 11 bits.
    torch.testing.assert_close(graph.run(IMAGES), expected, rtol=2e-3 if "half" in name else 1e-5, atol=1e-3)
    assert not {"_to_copy", "to"}.intersection(operations(graph))
    assert simulate(convert(graph, IMAGES, "burst", T=8, phi=4), IMAGES).mean(8).dtype == torch.float32
    assert copy.deepcopy(graph).to(torch.bfloat16).run(IMAGES).dtype == torch.bfloat16


def test_constants_of_the_forward_function_have_the_type_of_the_graph_a1() -> None:
    """A tensor that is neither parameter nor buffer moves, casts and copies with the graph."""
    matrix = seeded((4, 4))
    model = Net(lambda net, x: F.relu6((matrix @ (x.to(torch.float64) / 4)).movedim(1, -1))).eval()
    x = seeded((4, 4, 9)).half()
    graph = capture(model, x)
    assert graph.dtype == torch.float64
    torch.testing.assert_close(pickle.loads(pickle.dumps(graph)).run(x), model(x))
    assert graph.to(torch.float32).run(x).dtype == torch.float32


def test_a_network_without_parameters_has_the_type_of_its_output_a2() -> None:
    """Of a half-precision input, cast to float64, it computes in float64 (and inside wider types stay inside)."""
    x = seeded((4, 3, 4)).half()
    model = Net(lambda net, x: F.leaky_relu(x.to(torch.float64) / 3, 0.2)).eval()
    torch.testing.assert_close(capture(model, x).run(x), model(x), rtol=1e-12, atol=0)
    inner = Net(lambda net, x: x.double().relu().float()).eval()
    assert capture(inner, x.float()).dtype == torch.float32


def test_the_type_of_the_output_is_the_networks_a1() -> None:
    model = Net(lambda net, x: net.fc(net.conv(x).relu().mean((2, 3))).double(), **head()).eval()
    graph = capture(model, IMAGES)
    torch.testing.assert_close(graph.run(IMAGES), model(IMAGES))
    assert simulate(convert(graph, IMAGES, "burst", T=4, phi=4), IMAGES).mean(4).dtype == torch.float64


def test_layers_of_two_types_are_computed_in_the_wider_one_a1() -> None:
    model = Net(lambda net, x: net.fc(net.conv(x.half()).relu().mean((2, 3)).float()), **head()).eval()
    model.conv.half()
    graph = capture(model, IMAGES)
    assert graph.dtype == torch.float32
    torch.testing.assert_close(graph.run(IMAGES), model(IMAGES), rtol=5e-3, atol=5e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (lambda net, x: net.conv(x).relu().int() * 2.0, "int32"),
        (lambda net, x: net.fc(net.conv(x).mean((2, 3)).long().float()), "int64"),
        (lambda net, x: net.fc(net.conv(x).mean((2, 3)).bool().float()), "bool"),
    ],
)
def test_casts_to_whole_numbers_are_refused_by_name_a1(function: Any, kind: str) -> None:
    with pytest.raises(UnsupportedOp, match=rf"aten\..*casts a signal to {kind}.*nonlinear"):
        capture(Net(function, **head()).eval(), IMAGES)


# -------------------- A2: types of examples


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float64, torch.float16, torch.int64])
@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_the_example_has_another_type_than_the_network_a2(dtype: torch.dtype, scale: float) -> None:
    model = Net(lambda net, x: net.fc(net.conv(x.permute(0, 1, 3, 2).float() / scale).relu().mean((2, 3))), **head())
    x = (10 * IMAGES.abs()).to(dtype)
    graph = capture(model.eval(), x)
    torch.testing.assert_close(graph.run(x), model(x), rtol=1e-4, atol=1e-4)
    network = convert(graph, [x[:2], x[2:]], "burst", T=16, phi=8)
    assert relative_error(simulate(network, x).mean(16), model(x)) < 0.1
    assert graph.dtype == torch.float32


def test_division_makes_numbers_of_bytes_floats_a2() -> None:
    model = Net(lambda net, x: net.fc(net.conv(x / 255).relu().mean((2, 3))), **head()).eval()
    x = (60 * IMAGES.abs()).to(torch.uint8)
    torch.testing.assert_close(capture(model, x).run(x), model(x), rtol=1e-5, atol=1e-5)


def test_arithmetic_in_bytes_is_refused_a2() -> None:
    """250 + 10 is 4 in uint8."""
    model = Net(lambda net, x: net.fc(net.conv((x + 10).float()).relu().mean((2, 3))), **head()).eval()
    with pytest.raises(UnsupportedOp, match=r"aten\.add.*gives values of type uint8.*x\.float\(\)"):
        capture(model, IMAGES.to(torch.uint8))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float64, torch.float16])
def test_a_network_that_does_not_cast_names_both_types_a2(dtype: torch.dtype) -> None:
    model = Net(lambda net, x: net.fc(net.conv(x).relu().mean((2, 3))), **head()).eval()
    with pytest.raises(
        InvalidInput, match=rf"{str(dtype).removeprefix('torch.')}, the network's parameters of float32"
    ):
        capture(model, IMAGES.to(dtype))


# -------------------- A3: padding in counting

PADDINGS = ("zeros", "reflect", "replicate", "circular")


@pytest.mark.parametrize("mode", PADDINGS)
def test_padding_that_copies_makes_connections_a3(mode: Any) -> None:
    """A kernel of 3 meets 6 positions 18 times on an axis, and 16 times where the two ends of the padding are zeros."""
    conv = nn.Conv2d(2, 4, 3, padding=1, padding_mode=mode)
    graph = captured(nn.Sequential(conv, nn.ReLU()), seeded((2, 2, 6, 6)))
    assert connect(graph, graph.firing).macs.static == (2048 if mode == "zeros" else 2592)
    line = nn.Conv1d(2, 4, 3, padding=1, padding_mode=mode)
    graph = captured(nn.Sequential(line, nn.ReLU()), seeded((2, 2, 9)))
    assert connect(graph, graph.firing).macs.static == (200 if mode == "zeros" else 216)


@pytest.mark.slow
@pytest.mark.parametrize("mode", PADDINGS)
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_each_copy_of_a_spike_is_counted_a3(mode: str, dims: int) -> None:
    """On one axis of 4, kernel 3: position i is read 3 times, less at a border of zeros, more where it is copied.

    Replicated borders are copied next to themselves (2 + 1 + 1 reads more of the edge), reflected ones are not (the
    neighbour is), and circular ones go to the other side.
    """
    reads = {"zeros": [2, 3, 3, 2], "reflect": [2, 4, 4, 2], "replicate": [3, 3, 3, 3], "circular": [3, 3, 3, 3]}[mode]
    line = torch.tensor(reads, dtype=torch.float64)
    expected = {1: line, 2: line[:, None] * line, 3: line[:, None, None] * line[:, None] * line}[dims]
    kind: Any = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
    if mode == "reflect" and dims == 3:
        model: nn.Module = nn.Sequential(nn.ReLU(), nn.ReflectionPad3d(1), nn.Conv3d(2, 5, 3))
    else:
        model = nn.Sequential(nn.ReLU(), kind(2, 5, 3, padding=1, padding_mode=mode))
    graph = captured(model, seeded((2, 2, *[4] * dims)))
    (layer,) = graph.firing
    assert torch.equal(connect(graph, [layer]).fan_out[layer], (5 * expected).expand(2, *[4] * dims))


# -------------------- A4: arguments that change the rule

ROUNDINGS = {
    "floor": lambda net, x: torch.div(x, 1.0, rounding_mode="floor"),
    "trunc": lambda net, x: torch.div(x, 1.0, rounding_mode="trunc"),
    "by a tensor": lambda net, x: torch.div(x, torch.ones(1), rounding_mode="floor"),
    "of two signals": lambda net, x: torch.div(x, 1 + x * x, rounding_mode="floor"),
    "bits": lambda net, x: x.view(torch.int32).view(torch.float32),
    "dropout in attention": lambda net, x: F.scaled_dot_product_attention(x, x, x, dropout_p=0.5),
    "sum as whole numbers": lambda net, x: x.sum(-1, dtype=torch.int64).float(),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ROUNDINGS)
def test_an_argument_that_changes_the_mathematics_is_refused_by_name_a4(name: str) -> None:
    model = Net(lambda net, x: net.b(ROUNDINGS[name](net, net.a(x).relu())), a=nn.Linear(4, 4), b=nn.Linear(4, 4))
    with pytest.raises(UnsupportedOp, match=r"^The operation .* at .*(rounding_mode|dtype|dropout_p|int)"):
        capture(model.eval(), seeded((2, 4, 4), dtype=torch.float32))


def test_arguments_that_a_rule_understands_a4() -> None:
    """alpha, keyword bounds, a division without rounding: in whichever way they are passed."""

    def function(net: Any, x: Tensor) -> Tensor:
        x = torch.clamp(max=3.0, input=net.a(x), min=0.0)
        y = torch.add(x, net.a(x), alpha=0.5)
        y = torch.div(y, 2.0, rounding_mode=None) - torch.sub(other=x, input=y, alpha=2)
        return net.a(torch.nn.functional.hardtanh(y, max_val=0.5, min_val=0.0))

    graph = same_as_module(Net(function, a=nn.Linear(4, 4)), seeded((5, 4)))
    assert [graph.activation(node).ceiling for node in graph.firing] == [3.0, 0.5]


# -------------------- A5: masks of -inf


class Masked(nn.Module):
    """One head of causal attention; its mask is a buffer or an attribute."""

    def __init__(self, register: bool) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(4, 12), nn.Linear(4, 3)
        mask = torch.triu(torch.full((6, 6), -math.inf), 1)
        if register:
            self.register_buffer("mask", mask)
        else:
            self.mask = mask

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).relu().chunk(3, -1)
        return self.out(((q @ k.transpose(1, 2) / 2 + self.mask).softmax(-1) @ v).mean(1))


@pytest.mark.slow
def test_a_mask_of_minus_infinity_converts_a5() -> None:
    x = seeded((4, 6, 4), dtype=torch.float32)
    outputs = []
    for register in (True, False):
        torch.manual_seed(0)
        model = Masked(register).eval()
        network = convert(capture(model, x), x, "burst", T=32, phi=8)
        outputs.append(simulate(network, x).mean(32))
        assert relative_error(outputs[-1], model(x)) < 0.05
    assert torch.equal(*outputs)


@pytest.mark.parametrize(
    ("name", "value"), [("mask", math.nan), ("mask", math.inf), ("out.weight", -math.inf), ("out.bias", math.nan)]
)
def test_other_values_that_are_not_finite_are_damage_a5(name: str, value: float) -> None:
    model = Masked(True).eval()
    model.state_dict()[name].view(-1)[0] = value
    with pytest.raises(InvalidInput, match=f"'{name}' holds values that are not finite"):
        capture(model, seeded((2, 6, 4), dtype=torch.float32))


def test_statistics_of_minus_infinity_are_damage_a5() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    model.state_dict()["1.running_mean"][0] = -math.inf
    with pytest.raises(InvalidInput, match="running statistics of the normalisation"):
        capture(model, IMAGES)


# -------------------- A6: normalisation with running statistics


@pytest.mark.parametrize("place", ["folded", "alone"])
def test_instance_norm_with_statistics_costs_what_batch_norm_costs_a6(place: str) -> None:
    instance = randomise_norms(nn.InstanceNorm2d(4, affine=True, track_running_stats=True))
    batch = nn.BatchNorm2d(4)
    batch.load_state_dict(instance.state_dict())
    found = []
    for norm in (instance, batch):
        torch.manual_seed(0)
        stem: list[nn.Module] = [nn.Conv2d(3, 4, 3), *([nn.ReLU()] if place == "alone" else [])]
        graph = same_as_module(nn.Sequential(*stem, norm, nn.Conv2d(4, 4, 1), nn.ReLU()), IMAGES.double())
        connectivity = connect(graph, graph.firing)
        found.append((operations(graph), connectivity.macs, connectivity.flops))
    assert found[0] == found[1]
    assert found[0][2].static == found[0][2].step == found[0][2].head == 0


def test_statistics_that_are_computed_a6() -> None:
    """A mean and a variance that the network computes from its buffers; one without learnt scale in one dimension."""
    model = Net(
        lambda net, x: F.instance_norm(x, net.mean * 2, net.var.exp(), use_input_stats=False).relu(),
        mean=torch.randn(3), var=torch.randn(3),
    )  # fmt: skip
    graph = same_as_module(model, seeded((4, 3, 7)))
    assert operations(graph) == ["mul", "add", "relu"]


def test_instance_norm_of_its_input_is_nonlinear_a6() -> None:
    graph = same_as_module(nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4), nn.ReLU()), IMAGES.double())
    assert operations(graph) == ["conv2d", "instance_norm", "relu"]


# -------------------- channels that are almost silent


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [1e-14, 1e-9, 0.0])
@pytest.mark.parametrize("thresholds", ["mse", "max", "percentile"])
def test_a_channel_silent_in_calibration_speaks_later(ratio: float, thresholds: str) -> None:
    """Its largest activation in calibration is rounding error beside its layer's; on other inputs it is as loud."""
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 2, bias=False)).double()
    for layer in (model[0], model[2]):
        nn.init.eye_(layer.weight)  # type: ignore[arg-type]
    quiet = torch.rand(64, 2, dtype=torch.float64) * torch.tensor([1.0, ratio])
    network = convert(captured(model, quiet), quiet, "burst", T=16, phi=4, thresholds=thresholds)
    loud = torch.tensor([[0.2, 0.7]], dtype=torch.float64)
    readout = simulate(network, loud)
    # To within a level, of which there are 64.
    torch.testing.assert_close(readout.mean(16), loud, rtol=0, atol=1.2 / 64)
    assert readout.counts is not None
    assert float(readout.counts.total("spikes", 16)) < 16 * 4


def test_a_channel_that_float32_can_tell_from_zero_keeps_its_threshold() -> None:
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU()).double()
    nn.init.eye_(model[0].weight)  # type: ignore[arg-type]
    x = torch.rand(64, 2, dtype=torch.float64) * torch.tensor([1.0, 1e-5])
    network = convert(captured(model, x), x, "burst", T=16, phi=4, thresholds="max")
    (neuron,) = network.neurons.values()
    torch.testing.assert_close(neuron.threshold, x.amax(0) / 4, rtol=1e-6, atol=0)
