"""Quantised twins as ONNX models: the same levels in onnxruntime, but for ties."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from conversion import SpikingNetwork, capture, convert
from conversion.errors import InvalidInput, UnsupportedOp
from conversion.exchange.onnx_twin import compare, export_onnx
from conversion.simulation.neuron import Neuron
from tests.conversion.toys import ARCHITECTURES, Net, randomise_norms, seeded

onnx = pytest.importorskip("onnx", reason="ONNX needs the extra 'onnx': pip install -e '.[onnx]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX needs the extra 'onnx': pip install -e '.[onnx]'")


def twin(model: nn.Module, shape: tuple[int, ...], T: int = 4, phi: int = 4, **options: Any) -> SpikingNetwork:
    graph = capture(randomise_norms(model).double().eval(), seeded((2, *shape)))
    return convert(graph, seeded((16, *shape), 1), "quantised_ann", T=T, phi=phi, **options)


def one_neuron(threshold: float, levels: int, start: Any = "potential", slope: float = 0.0) -> SpikingNetwork:
    """y = the level of x in steps of a threshold, and nothing else."""
    graph = capture(nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU()).double().eval(), seeded((1, 1)))
    graph.module.get_parameter("0.weight").data.fill_(1)
    value = torch.tensor([threshold], dtype=torch.float64)
    (node,) = graph.firing
    neuron = Neuron(value, levels, torch.zeros_like(value), start, signed=slope > 0, slope=slope)
    return SpikingNetwork(graph, 1).with_neurons({node: neuron})


def run(model: Any, inputs: Tensor) -> Any:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"input": inputs.float().numpy()})


def test_levels_are_those_of_a_quantiser_by_hand() -> None:
    """Steps of 0.5, at most 3 of them: rounded, saturated, none below zero."""
    (output,) = run(export_onnx(one_neuron(0.5, 3)), torch.tensor([[-4.0], [0.2], [0.3], [0.8], [1.3], [9.0]]))
    assert output.reshape(-1).tolist() == [0, 0, 0.5, 1.0, 1.5, 1.5]


def test_levels_without_half_a_threshold_round_down() -> None:
    (output,) = run(export_onnx(one_neuron(0.5, 3, "none")), torch.tensor([[0.2], [0.49], [0.51], [1.49]]))
    assert output.reshape(-1).tolist() == [0, 0, 0.5, 1.0]


def test_negative_levels_are_those_of_a_leaky_quantiser_by_hand() -> None:
    """A slope of 0.5, steps of 0.5, at most 3 of either sign: -1.2 becomes -0.6, and so one step down."""
    (output,) = run(export_onnx(one_neuron(0.5, 3, slope=0.5)), torch.tensor([[-9.0], [-1.2], [-0.4], [0.8]]))
    assert output.reshape(-1).tolist() == [-1.5, -0.5, 0, 1.0]


def test_a_tie_is_rounded_to_even_there_and_up_here_and_is_counted() -> None:
    network = one_neuron(1.0, 3)
    # 0.5 is rounded to 0 there and to 1 here; 1.5 to 2 in both; 0.7 is no tie.
    found = compare(network, [torch.tensor([[0.5], [1.5], [0.7]])])
    assert (found.samples, found.alike, found.at_ties, found.unexplained, found.ties) == (3, 2, 1, 0, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["residual", "depthwise", "concat", "transposed", "leaky"])
def test_every_neuron_has_the_same_level_in_onnxruntime(name: str) -> None:
    torch.manual_seed(0)
    make, shape = ARCHITECTURES[name]
    found = compare(twin(make(), shape), [seeded((12, *shape), 2), seeded((4, *shape), 3)])
    # Random float64 values are no ties, and float32 decides far fewer than one neuron in ten thousand otherwise.
    assert found.samples == 16 and found.unexplained == 0 and found.alike >= 12
    assert found.largest < 1e-5


def _odd() -> nn.Module:
    """Maxima, products, means, clips and a softmax between and behind neurons."""

    def function(net: Any, x: Tensor) -> Tensor:
        x = net.pool(net.a(x).relu())
        x = net.b(x * torch.sigmoid(x.mean((2, 3), keepdim=True)) - 0.2).clamp(0, 1)
        x = torch.cat([x, x.transpose(2, 3)], 1)
        return net.head(x.flatten(1)).softmax(1)

    return Net(
        function,
        a=nn.Conv2d(2, 4, 3),
        pool=nn.MaxPool2d(2),
        b=nn.Conv2d(4, 3, 3, padding="same"),
        head=nn.Linear(54, 3),
    )


def test_operations_between_neurons_are_written_too() -> None:
    torch.manual_seed(0)
    found = compare(twin(_odd(), (2, 8, 8)), [seeded((12, 2, 8, 8), 2)])
    assert found.unexplained == 0 and found.alike >= 9 and found.largest < 1e-5


def test_the_file_holds_levels_in_uint8_with_a_scale_of_one() -> None:
    torch.manual_seed(0)
    make, shape = ARCHITECTURES["residual"]
    model = export_onnx(twin(make(), shape))
    onnx.checker.check_model(model, full_check=True)
    constants = {value.name: onnx.numpy_helper.to_array(value) for value in model.graph.initializer}
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("QuantizeLinear") == kinds.count("DequantizeLinear") == kinds.count("Clip") == 5
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert constants[node.input[1]] == 1 and constants[node.input[2]].dtype == np.uint8
    # Weights take up all thresholds but that of the identity shortcut.
    assert kinds.count("Mul") == 1


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (lambda: replace(one_neuron(1, 3), T=4), "spikes for 4 steps.*Convert with quantised_ann"),
        (lambda: one_neuron(1, 256), "256 levels above zero, and uint8 has 255.*T times phi at most 255"),
        (lambda: one_neuron(1, 3).with_neurons({}), "no neurons.*quantised_ann"),
        (lambda: one_neuron(1, 128, slope=0.5), "128 levels above zero, and int8 has 127"),
        (lambda: one_neuron(1, 3, "none", slope=0.5), "negative levels that are rounded down"),
    ],
)
def test_networks_that_are_no_twins_are_refused_with_what_to_convert_with(
    network: Callable[[], SpikingNetwork], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        export_onnx(network())


def test_an_operation_without_a_rule_is_refused_by_name() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.LayerNorm(4), nn.Linear(4, 3))
    with pytest.raises(UnsupportedOp, match=r"no rule that writes 'layer_norm' to ONNX, at "):
        export_onnx(twin(model, (3,)))
