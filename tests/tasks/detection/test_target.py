"""Boxes as targets: what is drawn where, read back from pixels."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from tasks.detection.base import Detection
from tasks.detection.boxes import Boxes, Detections
from tasks.detection.target import BoxTarget
from tasks.drawing import Mark


def painted(image: Tensor, answer: Boxes | Detections) -> np.ndarray:
    """The image that a panel shows, (H, W, 3)."""
    axis = Figure().subplots()
    assert type(Detection.target) is BoxTarget
    BoxTarget().draw(axis, image, answer, ("dot", "bar"))
    return np.asarray(axis.images[0].get_array())


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


def test_printed_boxes_are_numbered_as_their_marks() -> None:
    """Of 100 x 50 pixels: a sure box, an unsure one that is dotted, and one that is left out."""
    corners = torch.tensor([[0.1, 0.2, 0.5, 0.6], [0.0, 0.0, 0.3, 1.0], [0.0, 0.0, 1.0, 1.0]])
    found = Detections(corners, torch.tensor([1, 0, 1]), torch.tensor([0.5, 0.25, 0.09]))
    assert BoxTarget().marks(found) == [Mark(1, 0.5), Mark(0, 0.25)]
    axis = Figure().subplots()
    BoxTarget().paint(axis, torch.zeros(3, 50, 100, dtype=torch.uint8), found, {0: "#0072b2", 1: "#d55e00"})
    frames = [patch for patch in axis.patches if to_hex(patch.get_edgecolor()) != "#ffffff"]
    assert [to_hex(frame.get_edgecolor()) for frame in frames] == ["#d55e00", "#0072b2"]
    assert [frame.get_linestyle() in (":", "dotted") for frame in frames] == [False, True]
    extents = [np.asarray(frame.get_bbox().extents) for frame in frames if isinstance(frame, Rectangle)]
    assert np.allclose(extents, [[10, 10, 50, 30], [0, 0, 30, 50]])
    assert [text.get_text() for text in axis.texts] == ["1", "2"]


def test_printed_truth_has_no_numbers() -> None:
    truth = Boxes.of([[50.0, 25.0, 100.0, 50.0]], [0], [False], (50, 100))
    assert BoxTarget().marks(truth) == [Mark(0)]
    axis = Figure().subplots()
    BoxTarget().paint(axis, torch.zeros(3, 30, 60, dtype=torch.uint8), truth, {0: "#0072b2"})
    assert len(axis.patches) == 2 and not axis.texts
