"""Batch norms are folded into the layers before them where nothing else reads these; the network computes the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.conversion.capture.test_export import operations, same_as_module
from tests.conversion.toys import Net, randomise_norms, seeded


def norm(norm_type: Callable[..., nn.Module], channels: int, **options: Any) -> nn.Module:
    """A batch norm whose eps weighs as much as its variances."""
    return randomise_norms(norm_type(channels, **{"eps": 0.5, **options}))


FOLDED = {
    "conv1d": (nn.Sequential(nn.Conv1d(3, 4, 3), norm(nn.BatchNorm1d, 4)), (3, 9), ["conv1d"]),
    "conv2d": (nn.Sequential(nn.Conv2d(3, 4, 3), norm(nn.BatchNorm2d, 4)), (3, 8, 8), ["conv2d"]),
    "conv3d": (nn.Sequential(nn.Conv3d(2, 4, 2), norm(nn.BatchNorm3d, 4)), (2, 4, 4, 4), ["conv3d"]),
    "no_bias": (nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), norm(nn.BatchNorm2d, 4)), (3, 8, 8), ["conv2d"]),
    "same": (nn.Sequential(nn.Conv2d(3, 4, 3, padding="same"), norm(nn.BatchNorm2d, 4)), (3, 8, 8), ["conv2d"]),
    "grouped": (nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), norm(nn.BatchNorm2d, 6)), (4, 8, 8), ["conv2d"]),
    "transposed": (
        nn.Sequential(nn.ConvTranspose2d(3, 4, 3, stride=2), norm(nn.BatchNorm2d, 4)), (3, 5, 5), ["conv_transpose2d"],
    ),
    "transposed_groups": (
        nn.Sequential(nn.ConvTranspose2d(4, 6, 3, groups=2, output_padding=1, stride=2), norm(nn.BatchNorm2d, 6)),
        (4, 5, 5), ["conv_transpose2d"],
    ),
    "transposed_1d": (
        nn.Sequential(nn.ConvTranspose1d(4, 6, 3, groups=2), norm(nn.BatchNorm1d, 6)), (4, 5), ["conv_transpose1d"],
    ),
    "linear": (nn.Sequential(nn.Linear(6, 4), norm(nn.BatchNorm1d, 4)), (6,), ["linear"]),
    "sync": (nn.Sequential(nn.Conv2d(3, 4, 3), norm(nn.SyncBatchNorm, 4)), (3, 8, 8), ["conv2d"]),
    "not_affine": (nn.Sequential(nn.Conv2d(3, 4, 3), norm(nn.BatchNorm2d, 4, affine=False)), (3, 8, 8), ["conv2d"]),
    "twice": (
        nn.Sequential(nn.Conv2d(3, 4, 3), norm(nn.BatchNorm2d, 4), norm(nn.BatchNorm2d, 4)), (3, 8, 8), ["conv2d"],
    ),
    # Where there is nothing to fold into, the affine map stays.
    "alone": (norm(nn.BatchNorm2d, 3), (3, 8, 8), ["mul", "add"]),
    "alone_2d": (norm(nn.BatchNorm1d, 6), (6,), ["mul", "add"]),
    "after_relu": (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), norm(nn.BatchNorm2d, 4)), (3, 8, 8),
        ["conv2d", "relu", "mul", "add"],
    ),
    # The channels of this batch norm are not the features of the linear layer.
    "linear_3d": (nn.Sequential(nn.Linear(6, 4), norm(nn.BatchNorm1d, 5)), (5, 6), ["linear", "mul", "add"]),
    "linear_3d_square": (nn.Sequential(nn.Linear(6, 5), norm(nn.BatchNorm1d, 5)), (5, 6), ["linear", "mul", "add"]),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", FOLDED)
def test_batch_norm_is_folded(case: str) -> None:
    """W g / sqrt(var + eps), (b - mean) g / sqrt(var + eps) + beta, or the same map on its own."""
    model, shape, expected = FOLDED[case]
    graph = same_as_module(randomise_norms(model), seeded((4, *shape)))
    assert operations(graph) == expected


def test_convolution_shared_by_two_batch_norms() -> None:
    """Weights are folded for each call on its own; the module's stay as they are."""
    shared = nn.Conv2d(3, 3, 3, padding=1)
    model = Net(
        lambda net, x: net.b(net.conv(net.a(net.conv(x)).relu())), conv=shared, a=norm(nn.BatchNorm2d, 3),
        b=norm(nn.BatchNorm2d, 3),
    )  # fmt: skip
    before = shared.weight.clone()
    assert operations(same_as_module(model)) == ["conv2d", "relu", "conv2d"]
    assert torch.equal(shared.weight, before.to(shared.weight))


def test_batch_norm_of_an_output_that_is_read_elsewhere_is_not_folded() -> None:
    def function(net: Any, x: Tensor) -> Tensor:
        x = net.conv(x)
        return net.norm(x).relu() + x

    model = Net(function, conv=nn.Conv2d(3, 4, 3), norm=norm(nn.BatchNorm2d, 4))
    assert operations(same_as_module(model)) == ["conv2d", "mul", "add", "relu", "add"]


def test_batch_norm_of_computed_weights_is_not_folded() -> None:
    model = Net(lambda net, x: net.norm(F.conv2d(x, net.w.abs())), w=seeded((4, 3, 3, 3)), norm=norm(nn.BatchNorm2d, 4))
    assert operations(same_as_module(model)) == ["conv2d", "mul", "add"]
