"""Random changes of images together with their boxes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.transforms import v2

from adapters.training.augmentations.images import Transform
from tasks.detection.boxes import Boxes

GREY = 128


class BoxTransform:
    """A transform of torchvision v2 that moves boxes along with the image.

    The boxes that it returns are in pixels of the transformed image.

    Args:
        transform: transform of an image and a dictionary of boxes, labels and flags.
        size: height and width of the transformed image.
    """

    def __init__(self, transform: nn.Module, size: tuple[int, int]) -> None:
        drop = v2.SanitizeBoundingBoxes(
            min_size=2, labels_getter=lambda sample: (sample[1]["labels"], sample[1]["ignored"])
        )
        self.transform = v2.Compose([transform, v2.Resize(size), v2.ClampBoundingBoxes(), drop])
        self.size = size

    def __call__(self, image: Tensor, target: Boxes) -> tuple[Tensor, Boxes]:
        height, width = image.shape[-2:]
        pixels = target.fractions * torch.tensor([width, height, width, height])
        boxes = tv_tensors.BoundingBoxes(pixels, format="XYXY", canvas_size=(height, width))
        parts = {"boxes": boxes, "labels": target.labels, "ignored": target.ignored}
        changed, parts = self.transform(tv_tensors.Image(image), parts)
        found = parts["boxes"].as_subclass(Tensor)
        return changed.as_subclass(Tensor), Boxes(found, parts["labels"], parts["ignored"], self.size, target.image)


def boxed(shape: Sequence[int], *more: nn.Module) -> Transform:
    """A milder form of SSD's for small sets: colours, zooming out, a crop that keeps centres of boxes, mirroring."""
    colours = v2.ColorJitter(0.3, 0.3, 0.3)
    zoom = v2.RandomZoomOut(fill=GREY, side_range=(1.0, 1.5), p=0.25)
    crop = v2.RandomIoUCrop(min_scale=0.4, sampler_options=[0.0, 0.0, 1.0])
    return BoxTransform(v2.Compose([colours, zoom, crop, v2.RandomHorizontalFlip(), *more]), (shape[-2], shape[-1]))


def ssd(shape: Sequence[int], *more: nn.Module) -> Transform:
    """SSD's augmentation as torchvision has it, without zooming out, which the released YOLOv2 leaves out.

    Brightness, contrast, saturation and hue; a crop that overlaps a box by a drawn share; mirroring (Liu et al., "SSD:
    Single Shot MultiBox Detector", ECCV 2016, section 2.2).
    """
    changes = v2.Compose([v2.RandomPhotometricDistort(), v2.RandomIoUCrop(), v2.RandomHorizontalFlip(), *more])
    return BoxTransform(changes, (shape[-2], shape[-1]))
