"""Small networks and independent counters that the tests of conversion share."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from conversion import ConversionGraph, SpikingNetwork, capture
from conversion.neuron import Neuron, Start


class Net(nn.Module):
    """A network given by its forward function, which gets this object and the input, and its parts."""

    def __init__(self, function: Callable[[Any, Tensor], Any], **parts: nn.Module | Tensor) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            if isinstance(part, nn.Module):
                self.add_module(name, part)
            else:
                self.register_buffer(name, part)

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


def randomise_norms(model: nn.Module) -> nn.Module:
    """Gives every batch norm statistics and parameters that a forgotten term would show in."""
    for part in model.modules():
        if isinstance(part, _BatchNorm):
            assert part.running_mean is not None and part.running_var is not None
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.2, 2)
            if part.affine:
                nn.init.uniform_(part.weight, 0.5, 1.5)
                nn.init.normal_(part.bias, 0, 0.3)
    return model


def captured(model: nn.Module, x: Tensor) -> ConversionGraph:
    """The graph of a network in inference mode, in the precision of `x`."""
    return capture(model.to(x.dtype).eval(), x)


def neurons(graph: ConversionGraph, thresholds: Sequence[float | Tensor], phi: int = 1, start: Start = "potential",
            signed: bool = False) -> dict[Any, Neuron]:  # fmt: skip
    """Neurons with given thresholds in the place of a graph's activations, in execution order."""
    found = {}
    for node, threshold in zip(graph.firing, thresholds, strict=True):
        values = torch.as_tensor(threshold, dtype=torch.float64).view(-1)
        found[node] = Neuron(values, phi, torch.zeros_like(values), start, signed)
    return found


def with_thresholds(
    graph: ConversionGraph, T: int, thresholds: Sequence[float | Tensor], phi: int = 1, start: Start = "potential",
    signed: bool = False,
) -> SpikingNetwork:  # fmt: skip
    """A spiking network with thresholds set by hand."""
    return SpikingNetwork(graph, T).with_neurons(neurons(graph, thresholds, phi, start, signed))


def conv_connections(
    shape: Sequence[int], weight: Tensor, stride: int = 1, padding: int = 0, dilation: int = 1, groups: int = 1
) -> Tensor:
    """How many weights each input position of a 2-d convolution meets, counted one output value at a time."""
    channels, height, width = shape
    out_channels, per_group, kernel_h, kernel_w = weight.shape
    assert per_group * groups == channels
    out_h = (height + 2 * padding - dilation * (kernel_h - 1) - 1) // stride + 1
    out_w = (width + 2 * padding - dilation * (kernel_w - 1) - 1) // stride + 1
    found = torch.zeros(channels, height, width, dtype=torch.float64)
    for out, y, x in itertools.product(range(out_channels), range(out_h), range(out_w)):
        first = out // (out_channels // groups) * per_group
        for channel, i, j in itertools.product(range(first, first + per_group), range(kernel_h), range(kernel_w)):
            row, column = y * stride - padding + i * dilation, x * stride - padding + j * dilation
            if 0 <= row < height and 0 <= column < width:
                found[channel, row, column] += 1
    return found


def transposed_connections(
    shape: Sequence[int], weight: Tensor, stride: int = 1, padding: int = 0, output_padding: int = 0, groups: int = 1
) -> Tensor:
    """How many weights each input position of a 2-d transposed convolution meets, one input value at a time."""
    channels, height, width = shape
    _, per_group, kernel_h, kernel_w = weight.shape
    out_h = (height - 1) * stride - 2 * padding + kernel_h + output_padding
    out_w = (width - 1) * stride - 2 * padding + kernel_w + output_padding
    found = torch.zeros(channels, height, width, dtype=torch.float64)
    for channel, y, x in itertools.product(range(channels), range(height), range(width)):
        for i, j in itertools.product(range(kernel_h), range(kernel_w)):
            if 0 <= y * stride - padding + i < out_h and 0 <= x * stride - padding + j < out_w:
                found[channel, y, x] += per_group
    return found


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def seeded(shape: Sequence[int], seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Standard normal values that do not depend on the tests run before."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


# ---------------------------------------------------------------------------------- the architectures of the schedules


class Residual(nn.Module):
    """Two blocks: an identity shortcut, then a strided one with a projection; batch norms throughout."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stem_norm = nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.a, self.a_norm = nn.Conv2d(6, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.b, self.b_norm = nn.Conv2d(6, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.c, self.c_norm = nn.Conv2d(6, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8)
        self.d, self.d_norm = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.projection, self.projection_norm = nn.Conv2d(6, 8, 1, stride=2, bias=False), nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem_norm(self.stem(x)).relu()
        x = (self.b_norm(self.b(self.a_norm(self.a(x)).relu())) + x).relu()
        inner = self.d_norm(self.d(self.c_norm(self.c(x)).relu()))
        x = (inner + self.projection_norm(self.projection(x))).relu()
        return self.head(x.mean((2, 3)))


def _plain() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(6, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(32, 5),
    )  # fmt: skip


def _depthwise() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU6(), nn.Conv2d(6, 6, 3, padding=1, groups=6),
        nn.BatchNorm2d(6), nn.ReLU6(), nn.Conv2d(6, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 8, 1), nn.ReLU6(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    )  # fmt: skip


def _concat() -> nn.Module:
    def function(net: Any, x: Tensor) -> Tensor:
        x = net.a(x).relu()
        return net.head(net.d(torch.cat([net.b(x).relu(), net.c(x).relu(), x], 1)).relu().flatten(1))

    return Net(
        function, a=nn.Conv2d(3, 4, 3, stride=2), b=nn.Conv2d(4, 3, 1), c=nn.Conv2d(4, 5, 3, padding=1),
        d=nn.Conv2d(12, 6, 3), head=nn.Linear(6, 5),
    )  # fmt: skip


def _leaky() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.LeakyReLU(0.1), nn.Conv2d(6, 6, 3), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(96, 5)
    )


def _linear() -> nn.Module:
    return nn.Sequential(
        nn.Linear(12, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 5)
    )


def _conv1d() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(3, 6, 5, padding=2), nn.BatchNorm1d(6), nn.ReLU(), nn.Conv1d(6, 6, 3, stride=2), nn.ReLU(),
        nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(6, 5),
    )  # fmt: skip


def _transposed() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(), nn.ConvTranspose2d(6, 4, 3, stride=2, groups=2), nn.BatchNorm2d(4),
        nn.ReLU(), nn.Upsample(scale_factor=2), nn.Conv2d(4, 2, 3),
    )  # fmt: skip


def _conv3d() -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(2, 4, 3, padding=1), nn.BatchNorm3d(4), nn.ReLU(), nn.AvgPool3d(2), nn.Conv3d(4, 4, 2), nn.ReLU(),
        nn.Flatten(), nn.Linear(4, 5),
    )  # fmt: skip


ARCHITECTURES: Mapping[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "plain": (_plain, (3, 8, 8)),
    "residual": (Residual, (3, 8, 8)),
    "depthwise": (_depthwise, (3, 8, 8)),
    "concat": (_concat, (3, 8, 8)),
    "leaky": (_leaky, (3, 8, 8)),
    "linear": (_linear, (12,)),
    "conv1d": (_conv1d, (3, 16)),
    "transposed": (_transposed, (3, 7, 7)),
    "conv3d": (_conv3d, (2, 4, 4, 4)),
}


def architecture(name: str, dtype: torch.dtype = torch.float64, samples: int = 8) -> tuple[nn.Module, Tensor]:
    """One of ARCHITECTURES with weights fixed by its name, and inputs for it."""
    build, shape = ARCHITECTURES[name]
    with torch.random.fork_rng():
        torch.manual_seed(len(name))
        model = randomise_norms(build()).to(dtype).eval()
    return model, seeded((samples, *shape), seed=1).to(dtype)
