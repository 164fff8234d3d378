"""Folders with boxes as tasks: COCO's, VOC's and YOLO's, each through one conversion."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from conversion.errors import DataMissing, InvalidInput
from tasks.detection.boxes import Detections
from tasks.detection.bridge import CocoFolder, VocFolder, YoloFolder
from tests.tasks.bridged import converted, convolutions
from tests.tasks.detection.annotated import annotation, coco, devkit

SPLITS = ("train", "validation", "test")


class Blood(VocFolder):
    name = "blood"
    folders = ("blood",)
    classes = ("RBC", "WBC", "Platelets")
    input_shape = (3, 32, 32)


class Streets(CocoFolder):
    name = "streets"
    folders = ("coco",)
    classes = ("person", "bicycle")
    input_shape = (3, 32, 32)


class Signs(YoloFolder):
    name = "signs"
    folders = ("signs",)
    classes = ("stop", "yield")
    input_shape = (3, 32, 32)


def found(output: Tensor) -> list[Detections]:
    """Every cell is a box, of the class that is likeliest there."""
    rows, columns = output.shape[2:]
    y, x = torch.meshgrid(torch.arange(rows) / rows, torch.arange(columns) / columns, indexing="ij")
    boxes = torch.stack([x, y, x + 1 / columns, y + 1 / rows], -1).reshape(-1, 4)
    likely = output.flatten(2).softmax(1).max(1)
    return [Detections(boxes, labels, scores) for scores, labels in zip(*likely, strict=True)]


def blood(root: Path) -> Path:
    """VOC's folders without those of a year around them."""
    devkit(root)
    (root / "VOCdevkit/BCCD").rename(root / "blood")
    return root


def signs(root: Path) -> Path:
    """Ten images to train on, the last without a label; four to test on."""
    for part, count in (("train", 10), ("val", 4)):
        for kind in ("images", "labels"):
            (root / "signs" / kind / part).mkdir(parents=True)
        for number in range(count):
            suffix = "png" if number % 2 else "jpg"
            Image.new("RGB", (60, 40), (20 * number, 90, 60)).save(root / f"signs/images/{part}/{number}.{suffix}")
            if number < 9:
                labels = f"{number % 2} 0.5 0.5 0.2 0.4\n1 0.05 0.25 0.1 0.5\n"
                (root / f"signs/labels/{part}/{number}.txt").write_text(labels)
    return root


def streets(root: Path) -> Path:
    return coco(root, {"train2017": 10, "val2017": 4})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "write", "sizes"),
    [(Blood, blood, [4, 2, 3]), (Streets, streets, [9, 1, 4]), (Signs, signs, [9, 1, 4])],
)
def test_a_folder_of_boxes(
    kind: type[Blood | Streets | Signs], write: Callable[[Path], Path], sizes: list[int], tmp_path: Path
) -> None:
    assert str(kind(tmp_path).missing()).startswith("There is no folder")
    task = kind(write(tmp_path))
    assert task.missing() is None
    assert [len(task.split(split)) for split in SPLITS] == sizes  # type: ignore[arg-type]
    image, boxes = task.split("test")[0]
    assert image.shape == (3, 32, 32) and len(boxes.labels) == 2
    assert task.digest() == kind(tmp_path).digest()
    assert converted(task, convolutions(3, len(task.classes)), decode=found) == sizes[2]


def test_labels_of_yolo_are_read_as_ultralytics_reads_them(tmp_path: Path) -> None:
    utils = pytest.importorskip("ultralytics.data.utils")
    task = Signs(signs(tmp_path))
    for sample in task.listed("train") + task.listed("test"):
        labels = tmp_path / "signs/labels" / sample.path.parent.name / f"{sample.path.stem}.txt"
        _, rows, shape, *_ = utils.verify_image_label((str(sample.path), str(labels), "", False, 2, 0, 0, False))
        # Ultralytics sorts the labels of an image only to find double ones.
        x, y, width, height = torch.from_numpy(rows[:, 1:]).unbind(1)
        corners = torch.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], 1)
        assert sample.boxes.size == tuple(shape)
        assert torch.allclose(sample.boxes.fractions, corners, atol=1e-6)
        assert sample.boxes.labels.tolist() == rows[:, 0].tolist()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 0.5 0.5 0.2 0.4", "line 1: there is no class 2; there are 2"),
        ("0.5 0.5 0.5 0.2 0.4", r"line 1: class is '0\.5'; it has to be a whole number"),
        ("0 0.5 0.5 0.2", "line 1: '0 0.5 0.5 0.2' is not a label; that is class, x"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3", "is not a label; that is class, x, y, width, height"),
        ("stop 0.5 0.5 0.2 0.4", "line 1: class is 'stop'; it has to be a whole number"),
        ("0 1.5 0.5 0.2 0.4", "line 1: the box .* is outside of the image, 60x40 pixels"),
        ("0 nan 0.5 0.2 0.4", "line 1: x is 'nan'; it has to be a number"),
        ("0 0.5 0.5 inf 0.4", "line 1: width is 'inf'; it has to be a number"),
        ("nan 0.5 0.5 0.2 0.4", "line 1: class is 'nan'; it has to be a whole number"),
    ],
)
def test_a_bad_label_is_named_and_can_be_left_out(line: str, message: str, tmp_path: Path) -> None:
    path = signs(tmp_path) / "signs/labels/val/2.txt"
    path.write_text(line)
    with pytest.raises(InvalidInput, match=message) as error:
        Signs(tmp_path).split("test")
    assert str(path) in str(error.value) and f"write 2 on a line of {tmp_path / 'signs/skip.txt'}" in str(error.value)
    (tmp_path / "signs/skip.txt").write_text("2\n")
    task = Signs(tmp_path)
    assert [sample.path.stem for sample in task.listed("test")] == ["0", "1", "3"]
    assert task.departures() == {"images on skip.txt": 2, "boxes without area": 0}


@pytest.mark.parametrize("put", [Path.mkdir, lambda path: path.symlink_to("gone.txt")], ids=["folder", "link"])
def test_labels_that_cannot_be_read_are_not_taken_for_none(put: Callable[[Path], None], tmp_path: Path) -> None:
    path = signs(tmp_path) / "signs/labels/val/2.txt"
    path.unlink()
    put(path)
    with pytest.raises(InvalidInput, match=r"val/2\.txt cannot be read: "):
        Signs(tmp_path).split("test")


def test_a_label_that_is_no_text_is_named(tmp_path: Path) -> None:
    (signs(tmp_path) / "signs/labels/val/2.txt").write_bytes(b"0 0.5 0.5 0.2 0.4 \xb5")
    with pytest.raises(
        InvalidInput, match=r"2\.txt is no text in UTF-8: .* at byte 18, in line 1; .* write 2 on a line"
    ):
        Signs(tmp_path).split("test")


@pytest.mark.parametrize(
    ("kind", "write", "about"),
    [
        (Blood, blood, {"lists": {"test": ((".", "test"),)}}),
        (Streets, streets, {"parts": {"test": ("val2017", "annotations/instances_val2017.json")}}),
        (Signs, signs, {"parts": {"test": "images/val"}}),
    ],
)
def test_a_folder_has_images_to_train_on_that_are_in_one_split(
    kind: type[Blood | Streets | Signs], write: Callable[[Path], Path], about: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=rf"Task {kind.name} has no train split, but test"):
        type("Wrong", (kind,), about)(write(tmp_path)).split("test")
    twice = {name: parts | {"train": parts["test"]} for name, parts in about.items()}
    with pytest.raises(InvalidInput, match=rf"Task {kind.name} lists image \w+ twice, in the test and the train split"):
        type("Wrong", (kind,), twice)(tmp_path).split("test")


def test_a_class_that_the_task_has_not_is_named(tmp_path: Path) -> None:
    root = blood(tmp_path)
    (root / "blood/Annotations/test01.xml").write_text(annotation(("virus", (5, 9, 20, 30), 0)))
    with pytest.raises(InvalidInput, match=r"'virus' is no class of the task.* write test01 on .*blood/\S*skip"):
        Blood(root).split("test")
    path = streets(tmp_path) / "coco/annotations/instances_val2017.json"
    content = json.loads(path.read_text())
    content["categories"][1]["name"] = "tram"
    path.write_text(json.dumps(content))
    with pytest.raises(InvalidInput, match=r"category 2 \(tram\) is no class of the task.* of .*coco/skip\.txt"):
        Streets(tmp_path).split("test")


def test_a_part_that_there_is_not_is_named(tmp_path: Path) -> None:
    root = streets(signs(blood(tmp_path)))
    (root / "blood/ImageSets/Main/val.txt").unlink()
    (root / "coco/annotations/instances_val2017.json").unlink()
    (root / "signs/labels/val").rename(root / "signs/labels/test")
    for task, name in ((Blood(root), "val.txt"), (Streets(root), "val2017.json"), (Signs(root), "labels/val")):
        with pytest.raises(DataMissing, match=name):
            task.split("train")
