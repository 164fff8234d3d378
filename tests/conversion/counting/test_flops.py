"""Nonlinear operations: how events pass them, and their floating-point operations counted by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import simulate
from conversion.counting.fanout import connect
from tests.conversion.toys import (
    IMAGE,
    Net,
    captured,
    connected,
    seeded,
    with_thresholds,
)

pytestmark = pytest.mark.slow

# ----------------------------------------------------------------------------------------------- nonlinear operations


@pytest.mark.parametrize(
    ("maximum", "average"),
    [
        (nn.MaxPool2d(2), nn.AvgPool2d(2)),
        (nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(3, 2, 1)),
        (nn.MaxPool2d(2, 3, ceil_mode=True), nn.AvgPool2d(2, 3, ceil_mode=True)),
        (nn.AdaptiveMaxPool2d(3), nn.AdaptiveAvgPool2d(3)),
        (Net(lambda net, x: x.amax((2, 3), keepdim=True)), nn.AdaptiveAvgPool2d(1)),
        (Net(lambda net, x: x.max(3)[0].max(2)[0][:, :, None, None]), nn.AdaptiveAvgPool2d(1)),
    ],
)
def test_maxima_carry_events_as_averages_do(maximum: nn.Module, average: nn.Module) -> None:
    """Each spike is charged for every window that it falls in, and what follows is driven by events."""
    conv = nn.Conv2d(4, 5, 1)
    (found, connectivity), (expected, _) = (
        connected(lambda net, x: net.conv(net.pool(net.stem(x).relu())).relu(), pool=pool, conv=conv)
        for pool in (maximum, average)
    )
    assert torch.equal(found[0], expected[0])
    assert connectivity.macs.step == 0


def test_events_are_accumulated_once_at_other_nonlinear_operations() -> None:
    """Into the sums of a group norm; the next weights see the spikes of the encoder behind it alone."""
    fan_out, connectivity = connected(
        lambda net, x: net.conv(net.norm(net.stem(x).relu())).relu(), norm=nn.GroupNorm(2, 4), conv=nn.Conv2d(4, 5, 1)
    )
    assert torch.equal(fan_out[0], torch.ones_like(fan_out[0]))
    assert torch.equal(fan_out[1], torch.full_like(fan_out[1], 5))
    assert connectivity.macs.step == 0


def test_what_a_norm_without_weights_behind_it_sends_is_analog() -> None:
    """A sum of an analog value and spikes: the spikes are added into it, and arrive at the norm as well."""

    def function(net: Any, x: Tensor) -> Tensor:
        x = net.stem(x).relu()
        return (net.norm(x) + x).relu()

    fan_out, _ = connected(function, norm=nn.GroupNorm(2, 4))
    assert torch.equal(fan_out[0], torch.full_like(fan_out[0], 2))


# Operations of one evaluation on a (1, 4, 7, 7) signal, by hand; 196 values.
FLOPS: dict[str, tuple[Any, int]] = {
    # 9 windows of 4 values, 3 comparisons each, in 4 channels.
    "max_pool": (lambda net, x: F.max_pool2d(x, 2), 4 * 9 * 3),
    # 4 windows on an axis with 2, 3, 3, 2 real positions: 10 x 10 reads in 16 windows.
    "padded": (lambda net, x: F.max_pool2d(x, 3, 2, 1), 4 * (100 - 16)),
    "adaptive": (lambda net, x: F.adaptive_max_pool2d(x, 1), 4 * 48),
    "amax": (lambda net, x: x.amax(1), 3 * 49),
    "max": (lambda net, x: x.max(3)[0], 28 * 6),
    "softmax": (lambda net, x: x.softmax(1), 5 * 196),
    "group_norm": (lambda net, x: net.norm(x), 7 * 196),
    "norm without weights": (lambda net, x: F.group_norm(x, 2), 5 * 196),
    "gelu": (lambda net, x: F.gelu(x), 5 * 196),
    "exp": (lambda net, x: x.exp(), 196),
    "mul": (lambda net, x: x * x.flip(1), 196),
    # 4 matrices of 7 x 7 values, each a sum of 7 products.
    "matmul": (lambda net, x: x @ x.transpose(2, 3), 2 * 4 * 7 * 7 * 7),
    "einsum": (lambda net, x: torch.einsum("nchw,ncgw->nchg", x, x), 2 * 4 * 7 * 7 * 7),
    "attention": (lambda net, x: F.scaled_dot_product_attention(x, x, x), 4 * 7 * 7 * (14 + 5 + 14)),
}


@pytest.mark.parametrize("name", FLOPS)
def test_floating_point_operations_by_hand(name: str) -> None:
    """Operations count once in the ANN and behind the last neurons, and at each step between neurons."""
    function, expected = FLOPS[name]
    norm = nn.GroupNorm(2, 4)
    graph = captured(Net(function, norm=norm), seeded((1, 4, 7, 7)))
    ann = connect(graph, [])
    assert (ann.flops.static, ann.flops.step, ann.flops.head) == (expected, 0, 0)
    _, behind = connected(lambda net, x: function(net, net.stem(x).relu()), norm=norm)
    assert (behind.flops.static, behind.flops.step, behind.flops.head) == (0, 0, expected)
    between = captured(Net(lambda net, x: function(net, net.stem(x).relu()).relu(), norm=norm, stem=nn.Conv2d(3, 4, 3)),
                       IMAGE)  # fmt: skip
    step = connect(between, between.firing, difference=False)
    assert (step.flops.static, step.flops.step, step.flops.head) == (0, expected, 0)


def test_the_difference_adds_its_own_operations() -> None:
    """Group norm of 196 values driven by spikes: divided by t, multiplied by t, subtracted. A maximum: subtracted.

    An analog input is added to its sum as well: here a convolution without an activation behind it.
    """

    def counted(function: Any) -> int:
        net = Net(function, stem=nn.Conv2d(3, 4, 3), mix=nn.Conv2d(4, 4, 1), norm=nn.GroupNorm(2, 4))
        graph = captured(net, IMAGE)
        return connect(graph, graph.firing).flops.step - connect(graph, graph.firing, difference=False).flops.step

    assert counted(lambda net, x: net.norm(net.stem(x).relu()).relu()) == 3 * 196
    assert counted(lambda net, x: F.max_pool2d(net.stem(x).relu(), 2).relu()) == 4 * 9
    assert counted(lambda net, x: net.norm(net.mix(net.stem(x).relu())).relu()) == 4 * 196


def test_flops_and_macs_behind_the_last_neurons_are_counted_once() -> None:
    """A softmax over the output runs once on the mean, and so do weights behind it that its encoder does not drive."""
    function = lambda net, x: net.stem(x).relu().softmax(1)  # noqa: E731
    graph = captured(Net(function, stem=nn.Conv2d(3, 4, 3)), IMAGE)
    counts = simulate(with_thresholds(graph, 4, [1.0]), IMAGE).counts
    assert counts is not None
    assert (counts.analog.flops_once, counts.analog.flops_step) == (5 * 196, 0)
    assert (counts.flops(4) == 5 * 196).all()
    pooled = captured(Net(lambda net, x: F.max_pool2d(x, 3).relu(), stem=nn.Conv2d(3, 4, 3)), IMAGE)
    network = with_thresholds(pooled, 4, [1.0])
    still, moving = simulate(network, IMAGE).counts, simulate(network, [IMAGE] * 4).counts
    assert still is not None and moving is not None
    comparisons = 3 * 9 * 8
    assert (still.flops(4) == comparisons).all() and (moving.flops(4) == 4 * comparisons).all()


def test_weights_behind_the_last_weights_are_multiplied_once() -> None:
    """Spikes reach the first linear layer; the second one multiplies the mean of what it gathered."""
    x = seeded((2, 5))
    model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 4), nn.Linear(4, 3))
    counts = simulate(with_thresholds(captured(model, x), 4, [0.5], phi=2), x).counts
    assert counts is not None
    assert (counts.analog.macs_once, counts.analog.macs_step, counts.analog.macs_head) == (30, 0, 12)
    assert counts.macs(1).tolist() == counts.macs(4).tolist() == [42, 42]
    assert counts.fan_out == (6 * 4,)
    changing = simulate(with_thresholds(captured(model, x), 4, [0.5], phi=2), [x] * 4).counts
    assert changing is not None
    assert changing.macs(4).tolist() == [4 * 30 + 12] * 2
