"""COCO's layout: one JSON file of annotations for a folder of images (Lin et al., ECCV 2014), and its metric."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from conversion.errors import InvalidInput
from tasks.base import TASKS, Metric, MetricValue, Split, TaskInfo
from tasks.detection.average_precision import (
    Ranked,
    coco_points,
    match,
    mean_with_interval,
    score,
)
from tasks.detection.base import Annotated, AnnotatedDetection, inside
from tasks.detection.boxes import Boxes, Detections, require_same_images
from tasks.detection.coco_file import Box, CocoFile, read_file

MOST = 100
"""Number of detections of one image that COCO's metric counts."""


class CocoAveragePrecision:
    """COCO's average precision by pycocotools, in percent, a mean over classes.

    `ap` is the mean over IoU .5, .55 ... .95, `ap50` that at .5; an image's 100 surest detections count, and what lies
    in a crowd does not. Intervals are 95 % of a bootstrap over images.

    Args:
        classes: names of the classes.

    Raises:
        InvalidInput: pycocotools is not installed.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        try:
            from pycocotools.cocoeval import COCOeval  # Here, because only these tasks need it.
        except ImportError as error:
            raise InvalidInput(
                "COCO's average precision needs pycocotools, which is not installed: pip install -e '.[detection]'."
            ) from error
        self._evaluator = COCOeval
        self.classes = tuple(classes)
        self._found: list[Detections] = []
        self._truth: list[Boxes] = []

    def update(self, predictions: Sequence[Detections], targets: Sequence[Boxes]) -> None:
        """Adds images: detections and true boxes, in the same order.

        Raises:
            InvalidInput: when there are not as many predictions as targets.
        """
        require_same_images(predictions, targets)
        self._found += predictions
        self._truth += targets

    def compute(self) -> dict[str, MetricValue]:
        """{"ap": ..., "ap50": ...}.

        Raises:
            InvalidInput: when no image was seen, or none with an object.
        """
        if not self._truth:
            raise InvalidInput("Average precision of zero images is undefined; update the metric before computing it.")
        ranked = self._ranked()
        at_half = [Ranked(r.image, r.right[0], r.wrong[0], r.positives) for r in ranked]
        return {"ap": mean_with_interval(ranked, coco_points), "ap50": mean_with_interval(at_half, coco_points)}

    def outcomes(self) -> Tensor:
        """Each image's own average precision at IoU .5, as `AveragePrecision.outcomes`, float32 of shape (n,)."""
        pairs = zip(self._found, self._truth, strict=True)
        return torch.tensor([score(match(found, truth, len(self.classes))) for found, truth in pairs])

    def _ranked(self) -> list[Ranked]:
        """The detections of each class as pycocotools matched them, `right` and `wrong` at ten IoU thresholds."""
        evaluation = self.evaluation()
        images, classes = len(self._truth), len(self.classes)
        found: list[list[Any]] = [
            evaluation.evalImgs[label * images : (label + 1) * images] for label in range(classes)
        ]
        return [_rank(of_class) for of_class in found]

    def evaluation(self) -> Any:
        """pycocotools' evaluation of all images, with one range of areas; `accumulate` has not been called."""
        from pycocotools.coco import COCO

        truth = [entry for i, boxes in enumerate(self._truth) for entry in _truth(i, boxes)]
        results = [entry for i, pair in enumerate(zip(self._found, self._truth, strict=True))
                   for entry in _results(i, *pair)]  # fmt: skip
        everything = {
            "images": [{"id": i} for i in range(len(self._truth))],
            "categories": [{"id": i, "name": name} for i, name in enumerate(self.classes)],
        }
        with contextlib.redirect_stdout(io.StringIO()):  # It reports its progress there.
            sides = []
            for annotations in (truth, results):
                side = COCO()
                side.dataset = {**everything, "annotations": [{**a, "id": k + 1} for k, a in enumerate(annotations)]}
                side.createIndex()
                sides.append(side)
            evaluation = self._evaluator(*sides, "bbox")
            evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
            evaluation.params.maxDets = [MOST]
            evaluation.evaluate()
        return evaluation


def _truth(image: int, truth: Boxes) -> list[dict[str, Any]]:
    rows = zip(truth.boxes.tolist(), truth.labels.tolist(), truth.ignored.tolist(), strict=True)
    return [_entry(image, box, label) | {"iscrowd": int(crowd)} for box, label, crowd in rows]


def _results(image: int, found: Detections, truth: Boxes) -> list[dict[str, Any]]:
    rows = zip(found.pixels(truth.size).tolist(), found.labels.tolist(), found.scores.tolist(), strict=True)
    return [_entry(image, box, label) | {"score": sure, "iscrowd": 0} for box, label, sure in rows]


def _entry(image: int, box: Sequence[float], label: int) -> dict[str, Any]:
    x1, y1, x2, y2 = box
    extent = [x1, y1, x2 - x1, y2 - y1]
    return {"image_id": image, "category_id": label, "bbox": extent, "area": extent[2] * extent[3]}


def _rank(images: Sequence[dict[str, Any] | None]) -> Ranked:
    """Ranks one class's matches on all images; an image is None where the class is neither there nor predicted."""
    seen = [(i, image) for i, image in enumerate(images) if image is not None]
    positives = np.zeros(len(images))
    for i, image in seen:
        positives[i] = int((np.asarray(image["gtIgnore"]) == 0).sum())
    if not seen:
        nothing = np.zeros((10, 0))
        return Ranked(np.zeros(0, dtype=np.int64), nothing, nothing, positives)
    scores = np.concatenate([np.asarray(image["dtScores"], dtype=float) for _, image in seen])
    matched = np.concatenate([image["dtMatches"] for _, image in seen], axis=1) > 0
    counted = ~np.concatenate([image["dtIgnore"] for _, image in seen], axis=1).astype(bool)
    index = np.repeat([i for i, _ in seen], [len(image["dtScores"]) for _, image in seen])
    order = np.argsort(-scores, kind="mergesort")
    right, wrong = (matched & counted).astype(float), (~matched & counted).astype(float)
    return Ranked(index[order], right[:, order], wrong[:, order], positives)


def read_coco(path: Path, images: Path, classes: Sequence[str]) -> list[Annotated]:
    """The images of an annotation file, by id, those without an object among them.

    Boxes without area, of which COCO has a few, are counted and dropped: nothing can overlap them. Annotations are
    checked when the boxes of their image are read: InvalidInput names the file and the annotation's id.

    Args:
        path: the JSON file.
        images: folder of the image files.
        classes: names; a class's position here is its label, whatever its id in the file.

    Raises:
        InvalidInput: the file is damaged, an id is given twice, or an annotation is of an unknown image.
    """
    file = read_file(path)
    return [
        Annotated(images / entry["file_name"], partial(_boxes, file, key, tuple(classes)))
        for key, entry in file.images.items()
    ]


def _boxes(file: CocoFile, image: int, classes: tuple[str, ...]) -> Boxes:
    """The true boxes of one image, from its annotations."""
    size = file.size(image)
    boxes: list[list[float]] = []
    labels: list[int] = []
    crowds: list[bool] = []
    for annotation in file.annotations[image]:
        where = f"{file.path}, annotation {annotation['id']}"
        told = Box.of(annotation, where)
        name = file.names.get(told.category_id)
        if name not in classes:
            raise InvalidInput(f"{where}: category {told.category_id} ({name}) is no class of the task.")
        x, y, width, height = told.bbox
        box = inside([x, y, x + width, y + height], size, where)
        if box[0] < box[2] and box[1] < box[3]:
            boxes.append(box)
            labels.append(classes.index(name))
            crowds.append(bool(told.iscrowd))
    stem = Path(file.images[image]["file_name"]).stem
    return Boxes.of(boxes, labels, crowds, size, stem, len(file.annotations[image]) - len(boxes))


class CocoLayout(AnnotatedDetection):
    """The 80 classes of COCO 2017, 416x416."""

    primary_metric = "ap"
    input_shape = (3, 416, 416)
    years: tuple[str, ...]
    """The folders that have to be under coco/, each with its annotations."""
    info = TaskInfo(
        "COCO 2017: photographs with things of 80 classes",
        'Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014',
        "https://cocodataset.org", "annotations CC BY 4.0; images under the terms of Flickr",
    )  # fmt: skip
    label_set = "coco"
    # YOLOv2's own.
    anchors = ((0.53, 0.79), (1.71, 2.36), (2.89, 6.44), (6.33, 3.79), (9.03, 9.74))
    # fmt: off
    classes = (
        "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
        "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow",
        "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee",
        "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
        "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple",
        "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch",
        "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone",
        "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear",
        "hair drier", "toothbrush",
    )
    # fmt: on

    folders = ("coco",)

    def gap(self) -> str | None:
        paths = [p for y in self.years for p in (self.root / y, self.root / "annotations" / f"instances_{y}.json")]
        return next((f"{path} is not there." for path in paths if not path.exists()), None)

    def metric(self) -> Metric:
        return CocoAveragePrecision(self.classes)

    def images(self, year: str) -> list[Annotated]:
        """The annotated images of one folder."""
        return read_coco(self.root / "annotations" / f"instances_{year}.json", self.root / year, self.classes)


@TASKS.register("coco_detection")
class CocoDetection(CocoLayout):
    """COCO 2017: train2017 for training, 1,000 images of it for validation, val2017 as the test split."""

    years = ("train2017", "val2017")
    layout = "coco/{train2017,val2017}/*.jpg and coco/annotations/instances_{train2017,val2017}.json."

    def listing(self) -> dict[Split, list[Annotated]]:
        return {"train": self.images("train2017"), "test": self.images("val2017")}


@TASKS.register("coco128")
class Coco128(CocoLayout):
    """The first 128 training images of COCO 2017, to try the path from files to figures; its scores say nothing.

    A detector trained on COCO has seen these images, and they are too few to train one. The first 48 of a seeded
    shuffle are the test split, the next 16 validation, the others training.
    """

    years = ("train2017",)
    layout = "coco/train2017/*.jpg and coco/annotations/instances_train2017.json, of COCO or its first 128 images."

    def listing(self) -> dict[Split, list[Annotated]]:
        samples = self.images("train2017")[:128]
        shuffle = torch.randperm(len(samples), generator=torch.Generator().manual_seed(0)).tolist()
        shuffled = [samples[i] for i in shuffle]
        return {"test": shuffled[:48], "validation": shuffled[48:64], "train": shuffled[64:]}
