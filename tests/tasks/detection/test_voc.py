"""VOC's layout: what is read, and that whatever is wrong is named with its file and line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from conversion.errors import DataMissing, InvalidInput
from tasks.detection.voc import Bccd, Voc2012Detection, VocDetection, read_annotation
from tests.tasks.detection.annotated import CLASSES, Object, annotation, devkit


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "BCCD" / "Annotations" / "b1.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_boxes_count_from_zero_and_keep_class_and_difficulty(tmp_path: Path) -> None:
    path = written(tmp_path, annotation(("WBC", (1, 1, 64, 48), 0), ("RBC", (5, 9, 20, 30), 1)))
    boxes = read_annotation(path, CLASSES)
    assert boxes.boxes.tolist() == [[0, 0, 63, 47], [4, 8, 19, 29]]
    assert boxes.labels.tolist() == [1, 0]
    assert boxes.ignored.tolist() == [False, True]
    assert boxes.size == (48, 64)
    assert boxes.fractions[1].tolist() == pytest.approx([4 / 64, 8 / 48, 19 / 64, 29 / 48])


def test_an_image_without_an_object_is_one(tmp_path: Path) -> None:
    boxes = read_annotation(written(tmp_path, annotation()), CLASSES)
    assert boxes.boxes.shape == (0, 4)
    assert len(boxes.labels) == len(boxes.ignored) == 0


GOOD: Object = ("RBC", (5, 9, 20, 30), 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"b1\.xml is empty"),
        ("<annotation><size>", r"b1\.xml is no XML file: .*line 1"),
        (
            "<annotation></annotation>",
            r"b1\.xml, line 1: size is missing; it has to be an element with",
        ),
        (annotation(GOOD, ("Rbc", (5, 9, 20, 30), 0)), r"b1\.xml, line 5: 'Rbc' is no class of the task; they are RBC"),
        (annotation(GOOD, ("RBC", (5, 9, 70, 30), 0)), r"b1\.xml, line 5: the box \(4, 8, 69, 29\) is outside"),
        (annotation(GOOD, ("RBC", (-3, 9, 20, 30), 0)), r"line 5: the box \(-4, 8, 19, 29\) is outside of the image"),
        (annotation(GOOD, ("RBC", (30, 9, 20, 30), 0)), r"line 5: the box \(29, 8, 19, 29\) ends before it begins"),
        (annotation(GOOD, ("RBC", (5, 9, 5, 30), 0)), r"line 5: the box of 'RBC' has no area"),
        (annotation(GOOD).replace("<ymin>9<", "<ymin>x<"), r"line 4: bndbox/ymin is 'x'; it has to be a number"),
        (annotation(GOOD).replace("<xmax>20<", "<xmax>nan<"), r"line 4: bndbox/xmax is 'nan'; it has to be a number"),
        (
            annotation(GOOD).replace("<width>64<", "<width>inf<"),
            r"b1\.xml, line 1: size/width is 'inf'; it has to be a number of pixels",
        ),
        (
            annotation().replace("<width>64<", "<width>0<"),
            r"b1\.xml, line 1: height and width are 48 and 0; they have to be",
        ),
        (annotation().replace("<width>64<", "<width>9.5<"), r"b1\.xml, line 1: height and width are 48 and 9\.5"),
        (
            annotation(GOOD).replace("<width>64<", "<width>nan<"),
            r"b1\.xml, line 1: size/width is 'nan'; it has to be a number of pixels",
        ),
    ],
)
def test_what_is_wrong_is_named_with_file_and_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_annotation(written(tmp_path, text), CLASSES)


def test_objects_are_found_however_their_tags_are_written(tmp_path: Path) -> None:
    text = annotation(GOOD, ("WBC", (1, 1, 64, 48), 0)).replace("<object>", "<!-- <object> -->\n<object\tid='1'\n>")
    assert read_annotation(written(tmp_path, text), CLASSES).labels.tolist() == [0, 1]
    with pytest.raises(InvalidInput, match=r"b1\.xml, line 3: 'RBC' is no class"):
        read_annotation(written(tmp_path, text), ("WBC",))


def test_a_list_that_is_no_text_is_named(tmp_path: Path) -> None:
    root = devkit(tmp_path)
    (root / "VOCdevkit/BCCD/ImageSets/Main/test.txt").write_bytes(b"test\xff\n")
    with pytest.raises(InvalidInput, match=r"test\.txt is no text in UTF-8"):
        Bccd(root).split("test")


def test_a_pixel_over_the_border_is_rounding_and_is_clipped(tmp_path: Path) -> None:
    boxes = read_annotation(written(tmp_path, annotation(("RBC", (0, 0, 65, 49), 0))), CLASSES)
    assert boxes.boxes.tolist() == [[0, 0, 64, 48]]


def test_boxes_without_area_are_dropped_only_when_asked(tmp_path: Path) -> None:
    path = written(tmp_path, annotation(("WBC", (7, 7, 7, 7), 0), GOOD))
    read = read_annotation(path, CLASSES, drop_empty=True)
    assert read.labels.tolist() == [0] and read.without_area == 1
    with pytest.raises(InvalidInput, match="line 2: the box of 'WBC' has no area"):
        read_annotation(path, CLASSES)


def test_images_are_resized_and_read_when_asked_for(tmp_path: Path) -> None:
    split = Bccd(devkit(tmp_path)).split("train")
    image, boxes = split[0]
    assert (image.dtype, tuple(image.shape)) == (torch.uint8, Bccd.input_shape)
    assert boxes.size == (48, 64)
    assert image.flatten(1).float().mean(1).tolist() == pytest.approx([7, 29, 90], abs=3)  # As JPEG keeps colours.
    (tmp_path / "VOCdevkit/BCCD/JPEGImages/train00.jpg").unlink()
    assert torch.equal(split[0][0], image)  # Small enough to be kept.


def spoil_image(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:150])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (Path.unlink, r"There is no image .*test01\.jpg"),
        (spoil_image, r"test01\.jpg is not a readable JPEG"),
        (lambda path: Image.new("RGB", (10, 20)).save(path), r"test01\.jpg is 10x20 pixels; its annotation says 64x48"),
    ],
)
def test_a_bad_image_is_named_and_left_out_only_when_the_user_says_so(
    spoil: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    root = devkit(tmp_path)
    spoil(root / "VOCdevkit/BCCD/JPEGImages/test01.jpg")
    task = Bccd(root)
    with pytest.raises(InvalidInput, match=message) as error:
        list(task.test(2))
    advice = root / "VOCdevkit/BCCD/skip.txt"
    assert f"write test01 on a line of {advice}" in str(error.value)
    advice.write_text("# damaged in transfer\ntest01  # half a file\n")
    again = Bccd(root)
    assert [boxes.image for batch in again.test(2) for boxes in batch.targets] == ["test00", "test02"]
    assert again.test_size() == 2
    assert again.digest() != task.digest()
    assert again.departures() == {"images on skip.txt": 1, "boxes without area": 0}


def test_lists_and_folders_that_are_not_there_are_named(tmp_path: Path) -> None:
    root = devkit(tmp_path)
    assert Bccd(root).missing() is None
    (root / "VOCdevkit/BCCD/ImageSets/Main/val.txt").unlink()
    with pytest.raises(DataMissing, match=r"val\.txt is not there\. Expected layout: VOCdevkit/BCCD"):
        Bccd(root).split("train")


def test_an_empty_list_is_refused(tmp_path: Path) -> None:
    root = devkit(tmp_path)
    (root / "VOCdevkit/BCCD/ImageSets/Main/test.txt").write_text("\n")
    with pytest.raises(DataMissing, match=r"test\.txt names no image"):
        Bccd(root).split("test")


def test_the_digest_changes_with_a_box_and_with_a_pixel(tmp_path: Path) -> None:
    root = devkit(tmp_path)
    before = Bccd(root).digest()
    assert Bccd(root).digest() == before
    Image.new("RGB", (64, 48), (255, 0, 0)).save(root / "VOCdevkit/BCCD/JPEGImages/val01.jpg")
    between = Bccd(root).digest()
    (root / "VOCdevkit/BCCD/Annotations/train00.xml").write_text(annotation(("RBC", (5, 9, 21, 30), 0)))
    assert len({before, between, Bccd(root).digest()}) == 3


def test_pascal_voc_takes_its_splits_from_both_years(tmp_path: Path) -> None:
    parts = {"VOC2007": {"trainval": 12, "test": 3}, "VOC2012": {"trainval": 18, "train": 8, "val": 4}}
    root = devkit(tmp_path, parts)
    sizes = [
        [len(kind(root).split(name)) for name in ("train", "validation", "test")]
        for kind in (VocDetection, Voc2012Detection)
    ]
    assert sizes == [[27, 3, 3], [18, 2, 4]]
    task = VocDetection(root)
    parts_of = [{sample.path for sample in task.split(name).samples} for name in ("train", "validation")]
    assert not parts_of[0] & parts_of[1]
    assert {path.parent.parent.name for path in parts_of[0]} == {"VOC2007", "VOC2012"}


def test_batches_hold_lists_of_boxes_in_order(tmp_path: Path) -> None:
    batches = list(Bccd(devkit(tmp_path)).test(2))
    assert [tuple(batch.inputs.shape) for batch in batches] == [(2, 3, 256, 256), (1, 3, 256, 256)]
    assert [boxes.image for batch in batches for boxes in batch.targets] == ["test00", "test01", "test02"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (annotation(GOOD).replace("<xmin>5<", "<xmin>nan<"), "line 4: bndbox/xmin is 'nan'; it has to be a number"),
        (
            annotation(GOOD).replace("<width>64<", "<width>inf<"),
            "line 1: size/width is 'inf'; it has to be a number",
        ),
        # Two of one: which of them is meant, nobody knows.
        (
            annotation(GOOD).replace("<xmin>5<", "<xmin>4</xmin><xmin>5<"),
            r"line 4: bndbox/xmin is \['4', '5'\]",
        ),
        (annotation(GOOD).replace("<difficult>0<", "<difficult>no<"), "line 3: difficult is 'no'; it has to be 0 or 1"),
        # Two of the same kind: numbers that Python takes and that nobody means, and one that is not there.
        (annotation(GOOD).replace("<xmin>5<", "<xmin>1_0<"), "line 4: bndbox/xmin is '1_0'; it has to be a number"),
        (annotation(GOOD).replace("<xmin>5</xmin>", ""), "line 4: bndbox/xmin is missing; it has to be a number"),
    ],
)
def test_what_is_no_number_is_refused_by_line_b8(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=rf"b1\.xml, {message}"):
        read_annotation(written(tmp_path, text), CLASSES)


TWO = annotation(GOOD, ("WBC", (1, 1, 64, 48), 0))


@pytest.mark.parametrize(
    ("text", "stray"),
    [
        (TWO.replace("<object>", "<objects><object>", 1).replace("</annotation>", "</objects></annotation>"), "bndbox"),
        (TWO.replace("<object>", "<Object>").replace("</object>", "</Object>"), "bndbox"),
        (TWO.replace("<object>", "").replace("</object>", ""), "bndbox"),
        (TWO.replace("</object>", "", 1).replace("</annotation>", "</object></annotation>"), "object"),
    ],
)
def test_a_box_that_would_be_passed_over_is_refused(text: str, stray: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=rf"b1\.xml, line \d: <{stray}> is not where it is read"):
        read_annotation(written(tmp_path, text), CLASSES)


def test_the_parts_of_an_object_may_have_boxes(tmp_path: Path) -> None:
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part></object>"
    assert len(read_annotation(written(tmp_path, TWO.replace("</object>", part)), CLASSES).labels) == 2


@pytest.mark.parametrize(
    "text",
    [
        TWO.replace("<object>", "<object\n>"),
        TWO.replace("<object>", "<object\tid='1'>"),
        TWO.replace("<object>", "<object\n  id='1'\n>"),
        # Two of the same kind: the file's beginning, and line ends of other systems.
        "\ufeff<?xml version='1.0' encoding='utf-8'?>\n<!-- <object> -->" + TWO,
        TWO.replace("\n", "\r\n"),
    ],
)
def test_objects_are_read_however_they_are_written_b9(text: str, tmp_path: Path) -> None:
    boxes = read_annotation(written(tmp_path, text), CLASSES)
    assert boxes.labels.tolist() == [0, 1] and boxes.boxes[1].tolist() == [0, 0, 63, 47]


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_an_encoding_that_the_file_declares_is_read_b9(encoding: str, tmp_path: Path) -> None:
    path = written(tmp_path, "")
    text = f"<?xml version='1.0' encoding='{encoding}'?>{annotation(('Zähler', (5, 9, 20, 30), 0))}"
    path.write_bytes(text.encode(encoding))
    assert read_annotation(path, ("Zähler",)).labels.tolist() == [0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><annotation>&b;</annotation>", "line 1: it declares entities"),
        ("<a>" * 200, "line 1: it is nested more than 100 deep"),
        ("<?xml version='1.0' encoding='no-such'?><a/>", "is no XML file: unknown encoding"),
        # Parsers leave out what another file would say, in the middle of a number, too.
        ("<!DOCTYPE a SYSTEM 'b.dtd'>" + annotation(GOOD).replace(">5<", ">5&c;0<"), "line 4: 'c' is an entity of"),
        ("<!DOCTYPE a [%b;]>" + annotation(GOOD).replace(">5<", ">5&c;0<"), "line 4: 'c' is an entity of"),
    ],
)
def test_markup_that_could_grow_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=rf"b1\.xml.*{message}"):
        read_annotation(written(tmp_path, text), CLASSES)


def listed(tmp_path: Path, content: bytes, name: str = "test") -> Bccd:
    root = devkit(tmp_path)
    (root / f"VOCdevkit/BCCD/ImageSets/Main/{name}.txt").write_bytes(content)
    return Bccd(root)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"test00\ntest01\ntest00\n", r"test\.txt, line 3: 'test00' is on line 1, too; list it once"),
        (
            b"test00\n\ntrain01\n",
            r"test\.txt, line 3: the image train01 is of another part, too \(.*train\.txt, line 2\)",
        ),
        (b"test00 1\ntest01 -1\n", r"test\.txt, line 1: 'test00 1' is an image and a flag"),
        (b"test00\nno such one\n", r"test\.txt, line 2: 'no such one' is no image in .*JPEGImages"),
        # Two of the same kind.
        (b"test00\n../../train01\n", r"test\.txt, line 2: '\.\./\.\./train01' leads out of the dataset's folder"),
        (b"test00\ntest01\0\n", r"test\.txt, line 2: 'test01\x00' is no name of a file"),
    ],
)
def test_a_list_is_of_images_once_each_b10(content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=message):
        listed(tmp_path, content).split("test")


@pytest.mark.parametrize("content", [b"\xef\xbb\xbftest00\r\n\r\ntest01\r\n", "test00\ntest01\n".encode("utf-16")])
def test_a_list_of_any_editor_is_read_b10(content: bytes, tmp_path: Path) -> None:
    assert [sample.path.stem for sample in listed(tmp_path, content).split("test").samples] == ["test00", "test01"]


def test_names_may_have_spaces_b10(tmp_path: Path) -> None:
    task = listed(tmp_path, b"test 1\ntest01\n")
    base = tmp_path / "VOCdevkit/BCCD"
    for folder, suffix in (("JPEGImages", "jpg"), ("Annotations", "xml")):
        (base / folder / f"test00.{suffix}").rename(base / folder / f"test 1.{suffix}")
    assert [boxes.image for batch in task.test(2) for boxes in batch.targets] in (
        ["test 1", "test01"],
        ["test01", "test 1"],
    )
