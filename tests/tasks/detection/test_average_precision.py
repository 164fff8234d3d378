"""Average precision against a plain scorer written from VOC's description, pycocotools, and cases counted by hand."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conversion.errors import InvalidInput
from tasks.detection.average_precision import (
    RESAMPLES,
    AveragePrecision,
    area,
    average_precision,
    coco_points,
    eleven_point,
    mean_with_interval,
    rank,
)
from tasks.detection.boxes import Boxes, Detections

SIZE = (100, 200)  # Height and width.
CLASSES = ("cat", "dog")
Box = tuple[float, float, float, float]
Truth = list[tuple[Box, int, bool]]
Found = list[tuple[Box, int, float]]


def truth(objects: Truth) -> Boxes:
    return Boxes.of([list(b) for b, _, _ in objects], [c for _, c, _ in objects], [d for _, _, d in objects], SIZE)


def found(objects: Found) -> Detections:
    height, width = SIZE
    boxes = torch.tensor([b for b, _, _ in objects], dtype=torch.float64).reshape(-1, 4)
    return Detections(
        boxes / torch.tensor([width, height, width, height]),
        torch.tensor([c for _, c, _ in objects]).long(),
        torch.tensor([s for _, _, s in objects], dtype=torch.float64),
    )


def measured(images: Sequence[tuple[Found, Truth]]) -> AveragePrecision:
    metric = AveragePrecision(CLASSES)
    metric.update([found(f) for f, _ in images], [truth(t) for _, t in images])
    return metric


def ap50(images: Sequence[tuple[Found, Truth]]) -> float:
    return metric_value(measured(images), "ap50")


def metric_value(metric: AveragePrecision, name: str) -> float:
    return metric.compute()[name].value


# The oracle: one class at a time, plain loops over numbers.


def plain_iou(a: Box, b: Box) -> float:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    both = wide * high
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def plain_curve(images: Sequence[tuple[Found, Truth]], label: int) -> tuple[list[float], list[float]] | None:
    to_find = sum(c == label and not d for _, t in images for _, c, d in t)
    if not to_find:
        return None
    ranked = [(-s, i, b) for i, (f, _) in enumerate(images) for b, c, s in f if c == label]
    ranked.sort(key=lambda entry: entry[0])
    right = wrong = 0
    used: set[tuple[int, int]] = set()
    precision, recall = [], []
    for _, image, box in ranked:
        best, which = 0.0, -1
        for j, (other, c, _) in enumerate(images[image][1]):
            if c == label and plain_iou(box, other) > best:
                best, which = plain_iou(box, other), j
        if best > 0.5:
            if not images[image][1][which][2]:
                if (image, which) in used:
                    wrong += 1
                else:
                    right += 1
                    used.add((image, which))
        else:
            wrong += 1
        precision.append(right / (right + wrong) if right + wrong else 0.0)
        recall.append(right / to_find)
    return precision, recall


def plain_eleven(precision: list[float], recall: list[float]) -> float:
    return (
        sum(
            max((p for p, r in zip(precision, recall, strict=True) if r >= t), default=0.0)
            for t in np.arange(0, 1.1, 0.1)
        )
        / 11
    )


def plain_area(precision: list[float], recall: list[float]) -> float:
    total, before = 0.0, 0.0
    for i, r in enumerate(recall):
        total += (r - before) * max(precision[i:])
        before = r
    return total


def plain(images: Sequence[tuple[Found, Truth]], form: Callable[[list[float], list[float]], float]) -> float:
    curves = [plain_curve(images, label) for label in range(len(CLASSES))]
    return 100 * float(np.mean([form(*curve) for curve in curves if curve is not None]))


@st.composite
def scenes(draw: Any) -> list[tuple[Found, Truth]]:
    """Some images whose detections are moved copies of true boxes, doubles among them, and inventions."""
    corner = st.floats(0, 60, width=16)
    side = st.floats(4, 40, width=16)
    shift = st.floats(-8, 8, width=16)
    scores = iter(draw(st.lists(st.floats(0.01, 0.99), min_size=60, max_size=60, unique=True)))
    images = []
    for _ in range(draw(st.integers(1, 4))):
        objects: Truth = []
        for _ in range(draw(st.integers(0, 4))):
            x, y, w, h = draw(corner), draw(corner), draw(side), draw(side)
            objects.append(((x, y, x + w, y + h), draw(st.integers(0, 1)), draw(st.booleans())))
        detections: Found = []
        for _ in range(draw(st.integers(0, 6))):
            if objects and draw(st.booleans()):
                (x1, y1, x2, y2), label, _ = draw(st.sampled_from(objects))
                dx, dy = draw(shift), draw(shift)
                detections.append(((x1 + dx, y1 + dy, x2 + dx, y2 + dy), label, next(scores)))
            else:
                x, y = draw(corner), draw(corner)
                detections.append(((x, y, x + draw(side), y + draw(side)), draw(st.integers(0, 1)), next(scores)))
        images.append((detections, objects))
    images.append(([], [((0.0, 0.0, 10.0, 10.0), 0, False)]))  # There is always something to find.
    return images


@pytest.mark.slow
@settings(max_examples=150)
@given(scenes())
def test_both_forms_equal_a_plain_scorer(images: list[tuple[Found, Truth]]) -> None:
    values = measured(images).compute()
    assert values["ap50"].value == pytest.approx(plain(images, plain_area), abs=1e-4)  # In percent: 1e-6.
    assert values["ap50_11point"].value == pytest.approx(plain(images, plain_eleven), abs=1e-4)


@pytest.mark.slow
@settings(max_examples=40)
@given(scenes())
def test_the_order_of_images_and_their_batches_change_nothing(images: list[tuple[Found, Truth]]) -> None:
    one_by_one = AveragePrecision(CLASSES)
    for image in reversed(images):
        one_by_one.update([found(image[0])], [truth(image[1])])
    metric = measured(images)
    assert metric_value(one_by_one, "ap50") == pytest.approx(metric_value(metric, "ap50"), abs=1e-9)
    assert one_by_one.outcomes().tolist() == metric.outcomes().tolist()[::-1]


def test_area_equals_pycocotools_where_the_definitions_agree() -> None:
    """True boxes that do not overlap, at most one match each; recall levels at the multiples of 1 / objects."""
    pytest.importorskip("pycocotools")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    generator = np.random.default_rng(5)
    images: list[tuple[Found, Truth]] = []
    for _ in range(30):
        objects: Truth = [((x, 10.0, x + 30.0, 40.0), 0, False) for x in (0.0, 50.0, 100.0)]
        jitter = generator.normal(0, 6, size=(3, 4))
        moved = [tuple(np.add(b, j)) for (b, _, _), j in zip(objects, jitter, strict=True)]
        detections: Found = [(b, 0, float(generator.uniform())) for b in moved]
        images.append(([*detections, ((160.0, 60.0, 180.0, 80.0), 0, float(generator.uniform()))], objects))
    count = 3 * len(images)

    def record(i: int, k: int, b: Box) -> dict[str, object]:
        box = [b[0], b[1], b[2] - b[0], b[3] - b[1]]
        return {"id": k, "image_id": i, "category_id": 1, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": i} for i in range(len(images))],
            "categories": [{"id": 1, "name": "cat"}],
            "annotations": [
                record(i, 10 * i + k + 1, b) for i, (_, t) in enumerate(images) for k, (b, _, _) in enumerate(t)
            ],
        }
        coco.createIndex()
        results = [record(i, 0, b) | {"score": s} for i, (f, _) in enumerate(images) for b, _, s in f]
        judge = COCOeval(coco, coco.loadRes(results), "bbox")
        judge.params.iouThrs = np.array([0.5])
        judge.params.recThrs = np.arange(1, count + 1) / count
        judge.evaluate()
        judge.accumulate()
    expected = float(judge.eval["precision"][0, :, 0, 0, -1].mean())
    assert 0.2 < expected < 0.95
    assert ap50(images) == pytest.approx(100 * expected, abs=1e-4)


CAT: Box = (10.0, 10.0, 50.0, 50.0)
FAR: Box = (120.0, 40.0, 180.0, 90.0)


def test_a_perfect_answer_scores_100_and_an_image_without_an_answer_0() -> None:
    objects: Truth = [(CAT, 0, False), (FAR, 1, False)]
    assert ap50([([(CAT, 0, 0.9), (FAR, 1, 0.8)], objects)]) == pytest.approx(100)
    assert ap50([([], objects)]) == 0


def test_a_double_is_a_false_alarm() -> None:
    objects: Truth = [(CAT, 0, False), (FAR, 0, False)]
    double: Found = [(CAT, 0, 0.9), (CAT, 0, 0.8), (FAR, 0, 0.7)]
    # Precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1: the area is 1/2 + 1/2 * 2/3; eleven points see 6 * 1 + 5 * 2/3.
    values = measured([(double, objects)]).compute()
    assert values["ap50"].value == pytest.approx(100 * 5 / 6)
    assert values["ap50_11point"].value == pytest.approx(100 * (6 + 5 * 2 / 3) / 11)


def test_the_right_place_with_the_wrong_class_is_a_miss_and_a_false_alarm() -> None:
    objects: Truth = [(CAT, 0, False), (FAR, 1, False)]
    assert ap50([([(CAT, 1, 0.9), (FAR, 1, 0.8)], objects)]) == pytest.approx(100 * (0 + 1 / 2) / 2)


def test_a_difficult_box_need_not_be_found_and_finding_it_costs_nothing() -> None:
    objects: Truth = [(CAT, 0, False), (FAR, 0, True)]
    for detections in ([(CAT, 0, 0.5)], [(FAR, 0, 0.9), (FAR, 0, 0.8), (CAT, 0, 0.5)]):
        assert ap50([(detections, objects)]) == pytest.approx(100)


def test_overlap_of_exactly_a_half_is_too_little() -> None:
    half: Box = (10.0, 10.0, 50.0, 30.0)
    assert ap50([([(half, 0, 0.9)], [(CAT, 0, False)])]) == 0
    more: Box = (10.0, 10.0, 50.0, 30.5)
    assert ap50([([(more, 0, 0.9)], [(CAT, 0, False)])]) == pytest.approx(100)


def test_classes_without_an_object_are_left_out_of_the_mean() -> None:
    assert ap50([([(CAT, 0, 0.9), (FAR, 1, 0.95)], [(CAT, 0, False)])]) == pytest.approx(100)


def test_nothing_seen_and_nothing_to_find_are_refused() -> None:
    with pytest.raises(InvalidInput, match="zero images"):
        AveragePrecision(CLASSES).compute()
    with pytest.raises(InvalidInput, match="none of the images seen has an object"):
        ap50([([(CAT, 0, 0.9)], [(FAR, 0, True)])])
    with pytest.raises(InvalidInput, match="predictions of 1 images and boxes of 0"):
        AveragePrecision(CLASSES).update([found([])], [])


def test_an_image_scores_its_own_average_precision() -> None:
    objects: Truth = [(CAT, 0, False), (FAR, 1, False)]
    images: list[tuple[Found, Truth]] = [
        ([(CAT, 0, 0.9), (FAR, 1, 0.2)], objects),
        ([(CAT, 0, 0.9)], objects),
        ([], []),
        ([(CAT, 0, 0.3)], []),
        ([(CAT, 0, 0.6)], [(CAT, 0, True)]),
    ]
    metric = AveragePrecision(CLASSES)
    metric.update([found(f) for f, _ in images], [truth(t) for _, t in images])
    assert metric.outcomes().tolist() == pytest.approx([1.0, 0.5, 1.0, 0.7, 1.0])


def test_weights_count_an_image_as_often_as_it_was_drawn() -> None:
    generator = np.random.default_rng(1)
    images: list[tuple[Found, Truth]] = []
    for i in range(6):
        detections: Found = [
            (CAT if generator.uniform() < 0.6 else FAR, 0, float(generator.uniform())) for _ in range(4)
        ]
        images.append((detections, [(CAT, 0, False)] if i else [(FAR, 0, False), (CAT, 0, False)]))
    drawn = [2, 0, 1, 3, 0, 0]
    repeated = [image for image, times in zip(images, drawn, strict=True) for _ in range(times)]
    for form in (area, eleven_point, coco_points):
        # A draw repeats detections of equal score, right and wrong ones in turn; a weight takes each at once.
        weighted = average_precision(rank(measured(images)._images, 0), form, np.array([drawn], dtype=float))
        unweighted = average_precision(rank(measured(repeated)._images, 0), form)
        assert float(weighted[0]) == pytest.approx(float(unweighted), abs=1e-12)


def test_the_interval_holds_the_value_narrows_with_images_and_is_the_same_again() -> None:
    def width(n: int) -> float:
        generator = np.random.default_rng(0)
        images: list[tuple[Found, Truth]] = [
            ([(CAT, 0, float(generator.uniform())), (FAR, 0, float(generator.uniform()))], [(CAT, 0, False)])
            for _ in range(n)
        ]
        first, again = measured(images).compute()["ap50"], measured(images).compute()["ap50"]
        assert first == again
        assert first.ci_low <= first.value <= first.ci_high
        assert first.n == n
        return first.ci_high - first.ci_low

    assert 0 < width(400) < 0.5 * width(40)


def test_the_interval_is_that_of_a_bootstrap_written_plainly() -> None:
    generator = np.random.default_rng(3)
    images: list[tuple[Found, Truth]] = [
        ([(CAT if generator.uniform() < 0.7 else FAR, 0, float(generator.uniform()))], [(CAT, 0, False)])
        for _ in range(40)
    ]
    metric = measured(images)
    measure = mean_with_interval([rank(metric._images, 0)], area)
    values = []
    for _ in range(RESAMPLES):
        chosen = [images[i] for i in generator.integers(0, len(images), len(images))]
        values.append(plain(chosen, plain_area))
    low, high = np.percentile(values, [2.5, 97.5])
    # Two bootstraps of 300 draws: their ends agree but for a tenth or two of their distance.
    assert abs(measure.ci_low - low) < 0.25 * (high - low)
    assert abs(measure.ci_high - high) < 0.25 * (high - low)
