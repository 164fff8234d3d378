"""Capture: the graph computes what the module computes, knows every operation's role, and says what it refuses."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import ConversionGraph, InvalidInput, UnsupportedOp, capture
from conversion.capture.graph import source_line
from conversion.capture.layout import keep
from conversion.capture.roles import Activation, Role, packet
from tests.conversion.toys import Net, captured, seeded

IMAGES = seeded((5, 3, 8, 8))


def same_as_module(model: nn.Module, x: Tensor = IMAGES, tolerance: float = 1e-10) -> ConversionGraph:
    """The graph of a model, after checking that it computes the same, at another batch size than it was shown."""
    graph = captured(model, x[:2])
    with torch.no_grad():
        torch.testing.assert_close(graph.run(x), model(x), rtol=0, atol=tolerance)
    return graph


def operations(graph: ConversionGraph) -> list[str]:
    """Names of what the graph computes on signals, without overloads: "conv2d", "relu". Output encoders do nothing."""
    computing = [node for node in graph.body if node not in graph.output_encoders]
    return [str(getattr(node.target, "overloadpacket", node.target)).removeprefix("aten.") for node in computing]


# --------------------------------------------------------------------------------------------- how networks are written


def test_ways_to_write_a_relu() -> None:
    """Module, function, method, in place, and clamp are the same firing node; one module called twice is two layers."""

    def function(net: Any, x: Tensor) -> Tensor:
        x = net.relu(net.a(x))
        x = F.relu(net.b(x))
        x = net.c(x).relu_()
        x = F.relu(net.c(x), inplace=True)
        x = net.inplace(net.b(x))
        x = net.b(x).clamp(min=0)
        return net.relu(net.c(x)).clamp_(min=0).flatten(1)

    parts = {name: nn.Conv2d(3, 3, 3, padding=1) for name in "abc"}
    graph = same_as_module(Net(function, relu=nn.ReLU(), inplace=nn.ReLU(inplace=True), **parts))
    assert len(graph.firing) == 8
    assert all(graph.activation(node) == Activation(math.inf, 0) for node in graph.firing)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.ReLU6(), Activation(6.0)),
        (nn.Hardtanh(0, 2.5), Activation(2.5)),
        (nn.LeakyReLU(0.2), Activation(slope=0.2)),
        (nn.LeakyReLU(), Activation(slope=0.01)),
        (Net(lambda net, x: x.clamp(0, 1.5)), Activation(1.5)),
        (Net(lambda net, x: torch.clamp(x, min=0.0, max=1.5)), Activation(1.5)),
        (Net(lambda net, x: F.relu6(x, inplace=True)), Activation(6.0)),
    ],
)
def test_activation_functions(layer: nn.Module, expected: Activation) -> None:
    graph = same_as_module(nn.Sequential(nn.Conv2d(3, 4, 3), layer), 4 * IMAGES)
    assert [graph.activation(node) for node in graph.firing] == [expected]


@pytest.mark.parametrize(
    "layer", [nn.Hardtanh(), nn.LeakyReLU(-0.2), Net(lambda net, x: x.clamp(max=1)), nn.GELU(), nn.SiLU()]
)
def test_activations_without_a_neuron(layer: nn.Module) -> None:
    """A lower bound other than zero, a slope below zero or a smooth function is no layer of neurons, but computed."""
    graph = same_as_module(nn.Sequential(nn.Conv2d(3, 4, 3), layer), 4 * IMAGES)
    assert not graph.firing
    assert [rule.role for rule in graph.rules.values() if rule.role is Role.NONLINEAR] == [Role.NONLINEAR]


def test_residual_dropout_and_reshapes() -> None:
    def function(net: Any, x: Tensor) -> Tensor:
        x = net.a(x).relu()
        x = F.dropout(net.drop((net.b(x) + x).relu()), training=net.training)
        x += x.mean(1, keepdim=True)
        left, right = x.view(x.shape[0], 2, -1).chunk(2, dim=1)
        x = torch.cat([left, right.flip(2)], 2)
        return net.head(x.view(x.size(0), -1))

    graph = same_as_module(
        Net(
            function, a=nn.Conv2d(3, 4, 3), b=nn.Conv2d(4, 4, 3, padding=1), drop=nn.Dropout2d(0.5),
            head=nn.Linear(144, 3),
        )
    )  # fmt: skip
    assert len(graph.firing) == 2
    assert "dropout" not in " ".join(operations(graph))


def test_execution_order_is_not_registration_order() -> None:
    model = Net(
        lambda net, x: net.z(net.y(net.x(x).relu()).relu()), z=nn.Conv2d(4, 5, 1), y=nn.Conv2d(6, 4, 1),
        x=nn.Conv2d(3, 6, 1),
    )  # fmt: skip
    assert [graph_channels for graph_channels in map_channels(same_as_module(model))] == [6, 4]


def map_channels(graph: ConversionGraph) -> list[int]:
    return [graph.channels(node) for node in graph.firing]


def test_channels_are_second_after_convolutions_and_last_after_linear_layers() -> None:
    def function(net: Any, x: Tensor) -> Tensor:
        x = F.avg_pool2d(net.conv(x), 2).relu()
        x = net.wide(x.flatten(2)).relu()
        return net.head(x.mean(1)).relu()

    model = Net(function, conv=nn.Conv2d(3, 4, 3), wide=nn.Linear(9, 7), head=nn.Linear(7, 2))
    graph = same_as_module(model)
    assert [graph.channel_axis(node) for node in graph.firing] == [1, 2, 1]
    assert map_channels(graph) == [4, 7, 2]


def test_structure_of_outputs_is_kept() -> None:
    model = Net(lambda net, x: {"a": net.a(x), "both": (net.a(x).relu(), x.mean((2, 3)))}, a=nn.Conv2d(3, 4, 1))
    graph = captured(model, IMAGES)
    output = graph.run(IMAGES)
    assert set(output) == {"a", "both"}
    torch.testing.assert_close(output["both"][1], IMAGES.mean((2, 3)))


def test_any_batch_size_in_channels_last_order() -> None:
    """A view that was recorded for one memory order must not fail on another."""
    model = Net(lambda net, x: net.b(net.a(x).view(x.shape[0], -1)), a=nn.Conv2d(3, 4, 3), b=nn.Linear(144, 2))
    graph = captured(model, IMAGES)
    for samples in (1, 2, 5):
        images = IMAGES[:samples].contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(graph.run(images), model(IMAGES[:samples]), rtol=0, atol=1e-12)


def test_observer_sees_every_activation_of_the_ann() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU(), nn.Flatten())
    graph = captured(model, IMAGES)
    seen: list[Tensor] = []
    graph.run(IMAGES, observe=lambda node, value: seen.append(value.clone()))
    for found, depth in zip(seen, (2, 4), strict=True):
        torch.testing.assert_close(found, model[:depth](IMAGES), rtol=0, atol=1e-12)


# ------------------------------------------------------------------------------------------------------------- refusals


class Lines(nn.Module):
    """torch.export records lines of forward functions."""

    def __init__(self, layer: nn.Module | None = None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = x.relu()
        if self.layer is not None:
            x = self.layer(x)
        return self.conv(x).relu()


class WithoutRule(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.cumsum(1)


class LibraryFunction(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="bicubic")


def place(module: type[nn.Module], code: str) -> str:
    """The name in messages of the line of a forward function in this file that holds some code."""
    lines, first = inspect.getsourcelines(module.forward)
    number, line = next((first + i, line.strip()) for i, line in enumerate(lines) if code in line)
    return f"test_export.py:{number} in forward: {line}"


def test_source_line_of_a_node() -> None:
    first, second = captured(Lines(), seeded((2, 4, 6, 6))).firing
    assert source_line(first).endswith(place(Lines, "x = x.relu()"))
    assert source_line(second).endswith(place(Lines, "return"))


@pytest.mark.parametrize(
    ("model", "operation", "code"), [(WithoutRule, "aten.cumsum", "cumsum"), (LibraryFunction, "bicubic", "bicubic")]
)
def test_an_operation_without_a_rule_is_named_with_its_line(model: type[nn.Module], operation: str, code: str) -> None:
    with pytest.raises(
        UnsupportedOp, match=rf"^The operation .*{operation}.* has no rule.*conversion/capture/roles\.py"
    ) as error:
        captured(model(), IMAGES)
    assert place(model, code) in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "operation"),
    [
        (lambda net, x: x - x.mean(0), "aten.mean"),
        (lambda net, x: x * x.sum((0, 2, 3), keepdim=True), "aten.sum"),
        (lambda net, x: x.sum(), "aten.sum"),
        (lambda net, x: x.amax(0), "aten.amax"),
        (lambda net, x: net.norm(x), "native_batch_norm"),
    ],
)
def test_mixing_samples_is_refused(function: Callable[..., Any], operation: str) -> None:
    with pytest.raises(UnsupportedOp, match=operation):
        captured(Net(function, norm=nn.BatchNorm2d(3, track_running_stats=False)), IMAGES)


@pytest.mark.parametrize(
    "function",
    [
        lambda net, x: x.flip(0),
        lambda net, x: x.roll(1, 0),
        lambda net, x: x.softmax(0),
        lambda net, x: x.flatten(1) @ x.flatten(1).T,
    ],
    ids=["flip", "roll", "softmax", "product"],
)
def test_mixing_that_leaves_the_batch_axis_as_it_is_is_refused(function: Callable[[Any, Tensor], Tensor]) -> None:
    with pytest.raises(UnsupportedOp, match="mixes the samples of a batch"):
        captured(Net(function), IMAGES)


def test_the_callers_network_is_left_as_it_is() -> None:
    model = Net(lambda net, x: net.norm(net.conv(x)).relu(), conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4)).double()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    graph = capture(model.eval(), IMAGES).to(torch.bfloat16)
    assert graph.run(IMAGES).dtype == torch.bfloat16
    assert all(value.dtype == before[name].dtype for name, value in model.state_dict().items())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("function", "axis", "outer", "inner"),
    [
        (lambda net, x: x.transpose(0, 1), 1, 1, 1),
        (lambda net, x: x.reshape(-1, 8), 0, 1, 24),
        (lambda net, x: x.transpose(0, 1).reshape(-1, 8, 8), 0, 3, 1),
        (lambda net, x: x.permute(1, 0, 2, 3).reshape(-1, 8), 0, 3, 8),
    ],
)
def test_where_the_batch_lies_is_found(
    function: Callable[[Any, Tensor], Tensor], axis: int, outer: int, inner: int
) -> None:
    """An axis of size outer * N * inner; an activation there gets views that put the batch first."""
    graph = same_as_module(Net(lambda net, x: function(net, x).relu()))
    (node,) = graph.firing
    assert str(node.meta["val"].shape[0]).isidentifier() and node.meta["layout"].leading
    (result,) = graph.output.all_input_nodes
    layout = result.meta["layout"]
    assert (layout.axis, layout.outer, layout.inner) == (axis, outer, inner)
    kept = torch.tensor([4, 1])
    expected = function(None, IMAGES[kept]).relu()
    assert torch.equal(keep(result, function(None, IMAGES).relu(), kept), expected)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda net, x: x.relu() if x.sum() > 0 else x, r"by the values of its input, at .*:\d+ in forward: \w"),
        (lambda net, x: x.view(2, -1), r"torch\.export cannot capture the network .* \(N, 3, 8, 8\): \w"),
    ],
    ids=["branch", "batch of 2"],
)
def test_what_export_cannot_capture_is_a_sentence(
    function: Callable[..., Any], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UnsupportedOp, match=said):
        captured(Net(function), IMAGES)
    assert capfd.readouterr().err == ""  # torch prints the graph so far.


def test_training_mode_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"call model\.eval"):
        capture(nn.Sequential(nn.Conv2d(3, 4, 3)).train(), IMAGES.float())


@pytest.mark.parametrize("name", ["0.weight", "1.running_var"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_damaged_parameter_is_named(name: str, value: float) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    model.state_dict()[name].view(-1)[0] = value
    with pytest.raises(InvalidInput, match=re.escape(f"'{name}'")):
        capture(model, IMAGES.float())


def test_values_made_like_a_signal_are_constants() -> None:
    """A grid of anchors with the type of the features, as detectors make it, moves with the graph's precision."""

    def function(net: Any, x: Tensor) -> Tensor:
        grid = torch.arange(8).type_as(x) + x.new_full((8, 8), 0.5) + x.new_zeros(8)
        return (net.conv(x).type_as(x) + grid).relu()

    graph = same_as_module(Net(function, conv=nn.Conv2d(3, 4, 1)))
    assert operations(graph) == ["conv2d", "type_as", "add", "relu"]
    assert graph.to(torch.bfloat16).run(IMAGES).dtype == torch.bfloat16


def test_a_square_written_as_a_product_is_nonlinear() -> None:
    graph = same_as_module(Net(lambda net, x: x * x))
    assert [graph.rules[node].role for node in graph.body] == [Role.NONLINEAR, Role.OUTPUT_ENCODER]


def test_every_output_that_is_no_activation_has_an_encoder() -> None:
    """One for each value, however often it is in the output; none for activations, constants and the input itself."""

    def function(net: Any, x: Tensor) -> Any:
        y = net.conv(x)
        return {"y": y, "again": [y, y * 2], "active": y.relu(), "input": x, "constant": net.table}

    graph = same_as_module(Net(function, conv=nn.Conv2d(3, 4, 1), table=torch.ones(3)))
    assert [packet(node.all_input_nodes[0]).__name__ for node in graph.output_encoders] == ["conv2d", "mul"]
    assert not set(graph.output_encoders) & set(graph.firing)


def test_what_an_observer_returns_goes_on_in_place_of_the_activation() -> None:
    graph = captured(Net(lambda net, x: x.relu() + 1), IMAGES)
    halved = graph.run(IMAGES, observe=lambda node, value: value / 2)
    torch.testing.assert_close(halved, IMAGES.relu() / 2 + 1)
    doubled = graph.run(IMAGES, lambda node, value: 2 * value, also=graph.output_encoders)
    torch.testing.assert_close(doubled, 2 * (2 * IMAGES.relu() + 1))
