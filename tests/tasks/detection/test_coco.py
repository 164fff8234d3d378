"""COCO's layout and its metric, against pycocotools where it has the last word."""

from __future__ import annotations

import builtins
import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from conversion.errors import InvalidInput
from tasks.detection.boxes import Boxes, Detections
from tasks.detection.coco import Coco128, CocoAveragePrecision, CocoDetection, read_coco

CLASSES = ("person", "dog", "cat")
SIZE = (100, 200)


def annotation(**changes: Any) -> dict[str, Any]:
    """Two images, the second without an object; ids with gaps, as COCO has them."""
    entry = {"id": 7, "image_id": 30, "category_id": 18, "bbox": [10, 20, 30, 40], "iscrowd": 0}
    return {
        "images": [{"id": i, "file_name": f"{i:012}.jpg", "height": 100, "width": 200} for i in (30, 9)],
        "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}, {"id": 90, "name": "toothbrush"}],
        "annotations": [entry | changes],
    }


def of_images(**changes: Any) -> dict[str, Any]:
    """With other fields of the first image."""
    content = annotation()
    content["images"][0] |= changes
    return content


def read(tmp_path: Path, content: object) -> list[Any]:
    path = tmp_path / "coco" / "annotations" / "a.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    images = read_coco(path, tmp_path / "coco" / "train2017", CLASSES)
    assert all(image.boxes.size == (100, 200) for image in images)
    return images


def test_images_come_by_id_with_corners_and_labels_of_our_own(tmp_path: Path) -> None:
    first, second = read(tmp_path, annotation())
    assert (first.path.name, len(first.boxes.labels)) == ("000000000009.jpg", 0)
    assert second.boxes.boxes.tolist() == [[10, 20, 40, 60]]
    assert second.boxes.labels.tolist() == [1]
    assert second.boxes.ignored.tolist() == [False]
    assert read(tmp_path, annotation(iscrowd=1))[1].boxes.ignored.tolist() == [True]
    assert len(read(tmp_path, annotation(bbox=[10, 20, 0, 40]))[1].boxes.labels) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"a\.json is damaged or no JSON: Expecting value: line 1"),
        ("[" * 100_000, r"a\.json is damaged or no JSON: maximum recursion"),
        ('{"images": [], "images": []}', r"a\.json is damaged or no JSON: an object has the key 'images' twice"),
        ([], r"a\.json is no annotation file of COCO; .* and 'images' is not there"),
        ({"images": []}, r"a\.json is no annotation file of COCO; .* and 'annotations' is not there"),
        (annotation(bbox=[190, 20, 30, 40]), r"annotation 7: the box \(190, 20, 220, 60\) is outside of the image"),
        (annotation(bbox=[30, 20, -5, 40]), r"annotation 7: the box \(30, 20, 25, 60\) ends before it begins"),
        (annotation(category_id=90), r"annotation 7: category 90 \(toothbrush\) is no class of the task"),
        (annotation(category_id=4), r"annotation 7: category 4 \(None\) is no class of the task"),
        (annotation(image_id=31), r"annotation 7: there is no image 31"),
        (annotation(image_id=[30]), r"annotation 7: there is no image \[30\]"),
        (annotation(category_id=[18]), r"annotation 7: category_id is \[18\]; it has to be a whole number"),
        (annotation(bbox=None), r"annotation 7: bbox is None; it has to be \[x, y, width, height\]"),
        (annotation(bbox=[1, 2, 3]), r"annotation 7: bbox is \[1, 2, 3\]; it has"),
        (annotation(bbox=[1, 2, 3, "4"]), r"annotation 7: bbox is \[1, 2, 3, '4'\]; it has"),
        (annotation(bbox=[1, 2, 3, 10**400]), r"annotation 7: bbox is \[1, 2, 3, 10+; it has"),
        (annotation(bbox=[1, 2, 3, float("nan")]), r"annotation 7: bbox is \[1, 2, 3, nan\]; it has"),
        (annotation(iscrowd="0"), r"annotation 7: iscrowd is '0'; it has to be 0 or 1"),
        (annotation() | {"annotations": ["x"]}, r"annotation number 0 is 'x'; it has to be an object"),
        (annotation() | {"annotations": None}, r"and 'annotations' is not there"),
        (annotation() | {"annotations": {"0": {}}}, r"and 'annotations' is dict"),
        (of_images(file_name=None), r"image 30: file_name is None; it has to be a name"),
        (of_images(file_name=5), r"image 30: file_name is 5"),
        (of_images(height=None), r"image 30: height is None; it has to be a number"),
        (of_images(width="200"), r"image 30: width is '200'; it has to be a number"),
        (of_images(width=0.5), r"image 30: height and width are 100 and 0\.5; they have to be whole numbers"),
        (of_images(id=9), r"a\.json gives image 9 twice"),
        (of_images(id="thirty"), r"image number 0: id is 'thirty'; it has to be a whole number"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_file_and_id(content: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=message):
        read(tmp_path, content)


def test_an_image_with_a_bad_annotation_can_be_left_out_and_is_counted(tmp_path: Path) -> None:
    base = tmp_path / "coco"
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 20, "height": 20} for i in range(4)]
    boxes = [{"id": i, "image_id": i, "category_id": 1, "bbox": [0, 0, 5, 5 * (i != 2)]} for i in range(4)]
    boxes[3]["category_id"] = 9
    (base / "annotations").mkdir(parents=True)
    (base / "train2017").mkdir()
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "dog"}]}
    (base / "annotations/instances_train2017.json").write_text(json.dumps(content))
    for entry in images:
        Image.new("RGB", (20, 20)).save(base / "train2017" / str(entry["file_name"]))
    with pytest.raises(InvalidInput, match=r"annotation 3: category 9 .* write 3 on a line"):
        Coco128(tmp_path).split("test")
    (base / "skip.txt").write_text("3")
    task = Coco128(tmp_path)
    assert task.test_size() == 3
    assert task.departures() == {"images on skip.txt": 1, "boxes without area": 1}


def test_coco_and_its_first_128_images_have_disjoint_splits(tmp_path: Path) -> None:
    base = tmp_path / "coco"
    for year, count in (("train2017", 130), ("val2017", 3)):
        (base / year).mkdir(parents=True)
        (base / "annotations").mkdir(exist_ok=True)
        images = [{"id": i, "file_name": f"{i:012}.jpg", "height": 8, "width": 8} for i in range(count)]
        content = {"images": images, "categories": [{"id": 1, "name": "person"}], "annotations": []}
        (base / "annotations" / f"instances_{year}.json").write_text(json.dumps(content))
        Image.new("RGB", (8, 8)).save(base / year / f"{0:012}.jpg")
    task = Coco128(tmp_path)
    parts = [{s.path.name for s in task.split(name).samples} for name in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [64, 16, 48]
    assert set.union(*parts) == {f"{i:012}.jpg" for i in range(128)}
    everything = CocoDetection(tmp_path)
    assert [len(everything.split(name)) for name in ("train", "validation", "test")] == [117, 13, 3]
    (base / "annotations" / "instances_val2017.json").unlink()
    assert "instances_val2017.json is not there." in str(CocoDetection(tmp_path).missing())
    assert Coco128(tmp_path).missing() is None


def scene(images: int, seed: int) -> tuple[list[Detections], list[Boxes]]:
    """Random boxes of two classes, some of them crowds; detections near them and elsewhere."""
    generator = torch.Generator().manual_seed(seed)

    def boxes(count: int) -> torch.Tensor:
        low = torch.rand(count, 2, generator=generator) * 0.6
        return torch.cat([low, low + 0.05 + 0.35 * torch.rand(count, 2, generator=generator)], dim=1)

    found, truth = [], []
    for _ in range(images):
        true, labels = boxes(4), torch.randint(2, (4,), generator=generator)
        crowd = torch.rand(4, generator=generator) < 0.2
        moved = true.repeat(2, 1) + 0.03 * torch.randn(8, 4, generator=generator)
        every = torch.cat([moved, boxes(4)])
        kinds = torch.cat([labels.repeat(2), torch.randint(2, (4,), generator=generator)])
        found.append(Detections(every, kinds, torch.rand(12, generator=generator)))
        truth.append(Boxes(true * torch.tensor([200.0, 100, 200, 100]), labels, crowd, SIZE))
    return found, truth


@pytest.mark.parametrize("seed", range(4))
def test_values_are_those_of_pycocotools(seed: int) -> None:
    pytest.importorskip("pycocotools")
    metric = CocoAveragePrecision(CLASSES)  # Of the third class there is nothing.
    metric.update(*scene(12, seed))
    judge = metric.evaluation()
    with contextlib.redirect_stdout(io.StringIO()):
        judge.accumulate()
    precision = judge.eval["precision"]
    values = metric.compute()
    assert values["ap"].value == pytest.approx(100 * precision[precision > -1].mean(), abs=1e-6)
    assert values["ap50"].value == pytest.approx(100 * precision[0][precision[0] > -1].mean(), abs=1e-6)
    assert 5 < values["ap"].value < values["ap50"].value < 95
    assert values["ap"].ci_low < values["ap"].value < values["ap"].ci_high


def test_values_are_those_of_torchmetrics() -> None:
    pytest.importorskip("pycocotools")
    detection = pytest.importorskip("torchmetrics.detection")
    found, truth = scene(10, 9)
    truth = [Boxes(t.boxes, t.labels, torch.zeros(4, dtype=torch.bool), t.size) for t in truth]
    metric, theirs = CocoAveragePrecision(CLASSES), detection.MeanAveragePrecision()
    metric.update(found, truth)
    theirs.update(
        [{"boxes": f.pixels(SIZE), "scores": f.scores, "labels": f.labels} for f in found],
        [{"boxes": t.boxes, "labels": t.labels} for t in truth],
    )
    expected = theirs.compute()
    assert metric.compute()["ap"].value == pytest.approx(100 * float(expected["map"]), abs=1e-4)
    assert metric.compute()["ap50"].value == pytest.approx(100 * float(expected["map_50"]), abs=1e-4)


def test_a_perfect_answer_scores_100_and_a_crowd_costs_nothing() -> None:
    pytest.importorskip("pycocotools")
    _, truth = scene(5, 0)
    metric = CocoAveragePrecision(CLASSES)
    metric.update([Detections(t.fractions, t.labels, torch.linspace(0.9, 0.5, 4)) for t in truth], truth)
    assert metric.compute()["ap"].value == pytest.approx(100)
    assert metric.outcomes().tolist() == [1.0] * 5


def test_nothing_seen_is_refused() -> None:
    pytest.importorskip("pycocotools")
    with pytest.raises(InvalidInput, match="zero images"):
        CocoAveragePrecision(CLASSES).compute()


def test_without_pycocotools_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *args: Any) -> Any:
        if name.startswith("pycocotools"):
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(InvalidInput, match=r"needs pycocotools.*pip install -e '\.\[detection\]'"):
        CocoAveragePrecision(CLASSES)


def without(field: str) -> dict[str, Any]:
    content = annotation()
    del content["annotations"][0][field]
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (without("bbox"), r"annotation 7: bbox is missing; it has to be \[x, y, width, height\]"),
        (annotation(bbox=[]), r"annotation 7: bbox is \[\]; it has"),
        (annotation(bbox=["1", "2", "3", "4"]), r"annotation 7: bbox is \['1', '2', '3', '4'\]; it has"),
        (annotation(bbox=[float("nan")] * 4), r"annotation 7: bbox is \[nan, nan, nan, nan\]; it has"),
        (of_images(height="100"), r"image 30: height is '100'; it has to be a number"),
        (annotation() | {"annotations": {}}, r" is no annotation file of COCO; .* and 'annotations' is dict"),
        # Two of the same kind: a truth value is no number, nor is infinity a size.
        (annotation(bbox=[True, 2, 3, 4]), r"annotation 7: bbox is \[True, 2, 3, 4\]; it has"),
        (of_images(width=float("inf")), r"image 30: width is inf; it has to be a number"),
        (annotation(iscrowd=True), r"annotation 7: iscrowd is True; it has to be 0 or 1"),
        (annotation(iscrowd=1.0), r"annotation 7: iscrowd is 1\.0; it has to be 0 or 1"),
        # An object of many keys, the last of which is there twice, takes no time for each pair of them.
        (f"{{{', '.join(f'{chr(34)}{key}{chr(34)}: 0' for key in [*range(200_000), 199_999])}}}", "key '199999' twice"),
        (r'{"\ud800": 1, "\ud800": 2}', r"key '\\ud800' twice"),
    ],
)
def test_fields_of_another_kind_are_named_by_id_b6(content: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=rf"a\.json.*{message}"):
        read(tmp_path, content)


def doubled(which: str, /, **changes: Any) -> dict[str, Any]:
    """With the first entry of a list once more, changed."""
    content = annotation()
    content[which] = [*content[which], content[which][0] | changes]
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (doubled("images", file_name="other.jpg"), "gives image 30 twice"),
        (doubled("categories", name="dog"), "gives category 1 twice"),
        (annotation(image_id=1), "annotation 7: there is no image 1 in the file"),
        # Three of the same kind.
        (doubled("annotations", bbox=[1, 2, 3, 4]), "gives annotation 7 twice"),
        (doubled("images", id=31), r"image 31: 000000000030\.jpg is the file of image 30, too"),
        (of_images(file_name="../../secret.jpg"), r"image 30: file_name '../../secret\.jpg' leads out of"),
        (of_images(file_name="/secret.jpg"), r"image 30: file_name '/secret\.jpg' leads out of"),
        (of_images(file_name="a\0.jpg"), r"image 30: file_name 'a\\x00\.jpg' is no name of a file"),
    ],
)
def test_ids_are_given_once_and_names_stay_in_the_folder_b7(content: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=rf"a\.json.* {message}"):
        read(tmp_path, content)
