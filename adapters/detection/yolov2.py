"""YOLOv2 (Redmon, Farhadi, "YOLO9000: Better, Faster, Stronger", CVPR 2017); all of its activations become neurons.

With ReLU, and as published with leaky ReLU, whose neurons fire spikes of both signs.

The released code of the paper has it on Darknet-19 and ResNet-50. Its prediction tensor comes from a convolution behind
the last activation; boxes are decoded once, from the tensor averaged over time.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import batched_nms

from adapters.base import NETWORKS, Backbone, Network, NetworkInfo, Recipe
from adapters.detection.anchors import ANCHOR_CELL
from adapters.detection.backbones import (
    Activation,
    Darknet19,
    NarrowResNet,
    TinyDarknet,
    convolution,
    resnet34_backbone,
    resnet50_backbone,
)
from adapters.detection.loss import boxes_of, unpack, yolo_loss
from adapters.initialisation import initialise
from tasks.base import Task
from tasks.detection.base import Detection
from tasks.detection.boxes import Boxes, Detections

PRIOR = -3.0
"""Logit of the confidence before training, low because most anchors have no box."""
LEAST_SCORE, LARGEST_LOG = 0.001, 4.0
BEFORE_NMS, AFTER_NMS = 1000, 300
"""Most boxes of one image before and after suppression; VOC has at most 56 on one."""


RESNET_NAMES = {"": "backbone.", "conv1.": "backbone.stem.0.", "bn1.": "backbone.stem.1."}
"""Names of torchvision's ResNets, and those of `TorchvisionResNet` in a detector."""
LEAKY = partial(nn.LeakyReLU, 0.1)
"""Darknet's slope."""


class YOLOv2(nn.Module):
    """Backbone, two convolutions on the coarse map, the fine map beside them, one convolution, the prediction.

    The fine map is brought to the coarse grid by moving 2x2 pixels into channels (passthrough).

    Args:
        backbone: see `adapters.detection.backbones`.
        anchors: number of anchors of each cell.
        classes: number of classes.
        width: channels of the convolutions on the coarse grid.
        passed: channels that the fine map is reduced to.
        activation: makes the activations behind the backbone.
    """

    def __init__(
        self, backbone: nn.Module, anchors: int, classes: int, width: int = 1024, passed: int = 64,
        activation: Activation = nn.ReLU,
    ) -> None:  # fmt: skip
        super().__init__()
        fine, coarse = backbone.channels  # type: ignore[misc]
        self.backbone = backbone
        self.neck = nn.Sequential(convolution(coarse, width, 3, activation), convolution(width, width, 3, activation))
        self.passthrough = convolution(fine, passed, 1, activation)
        self.merge = convolution(width + 4 * passed, width, 3, activation)
        self.predict = nn.Conv2d(width, anchors * (5 + classes), 1)
        initialise(self)
        with torch.no_grad():
            self.predict.weight.mul_(0.1)
            self.predict.bias.view(anchors, -1)[:, 4] = PRIOR  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, anchors * (5 + classes), h, w), h and w those of the coarser map."""
        fine, coarse = self.backbone(x)
        passed = F.pixel_unshuffle(self.passthrough(fine), 2)
        return self.predict(self.merge(torch.cat([passed, self.neck(coarse)], dim=1)))


class TinyYOLOv2(nn.Module):
    """Tiny YOLOv2: a chain of convolutions, without passthrough.

    Args:
        anchors: number of anchors of each cell.
        classes: number of classes.
        activation: makes the activations.
    """

    def __init__(self, anchors: int, classes: int, activation: Activation = nn.ReLU) -> None:
        super().__init__()
        self.backbone = TinyDarknet(activation)
        self.neck = convolution(1024, 1024, 3, activation)
        self.predict = nn.Conv2d(1024, anchors * (5 + classes), 1)
        initialise(self)
        with torch.no_grad():
            self.predict.weight.mul_(0.1)
            self.predict.bias.view(anchors, -1)[:, 4] = PRIOR  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, anchors * (5 + classes), H / 32, W / 32)."""
        return self.predict(self.neck(self.backbone(x)[1]))


class YoloNetwork(Network):
    """A YOLOv2 for every detection task. Subclasses build the module.

    A score is sigmoid(confidence) * softmax(classes) of the likeliest class; boxes of one class that overlap a better
    one by more than `nms` are suppressed.
    """

    info = NetworkInfo(
        "YOLOv2",
        'Redmon, Farhadi, "YOLO9000: Better, Faster, Stronger", CVPR 2017',
        "https://pjreddie.com/darknet/yolov2/",
    )
    family, shape = Detection, (3, None, None)
    task: Detection
    mean, std = (0.406, 0.456, 0.485), (0.225, 0.224, 0.229)
    # As the released code trains.
    recipe = Recipe(
        epochs=250, batch_size=16, learning_rate=1e-3, augment="detection_ssd", warmup=2, warmup_shape="quartic",
        milestones=(150, 200), sides=tuple(range(320, 609, 32)), ema=0.9999, validate_every=10,
    )  # fmt: skip
    nms: ClassVar[float] = 0.5
    stride = 32
    """Also the side in pixels of a cell of the prediction."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.anchors = torch.tensor(self.task.anchors) * ANCHOR_CELL / self.stride
        if self.recipe.augment in ("detection", "detection_ssd") and not self.task.upright:
            self.recipe = replace(self.recipe, augment=f"{self.recipe.augment}_any_way_up")

    def decode(self, output: Any) -> list[Detections]:
        """The prediction tensor (N, anchors * (5 + classes), h, w) to the detections of each image, best first."""
        return [self._found(parts) for parts in unpack(output, len(self.anchors))]

    def _found(self, parts: Tensor) -> Detections:
        """The detections of one image, from its predictions, shape (h, w, anchors, 5 + classes)."""
        grid = (parts.shape[0], parts.shape[1])
        rows, columns = (torch.arange(n) for n in grid)
        cells = (rows[:, None, None], columns[None, :, None])
        # After few steps, log sizes can be so large that exp overflows; trained networks stay far below the limit.
        parts = torch.cat([parts[..., :2], parts[..., 2:4].clamp(max=LARGEST_LOG), parts[..., 4:]], dim=-1)
        boxes = boxes_of(parts, cells, self.anchors, grid).clamp(0, 1).reshape(-1, 4)
        sure, labels = parts[..., 5:].softmax(-1).max(-1)
        scores, labels = (parts[..., 4].sigmoid() * sure).flatten(), labels.flatten()
        likely = scores.argsort(descending=True, stable=True)[:BEFORE_NMS]
        likely = likely[scores[likely] >= LEAST_SCORE]
        boxes, scores, labels = boxes[likely], scores[likely], labels[likely]
        kept = batched_nms(boxes, scores, labels, self.nms)[:AFTER_NMS]
        return Detections(boxes[kept], labels[kept], scores[kept])

    def loss(self, output: Any, targets: list[Boxes]) -> Tensor:
        """See `yolo_loss`."""
        return yolo_loss(output, targets, self.anchors)


@NETWORKS.register("yolov2_d19")
class YoloDarknet19(YoloNetwork):
    """YOLOv2 on Darknet-19."""

    def build(self) -> YOLOv2:
        return YOLOv2(Darknet19(), len(self.anchors), len(self.task.classes))


@NETWORKS.register("yolov2_d19_leaky")
class YoloDarknet19Leaky(YoloNetwork):
    """YOLOv2 on Darknet-19 with its published activation."""

    def build(self) -> YOLOv2:
        return YOLOv2(Darknet19(LEAKY), len(self.anchors), len(self.task.classes), activation=LEAKY)


@NETWORKS.register("yolov2_r34")
class YoloResNet34(YoloNetwork):
    """YOLOv2 on ResNet-34."""

    nms = 0.6
    backbone = Backbone("torchvision's weights of ResNet-34", RESNET_NAMES, ("fc.",))

    def build(self) -> YOLOv2:
        return YOLOv2(resnet34_backbone(), len(self.anchors), len(self.task.classes), width=512)


@NETWORKS.register("yolov2_r50")
class YoloResNet50(YoloNetwork):
    """YOLOv2 on ResNet-50."""

    nms = 0.6
    backbone = Backbone("torchvision's weights of ResNet-50", RESNET_NAMES, ("fc.",))

    def build(self) -> YOLOv2:
        return YOLOv2(resnet50_backbone(), len(self.anchors), len(self.task.classes), passed=128)


@NETWORKS.register("yolov2_tiny")
class YoloTiny(YoloNetwork):
    """Tiny YOLOv2."""

    def build(self) -> TinyYOLOv2:
        return TinyYOLOv2(len(self.anchors), len(self.task.classes))


@NETWORKS.register("yolov2_tiny_leaky")
class YoloTinyLeaky(YoloNetwork):
    """Tiny YOLOv2 with its published activation."""

    def build(self) -> TinyYOLOv2:
        return TinyYOLOv2(len(self.anchors), len(self.task.classes), LEAKY)


@NETWORKS.register("yolov2_light")
class YoloLight(YoloNetwork):
    """YOLOv2 on three narrow stages of a ResNet-18, with cells of 16 pixels: it trains from random weights on a CPU."""

    stride = 16
    recipe = Recipe(
        epochs=60, batch_size=8, learning_rate=2e-3, augment="detection", warmup=4, ema=0.995, validate_every=5
    )

    def build(self) -> YOLOv2:
        network = YOLOv2(NarrowResNet(), len(self.anchors), len(self.task.classes), width=192, passed=16)
        # Convolutions in bfloat16 on a CPU are faster in this order.
        return network.to(memory_format=torch.channels_last)


@NETWORKS.register("yolov2_mini")
class YoloMini(YoloNetwork):
    """YOLOv2 on two very narrow stages of a ResNet, with cells of 8 pixels, for drawn scenes; its weights ship."""

    stride = 8
    mean, std = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
    recipe = Recipe(epochs=50, batch_size=16, learning_rate=1e-2, augment="none", warmup=2, validate_every=5)

    def build(self) -> YOLOv2:
        return YOLOv2(NarrowResNet((8, 16, 32)), len(self.anchors), len(self.task.classes), width=48, passed=8)
