"""Annotations of boxes and masks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from tasks.detection.bridge import read_yolo
from tasks.detection.coco import read_coco
from tasks.detection.coco_file import read_file
from tasks.detection.voc import read_annotation, read_list
from tasks.segmentation.coco import Instances, rasterised
from tasks.segmentation.masks import require_fit
from tests.fuzz.foreign.parser import Parser, written
from tests.tasks.detection.annotated import annotation

CLASSES = ("RBC", "WBC")
CANVAS = (3, 30, 40)


def cocos(mask: bool) -> str:
    images = [{"id": i, "file_name": f"{i}.jpg", "height": 30, "width": 40} for i in (3, 5)]
    square = [1.5, 2, 11, 2, 11, 12, 1, 12.25]
    runs = {"counts": [100, 300, 800], "size": [30, 40]}
    inside = np.zeros((30, 40), np.uint8, order="F")
    inside[4:20, 7:31] = inside[22:, 3] = 1
    text = {"counts": coco_mask.encode(inside)["counts"].decode(), "size": [30, 40]}
    shapes_of = ([square], runs, [square, square], text)
    boxes: list[dict[str, Any]] = [
        {"id": i, "image_id": (3, 5)[i % 2], "category_id": 1, "bbox": [1.5, 2, 10 + i, 8], "iscrowd": 0}
        for i in range(4)
    ]
    if mask:
        boxes = [box | {"segmentation": shape} for box, shape in zip(boxes, shapes_of, strict=True)]
    categories = [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}]
    return json.dumps({"images": images, "annotations": boxes, "categories": categories})


def instances(path: Path) -> object:
    found = Instances(read_file(path))
    for key in found.file.images:
        require_fit(found.file.size(key), f"of image {key} in {path}", torch.empty(CANVAS), path)
    return [rasterised(found, key) for key in found.file.images]


def yolo(path: Path) -> object:
    image = path.with_name("picture.png")
    Image.new("L", (40, 30)).save(image)
    return read_yolo(path, image, CLASSES)


PARSERS: tuple[Parser, ...] = (
    Parser("voc", "a.xml", written("a.xml", annotation(("RBC", (5, 9, 20, 30), 0), ("WBC", (1, 1, 64, 48), 1))),
           lambda path: read_annotation(path, CLASSES)),
    Parser("voc list", "train.txt", written("train.txt", "a\nb\n000012\n"), lambda path: read_list(path, path.parent)),
    Parser("coco boxes", "a.json", written("a.json", cocos(False)),
           lambda path: [image.boxes for image in read_coco(path, path.parent, ("person", "dog"))]),
    Parser("coco masks", "a.json", written("a.json", cocos(True)), instances),
    Parser("yolo", "a.txt", written("a.txt", "0 0.5 0.5 0.2 0.4\n1 .25 .25 .1 .1\n\n"), yolo),
)  # fmt: skip
