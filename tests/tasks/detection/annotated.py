"""Small annotated datasets in the layouts of VOC and COCO."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CLASSES = ("RBC", "WBC", "Platelets")
Object = tuple[str, tuple[float, float, float, float], int]


def annotation(*objects: Object, size: tuple[int, int] = (48, 64)) -> str:
    lines = [f"<annotation><size><width>{size[1]}</width><height>{size[0]}</height></size>"]
    for name, (x1, y1, x2, y2), difficult in objects:
        lines.append(f"<object>\n<name>{name}</name><difficult>{difficult}</difficult>")
        lines.append(f"<bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>")
    return "\n".join([*lines, "</annotation>"])


def devkit(root: Path, parts: dict[str, dict[str, int]] | None = None, size: tuple[int, int] = (48, 64)) -> Path:
    """A small VOCdevkit: by folder and list, how many images; each has two objects and a colour of its own."""
    number = 0
    for folder, lists in (parts or {"BCCD": {"train": 4, "val": 2, "test": 3}}).items():
        base = root / "VOCdevkit" / folder
        for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
            (base / part).mkdir(parents=True, exist_ok=True)
        for name, count in lists.items():
            images = [f"{name}{i:02}" for i in range(count)]
            (base / "ImageSets" / "Main" / f"{name}.txt").write_text("\n".join(images) + "\n")
            for image in images:
                number += 1
                colour = Image.new("RGB", size[::-1], (number * 7 % 256, number * 29 % 256, 90))
                colour.save(base / "JPEGImages" / f"{image}.jpg")
                first, second = ("RBC", "WBC") if folder == "BCCD" else ("aeroplane", "person")
                objects: tuple[Object, ...] = ((first, (5, 9, 20, 30), 0), (second, (30, 5, 50 + number % 9, 20), 0))
                (base / "Annotations" / f"{image}.xml").write_text(annotation(*objects, size=size))
    return root


def coco(root: Path, parts: dict[str, int], size: tuple[int, int] = (48, 64)) -> Path:
    """COCO's layout: by folder, how many images of noise; each has a person and a bicycle."""
    noise, number = np.random.default_rng(0), 0
    for year, count in parts.items():
        (root / "coco" / year).mkdir(parents=True, exist_ok=True)
        (root / "coco" / "annotations").mkdir(exist_ok=True)
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for _ in range(count):
            number += 1
            name = f"{number:012}.jpg"
            Image.fromarray(noise.integers(0, 256, (*size, 3), dtype=np.uint8)).save(root / "coco" / year / name)
            images.append({"id": number, "file_name": name, "height": size[0], "width": size[1]})
            for category, box in ((1, [5, 9, 20, 30]), (2, [30, 5, 20 + number % 9, 12])):
                entry = {"id": len(annotations) + 1, "image_id": number, "category_id": category, "bbox": box}
                annotations.append(entry)
        names = [{"id": 1, "name": "person"}, {"id": 2, "name": "bicycle"}]
        content = {"images": images, "categories": names, "annotations": annotations}
        (root / "coco" / "annotations" / f"instances_{year}.json").write_text(json.dumps(content))
    return root
