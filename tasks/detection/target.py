"""Boxes in an image as targets, predicted with scores, and drawn as frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from tasks.detection.boxes import Boxes, Detections
from tasks.drawing import Mark, Printed, palette
from tasks.target import DrawnTarget, Mistakes

if TYPE_CHECKING:  # It takes a moment to load, and only `report` draws.
    from matplotlib.axes import Axes

LEAST_KEPT = 0.05
"""Lowest score of boxes that are stored."""
LEAST_DRAWN = 0.1
"""Lowest score of boxes that are drawn, as in the paper's released code."""
SIDE = 240
"""Least pixels of the shorter side of an image when boxes are drawn on it."""
SURE = 0.5
"""Lowest score of boxes that are printed with solid lines."""


class BoxTarget(DrawnTarget, Printed):
    """The boxes of an image: targets are a list of `Boxes`, predictions a list of `Detections`, one for every image."""

    hides = False
    key = (
        f"Boxes from a score of {LEAST_DRAWN:g} on, numbered as in the lists, dotted below {SURE:g}; an image's score "
        "counts all."
    )

    def write(self, prediction: Detections) -> bytes:
        likely = prediction.scores >= LEAST_KEPT
        parts = {"boxes": prediction.boxes, "labels": prediction.labels, "scores": prediction.scores}
        return safetensors.torch.save({name: part[likely].contiguous() for name, part in parts.items()})

    def read(self, content: bytes) -> Detections:
        return Detections(**safetensors.torch.load(content))

    def fault(self, targets: Sequence[Boxes], inputs: Tensor, classes: int, split: str) -> str | None:
        """Checks that boxes have an area, lie in their images and are of the task's classes."""
        for truth in targets:
            height, width = truth.size
            corners, labels = truth.boxes, truth.labels
            if not bool(((corners >= 0) & (corners <= corners.new_tensor([width, height, width, height]))).all()):
                return f"A box of image {truth.image} in {split} reaches over the border of the image."
            if not bool((corners[:, :2] < corners[:, 2:]).all()):
                return f"A box of image {truth.image} in {split} has no area."
            if not bool(((labels >= 0) & (labels < classes)).all()):
                found = f"classes {labels.tolist()}"
                return f"Image {truth.image} in {split} has {found}; there are {classes}, counted from 0."
        return None

    def imitate(self, targets: Sequence[Boxes], classes: int, mistakes: Mistakes) -> list[Detections]:
        """The true boxes; with wrong classes for those of the first class ("some") or all of them ("all")."""
        return [_imitated(truth, classes, mistakes) for truth in targets]

    def output_fault(
        self, output: Any, decode: Callable[[Any], Any], shape: tuple[int, ...], classes: int
    ) -> str | None:
        """Checks that outputs decode to detections of each image: in it, of the task's classes, by falling score."""
        found = decode(output)
        if not (isinstance(found, list) and all(isinstance(one, Detections) for one in found)):
            return f"`decode` gives {type(found).__name__}; give a list of Detections, one for each image."
        if len(found) != shape[0]:
            return f"`decode` gives detections of {len(found)} images for {shape[0]}."
        return next((fault for one in found if (fault := _fault(one, classes)) is not None), None)

    def draw(self, axis: Axes, sample: Tensor, answer: Boxes | Detections, classes: Sequence[str]) -> None:
        """Draws boxes with their classes, and with their scores where they are predicted."""
        from torchvision.utils import draw_bounding_boxes

        image = _enlarged(sample)
        if isinstance(answer, Detections):
            shown = answer.scores >= LEAST_DRAWN
            corners, labels = answer.pixels((image.shape[1], image.shape[2]))[shown], answer.labels[shown]
            scores = answer.scores[shown].tolist()
            names = [f"{classes[k]} {score:.2f}" for k, score in zip(labels.tolist(), scores, strict=True)]
        else:
            height, width = image.shape[1:]
            corners, labels = answer.fractions * torch.tensor([width, height, width, height]), answer.labels
            names = [classes[k] for k in labels.tolist()]
        colours = palette(len(classes))
        if len(labels):
            image = draw_bounding_boxes(image, corners, None, [colours[k] for k in labels.tolist()], width=2)
        axis.imshow(image.permute(1, 2, 0).numpy())
        for (x, y, _, _), name, label in zip(corners.tolist(), names, labels.tolist(), strict=True):
            background = {"facecolor": np.array(colours[label]) / 255, "edgecolor": "none", "pad": 0.5, "alpha": 0.8}
            axis.text(x, y, name, fontsize=5, va="bottom", color="white", bbox=background, clip_on=True)

    def marks(self, answer: Boxes | Detections) -> list[Mark]:
        """The boxes that are drawn: all true ones, and predicted ones from `LEAST_DRAWN` on by falling score."""
        if isinstance(answer, Boxes):
            return [Mark(label) for label in answer.labels.tolist()]
        found = zip(answer.labels.tolist(), answer.scores.tolist(), strict=True)
        return [Mark(label, score) for label, score in found if score >= LEAST_DRAWN]

    def paint(self, axis: Axes, sample: Tensor, answer: Boxes | Detections, colours: Mapping[int, str]) -> None:
        """Frames over the image, dotted below a score of `SURE`, each predicted one with its number."""
        from matplotlib.patches import Rectangle
        from matplotlib.patheffects import withStroke

        outline = [withStroke(linewidth=1.6, foreground="white")]
        height, width = sample.shape[1:]
        axis.imshow(sample.permute(1, 2, 0).numpy(), extent=(0, width, height, 0))
        corners = answer.fractions if isinstance(answer, Boxes) else answer.boxes
        marks = self.marks(answer)
        scaled = (corners[: len(marks)] * corners.new_tensor([width, height, width, height])).tolist()
        for number, (mark, (left, top, right, bottom)) in enumerate(zip(marks, scaled, strict=True), start=1):
            sure = mark.score is None or mark.score >= SURE
            # On white, so that a frame is seen on an image of its own colour.
            for colour, width_in_points, style in (
                ("white", 1.8, "-"),
                (colours[mark.label], 1.0, "-" if sure else ":"),
            ):
                frame = Rectangle((left, top), right - left, bottom - top, fill=False, snap=False)
                frame.set(edgecolor=colour, linewidth=width_in_points, linestyle=style)
                axis.add_patch(frame)
            if mark.score is not None:
                axis.annotate(
                    str(number), (left, top), (1, -1), textcoords="offset points", ha="left", va="top", fontsize=4.5,
                    color=colours[mark.label], path_effects=outline, annotation_clip=True,
                )  # fmt: skip


def _imitated(truth: Boxes, classes: int, mistakes: Mistakes) -> Detections:
    boxes, labels = truth.fractions, truth.labels
    mistaken = {"none": False, "some": labels == 0, "all": True}[mistakes]
    # Different scores for different boxes, whatever image or batch they are in.
    scores = (boxes * boxes.new_tensor([0.4, 0.3, 0.2, 0.1])).sum(1).sigmoid()
    return Detections(boxes, torch.where(torch.as_tensor(mistaken), (labels + 1) % classes, labels), scores)


def _fault(found: Detections, classes: int) -> str | None:
    """A sentence about what is wrong with the detections of one image; None when nothing is."""
    boxes, labels, scores = found.boxes, found.labels, found.scores
    count = len(scores)
    if tuple(boxes.shape) != (count, 4) or tuple(labels.shape) != (count,):
        return f"Boxes, labels and scores have shapes {tuple(boxes.shape)}, {tuple(labels.shape)} and ({count},)."
    if not bool(((boxes >= 0) & (boxes <= 1)).all() and (boxes[:, :2] <= boxes[:, 2:]).all()):
        return "A box is not within 0 to 1; give x1, y1, x2, y2 in fractions of the image."
    if not bool(((labels >= 0) & (labels < classes)).all()):
        return f"A class is not among the {classes} of the task."
    if not bool((scores.diff() <= 0).all() and ((scores >= 0) & (scores <= 1)).all()):
        return "Scores do not fall from 1 to 0; give the surest detection first."
    return None


def _enlarged(image: Tensor) -> Tensor:
    """A small image with every pixel repeated, so that lines on it stay thin."""
    times = max(1, -(-SIDE // min(image.shape[1:])))
    return image.repeat_interleave(times, 1).repeat_interleave(times, 2)
