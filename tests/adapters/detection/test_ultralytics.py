"""Detectors of ultralytics: what their maps say, against the library's own head and loss, and their weights."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from adapters import NETWORKS, find_weights, load_weights
from adapters.detection.ultralytics import UltralyticsYolo, library
from benchmarks.conformance.networks import random_model
from benchmarks.conformance.outputs import flat
from benchmarks.suites.cell import Cell
from conversion import capture
from conversion.capture.roles import Role
from conversion.errors import CheckpointError
from tasks import TASKS
from tasks.detection.boxes import Boxes

pytestmark = pytest.mark.skipif(
    find_spec("ultralytics") is None, reason="needs the extra 'detection': pip install -e '.[detection]'"
)
BINS = 16


@pytest.fixture(autouse=True)
def settings_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ultralytics writes a settings file where it is told to."""
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))


def adapter(name: str = "ultralytics/yolov8n-relu", task: str = "bccd") -> UltralyticsYolo:
    network = NETWORKS[name](TASKS[task]())
    assert isinstance(network, UltralyticsYolo)
    return network


def silent(rows: int, columns: int, classes: int = 3) -> Tensor:
    """A map that is sure of nothing."""
    return torch.cat([torch.zeros(1, 4 * BINS, rows, columns), torch.full((1, classes, rows, columns), -30.0)], 1)


def test_a_box_is_as_far_around_its_cells_centre_as_the_distributions_mean() -> None:
    level = silent(4, 8)
    cell = level[0, :, 1, 2]  # Its centre is at 2.5 of 8 columns, 1.5 of 4 rows.
    for side, distance in enumerate((2, 1, 3, 0)):  # Left, top, right, bottom.
        cell[side * BINS + distance] = 40
    cell[[BINS, BINS + 1]] = 40  # The top is as likely at 0 as at 1.
    cell[4 * BINS :] = torch.tensor([0.0, -30.0, 2.0])
    [found] = adapter().decode((level, silent(2, 4)))
    corners = [0.5 / 8, 1.0 / 4, 5.5 / 8, 1.5 / 4]
    assert found.boxes.tolist() == [pytest.approx(corners), pytest.approx(corners)]
    assert found.labels.tolist() == [2, 0]
    assert found.scores.tolist() == pytest.approx([1 / (1 + 2.718281828**-2), 0.5])


def test_of_one_class_only_the_surest_of_overlapping_boxes_stays() -> None:
    level = silent(2, 2)
    for column, logit in enumerate((1.0, 2.0)):
        level[0, [side * BINS + 15 for side in range(4)], 0, column] = 40  # All of the image.
        level[0, 4 * BINS, 0, column] = logit
    level[0, 4 * BINS + 1, 0, 0] = 0.5
    [found] = adapter().decode((level,))
    assert found.labels.tolist() == [0, 1]
    assert found.scores.tolist() == pytest.approx(torch.tensor([2.0, 0.5]).sigmoid().tolist())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ultralytics/yolov8n", "ultralytics/yolov3-tiny-relu", "ultralytics/yolo11n-relu"])
@torch.no_grad()
def test_boxes_and_scores_are_those_of_the_librarys_own_head(name: str) -> None:
    network = adapter(name)
    model: Any = random_model(network, seed=0)
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    maps = model(images)
    head = model.model[-1]
    del head.forward  # Its class's own.
    expected = model(images)[0]  # Boxes as centre and size in pixels, then scores.
    located = [network._located(level) for level in maps]
    boxes, scores = (torch.cat(parts, 1) for parts in zip(*located, strict=True))
    torch.testing.assert_close(scores, expected[:, 4:].mT)
    centre, size = expected[:, :2].mT, expected[:, 2:4].mT
    corners = torch.cat([centre - size / 2, centre + size / 2], 2) / torch.tensor([96, 64, 96, 64])
    torch.testing.assert_close(boxes, corners.clamp(0, 1), atol=1e-5, rtol=1e-5)


def test_training_minimises_the_librarys_own_loss() -> None:
    from ultralytics.utils.loss import v8DetectionLoss

    network = adapter()
    model: Any = random_model(network, seed=0).train()
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    # One box on the first image, none on the second: 16 to 48 of 64 pixels in x, 0 to 32 in y.
    nothing = Boxes.of([], [], [], (640, 640))
    truth = [Boxes.of([[160.0, 0.0, 480.0, 320.0]], [2], [False], (640, 640)), nothing]
    loss = network.loss(model(images), truth)
    loss.backward()
    assert all(part.grad is not None for part in model.parameters() if part.requires_grad)
    del model.model[-1].forward
    batch = {
        "batch_idx": torch.tensor([0.0]), "cls": torch.tensor([2.0]), "bboxes": torch.tensor([[0.5, 0.25, 0.5, 0.5]]),
    }  # fmt: skip
    expected = v8DetectionLoss(model)(model(images), batch)[0].sum() / 2
    assert loss.item() == pytest.approx(expected.item(), rel=1e-3)  # Batch norms have moved on a little.


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["", "-relu"])
def test_everything_up_to_the_maps_spikes(activation: str) -> None:
    network = adapter(f"ultralytics/yolov8n{activation}")
    graph = capture(random_model(network, seed=0), torch.rand(1, 3, 64, 64))
    nonlinear = {str(node.target) for node, rule in graph.rules.items() if rule.role is Role.NONLINEAR}
    assert nonlinear == {"aten.max_pool2d.default"} | (set() if activation else {"aten.silu.default"})
    assert len(graph.firing) == 57
    # Behind the last neurons come the six convolutions that predict, each layer of weights counted once.
    weights = [n for n in graph.body if str(n.target).startswith("aten.conv")]
    assert len(weights) == 63


PROBE = """
import socket
calls = []
socket.socket.connect = lambda self, address: calls.append(address)
from adapters.detection.ultralytics import detector
from torch import nn
detector("yolov8n", 3, nn.ReLU)
from ultralytics.utils import AUTOINSTALL, ONLINE
print(AUTOINSTALL, ONLINE, calls)
"""


@pytest.mark.slow
def test_the_library_neither_reports_nor_installs() -> None:
    """In a process of its own: the library looks at its settings when it is first imported."""
    found = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "False False []"


def published(path: Path, seed: int = 1) -> nn.Module:
    """A file as ultralytics writes it, half precision and all."""
    torch.manual_seed(seed)
    model: nn.Module = library().DetectionModel("yolov8n.yaml", ch=3, nc=80, verbose=False)
    torch.save({"epoch": -1, "ema": None, "model": model.half(), "train_args": {"imgsz": 640}}, path)
    return model.float().eval()


@torch.no_grad()
def test_published_weights_load_as_they_are(tmp_path: Path) -> None:
    source = published(tmp_path / "yolov8n.pt")
    network = adapter("ultralytics/yolov8n", "coco_detection")
    model: Any = network.build()
    path = find_weights(network.name, "coco_detection", tmp_path)
    load_weights(model, path)
    images = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(flat(model.eval()(images)[0][:, : 4 * BINS]), flat(source(images)[1]["boxes"][..., :64]))
    with pytest.raises(CheckpointError, match=r"holds model\.22\.cv3\.0\.0\.conv\.weight with shape"):
        load_weights(adapter("ultralytics/yolov8n", "bccd").build(), path)


class Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch /tmp/should-not-exist",)


def test_a_file_that_would_run_something_is_refused(tmp_path: Path) -> None:
    torch.save({"model": Payload()}, tmp_path / "yolov8n.pt")
    with pytest.raises(CheckpointError, match=r"names (posix|nt)\.system, which is not called"):
        load_weights(adapter("ultralytics/yolov8n", "coco_detection").build(), tmp_path / "yolov8n.pt")


def test_names_with_a_slash_make_paths_without_surprise(tmp_path: Path) -> None:
    cell = Cell(task="coco128", network="ultralytics/yolov8n-relu", method="ann", T=None, seed=0, calibration=1)
    assert "/" not in cell.id and cell.id.startswith("coco128-ultralytics-yolov8n-relu-ann")
    (tmp_path / "ultralytics").mkdir()
    weights = tmp_path / "ultralytics/yolov8n-relu_coco128.safetensors"
    weights.touch()
    assert find_weights(cell.network, cell.task, tmp_path) == weights
