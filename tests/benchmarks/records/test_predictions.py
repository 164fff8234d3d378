"""Predictions in the table of samples."""

from __future__ import annotations

import io

import pandas as pd
import torch

from benchmarks.records.predictions import Predictions
from tasks.detection.boxes import Detections
from tasks.detection.target import BoxTarget
from tasks.images.target import ClassTarget
from tasks.segmentation.target import MapTarget
from tasks.target import KEPT


def test_classes_of_all_samples_stand_beside_their_targets() -> None:
    kept = Predictions(ClassTarget())
    kept.add(torch.tensor([3, 1]), torch.tensor([3, 2]))
    kept.add(torch.tensor([0]), torch.tensor([0]))
    columns = kept.columns()
    assert columns["prediction"].tolist() == [3, 1, 0] and columns["target"].tolist() == [3, 2, 0]


def test_maps_of_the_first_samples_survive_parquet() -> None:
    maps = torch.randint(0, 11, (KEPT + 3, 5, 7), dtype=torch.uint8)
    kept = Predictions(MapTarget(ignore=255))
    kept.add(maps[:3], None)
    kept.add(maps[3:], None)
    file = io.BytesIO()
    pd.DataFrame(kept.columns()).to_parquet(file)
    column = pd.read_parquet(file)["answer"]
    assert len(column) == len(maps) and column.isna().sum() == 3
    assert all(
        torch.equal(MapTarget(255).read(content), expected)
        for content, expected in zip(column, maps[:KEPT], strict=False)
    )


def test_boxes_that_are_hardly_sure_are_not_kept() -> None:
    found = Detections(torch.rand(3, 4), torch.tensor([2, 0, 1]), torch.tensor([0.9, 0.05, 0.04]))
    nothing = Detections(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0))
    kept = Predictions(BoxTarget())
    kept.add([found, nothing], None)
    first, second = (BoxTarget().read(content) for content in kept.columns()["answer"])
    assert torch.equal(first.boxes, found.boxes[:2]) and torch.equal(first.labels, found.labels[:2])
    assert torch.equal(first.scores, found.scores[:2]) and second.boxes.shape == (0, 4)
