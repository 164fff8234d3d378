"""IoU of parts: closed forms, a brute-force oracle, an independent library, and what no order may change."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from conversion.errors import InvalidInput
from tasks.points.parts import PartIoU

CATEGORIES = {"Mug": (0, 1), "Lamp": (2, 3, 4)}


def measured(predictions: Tensor, targets: Tensor) -> dict[str, float]:
    metric = PartIoU(CATEGORIES)
    metric.update(predictions, targets)
    return {name: measure.value for name, measure in metric.compute().items()}


def parts(*shapes: list[int]) -> Tensor:
    return torch.tensor(shapes, dtype=torch.uint8)


def test_a_part_that_is_absent_and_not_predicted_counts_1() -> None:
    """A mug without a handle, all right: body 1, handle 1. Half of it called handle: 1/2 and 0."""
    assert measured(parts([0, 0, 0, 0]), parts([0, 0, 0, 0]))["category_miou"] == 100
    assert measured(parts([0, 0, 1, 1]), parts([0, 0, 0, 0]))["category_miou"] == 25


def test_categories_count_the_same_and_instances_too() -> None:
    """Two mugs of IoU 1 and one lamp of (1/3 + 1/3 + 1) / 3: by hand."""
    found = measured(
        parts([0, 0, 0, 1], [0, 1, 1, 1], [2, 3, 3, 3]), parts([0, 0, 0, 1], [0, 1, 1, 1], [2, 2, 3, 2])
    )  # The lamp: 2 is right once of three, 3 once of three; 4 occurs nowhere.
    lamp = (1 / 3 + 1 / 3 + 1) / 3
    assert found["miou_mug"] == 100 and found["miou_lamp"] == pytest.approx(100 * lamp)
    assert found["category_miou"] == pytest.approx(100 * (1 + lamp) / 2)
    assert found["instance_miou"] == pytest.approx(100 * (2 + lamp) / 3)


def test_a_part_of_another_category_is_wrong_and_no_more() -> None:
    """A mug's body called a lamp's base is missed: 1/2 of the body, and the handle as it is."""
    assert measured(parts([0, 2, 1, 1]), parts([0, 0, 1, 1]))["category_miou"] == 100 * (0.5 + 1) / 2


SHAPES = st.lists(
    st.sampled_from([0, 1]).flatmap(
        lambda category: st.lists(
            st.tuples(*[st.sampled_from(list(CATEGORIES.values())[category])] * 2), min_size=6, max_size=6
        )
    ),
    min_size=1,
    max_size=8,
)


@pytest.mark.slow
@given(SHAPES)
@settings(max_examples=60)
def test_is_what_counting_by_hand_gives(shapes: list[list[tuple[int, int]]]) -> None:
    by_category: dict[str, list[float]] = {}
    for shape in shapes:
        name, own = next((name, own) for name, own in CATEGORIES.items() if shape[0][1] in own)
        ious = []
        for part in own:
            both = sum(found == true == part for found, true in shape)
            either = sum(part in pair for pair in shape)
            ious.append(both / either if either else 1.0)
        by_category.setdefault(name, []).append(sum(ious) / len(ious))
    pairs = torch.tensor(shapes)
    found = measured(pairs[..., 0], pairs[..., 1])
    means = [sum(values) / len(values) for values in by_category.values()]
    every = [value for values in by_category.values() for value in values]
    assert found["category_miou"] == pytest.approx(100 * sum(means) / len(means))
    assert found["instance_miou"] == pytest.approx(100 * sum(every) / len(every))


def test_agrees_with_torchmetrics_where_every_part_occurs() -> None:
    from torchmetrics.functional.segmentation import mean_iou

    generator = torch.Generator().manual_seed(0)
    found, true = (torch.randint(0, 4, (20, 200), generator=generator) for _ in range(2))
    metric = PartIoU({"Vase": range(4)})
    metric.update(found, true)
    pairs = zip(found[:, None], true[:, None], strict=True)
    expected = torch.cat([mean_iou(*pair, num_classes=4, input_format="index").flatten() for pair in pairs])
    assert torch.allclose(metric.outcomes(), expected.float(), atol=1e-6)
    assert metric.compute()["category_miou"].value == pytest.approx(100 * float(expected.mean()))
    assert list(metric.compute()) == ["category_miou", "instance_miou"]


def test_intervals_are_of_the_width_that_the_spread_of_shapes_gives() -> None:
    """The interval of 400 shapes of one category is 1.96 standard errors to either side."""
    generator = torch.Generator().manual_seed(0)
    found, true = (torch.randint(0, 2, (400, 20), generator=generator) for _ in range(2))
    metric = PartIoU({"Mug": (0, 1)})
    metric.update(found, true)
    measure = metric.compute()["category_miou"]
    error = 100 * float(metric.outcomes().std()) / 20
    assert measure.value - measure.ci_low == pytest.approx(1.96 * error, rel=0.1)
    assert measure.ci_high - measure.value == pytest.approx(1.96 * error, rel=0.1)


def test_a_category_with_one_shape_stays_in_every_resample() -> None:
    """Shapes are drawn within their category: of one mug and one lamp there is nothing to draw."""
    metric = PartIoU(CATEGORIES)
    metric.update(parts([0, 0, 1, 1], [2, 2, 2, 2]), parts([0, 0, 0, 1], [2, 2, 3, 3]))
    for measure in metric.compute().values():
        assert measure.ci_low == pytest.approx(measure.value) == measure.ci_high


def test_neither_order_nor_batches_matter() -> None:
    generator = torch.Generator().manual_seed(1)
    true = torch.cat(
        [torch.randint(0, 2, (9, 30), generator=generator), torch.randint(2, 5, (5, 30), generator=generator)]
    )
    found = torch.where(torch.rand(true.shape, generator=generator) < 0.7, true, (true + 1) % 5)
    whole, parted = PartIoU(CATEGORIES), PartIoU(CATEGORIES)
    whole.update(found, true)
    order = torch.from_numpy(np.random.default_rng(0).permutation(14))
    for batch in order.split(4):
        parted.update(found[batch], true[batch])
    for name, measure in whole.compute().items():
        other = parted.compute()[name]
        assert (other.value, other.ci_low, other.ci_high, other.n) == pytest.approx(
            (measure.value, measure.ci_low, measure.ci_high, measure.n)
        )
    assert torch.equal(parted.outcomes(), whole.outcomes()[order])


@pytest.mark.parametrize(
    ("predictions", "targets", "reason"),
    [
        (parts([0, 1]), parts([0, 1, 1]), "compared point by point"),
        (torch.zeros(3), torch.zeros(3), "compared point by point"),
        (parts([0, 1]), parts([0, 2]), "labels \\[0, 2\\], which are no parts of one category"),
        (parts([0, 1]), parts([0, 9]), "no parts of one category"),
    ],
)
def test_what_cannot_be_scored_is_refused(predictions: Tensor, targets: Tensor, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        PartIoU(CATEGORIES).update(predictions, targets)


def test_nothing_has_no_score() -> None:
    with pytest.raises(InvalidInput, match="zero shapes"):
        PartIoU(CATEGORIES).compute()
