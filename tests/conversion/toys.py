"""Small networks and independent counters that the tests of conversion share."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from conversion import ConversionGraph, SpikingNetwork, capture
from conversion.counting.fanout import Connectivity, connect
from conversion.simulation.neuron import Neuron, Start


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

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """A part, whose type only the caller knows."""

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
    """The number of weights for each input position of a 2-d convolution, counted one output value at a time."""
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
    """The number of weights for each input position of a 2-d transposed convolution, one input value at a time."""
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


def quantisation_error(values: Tensor, threshold: Tensor, T: int, phi: int, rounding: float) -> Tensor:
    """Squared error of Q(a) = V/T clip(floor(a T/V + rounding), 0, phi T) at every value (Eq. 7 of the paper)."""
    step = threshold / T
    return (torch.floor(values / step + rounding).clamp(0, phi * T) * step - values) ** 2


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def seeded(shape: Sequence[int], seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Standard normal values that do not depend on the tests run before."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


IMAGE = seeded((1, 3, 9, 9))


def connected(function: Any, **parts: nn.Module) -> tuple[list[Tensor], Connectivity]:
    """Fan-out by layer and connectivity of a stem and a function behind it, whose activations are all neurons."""
    graph = captured(Net(function, stem=nn.Conv2d(3, 4, 3), **parts), IMAGE)
    connectivity = connect(graph, graph.firing)
    assert all(
        tuple(fan_out.shape) == tuple(node.meta["val"].shape[1:]) for node, fan_out in connectivity.fan_out.items()
    )
    return [connectivity.fan_out[node] for node in graph.firing], connectivity


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


# ---------------------------------------------------------------------------- nonlinear operations between the neurons


class Attention(nn.Module):
    """A block of a transformer, which moves the batch behind the tokens and folds heads into it."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.norm, self.second = nn.LayerNorm(8), nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        y = self.norm(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        x = x + self.mlp(self.second(x))
        return self.head(x.mean(1))


class Windows(nn.Module):
    """Attention in windows that are folded into the batch, as in Swin: (4 N, 16, channels)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 6, 1), nn.LayerNorm(6)
        self.qkv, self.out = nn.Linear(6, 18), nn.Linear(6, 6)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x).permute(0, 2, 3, 1))
        y = x.view(-1, 2, 4, 2, 4, 6).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, 6)
        q, k, v = self.qkv(y).view(-1, 16, 3, 2, 3).permute(2, 0, 3, 1, 4).unbind(0)
        y = self.out(((q @ k.transpose(-2, -1)).softmax(-1) @ v).transpose(1, 2).reshape(-1, 16, 6)).relu()
        x = x + y.view(-1, 2, 2, 4, 4, 6).permute(0, 1, 3, 2, 4, 5).reshape(-1, 8, 8, 6)
        return self.head(x.mean((1, 2)))


def _max_pooled() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), nn.Conv2d(6, 8, 3, padding=1),
        nn.ReLU(), nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Linear(32, 12), nn.ReLU(), nn.Linear(12, 5),
    )  # fmt: skip


def _over_points() -> nn.Module:
    def function(net: Any, x: Tensor) -> Tensor:
        matrix = net.matrix(net.features(x).relu().max(2)[0]).view(-1, 3, 3)
        x = net.a((x.transpose(1, 2) @ matrix).transpose(1, 2)).relu()
        return net.head(net.b(x).relu().amax(2).unsqueeze(1).flatten(1)).relu()

    return Net(
        function, features=nn.Conv1d(3, 6, 1), matrix=nn.Linear(6, 9), a=nn.Conv1d(3, 8, 1), b=nn.Conv1d(8, 10, 1),
        head=nn.Linear(10, 5),
    )  # fmt: skip


def _gated() -> nn.Module:
    def function(net: Any, x: Tensor) -> Tensor:
        x = net.norm(net.a(x).relu())
        x = net.b(x) * net.gate(x.mean((2, 3), keepdim=True)).sigmoid()
        return net.head(F.silu(x).amax((2, 3)))

    return Net(
        function, a=nn.Conv2d(3, 6, 3), norm=nn.GroupNorm(2, 6), b=nn.Conv2d(6, 8, 3), gate=nn.Conv2d(6, 8, 1),
        head=nn.Linear(8, 5),
    )  # fmt: skip


def _folded_points() -> nn.Module:
    """The activation sees (positions N, channels), positions outermost; encoders and pooling other layouts."""

    def function(net: Any, x: Tensor) -> Tensor:
        x = net.a(x.flatten(2).permute(2, 0, 1).reshape(-1, 3)).relu()
        x = net.b(x).tanh().view(16, -1, 6)
        return net.head(net.c(x).relu().amax(0)).relu()

    return Net(function, a=nn.Linear(3, 6), b=nn.Linear(6, 6), c=nn.Linear(6, 6), head=nn.Linear(6, 5))


NONLINEAR: Mapping[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "attention": (Attention, (3, 8, 8)),
    "windows": (Windows, (3, 8, 8)),
    "max-pooled": (_max_pooled, (3, 8, 8)),
    "over points": (_over_points, (3, 7)),
    "gated": (_gated, (3, 8, 8)),
    "folded": (_folded_points, (3, 4, 4)),
}


def architecture(name: str, dtype: torch.dtype = torch.float64, samples: int = 8) -> tuple[nn.Module, Tensor]:
    """One of ARCHITECTURES or NONLINEAR with weights fixed by its name, and inputs for it."""
    build, shape = {**ARCHITECTURES, **NONLINEAR}[name]
    with torch.random.fork_rng():
        torch.manual_seed(len(name))
        model = randomise_norms(build()).to(dtype).eval()
    return model, seeded((samples, *shape), seed=1).to(dtype)


@cache
def captured_architecture(
    name: str, dtype: torch.dtype = torch.float64, samples: int = 8
) -> tuple[ConversionGraph, Tensor]:
    """The graph of an `architecture` and inputs: one for all tests, as capturing takes longer than converting does."""
    model, x = architecture(name, dtype, samples)
    return captured(model, x), x
