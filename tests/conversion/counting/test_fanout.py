"""Connections counted one by one, and the invariants of an honest count."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import SpikingNetwork, UnsupportedOp, simulate
from conversion.counting.fanout import connect
from tests.conversion.toys import (
    ARCHITECTURES,
    IMAGE,
    Net,
    architecture,
    captured,
    captured_architecture,
    connected,
    conv_connections,
    seeded,
    transposed_connections,
    with_thresholds,
)

pytestmark = pytest.mark.slow

STEM = (4, 7, 7)
"""The output of the first convolution of every toy below for IMAGE."""


CONVOLUTIONS = [
    {},
    {"padding": 1},
    {"stride": 2},
    {"stride": 2, "padding": 1},
    {"stride": 3, "padding": 2},
    {"dilation": 2},
    {"dilation": 2, "padding": 2, "stride": 2},
    {"groups": 2, "padding": 1},
    {"groups": 4, "stride": 2},
]


@pytest.mark.parametrize("options", CONVOLUTIONS, ids=str)
def test_convolution(options: dict[str, Any]) -> None:
    """Border neurons have fewer connections than inner ones, strided ones differ by position, groups by their size."""
    conv = nn.Conv2d(4, 8, 3, **options)
    fan_out, _ = connected(lambda net, x: net.conv(net.stem(x).relu()).relu(), conv=conv)
    assert torch.equal(fan_out[0], conv_connections(STEM, conv.weight, **options))
    # The network's output reads the last layer once.
    assert torch.equal(fan_out[1], torch.ones_like(fan_out[1]))


@pytest.mark.parametrize(
    "options",
    [{}, {"stride": 2}, {"stride": 2, "padding": 1, "output_padding": 1}, {"groups": 2, "padding": 1}],
    ids=str,
)
def test_transposed_convolution(options: dict[str, Any]) -> None:
    conv = nn.ConvTranspose2d(4, 6, 3, **options)
    fan_out, _ = connected(lambda net, x: net.conv(net.stem(x).relu()).relu(), conv=conv)
    assert torch.equal(fan_out[0], transposed_connections(STEM, conv.weight, **options))


def test_convolutions_of_one_and_three_dimensions() -> None:
    """Kernel 2 on 3 positions: 1, 2, 1 outputs read them; in 3-d the product over axes, times 5 output channels."""
    reads = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64)
    line = captured(nn.Sequential(nn.Conv1d(2, 4, 1), nn.ReLU(), nn.Conv1d(4, 5, 2)), seeded((1, 2, 3)))
    assert torch.equal(connect(line, line.firing).fan_out[line.firing[0]], 5 * reads.expand(4, 3))
    cube = captured(nn.Sequential(nn.Conv3d(2, 4, 1), nn.ReLU(), nn.Conv3d(4, 5, 2)), seeded((1, 2, 3, 3, 3)))
    expected = 5 * reads.view(3, 1, 1) * reads.view(3, 1) * reads
    assert torch.equal(connect(cube, cube.firing).fan_out[cube.firing[0]], expected.expand(4, 3, 3, 3))


def test_identity_shortcut_adds_one() -> None:
    conv = nn.Conv2d(4, 4, 3, padding=1)

    def function(net: Any, x: Tensor) -> Tensor:
        x = net.stem(x).relu()
        return (net.conv(x) + x).relu()

    assert torch.equal(connected(function, conv=conv)[0][0], conv_connections(STEM, conv.weight, padding=1) + 1)


def test_projection_shortcut_is_a_convolution() -> None:
    conv, projection = nn.Conv2d(4, 6, 3, padding=1, stride=2), nn.Conv2d(4, 6, 1, stride=2)

    def function(net: Any, x: Tensor) -> Tensor:
        x = net.stem(x).relu()
        return (net.conv(x) + net.projection(x)).relu()

    expected = conv_connections(STEM, conv.weight, stride=2, padding=1)
    expected += conv_connections(STEM, projection.weight, stride=2)
    assert torch.equal(connected(function, conv=conv, projection=projection)[0][0], expected)


def test_concatenation() -> None:
    """Each part meets the weights of its own channels."""
    conv = nn.Conv2d(9, 3, 3, stride=2)

    def function(net: Any, x: Tensor) -> Tensor:
        x = net.stem(x)
        return net.conv(torch.cat([x.relu(), net.side(x).relu()], 1))

    left, right = connected(function, conv=conv, side=nn.Conv2d(4, 5, 1))[0]
    expected = conv_connections((9, 7, 7), conv.weight, stride=2)
    assert torch.equal(left, expected[:4])
    assert torch.equal(right, expected[4:])


def windows(size: int, kernel: int, stride: int, padding: int = 0) -> list[range]:
    """The inputs that each output of a pooling reads, on one axis."""
    starts = range(-padding, size + padding - kernel + 1, stride)
    return [range(max(start, 0), min(start + kernel, size)) for start in starts]


ADAPTIVE = [range(7 * i // 3, -(-7 * (i + 1) // 3)) for i in range(3)]
POOLINGS = {
    "2x2": (nn.AvgPool2d(2), windows(7, 2, 2)),
    "overlapping": (nn.AvgPool2d(3, 2, 1), windows(7, 3, 2, 1)),
    "padding not averaged": (nn.AvgPool2d(3, 2, 1, count_include_pad=False), windows(7, 3, 2, 1)),
    "adaptive": (nn.AdaptiveAvgPool2d(3), ADAPTIVE),
    "global": (nn.AdaptiveAvgPool2d(1), [range(7)]),
    "mean": (Net(lambda net, x: x.mean((2, 3), keepdim=True)), [range(7)]),
    "sum": (Net(lambda net, x: x.sum((2, 3), keepdim=True)), [range(7)]),
    "nearest": (nn.Upsample(scale_factor=2), [range(i // 2, i // 2 + 1) for i in range(14)]),
}


@pytest.mark.parametrize("name", POOLINGS)
def test_pooling_is_free_and_charged_for_the_connections_of_each_pooled_cell(name: str) -> None:
    pooling, cells = POOLINGS[name]
    conv = nn.Conv2d(4, 5, min(len(cells), 2))
    fan_out, connectivity = connected(
        lambda net, x: net.conv(net.pooling(net.stem(x).relu())), pooling=pooling, conv=conv
    )
    pooled = conv_connections((4, len(cells), len(cells)), conv.weight)
    expected = torch.zeros(STEM, dtype=torch.float64)
    for (i, rows), (j, columns) in itertools.product(enumerate(cells), enumerate(cells)):
        for row, column in itertools.product(rows, columns):
            expected[:, row, column] += pooled[:, i, j]
    assert torch.equal(fan_out[0], expected)
    assert connectivity.macs.step == 0


def test_bilinear_upsampling_reaches_every_position_it_is_mixed_into() -> None:
    """Two positions become four, with weights 1, 3/4, 1/4, 0 and mirrored: each input is read by 3 of 4 on an axis."""
    up = nn.Upsample(scale_factor=2, mode="bilinear")
    graph = captured(nn.Sequential(nn.Conv2d(3, 1, 1), nn.ReLU(), up, nn.Conv2d(1, 1, 1)), seeded((1, 3, 2, 2)))
    assert torch.equal(
        connect(graph, graph.firing).fan_out[graph.firing[0]], torch.full((1, 2, 2), 9, dtype=torch.float64)
    )


def test_linear_layers() -> None:
    """Flattened: one connection per output. After a global mean: the same, of the mean. At the end: of the classes."""
    flat, _ = connected(lambda net, x: net.fc(net.stem(x).relu().flatten(1)).relu(), fc=nn.Linear(196, 11))
    assert torch.equal(flat[0], torch.full(STEM, 11, dtype=torch.float64))
    mean, _ = connected(lambda net, x: net.fc(net.stem(x).relu().mean((2, 3))), fc=nn.Linear(4, 10))
    assert torch.equal(mean[0], torch.full(STEM, 10, dtype=torch.float64))
    product, _ = connected(lambda net, x: net.stem(x).relu().flatten(1) @ torch.ones(196, 6, dtype=x.dtype))
    assert torch.equal(product[0], torch.full(STEM, 6, dtype=torch.float64))


def test_events_that_are_moved_and_dropped() -> None:
    """A slice drops connections; padding, flips and permutations move them; padded zeros cost nothing."""
    conv = nn.Conv2d(4, 5, 3)

    def function(net: Any, x: Tensor) -> Tensor:
        x = net.stem(x).relu()
        return net.conv(F.pad(x[:, :, ::2, 1:].flip(1), (1, 0, 2, 0)))

    fan_out, _ = connected(function, conv=conv)
    # 4 x 6 values kept, one column and two rows of zeros before them: positions (2 + i, 1 + j) of a 6 x 7 image.
    padded = conv_connections((4, 6, 7), conv.weight)
    expected = torch.zeros(STEM, dtype=torch.float64)
    expected[:, ::2, 1:] = padded[:, 2:, 1:].flip(0)
    assert torch.equal(fan_out[0], expected)


def test_standing_batch_norm_keeps_connections() -> None:
    """Events keep their place through a scale and a shift."""
    conv = nn.Conv2d(4, 5, 3)
    fan_out, _ = connected(lambda net, x: net.conv(net.norm(net.stem(x).relu())), norm=nn.BatchNorm2d(4), conv=conv)
    assert torch.equal(fan_out[0], conv_connections(STEM, conv.weight))


# ---------------------------------------------------------------------------------------------------------------- MACs


def test_first_layer_is_analog_and_its_padding_is_multiplied_by_nobody() -> None:
    conv = nn.Conv2d(3, 4, 3, padding=1, stride=2)
    graph = captured(nn.Sequential(conv, nn.ReLU(), nn.Flatten(), nn.Linear(100, 7)), IMAGE)
    connectivity = connect(graph, graph.firing)
    assert connectivity.macs.static == conv_connections((3, 9, 9), conv.weight, stride=2, padding=1).sum()
    assert connectivity.macs.step == 0


def test_analog_chain_before_the_first_neuron_is_static() -> None:
    """Pooled pixels are analog, and so is what one convolution hands to the next."""
    first, second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 2)
    graph = captured(nn.Sequential(nn.AvgPool2d(2), first, second, nn.ReLU()), IMAGE)
    connectivity = connect(graph, graph.firing)
    expected = conv_connections((3, 4, 4), first.weight).sum() + conv_connections((4, 2, 2), second.weight).sum()
    assert connectivity.macs.static == expected


def test_convolution_without_a_neuron_before_it_multiplies_at_every_step() -> None:
    """Spikes drive the first convolution and its analog output the second, as in MobileNetV2."""
    first, second = nn.Conv2d(4, 6, 3), nn.Conv2d(6, 5, 3, padding=1)
    fan_out, connectivity = connected(lambda net, x: net.b(net.a(net.stem(x).relu())).relu(), a=first, b=second)
    assert torch.equal(fan_out[0], conv_connections(STEM, first.weight))
    assert connectivity.macs.step == conv_connections((6, 5, 5), second.weight, padding=1).sum()
    assert connectivity.macs.static == conv_connections((3, 9, 9), torch.zeros(4, 3, 3, 3)).sum()


def test_spikes_added_to_an_analog_value_are_accumulated_once_and_analog_from_then_on() -> None:
    """x + conv(x) without an activation: one addition per spike, and MACs in the next layer."""
    inner, after = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 5, 3)

    def function(net: Any, x: Tensor) -> Tensor:
        x = net.stem(x).relu()
        return net.after(net.inner(x) + x).relu()

    fan_out, connectivity = connected(function, inner=inner, after=after)
    assert torch.equal(fan_out[0], conv_connections(STEM, inner.weight, padding=1) + 1)
    assert connectivity.macs.step == conv_connections(STEM, after.weight).sum()


def test_sum_of_two_spike_trains_stays_a_spike_train() -> None:
    conv = nn.Conv2d(4, 5, 3)

    def function(net: Any, x: Tensor) -> Tensor:
        x = net.stem(x)
        return net.conv(x.relu() + net.side(x).relu()).relu()

    fan_out, connectivity = connected(function, conv=conv, side=nn.Conv2d(4, 4, 1))
    assert torch.equal(fan_out[0], conv_connections(STEM, conv.weight))
    assert torch.equal(fan_out[1], fan_out[0])
    assert connectivity.macs.step == 0


def test_image_beside_spikes_is_multiplied() -> None:
    """Concatenated with spikes, the image's channels are MACs, once per step since the layer has to run again."""
    conv = nn.Conv2d(7, 5, 3)
    fan_out, connectivity = connected(
        lambda net, x: net.conv(torch.cat([net.stem(x).relu(), x[:, :, :7, :7]], 1)).relu(), conv=conv
    )
    connections = conv_connections((7, 7, 7), conv.weight)
    assert torch.equal(fan_out[0], connections[:4])
    assert connectivity.macs.step == connections[4:].sum()


def test_events_through_an_uncountable_operation_are_refused_by_name() -> None:
    graph = captured(Net(lambda net, x: F.avg_pool2d(x.relu(), 2)), seeded((1, 3, 4, 4)))
    assert float(connect(graph, graph.firing).fan_out[graph.firing[0]].sum()) == 48
    flat = captured(Net(lambda net, x: F.avg_pool2d(x.relu(), 2)), seeded((2, 4, 4)))
    with pytest.raises(UnsupportedOp, match=r"aten\.avg_pool2d"):
        connect(flat, flat.firing)


# ---------------------------------------------------------------------------------------------------------- invariants


@pytest.mark.parametrize("name", ["plain", "linear", "conv1d", "conv3d", "leaky"])
def test_a_spike_everywhere_costs_what_the_ann_multiplies(name: str) -> None:
    """Sum of fan-outs + MACs of the first layer = MACs of the ANN, up to pooling: a cell's inputs each pay for it."""
    model, x = architecture(name)
    if any(isinstance(part, (nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool1d)) for part in model.modules()):
        model = nn.Sequential(*[part for part in model if "Pool" not in type(part).__name__])  # type: ignore[attr-defined]
        flat = next(i for i, part in enumerate(model) if isinstance(part, nn.Flatten))
        with torch.no_grad():
            width = model[: flat + 1](x.to(next(model.parameters()).dtype)).shape[1]
        model[-1] = nn.Linear(width, 5)
    graph = captured(model.eval(), x)
    ann, spiking = connect(graph, []), connect(graph, graph.firing)
    assert ann.macs.step == spiking.macs.step == 0
    assert sum(float(fan_out.sum()) for fan_out in spiking.fan_out.values()) + spiking.macs.static == ann.macs.static


def test_shortcuts_cost_what_the_ann_multiplies_and_their_additions() -> None:
    """The identity shortcut adds one per neuron of its source; the mean before the head is paid per pooled input."""
    graph, _ = captured_architecture("residual")
    ann, spiking = connect(graph, []), connect(graph, graph.firing)
    additions, pooled_inputs, classes, channels = 6 * 8 * 8, 16, 5, 8
    expected = ann.macs.static + additions + (pooled_inputs - 1) * channels * classes
    assert sum(float(fan_out.sum()) for fan_out in spiking.fan_out.values()) + spiking.macs.static == expected


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_ann_costs_the_same_at_every_T(name: str) -> None:
    graph, x = captured_architecture(name, samples=3)
    network = SpikingNetwork(graph, 8)
    counts = simulate(network, x).counts
    assert counts is not None
    assert torch.equal(counts.macs(1), counts.macs(8)) and counts.macs(1).min() > 0
    assert counts.total("synops_unary", 8).tolist() == [0, 0, 0]


def test_thresholds_moved_into_weights_change_no_count() -> None:
    """Layer l with weights W / V_l x V_(l-1) and threshold 1 fires like W with V_l; powers of two make it exact."""
    x = seeded((6, 3, 9, 9))
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(54, 5)
    ).double()
    thresholds = [0.5, 0.25]
    graph = captured(model, x)
    before = simulate(with_thresholds(graph, 8, thresholds, phi=3), x)
    scales = [1, *thresholds, 1]
    with torch.no_grad():
        for i, index in enumerate((0, 2, 5)):
            layer: Any = model[index]
            layer.weight *= scales[i] / scales[i + 1]
            layer.bias /= scales[i + 1]
    after = simulate(with_thresholds(captured(model, x), 8, [1, 1], phi=3), x)
    assert before.counts is not None and after.counts is not None
    assert before.counts.tally.sum() > 0
    assert torch.equal(before.counts.tally, after.counts.tally)
    torch.testing.assert_close(before.mean(8), after.mean(8), rtol=0, atol=1e-12)


def test_counts_report_layers_connections_and_macs() -> None:
    conv, fc = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4 * 81, 7)
    graph = captured(nn.Sequential(conv, nn.ReLU(), nn.Flatten(), fc, nn.ReLU()), IMAGE)
    counts = simulate(with_thresholds(graph, 4, [1, 1]), IMAGE).counts
    assert counts is not None
    assert len(set(counts.layers)) == 2
    assert counts.neurons == (4 * 81, 7)
    assert counts.fan_out == (4 * 81 * 7, 7)
    macs = int(conv_connections((3, 9, 9), conv.weight, padding=1).sum())
    assert (counts.analog.macs_once, counts.analog.macs_step) == (macs, 0)
    assert (counts.macs(4) == macs).all()
    changing = simulate(with_thresholds(graph, 4, [1, 1]), [IMAGE] * 4).counts
    assert changing is not None
    assert (changing.macs(4) == 4 * macs).all()


def test_a_signal_added_to_itself_arrives_twice() -> None:
    def doubled(net: Any, x: Tensor) -> Tensor:
        y = net.stem(x).relu()
        return (y + y).relu()

    fan_out, _ = connected(doubled)
    assert torch.equal(fan_out[0], torch.full(STEM, 2.0, dtype=torch.float64))
