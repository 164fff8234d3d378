"""CamVid, VOC and COCO in their layouts: what a sample is, how splits are made, and what is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from conversion.errors import DataMissing, InvalidInput
from tasks import TASKS
from tasks.detection.coco_file import CocoFile
from tasks.segmentation.coco import CocoSegmentation, Instances, rasterised
from tests.tasks.segmentation import drawn

LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "camvid": drawn.camvid, "voc_segmentation": drawn.voc, "coco_segmentation": drawn.coco,
}  # fmt: skip


@pytest.fixture
def tasks(tmp_path: Path) -> dict[str, Any]:
    return {name: TASKS[name](draw(tmp_path)) for name, draw in LAYOUTS.items()}


def test_a_frame_of_camvid_is_as_on_disk_with_void_as_255(tasks: dict[str, Any], tmp_path: Path) -> None:
    image, target = tasks["camvid"].split("test")[1]
    assert torch.equal(
        image, torch.from_numpy(np.array(Image.open(tmp_path / "camvid/test/2001.png"))).permute(2, 0, 1)
    )
    source = torch.from_numpy(np.array(Image.open(tmp_path / "camvid/testannot/2001.png")))
    assert torch.equal(target, source.masked_fill(source == 11, 255)) and target.dtype == torch.uint8


def test_voc_trains_on_trainaug_without_the_tested_images(tasks: dict[str, Any]) -> None:
    """4 of VOC and 8 of SBD alone; the image in both keeps VOC's map. A tenth is the validation split."""
    task = tasks["voc_segmentation"]
    train, validation, test = (task.split(name).samples for name in ("train", "validation", "test"))
    assert [len(train), len(validation), len(test)] == [11, 1, 2]
    masks = {image.stem: mask for image, mask in (*train, *validation)}
    assert masks.keys() & {image.stem for image, _ in test} == set()
    assert {mask.suffix for name, mask in masks.items() if name.startswith("2007")} == {".png"}
    assert {mask.suffix for name, mask in masks.items() if name.startswith("2008")} == {".mat"}


def test_voc_reads_a_trainaug_list_with_its_maps(tasks: dict[str, Any], tmp_path: Path) -> None:
    base = tmp_path / "VOCdevkit/VOC2012"
    names = [f"2008_{index:06}" for index in range(10)]
    for index, name in enumerate(names):
        drawn.photograph(base / f"JPEGImages/{name}.jpg", 20, 20, index)
        drawn.labels(base / f"SegmentationClassAug/{name}.png", 20, 20, index, [0, 5])
    (base / "ImageSets/Segmentation/trainaug.txt").write_text("\n".join(names))
    sizes = [len(tasks["voc_segmentation"].split(name)) for name in ("train", "validation", "test")]
    assert sizes == [9, 1, 2]


def test_images_of_voc_are_padded_not_resized(tasks: dict[str, Any], tmp_path: Path) -> None:
    image, target = tasks["voc_segmentation"].split("test")[0]
    base = tmp_path / "VOCdevkit/VOC2012"
    assert image.shape == (3, 513, 513) and target.shape == (513, 513)
    source = torch.from_numpy(np.array(Image.open(base / "JPEGImages/2007_000004.jpg"))).permute(2, 0, 1)
    assert torch.equal(image[:, :34, :40], source)
    assert torch.equal(
        target[:34, :40], torch.from_numpy(np.array(Image.open(base / "SegmentationClass/2007_000004.png")))
    )
    assert bool((target[34:] == 255).all()) and bool((target[:, 40:] == 255).all())


def test_a_map_of_sbd_is_read_from_its_file(tasks: dict[str, Any]) -> None:
    split = tasks["voc_segmentation"].split("train")
    index = next(i for i, (_, mask) in enumerate(split.samples) if mask.name == "2008_000002.mat")
    expected = np.random.default_rng(5).integers(0, 21, (25, 35), dtype=np.uint8)
    assert torch.equal(split[index][1][:25, :35], torch.from_numpy(expected))


def test_coco_is_rasterised_with_background_and_without_crowds(tasks: dict[str, Any]) -> None:
    image, target = tasks["coco_segmentation"].split("test")[0]
    expected = torch.full((641, 641), 255, dtype=torch.uint8)
    expected[:30, :40] = 0
    expected[5:15, 0:10] = CocoSegmentation.classes.index("person")
    assert torch.equal(target, expected)
    assert image.shape == (3, 641, 641)


def test_the_first_annotation_lies_on_top() -> None:
    low, high = [0, 0, 4, 0, 4, 4, 0, 4], [2, 2, 6, 2, 6, 6, 2, 6]
    content = {
        "images": [{"id": 7, "file_name": "a.jpg", "height": 6, "width": 6}],
        "categories": [{"id": 3, "name": "car"}, {"id": 9, "name": "boat"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 9, "segmentation": [low]},
            # A run-length code, column by column: the last two columns.
            {"id": 2, "image_id": 7, "category_id": 3, "segmentation": {"counts": [24, 12], "size": [6, 6]}},
            {"id": 3, "image_id": 7, "category_id": 3, "segmentation": [high, low]},
        ],
    }
    boat, car = (CocoSegmentation.classes.index(name) for name in ("boat", "car"))
    expected = torch.zeros(6, 6, dtype=torch.uint8)
    expected[2:, 2:], expected[:, 4:] = car, car
    expected[:4, :4] = boat
    assert torch.equal(rasterised(Instances(CocoFile(Path("file.json"), content)), 7), expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
def test_splits_are_disjoint_and_the_digest_follows_every_file(name: str, tmp_path: Path) -> None:
    root = LAYOUTS[name](tmp_path / "one")
    task: Any = TASKS[name](root)
    seen = [{sample[0].numpy().tobytes() for sample in task.split(part)} for part in ("train", "validation", "test")]
    assert all(seen) and sum(map(len, seen)) == len(set.union(*seen))
    again = TASKS[name](LAYOUTS[name](tmp_path / "two"))
    assert task.digest() == again.digest()
    victim = next(path for path in sorted((tmp_path / "two").rglob("*.*g")) if path.is_file())
    changed = TASKS[name](LAYOUTS[name](tmp_path / "three"))
    copy = tmp_path / "three" / victim.relative_to(tmp_path / "two")
    copy.write_bytes(copy.read_bytes() + b"x")
    assert changed.digest() != task.digest()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "victim"),
    [
        ("camvid", "camvid/testannot/2000.png"),
        ("voc_segmentation", "VOCdevkit/VOC2012/SegmentationClass/2007_000001.png"),
        ("voc_segmentation", "sbd/img/2008_000003.jpg"),
        ("voc_segmentation", "sbd/val.txt"),
        ("coco_segmentation", "coco/train2017/000000000004.jpg"),
        ("coco_segmentation", "coco/annotations/instances_val2017.json"),
    ],
)
def test_a_missing_file_is_named_before_work_starts(
    name: str, victim: str, tasks: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / victim).unlink()
    assert victim in str(tasks[name].missing())
    with pytest.raises(DataMissing, match=victim):
        tasks[name].split("train")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:200]), "not a readable PNG"),
        (lambda path: Image.new("L", (480, 359)).save(path), "480x359 pixels, its image .*480x360"),
        (lambda path: Image.new("L", (480, 360), 12).save(path), "holds class 12; there are 11"),
        (lambda path: Image.new("RGB", (480, 360)).save(path), "give class indices, not colours"),
    ],
)  # fmt: skip
def test_a_bad_map_is_named(change: Any, message: str, tmp_path: Path) -> None:
    root = drawn.camvid(tmp_path)
    change(root / "camvid/testannot/2001.png")
    split = TASKS["camvid"](root).split("test")
    split[0]
    with pytest.raises(InvalidInput, match=f"2001.png.*{message}"):
        split[1]


def test_a_bad_image_is_named(tmp_path: Path) -> None:
    root = drawn.camvid(tmp_path)
    path = root / "camvid/val/1001.png"
    path.write_bytes(b"no image")
    with pytest.raises(InvalidInput, match=r"1001.png is not a readable"):
        TASKS["camvid"](root).split("validation")[1]
    Image.new("RGB", (500, 360)).save(path)
    Image.new("L", (500, 360)).save(root / "camvid/valannot/1001.png")
    with pytest.raises(InvalidInput, match=r"1001.png is 500x360 pixels; this task takes at most 480x360"):
        TASKS["camvid"](root).split("validation")[1]


@pytest.mark.parametrize(
    ("name", "folder", "image", "count"),
    [
        ("camvid", "camvid", "camvid/test/2001.png", 1),
        ("voc_segmentation", "VOCdevkit/VOC2012", "VOCdevkit/VOC2012/JPEGImages/{}.jpg", 1),
        # The drawn images of training and test have the same names.
        ("coco_segmentation", "coco", "coco/val2017/{}", 2),
    ],
)
def test_a_bad_image_is_left_out_and_counted_when_the_user_says_so(
    name: str, folder: str, image: str, count: int, tmp_path: Path
) -> None:
    task = TASKS[name](LAYOUTS[name](tmp_path))
    test = task.split("test")
    if name == "coco_segmentation":
        image = image.format(test.samples[0].path.name)  # type: ignore[attr-defined]
    elif name == "voc_segmentation":
        image = image.format(test.samples[0][0].stem)  # type: ignore[attr-defined]
    path = tmp_path / image
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(InvalidInput, match="not a readable") as error:
        list(task.test(2))
    advice = tmp_path / folder / "skip.txt"
    assert f"write {path.stem} on a line of {advice}" in str(error.value)
    assert not any(task.departures().values())
    advice.write_text(path.stem)
    again = TASKS[name](tmp_path)
    assert again.test_size() == len(test) - 1 == sum(len(batch.inputs) for batch in again.test(2))  # type: ignore[arg-type]
    assert again.departures() == {"images on skip.txt": count}


def test_an_image_with_a_bad_polygon_can_be_left_out(tmp_path: Path) -> None:
    root = drawn.coco(tmp_path)
    path = root / "coco/annotations/instances_val2017.json"
    content = json.loads(path.read_bytes())
    content["annotations"][0]["segmentation"] = [[1, 1, 2, 2]]
    path.write_text(json.dumps(content))
    gap = CocoSegmentation(root).missing()
    bad = next(i for i in content["images"] if i["id"] == content["annotations"][0]["image_id"])
    stem = Path(bad["file_name"]).stem
    assert (
        gap is not None and "at least 3 points" in gap and f"write {stem} on a line of {root / 'coco/skip.txt'}" in gap
    )
    (root / "coco/skip.txt").write_text(stem)
    assert CocoSegmentation(root).missing() is None


def test_a_damaged_file_of_sbd_is_named(tasks: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "sbd/cls/2008_000003.mat").write_bytes(b"no map")
    split = tasks["voc_segmentation"].split("train")
    index = next(i for i, (_, mask) in enumerate(split.samples) if mask.name == "2008_000003.mat")
    with pytest.raises(InvalidInput, match=r"2008_000003.mat is no class map of SBD"):
        split[index]


ANNOTATION = {"id": 500, "image_id": 0, "category_id": 1, "segmentation": [[0, 0, 4, 0, 4, 4]]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"segmentation": [[0, 0, 4, 0, 4, 4], [1, 1, 2, 2]]},
            "annotation 500: segmentation is .*; it has to be polygons of at least 3 points",
        ),
        ({"segmentation": []}, "annotation 500: segmentation is .*; it has to be polygons"),
        ({"category_id": 4}, "annotation 500: there is no category 4"),
        ({"image_id": 99}, "annotation 500: there is no image 99"),
        (None, "holds no annotation"),
    ],
)
def test_a_bad_annotation_is_named_before_work_starts(
    change: dict[str, Any] | None, message: str, tmp_path: Path
) -> None:
    path = drawn.coco(tmp_path) / "coco/annotations/instances_train2017.json"
    content = json.loads(path.read_text())
    content["annotations"] = [] if change is None else [*content["annotations"], ANNOTATION | change]
    path.write_text(json.dumps(content))
    with pytest.raises(DataMissing, match=f"instances_train2017.json.*{message}"):
        CocoSegmentation(tmp_path).split("test")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is damaged or no JSON"),
        ("[]", "is no annotation file of COCO"),
        ('{"images": [], "annotations": [], "categories": []}', "holds no image"),
        (
            '{"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": [{"id": 0, "image_id": 1}], '
            '"categories": [{"id": 2, "name": "unicorn"}]}',
            "'unicorn', is none",
        ),
    ],
)
def test_a_file_that_is_no_annotations_is_named(content: str, message: str, tmp_path: Path) -> None:
    (drawn.coco(tmp_path) / "coco/annotations/instances_val2017.json").write_text(content)
    with pytest.raises(DataMissing, match=f"instances_val2017.json.*{message}"):
        CocoSegmentation(tmp_path).split("test")


def test_a_map_of_another_size_than_its_image_is_named_by_id(tmp_path: Path) -> None:
    root = drawn.coco(tmp_path)
    drawn.photograph(root / "coco/val2017/000000000002.jpg", 31, 40, 0)
    with pytest.raises(InvalidInput, match=r"of image 2 in .*val2017.json is 40x30 pixels, its image .*40x31"):
        CocoSegmentation(root).split("test")[2]


def masked(shape: object) -> Instances:
    content = {
        "images": [{"id": 7, "file_name": "a.jpg", "height": 30, "width": 40}],
        "categories": [{"id": 3, "name": "car"}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "segmentation": shape}],
    }
    return Instances(CocoFile(Path("file.json"), content))


def test_run_lengths_are_as_pycocotools_reads_them() -> None:
    from pycocotools import mask

    for seed in range(5):
        inside = np.asfortranarray(np.random.default_rng(seed).random((30, 40)) < 0.3 ** (seed + 1)).astype(np.uint8)
        text = mask.encode(inside)
        found = rasterised(masked({"size": [30, 40], "counts": text["counts"].decode()}), 7)
        assert np.array_equal(found.numpy() > 0, inside > 0)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"size": [30, 40], "counts": [100, 1000]}, "its run-length code does not make up 1200 pixels"),
        ({"size": [30, 40], "counts": "0"}, "its run-length code does not make up 1200 pixels"),
        ({"size": [30, 40], "counts": "oooooooooooooooooo"}, "its run-length code does not make up"),
        ({"size": [40, 30], "counts": [1200]}, "its map is 30x40 pixels, the image 40x30"),
        ({"size": [30, 40], "counts": [-100, 1300]}, "segmentation is .*; it has to be polygons"),
        ([[0, 0, 1e15, 0, 4, 4]], "a polygon reaches far out of the image, 40x30"),
        ([[0, 0, 4, 0, 4, 4, 5]], r"a polygon has 3\.5 points"),
        ([[0, 0, 4, 0, 4, float("nan")]], "segmentation is .*; it has to be polygons"),
    ],
)
def test_a_mask_that_is_none_is_named_by_id_b6(shape: object, message: str) -> None:
    """pycocotools reads past the end of some, and takes minutes and memory for others."""
    with pytest.raises(InvalidInput, match=f"file.json, annotation 1: {message}"):
        rasterised(masked(shape), 7)


def test_an_image_of_training_and_test_is_refused_b10(tmp_path: Path) -> None:
    """It has another map in each list, SegmentationClassAug and SegmentationClass."""
    root = drawn.voc(tmp_path)
    base = root / "VOCdevkit/VOC2012"
    name = "2007_000004"
    drawn.labels(base / f"SegmentationClassAug/{name}.png", 34, 40, 0, [0, 5])
    (base / "ImageSets/Segmentation/trainaug.txt").write_text(name)
    with pytest.raises(InvalidInput, match=rf"lists image {name} twice, in the train and the test split"):
        TASKS["voc_segmentation"](root).split("test")
