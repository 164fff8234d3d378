"""Published architectures with max-pooling, attention, windows, normalisation and points, at a reduced size.

The full-size networks are those of `python -m benchmarks.performance.models`; docs/operations.md has its table.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision.models as published
from torch import Tensor, nn

from adapters.detection.ultralytics import detector
from benchmarks.conformance.outputs import relative_error
from benchmarks.performance.models import pointnet, settled
from conversion import ConversionGraph, capture, convert, simulate
from conversion.capture.roles import Role, packet
from tests.conversion.toys import seeded

pytestmark = pytest.mark.slow


def vit() -> nn.Module:
    model = published.VisionTransformer(32, 8, 2, 4, 32, 64, num_classes=10)
    # Zero until it is trained.
    nn.init.normal_(model.heads.head.weight)
    return model


def swin() -> nn.Module:
    """Two stages, the second block of each with shifted windows and a mask; 7 x 7 windows do not divide 8 x 8."""
    return published.SwinTransformer([4, 4], 12, [2, 2], [2, 4], [7, 7], num_classes=10)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "squeezenet1_1": (lambda: published.squeezenet1_1(num_classes=10), (3, 32, 32), 26),
    "resnet18": (lambda: published.resnet18(num_classes=10), (3, 32, 32), 17),
    # A norm before and behind attention, attention itself and the GELU in each block, and a norm before the head.
    "vit": (vit, (3, 32, 32), 9),
    # Two norms, softmax, its product with the values and GELU in each block; norms that merge patches and end.
    "swin": (swin, (3, 32, 32), 4 * 5 + 2),
    # Five in each transform, four behind them and two products; a mean has one more behind each of the three.
    "pointnet, max": (lambda: pointnet("max", 32), (3, 24), 2 * 5 + 3 + 2 + 2),
    "pointnet, mean": (lambda: pointnet("mean", 32), (3, 24), 2 * 5 + 3 + 2 + 2 + 3),
}


def converted(model: nn.Module, inputs: Tensor, firing: int) -> ConversionGraph:
    """Captures and converts a network; the error is small and the schedules agree to the last spike."""
    model, inputs = settled(model, inputs)
    graph = capture(model, inputs)
    assert len(graph.firing) == firing
    with torch.no_grad():
        expected = model(inputs[:2])
    assert relative_error(graph.run(inputs[:2]), expected) < 1e-4
    network = convert(graph, inputs, "burst", T=16, phi=16, thresholds="max")
    step, sweep = (simulate(network, inputs[:2], at=[16], schedule=schedule) for schedule in ("step", "sweep"))
    assert step.counts is not None and sweep.counts is not None
    assert torch.equal(step.counts.tally, sweep.counts.tally)
    assert relative_error(step.mean(16), expected) < 0.1
    return graph


@pytest.mark.parametrize("name", NETWORKS)
def test_network_is_captured_converted_and_simulated(name: str) -> None:
    build, shape, firing = NETWORKS[name]
    graph = converted(build(), seeded((8, *shape), dtype=torch.float32), firing)
    assert not [node for node in graph.module.graph.nodes if "batch_norm" in str(node.target)]
    assert all(node.meta["layout"].leading for node in graph.firing)


def test_outputs_of_a_segmentation_network_are_a_dictionary() -> None:
    """Dilation, concatenated branches, pooling of the whole image, and upsampling of the averaged output."""
    model = published.segmentation.deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=3)
    graph = capture(model.eval(), seeded((1, 3, 32, 32), dtype=torch.float32))
    assert {"hardswish", "hardsigmoid", "mul"} <= {packet(node).__name__ for node in graph.body if
                                                   graph.rules[node].role is Role.NONLINEAR}  # fmt: skip
    output = graph.run(seeded((2, 3, 32, 32), dtype=torch.float32))
    assert output["out"].shape == (2, 3, 32, 32)


@pytest.fixture
def ultralytics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ultralytics writes a settings file where it is told to."""
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
    pytest.importorskip("ultralytics", reason="YOLOv8 needs the extra 'detection': pip install -e '.[detection]'")


@pytest.mark.usefixtures("ultralytics")
def test_yolo() -> None:
    """With its own SiLU; tests/adapters/detection/test_ultralytics.py captures the one with ReLU, too."""
    converted(detector("yolov8n", 10, nn.SiLU), seeded((4, 3, 32, 32), dtype=torch.float32), firing=57)


@pytest.mark.usefixtures("ultralytics")
def test_yolo_with_its_boxes_decoded() -> None:
    """The integral over box distributions is a softmax before weights, so it gets an encoder; the rest is head."""
    network = detector("yolov8n", 10, nn.ReLU)
    head: Any = network.model[-1]  # type: ignore[index]
    del head.forward  # Its class's own decodes, and caches anchors unless it is told not to.
    head.dynamic = True
    model, images = settled(network, seeded((2, 3, 32, 32), dtype=torch.float32))
    graph = capture(model, images)
    assert [node.name for node in graph.firing if "encoder" in node.name] == ["encoder_softmax"]
    with torch.no_grad():
        assert relative_error(graph.run(images)[0], model(images)[0]) < 1e-4
