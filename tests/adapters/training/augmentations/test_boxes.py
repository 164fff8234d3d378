"""Augmentation of detection: boxes go where the image goes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from adapters.training.augmentations import AUGMENTATIONS
from adapters.training.sampling import Augmented
from tasks.detection.boxes import Boxes
from tasks.detection.mini import Scenes

NAMES = ("detection", "detection_any_way_up", "detection_ssd", "detection_ssd_any_way_up")


def scene() -> tuple[Tensor, Boxes]:
    """Three bright blocks on black; annotated in an original of twice the size."""
    image = torch.zeros(3, 64, 64, dtype=torch.uint8)
    corners = [[4.0, 6.0, 24.0, 22.0], [34.0, 10.0, 60.0, 20.0], [12.0, 34.0, 28.0, 60.0]]
    for x1, y1, x2, y2 in corners:
        image[:, int(y1) : int(y2), int(x1) : int(x2)] = 255
    original = [[2 * value for value in box] for box in corners]
    return image, Boxes.of(original, [0, 1, 2], [False, True, False], (128, 128), "scene")


def changed(name: str, seed: int) -> tuple[Tensor, Boxes]:
    image, boxes = scene()
    data = Scenes(image[None], [boxes])
    return Augmented(data, AUGMENTATIONS[name]((3, 64, 64)), seed)[0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_what_is_bright_is_what_is_boxed(name: str) -> None:
    """Inside of every box that came through whole, nearly all pixels are those of its block."""
    seen = 0
    for seed in range(30):
        image, boxes = changed(name, seed)
        assert (tuple(image.shape), image.dtype, boxes.size) == ((3, 64, 64), torch.uint8, (64, 64))
        assert bool((boxes.boxes >= 0).all() and (boxes.boxes <= 64).all())
        # Brightness, contrast and saturation turn white into a grey that the ground, or the margin, falls short of.
        for x1, y1, x2, y2 in boxes.boxes.round().int().tolist():
            inner = image[:, y1 + 2 : y2 - 2, x1 + 2 : x2 - 2].float()
            if inner.numel():
                assert float(inner.std()) < 12
                assert float(inner.mean()) > float(image.min()) + 40
                seen += 1
    assert seen > 40


def test_labels_and_flags_stay_with_their_boxes() -> None:
    """The first block is 20 x 16, the second flat, the third upright: shape tells which is which."""
    for seed in range(30):
        _, boxes = changed("detection", seed)
        assert [label == 1 for label in boxes.labels.tolist()] == boxes.ignored.tolist()
        for box, label in zip(boxes.boxes, boxes.labels.tolist(), strict=True):
            inside = bool((box > 0.5).all() and (box < 63.5).all())
            # The crop's aspect is at most 2; what touches the border may be cut.
            if inside and label != 0:
                wide, high = float(box[2] - box[0]), float(box[3] - box[1])
                assert wide / high > 26 / 10 / 2.1 if label == 1 else high / wide > 26 / 16 / 2.1


def test_some_are_mirrored_upside_down_only_where_there_is_no_up() -> None:
    def lowest(name: str) -> set[int]:
        """Which blocks come out lowest, where all three are still there."""
        found = set()
        for seed in range(40):
            _, boxes = changed(name, seed)
            if len(boxes.labels) == 3:
                found.add(int(boxes.labels[boxes.boxes[:, 3].argmax()]))
        return found

    assert lowest("detection") == {2}
    assert lowest("detection_any_way_up") > {2}


def test_an_image_without_an_object_goes_through() -> None:
    data = Scenes(scene()[0][None], [Boxes.of([], [], [], (64, 64))])
    for seed in range(8):
        image, boxes = Augmented(data, AUGMENTATIONS["detection"]((3, 64, 64)), seed)[0, 0]
        assert tuple(image.shape) == (3, 64, 64)
        assert boxes.boxes.shape == (0, 4)
