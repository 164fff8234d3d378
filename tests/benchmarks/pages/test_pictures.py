"""Pictures: what is drawn where, read back from pixels, and the files that `report` leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor
from typer.testing import CliRunner

from benchmarks.pages.pictures import (
    boxes_on_image,
    confusion,
    frames_in_time,
    map_on_image,
    painter_of,
    parts_of_cloud,
)
from benchmarks.records.store import Store
from run_all import app
from tasks.detection.boxes import Boxes, Detections

CLASSES = ("dot", "bar")


def painted(sample: Tensor, answer: Tensor | Boxes | Detections) -> np.ndarray:
    """The image that a panel shows, (H, W, 3)."""
    axis = Figure().subplots()
    painter_of(sample, answer)(axis, sample, answer, CLASSES)
    shown: np.ndarray = axis.images[0].get_array()
    return shown


def test_boxes_frame_what_they_say_and_the_unsure_are_left_out() -> None:
    image = torch.zeros(3, 240, 480, dtype=torch.uint8)
    found = Detections(
        torch.tensor([[0.25, 0.5, 0.5, 0.75], [0, 0, 1, 1]]), torch.tensor([1, 0]), torch.tensor([0.9, 0.09])
    )
    shown = painted(image, found)
    rows, columns = np.nonzero(shown.sum(2))
    assert abs(rows.min() - 120) <= 1 and abs(rows.max() - 180) <= 1
    assert abs(columns.min() - 120) <= 1 and abs(columns.max() - 240) <= 1
    assert not shown[140:160, 140:220].any()  # A frame, no area.


def test_true_boxes_of_another_size_lie_where_they_belong_on_a_small_image() -> None:
    """Annotated in pixels of 100 x 50; the image has 60 x 30 and is drawn eight times as large."""
    truth = Boxes.of([[50.0, 25.0, 100.0, 50.0]], [0], [False], (50, 100))
    shown = painted(torch.zeros(3, 30, 60, dtype=torch.uint8), truth)
    assert shown.shape == (240, 480, 3)
    rows, columns = np.nonzero(shown.sum(2))
    assert abs(rows.min() - 120) <= 1 and abs(columns.min() - 240) <= 1


def test_maps_colour_their_classes_and_nothing_where_none_is_known() -> None:
    target = torch.tensor([[0, 1], [255, 0]], dtype=torch.uint8)
    shown = painted(torch.full((3, 2, 2), 100, dtype=torch.uint8), target)
    assert shown[1, 0].tolist() == [100, 100, 100]
    assert shown[0, 0].tolist() == shown[1, 1].tolist() != shown[0, 1].tolist()


def test_points_are_as_many_as_the_cloud_has_in_the_colours_of_their_parts() -> None:
    cloud, parts = torch.randn(3, 50), torch.arange(50) % 2
    axis = Figure().subplots()
    assert painter_of(cloud, parts) is parts_of_cloud
    parts_of_cloud(axis, cloud, parts, CLASSES)
    (drawn,) = axis.collections
    assert len(drawn.get_offsets()) == 50 and len(np.unique(drawn.get_facecolors(), axis=0)) == 2


def test_a_painter_for_every_answer() -> None:
    image = torch.zeros(3, 4, 4, dtype=torch.uint8)
    assert painter_of(image, torch.zeros(4, 4)) is map_on_image
    assert painter_of(image, Boxes.of([], [], [], (4, 4))) is boxes_on_image


def test_rows_of_a_confusion_matrix_are_shares_of_the_true_class() -> None:
    found = confusion(np.array([0, 0, 0, 2]), np.array([0, 1, 1, 2]), 3)
    assert found.tolist() == [[pytest.approx(1 / 3), pytest.approx(2 / 3), 0], [0, 0, 0], [0, 0, 1]]


def test_frames_of_events_are_coloured_by_polarity_over_the_spikes_of_each_step() -> None:
    recording = torch.zeros(1, 4, 2, 5, 5)
    recording[0, 0, 0, 1, 2] = 3  # Darker, in the first of two steps.
    recording[0, 3, 1, 4, 4] = 1  # Brighter, in the second.
    picture = frames_in_time(recording, {"burst": [10.0, 4.0], "ann": []}, 2)
    first, second, below = picture.axes
    shown = [axis.images[0].get_array() for axis in (first, second)]
    assert shown[0][1, 2].tolist() == [0, 0, 1] and shown[0][0, 0].tolist() == [1, 1, 1]
    red, green, blue = shown[1][4, 4].tolist()
    assert red == 1 and green == blue < 1  # A third of the most that a pixel has.
    assert [line.get_ydata().tolist() for line in below.lines] == [[10.0, 4.0]]


SUITE = """
name: drawn
title: Drawn
calibration: 4
entries:
  - {tasks: [mini_detection], networks: [yolov2_mini], methods: [{burst: {phi: 4}}], T: [2, 3], limit: 6}
  - {tasks: [mini_segmentation], networks: [mini_fcn], methods: [{burst: {phi: 4}}], T: [2], limit: 6}
  - {tasks: [digits], networks: [digits_convnet], methods: [{burst: {phi: 4}}], T: [2], limit: 40}
  - {tasks: [mini_events_temporal], networks: [event_convnet], methods: [{burst: {phi: 4}}], T: [2], limit: 5}
"""


def test_report_draws_what_a_run_has_kept(tmp_path: Path) -> None:
    (tmp_path / "drawn.yaml").write_text(SUITE)
    shared = ["--suite", str(tmp_path / "drawn.yaml"), "--results", str(tmp_path / "results")]
    runner = CliRunner()
    assert runner.invoke(app, ["run", *shared, "--engine", "inline"]).exit_code == 0
    found = runner.invoke(app, ["report", *shared])
    assert found.exit_code == 0
    pictures = tmp_path / "results/drawn/pictures"
    files = {str(path.relative_to(pictures)) for path in pictures.glob("*/*")}
    samples = [*(f"sample-{k}.png" for k in range(1, 5)), "contact.png"]
    assert files == {
        *(f"mini_detection-yolov2_mini-first-6-T2/{name}" for name in samples),
        *(f"mini_segmentation-mini_fcn-first-6-T2/{name}" for name in samples),
        "digits-digits_convnet-first-40-T2/ann.png", "digits-digits_convnet-first-40-T2/burst-phi-4.png",
        *(f"mini_events_temporal-event_convnet-first-5-T2/{n}.png" for n in ("ann", "burst-phi-4", "frames")),
    }  # fmt: skip
    for path in pictures.glob("*/*"):
        with Image.open(path) as image:
            assert min(image.size) > 100 and len(image.getcolors(2**24) or []) > 10
    for record in Store(tmp_path / "results", "drawn").records():
        assert len(record.activity) == (record.cell.T or 0)
        if record.cell.task != "mini_events_temporal":  # There the events of the input are spikes, too.
            assert record.totals is not None and sum(record.activity) == pytest.approx(record.totals.spikes)
    # Truth, ANN and burst side by side: three panels wide, four samples high.
    with Image.open(pictures / "mini_detection-yolov2_mini-first-6-T2/contact.png") as image:
        assert image.width / image.height == pytest.approx(3 * 2.6 / (4 * 2.85), abs=0.02)
    assert runner.invoke(app, ["report", *shared, "--pictures", "3"]).exit_code == 0
    assert (pictures / "mini_detection-yolov2_mini-first-6-T3/contact.png").is_file()
    kept = {path: path.stat().st_mtime_ns for path in pictures.glob("*/*")}
    assert runner.invoke(app, ["report", *shared, "--pictures", "0"]).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in pictures.glob("*/*")} == kept
