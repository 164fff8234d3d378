"""Detectors of ultralytics (YOLOv3-tiny to YOLO11), with SiLU as published or with ReLU, for every detection task.

ultralytics builds the network and computes the loss of training. Its head here outputs one prediction map for each
scale; boxes are decoded once, from the maps averaged over time. The library is configured before its import to neither
download nor report anything.
"""

from __future__ import annotations

import os
from types import MethodType
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.ops import batched_nms

from adapters.base import NETWORKS, Network, NetworkInfo, Recipe
from conversion.errors import InvalidInput
from tasks.detection.base import Detection
from tasks.detection.boxes import Boxes, Detections

ARCHITECTURES = ("yolov3-tiny", "yolov5n", "yolov8n", "yolov8s", "yolo11n")
LEAST_SCORE, NMS, BEFORE_NMS, AFTER_NMS = 0.001, 0.7, 30000, 300
"""Least score, IoU of suppression, and most boxes of an image before and after it, as in ultralytics' validation."""
SIDES = 4


def library() -> Any:
    """`ultralytics.nn.tasks`, imported when it is needed: the import takes a second and writes a settings file.

    Raises:
        InvalidInput: ultralytics is not installed.
    """
    os.environ.update(YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false")
    opened = Image.open
    try:
        from ultralytics.nn import tasks
    except ImportError as error:
        raise InvalidInput(
            "These detectors need ultralytics, which is not installed: pip install -e '.[detection]'."
        ) from error
    Image.open = opened  # Its own looks for a package to install when an image is damaged.
    return tasks


def detector(architecture: str, classes: int, activation: type[nn.Module]) -> nn.Module:
    """A detector with random weights: images (N, 3, H, W) to a tuple of maps (N, 4 * bins + classes, h, w).

    Args:
        architecture: ultralytics' name, "yolov8n".
        classes: number of classes.
        activation: takes the place of every SiLU.

    Raises:
        InvalidInput: ultralytics is not installed.
    """
    model: nn.Module = library().DetectionModel(f"{architecture}.yaml", ch=3, nc=classes, verbose=False)
    for part in model.modules():
        if isinstance(getattr(part, "act", None), nn.SiLU):
            part.act = activation()
    head: Any = model.model[-1]  # type: ignore[index]
    head.forward = MethodType(_maps, head)
    return model


def _maps(head: Any, features: list[Tensor]) -> tuple[Tensor, ...]:
    """The head's forward pass: for each scale a map with the distances of the four sides and the class logits."""
    branches = zip(features, head.cv2, head.cv3, strict=True)
    return tuple(torch.cat([boxes(x), classes(x)], 1) for x, boxes, classes in branches)


class UltralyticsYolo(Network):
    """A detector of ultralytics. Its input is the image between 0 and 1, at the task's size and without borders.

    A box's distance to its cell's centre has a distribution over bins for each side; its mean counts. Every class of a
    cell is a box of its own. Recipe: that of ultralytics, with the augmentation of the other detectors.
    """

    # As published, for instance yolov8n.pt.
    info = NetworkInfo(
        "YOLO of ultralytics", homepage="https://docs.ultralytics.com/models/", licence="AGPL-3.0",
        files={"coco": "{name}.pt"},
    )  # fmt: skip
    family, shape, stride = Detection, (3, None, None), 32
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    recipe = Recipe(
        epochs=100, batch_size=16, learning_rate=0.01, augment="detection", warmup=3, ema=0.999, validate_every=5
    )
    architecture: ClassVar[str]
    activation: ClassVar[type[nn.Module]]
    _criterion: Any = None

    def build(self) -> nn.Module:
        self._model = detector(self.architecture, len(self.task.classes), self.activation)
        return self._model

    def decode(self, output: Any) -> list[Detections]:
        """Maps of all scales, each (N, 4 * bins + classes, h, w), to the detections of each image, best first."""
        located = [self._located(level.float()) for level in output]
        boxes, scores = (torch.cat(parts, 1) for parts in zip(*located, strict=True))
        return [self._found(*of_image) for of_image in zip(boxes, scores, strict=True)]

    def _located(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes (N, h * w, 4) in fractions of the image and scores (N, h * w, classes) of one scale."""
        samples, channels, rows, columns = level.shape
        classes = len(self.task.classes)
        bins = (channels - classes) // SIDES
        sides = level[:, : SIDES * bins].reshape(samples, SIDES, bins, -1).softmax(2)
        left, top, right, bottom = torch.einsum("nsbc,b->snc", sides, torch.arange(bins, dtype=sides.dtype))
        y, x = (
            centre.flatten() + 0.5
            for centre in torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        )
        corners = ((x - left) / columns, (y - top) / rows, (x + right) / columns, (y + bottom) / rows)
        return torch.stack(corners, -1).clamp(0, 1), level[:, SIDES * bins :].flatten(2).mT.sigmoid()

    def _found(self, boxes: Tensor, scores: Tensor) -> Detections:
        cells, labels = (scores >= LEAST_SCORE).nonzero(as_tuple=True)
        sure = scores[cells, labels]
        likely = sure.argsort(descending=True, stable=True)[:BEFORE_NMS]
        cells, labels, sure = cells[likely], labels[likely], sure[likely]
        kept = batched_nms(boxes[cells], sure, labels, NMS)[:AFTER_NMS]
        return Detections(boxes[cells][kept], labels[kept], sure[kept])

    def loss(self, output: Any, targets: list[Boxes]) -> Tensor:
        """The loss of ultralytics: boxes, classes and distributions, of the cells that its assigner chooses."""
        if self._criterion is None:
            from ultralytics.cfg import get_cfg
            from ultralytics.utils.loss import v8DetectionLoss

            self._model.args = get_cfg()  # type: ignore[assignment]  # Its weights of the three parts.
            self._criterion = v8DetectionLoss(self._model)
        maps = [level.float() for level in output]
        split = maps[0].shape[1] - len(self.task.classes)
        predictions = {
            "feats": maps,
            "boxes": torch.cat([level[:, :split].flatten(2) for level in maps], -1),
            "scores": torch.cat([level[:, split:].flatten(2) for level in maps], -1),
        }
        corners = torch.cat([boxes.fractions for boxes in targets])
        batch = {
            "batch_idx": torch.cat([torch.full((len(boxes.labels),), float(i)) for i, boxes in enumerate(targets)]),
            "cls": torch.cat([boxes.labels.float() for boxes in targets]),
            "bboxes": torch.cat([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], 1),
        }
        loss: Tensor = self._criterion(predictions, batch)[0].sum() / len(targets)
        return loss


for _architecture in ARCHITECTURES:
    for _suffix, _activation in (("", nn.SiLU), ("-relu", nn.ReLU)):
        NETWORKS.variant(
            UltralyticsYolo, f"ultralytics/{_architecture}{_suffix}", f"{_architecture} with {_activation.__name__}.",
            architecture=_architecture, activation=_activation,
        )  # fmt: skip
