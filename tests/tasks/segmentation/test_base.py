"""mIoU and pixel accuracy: by hand, against torchmetrics, against a plain loop, and the interval."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from conversion.errors import InvalidInput
from tasks.segmentation.base import IGNORE, MeanIoU, padded


def measured(predictions: Tensor, targets: Tensor, classes: int) -> MeanIoU:
    metric = MeanIoU(classes)
    metric.update(predictions, targets)
    return metric


def scenes(n: int, classes: int, seed: int, void: float = 0.2) -> tuple[Tensor, Tensor]:
    """Maps of which two thirds are right and some pixels are not labelled."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(classes, (n, 9, 7), generator=generator)
    wrong = torch.rand(targets.shape, generator=generator) < 1 / 3
    predictions = torch.where(wrong, torch.randint(classes, targets.shape, generator=generator), targets)
    targets[torch.rand(targets.shape, generator=generator) < void] = IGNORE
    return predictions, targets


def test_by_hand() -> None:
    """Class 0: 2 of a union of 3; class 1: 1 of 2; class 2 is nowhere. The pixel of 255 counts for nobody."""
    metric = measured(torch.tensor([[[0, 0], [1, 1], [2, 2]]]), torch.tensor([[[0, 0], [0, 1], [255, 255]]]), 3)
    computed = metric.compute()
    assert computed["miou"].value == pytest.approx(100 * (2 / 3 + 1 / 2) / 2)
    assert computed["pixel_accuracy"].value == pytest.approx(100 * 3 / 4)
    assert computed["miou"].n == 1
    assert metric.outcomes().tolist() == pytest.approx([(2 / 3 + 1 / 2) / 2])


def test_classes_count_the_same_over_all_images_together() -> None:
    """A small class weighs as much as a large one, and an image's size in a class matters: no mean of images."""
    targets = torch.zeros(2, 10, 10, dtype=torch.long)
    targets[0, 0, 0], targets[1, :, :2] = 1, 1
    predictions = torch.zeros_like(targets)
    predictions[1, :, :2] = 1
    metric = measured(predictions, targets, 2)
    assert metric.compute()["miou"].value == pytest.approx(100 * (179 / 180 * 1 + 20 / 21) / 2)
    assert metric.outcomes().tolist() == pytest.approx([(99 / 100 + 0) / 2, 1.0])


@settings(max_examples=25)
@given(st.integers(1, 5), st.integers(2, 8), st.integers(0, 1000))
def test_equals_torchmetrics_and_a_plain_loop(n: int, classes: int, seed: int) -> None:
    predictions, targets = scenes(n, classes, seed)
    computed = measured(predictions, targets, classes).compute()
    jaccard = MulticlassJaccardIndex(classes, ignore_index=IGNORE, validate_args=False)
    accuracy = MulticlassAccuracy(classes, average="micro", ignore_index=IGNORE, validate_args=False)
    assert computed["miou"].value == pytest.approx(100 * float(jaccard(predictions, targets)), abs=1e-4)
    assert computed["pixel_accuracy"].value == pytest.approx(100 * float(accuracy(predictions, targets)), abs=1e-4)
    pairs = [
        (p, t) for p, t in zip(predictions.flatten().tolist(), targets.flatten().tolist(), strict=True) if t != IGNORE
    ]
    ious = []
    for c in range(classes):
        either = sum(p == c or t == c for p, t in pairs)
        if either:
            ious.append(sum(p == c and t == c for p, t in pairs) / either)
    assert computed["miou"].value == pytest.approx(100 * sum(ious) / len(ious))
    assert computed["pixel_accuracy"].value == pytest.approx(100 * sum(p == t for p, t in pairs) / len(pairs))


def test_order_and_size_of_updates_change_nothing() -> None:
    predictions, targets = scenes(12, 4, seed=1)
    forward, backward = MeanIoU(4), MeanIoU(4)
    for part in torch.arange(12).split(5):
        forward.update(predictions[part], targets[part])
    for index in reversed(range(12)):
        backward.update(predictions[index : index + 1], targets[index : index + 1])
    assert forward.compute() == backward.compute() == measured(predictions, targets, 4).compute()
    assert torch.equal(forward.outcomes(), backward.outcomes().flip(0))


def test_the_interval_is_that_of_drawing_images() -> None:
    """Images all alike have none; of images all right or all wrong, pixel accuracy varies as a binomial."""
    predictions, targets = scenes(1, 4, seed=2)
    alike = measured(predictions.repeat(50, 1, 1), targets.repeat(50, 1, 1), 4).compute()
    assert all(m.ci_low == pytest.approx(m.value) == pytest.approx(m.ci_high) for m in alike.values())
    targets = torch.zeros(100, 4, 4, dtype=torch.long)
    predictions = targets.clone()
    predictions[:50] = 1
    accuracy = measured(predictions, targets, 2).compute()["pixel_accuracy"]
    # 50 +- 1.96 * 100 * sqrt(0.25 / 100), to the noise of 1,000 resamples and the grid of whole images.
    assert accuracy.ci_low == pytest.approx(40.2, abs=1.5)
    assert accuracy.ci_high == pytest.approx(59.8, abs=1.5)


def test_an_image_without_labels_changes_no_score_but_its_own() -> None:
    predictions, targets = scenes(4, 3, seed=3)
    before = measured(predictions, targets, 3)
    after = measured(predictions, targets, 3)
    after.update(predictions[:1], torch.full_like(targets[:1], IGNORE))
    assert {k: v.value for k, v in before.compute().items()} == {k: v.value for k, v in after.compute().items()}
    assert after.outcomes().tolist() == [*before.outcomes().tolist(), 1.0]


def test_nothing_seen_and_nothing_labelled_have_no_value() -> None:
    empty = torch.full((1, 2, 2), IGNORE)
    for metric in (MeanIoU(2), measured(torch.zeros(1, 2, 2, dtype=torch.long), empty, 2)):
        with pytest.raises(InvalidInput, match="zero labelled pixels"):
            metric.compute()


@pytest.mark.parametrize(
    ("predicted", "target", "message"),
    [(2, 0, "prediction holds classes 2 to 2; there are 2"), (0, 7, "target holds classes 7 to 7")],
)
def test_classes_out_of_range_are_refused(predicted: int, target: int, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        MeanIoU(2).update(torch.full((1, 2, 2), predicted), torch.full((1, 2, 2), target))


def test_maps_of_another_shape_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"shape \(N, H, W\)"):
        MeanIoU(2).update(torch.zeros(1, 2, 3), torch.zeros(1, 3, 2))
    with pytest.raises(InvalidInput, match=r"shape \(N, H, W\)"):
        MeanIoU(2).update(torch.zeros(4), torch.zeros(4))


def test_padding_is_at_the_right_and_below() -> None:
    image = torch.arange(12, dtype=torch.uint8).view(3, 2, 2)
    canvas, labels = padded(image, torch.ones(2, 2, dtype=torch.uint8), (3, 3, 4), (7, 8, 9))
    assert torch.equal(canvas[:, :2, :2], image)
    assert labels.tolist() == [[1, 1, IGNORE, IGNORE], [1, 1, IGNORE, IGNORE], [IGNORE] * 4]
    assert canvas[:, 2].tolist() == [[7] * 4, [8] * 4, [9] * 4] and canvas[:, 0, 3].tolist() == [7, 8, 9]
