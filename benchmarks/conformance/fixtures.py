"""The networks that a method is tried on: small ones with fixed random weights, and trained digits."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, cached_property

import torch
from torch import Tensor, nn

from adapters import NETWORKS, find_weights, load_weights
from adapters.images.qcfs import Qcfs
from conversion import Calibration, ConversionGraph, capture
from tasks import TASKS

CALIBRATION, IMAGES, CLASSES = 32, 64, 5


@dataclass(frozen=True, eq=False)
class Fixture:
    """A captured network with the data to convert it by and to try it on.

    Attributes:
        samples: calibration inputs, shape (N, ...).
        held_out: other inputs with their classes.
        images: inputs to simulate.
    """

    graph: ConversionGraph
    samples: Tensor
    held_out: tuple[Tensor, Tensor]
    images: Tensor

    def calibration(self, order: Tensor | None = None) -> Calibration:
        """A calibration set made anew, its samples in another order if one is given."""
        return Calibration(self.graph, self.samples if order is None else self.samples[order], self.held_out)

    @cached_property
    def ann(self) -> Tensor:
        """The ANN's logits of the images."""
        logits: Tensor = self.graph.run(self.images)
        return logits

    def error(self, logits: Tensor, *, rectified: bool = False) -> float:
        """Distance to the ANN's logits, or to their positive part, relative to the norm of the ANN's."""
        expected = self.ann.clamp(min=0) if rectified else self.ann
        return float((logits - expected).norm() / self.ann.norm())


# Capturing takes longer than converting, so each network is captured once in a process. Those that a method may change
# without another check finding it are handed out as copies.
def convolutional() -> Fixture:
    """Two convolutions with batch norms, average pooling and a linear readout, on images of 2 channels; a new copy."""
    return deepcopy(_convolutional())


def trained_to_be_converted() -> Fixture:
    """The same network with QCFS activations; a new copy."""
    return deepcopy(_trained_to_be_converted())


@cache
def another() -> Fixture:
    """The same network as another graph."""
    return convolutional()


@cache
def vectors() -> Fixture:
    """Three linear layers on vectors."""
    return _fixture(
        (12,),
        lambda: nn.Sequential(
            nn.Linear(12, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, CLASSES)
        ),
    )


@cache
def leaky() -> Fixture:
    """Activations with negative outputs."""
    return _fixture(
        (2, 6, 6),
        lambda: nn.Sequential(
            nn.Conv2d(2, 8, 3), nn.LeakyReLU(0.7), nn.Conv2d(8, 8, 3), nn.LeakyReLU(0.6), nn.Flatten(),
            nn.Linear(32, CLASSES),
        ),
    )  # fmt: skip


@cache
def linear() -> Fixture:
    """No activation at all."""
    return _fixture((12,), lambda: nn.Sequential(nn.Linear(12, 24), nn.Linear(24, CLASSES)))


@cache
def trained_digits() -> Fixture:
    """The shipped network of the digits, in float32."""
    task = TASKS["digits"]()
    adapter = NETWORKS["digits_convnet"](task)
    model = adapter.build()
    load_weights(model, find_weights("digits_convnet", "digits", None))
    samples = adapter.encode(task.calibration(CALIBRATION, seed=0))
    held_out = task.held_out(CALIBRATION, seed=0)
    images = adapter.encode(next(task.test(IMAGES, IMAGES)).inputs)
    graph = capture(model.eval(), samples[:1])
    return Fixture(graph, samples, (adapter.encode(held_out.inputs), held_out.targets), images)


@cache
def _convolutional() -> Fixture:
    return _two_convolutions(nn.ReLU)


@cache
def _trained_to_be_converted() -> Fixture:
    return _two_convolutions(lambda: Qcfs(levels=16, threshold=1.5))


def _two_convolutions(activation: Callable[[], nn.Module]) -> Fixture:
    return _fixture(
        (2, 6, 6),
        lambda: nn.Sequential(
            nn.Conv2d(2, 8, 3, padding=1), nn.BatchNorm2d(8), activation(), nn.AvgPool2d(2),
            nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12), activation(), nn.Flatten(), nn.Linear(108, CLASSES),
        ),
    )  # fmt: skip


def _fixture(shape: tuple[int, ...], build: Callable[[], nn.Sequential]) -> Fixture:
    """A network in float64, where order and size of a batch change nothing but the last digits."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = build()
        for part in model:
            if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
                assert part.running_mean is not None and part.running_var is not None
                part.running_mean.normal_(0, 0.3)
                part.running_var.uniform_(0.5, 2)
    model = model.double().eval()
    generator = torch.Generator().manual_seed(4)
    samples, held_out, images = (
        torch.randn(count, *shape, generator=generator, dtype=torch.float64)
        for count in (CALIBRATION, CALIBRATION, IMAGES)
    )
    with torch.no_grad():
        labels = model(held_out).argmax(1)
    return Fixture(capture(model, samples[:1]), samples, (held_out, labels), images)
