"""Small segmentation datasets of noise, in the layouts of the real ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat


def photograph(path: Path, height: int, width: int, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def labels(path: Path, height: int, width: int, seed: int, values: list[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = np.random.default_rng(seed).choice(np.array(values, dtype=np.uint8), (height, width))
    Image.fromarray(drawn).save(path)


def camvid(root: Path, train: int = 3, validation: int = 2, test: int = 2) -> Path:
    """CamVid's layout with frames of 480x360; maps hold three classes and void."""
    for number, (folder, count) in enumerate({"train": train, "val": validation, "test": test}.items()):
        for index in range(count):
            seed = 1000 * number + index
            photograph(root / f"camvid/{folder}/{seed:04}.png", 360, 480, seed)
            labels(root / f"camvid/{folder}annot/{seed:04}.png", 360, 480, seed, [0, 3, 10, 11])
    return root


def voc(root: Path, train: int = 4, test: int = 2, sbd: int = 8) -> Path:
    """VOC2012 and SBD; two images of SBD are among the tested ones, one among VOC's training images."""
    base = root / "VOCdevkit/VOC2012"
    names = [f"2007_{index:06}" for index in range(train + test)]
    for index, name in enumerate(names):
        photograph(base / f"JPEGImages/{name}.jpg", 30 + index, 40, index)
        labels(base / f"SegmentationClass/{name}.png", 30 + index, 40, index, [0, 1, 20, 255])
    lists = base / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("\n".join(names[:train]))
    (lists / "val.txt").write_text("\n".join(names[train:]))
    also = [*names[train:], names[0], *(f"2008_{index:06}" for index in range(sbd))]
    for index, name in enumerate(also):
        photograph(root / f"sbd/img/{name}.jpg", 25, 35, 100 + index)
        (root / "sbd/cls").mkdir(exist_ok=True)
        drawn = np.random.default_rng(index).integers(0, 21, (25, 35), dtype=np.uint8)
        _save_mat(root / f"sbd/cls/{name}.mat", {"GTcls": {"Segmentation": drawn}})
    (root / "sbd/train.txt").write_text("\n".join(also[:5]))
    (root / "sbd/val.txt").write_text("\n".join(also[5:]))
    return root


def _save_mat(path: Path, content: dict[str, object]) -> None:
    savemat(path, content)
    # Its header says when it was written, and files of the same content have to be the same.
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(116) + path.read_bytes()[116:])


def coco(root: Path, train: int = 10, test: int = 3) -> Path:
    """COCO's layout with images of 40x30 pixels, a person's square in each and a crowd in the first."""
    for part, count, seed in (("train2017", train, 0), ("val2017", test, 500)):
        annotations = []
        for index in range(count):
            photograph(root / f"coco/{part}/{index:012}.jpg", 30, 40, seed + index)
            x = index % 20
            square = [x, 5, x + 10, 5, x + 10, 15, x, 15]
            annotations.append({"id": index, "image_id": index, "category_id": 1, "segmentation": [square]})
        crowd = {"counts": [0, 1200], "size": [30, 40]}
        annotations.append({"id": count, "image_id": 0, "category_id": 18, "iscrowd": 1, "segmentation": crowd})
        images = [{"id": i, "file_name": f"{i:012}.jpg", "height": 30, "width": 40} for i in range(count)]
        categories = [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}]
        write_coco(root, part, {"images": images, "annotations": annotations, "categories": categories})
    return root


def write_coco(root: Path, part: str, content: object) -> Path:
    path = root / f"coco/annotations/instances_{part}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path
