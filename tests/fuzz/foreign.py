"""Mutated files from outside: weights, event recordings, annotations, images, maps, meshes, tables and lists.

Each target takes a seed, writes a valid file, changes it at random and reads it. Whatever comes of it is a result, or
an error of ours that names the file; any other exception is a find.
"""

from __future__ import annotations

import io
import json
import random
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nir
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import safetensors.torch
import scipy.io
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from torch import nn

from adapters.weights import load_weights
from conversion import capture, convert
from conversion.errors import BenchmarkError
from conversion.exchange.nir_export import export_nir
from conversion.exchange.nir_import import import_nir
from tasks.detection.bridge import read_yolo
from tasks.detection.coco import read_coco
from tasks.detection.coco_file import read_file
from tasks.detection.voc import read_annotation, read_list
from tasks.disk import skipped
from tasks.events.aedat4 import read_aedat4
from tasks.events.dvsgesture import DvsGesture
from tasks.events.encoding import Events, Sensor, TonicVoxels, VoxelGrid
from tasks.events.files import checked, davis346, dvs128, read_aedat2, read_aedat3, read_bin, read_dat, read_npy
from tasks.images.files import decoded
from tasks.images.hugging_face import Shard
from tasks.images.imagenet_labels import META, TRUTH, caffe, devkit, imagenet_classes, kaggle
from tasks.images.sized import SizedImages
from tasks.points.base import normalised
from tasks.points.meshes import read_mesh
from tasks.points.shapenet_files import CATEGORIES, LISTS, count_points, listed, read_parts
from tasks.segmentation.coco import Instances, rasterised
from tasks.segmentation.masks import read_map, require_fit
from tasks.segmentation.voc import VocSegmentation
from tests.conversion.capture.onnx.files import small_convnet
from tests.conversion.capture.onnx.files import written as onnx_file
from tests.fuzz.mutations import mutated
from tests.tasks.detection.annotated import annotation
from tests.tasks.events import recorded
from tests.tasks.points import shapes

CLASSES = ("RBC", "WBC")
CANVAS = (3, 30, 40)


@dataclass(frozen=True)
class Parser:
    """A reader of files from outside.

    Attributes:
        name: what it reads.
        file: the name of the file.
        valid: writes valid files of this kind to a folder, and gives their paths.
        read: reads a file.
    """

    name: str
    file: str
    valid: Callable[[Path], list[Path]]
    read: Callable[[Path], object]

    @cache  # noqa: B019  # Parsers live as long as the process.
    def seeds(self) -> list[bytes]:
        """The contents of the valid files."""
        with TemporaryDirectory() as folder:
            return [path.read_bytes() for path in self.valid(Path(folder))]

    def __call__(self, seed: int) -> None:
        """Reads one mutated file. Raises AssertionError for an error that does not name the file."""
        source = random.Random(f"{self.name} {seed}")
        contents = self.seeds()
        with TemporaryDirectory() as folder:
            path = Path(folder, self.file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(mutated(source, source.choice(contents), contents))
            self.require_sentence(path)

    def require_sentence(self, path: Path) -> None:
        """Raises AssertionError, or what the reader raises, unless it reads the file or names it in our error."""
        try:
            self.read(path)
        except BenchmarkError as error:
            assert path.name in str(error), f"the error does not name {path.name}: {error}"
            assert "\n" not in str(error).replace(str(path), ""), f"the error has more than a line: {error}"


def written(name: str, *contents: bytes | str) -> Callable[[Path], list[Path]]:
    def write(folder: Path) -> list[Path]:
        paths = [folder / f"{number}_{name}" for number in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return paths

    return write


def saved(*contents: Callable[[], Any], zipped: bool = True) -> Callable[[Path], list[Path]]:
    def write(folder: Path) -> list[Path]:
        paths = [folder / f"{number}.pt" for number in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            torch.save(content(), path, _use_new_zipfile_serialization=zipped)
        return paths

    return write


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def state() -> dict[str, Any]:
    return {"state_dict": model().state_dict(), "epoch": 3}


def whole() -> dict[str, Any]:
    return {"model": model().half(), "train_args": {"imgsz": 640}}


def weights(path: Path) -> object:
    return load_weights(model(), path)


def pickles(folder: Path) -> list[Path]:
    """The pickles in files of torch, which the checksums of an archive keep changes from."""
    found = []
    for path in saved(state, whole)(folder):
        with zipfile.ZipFile(path) as archive:
            found += written(f"{path.stem}.pkl", archive.read(f"{path.stem}/data.pkl"))(folder)
    return found


def pickle_in_archive(path: Path) -> object:
    """Reads a pickle as that of an archive of torch, with numbers for ten tensors."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("w/data.pkl", path.read_bytes())
        for key in range(10):
            archive.writestr(f"w/data/{key}", bytes(64))
    path.write_bytes(content.getvalue())
    return weights(path)


def rechecked(read: Callable[[Path], object]) -> Callable[[Path], object]:
    """Reads a PNG whose chunks have the checksums of what is in them, so that a decoder goes on to their content."""

    def go(path: Path) -> object:
        content, position = path.read_bytes(), 8
        chunks = [content[:8]]
        while position + 12 <= len(content):
            length = int.from_bytes(content[position : position + 4])
            body = content[position + 4 : position + 8 + length]
            chunks += [content[position : position + 4], body, zlib.crc32(body).to_bytes(4)]
            position += 12 + length
        path.write_bytes(b"".join(chunks))
        return read(path)

    return go


def recordings(sensor: Sensor, write: Callable[..., Path], **options: Any) -> Callable[[Path], list[Path]]:
    return lambda folder: [write(folder / "a.rec", recorded.drawn(sensor, 40, seed=1), **options)]


def encoded(sensor: Sensor, read: Callable[[Path], Events]) -> Callable[[Path], object]:
    """Reads a recording and does with it what tasks do."""

    def go(path: Path) -> object:
        events = checked(read(path), sensor, path)
        cells = VoxelGrid(9).cells(events, sensor)
        assert cells.value.sum() == len(events)
        return cells if events["t"][0] == events["t"][-1] else TonicVoxels(9).cells(events, sensor)

    return go


def arrays(folder: Path) -> list[Path]:
    events = recorded.drawn(Sensor(34, 34), 40, seed=1)
    rows = recorded.table(events, "xytp").astype(np.float64)
    rows[:, 3] = 2 * rows[:, 3] - 1
    wholes = recorded.table(events, "xytp")
    return [recorded.npy(folder / "0.npy", rows), recorded.npy(folder / "1.npy", wholes.astype(np.int16))]


def gestures(path: Path) -> object:
    """The samples of a recording by the table beside it."""
    return DvsGesture(path.parent)._parts(path.with_name("user01.aedat"))


def trials(path: Path) -> object:
    from tasks.events.dvsgesture import _trials

    return _trials(path)


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


def pictures(folder: Path) -> list[Path]:
    noise = np.random.default_rng(0)
    grey = Image.fromarray(noise.integers(0, 256, (30, 40), dtype=np.uint8))
    made = {
        "grey.png": grey, "colour.png": grey.convert("RGB"), "two.png": grey.convert("1"),
        "palette.png": grey.convert("P"),
        "wide.png": Image.fromarray(noise.integers(0, 2**16, (30, 40), dtype=np.uint16)),
        "a.jpg": grey.convert("RGB"), "grey.jpg": grey, "cmyk.jpg": grey.convert("CMYK"),
    }  # fmt: skip
    for name, image in made.items():
        image.save(folder / name, progressive=name == "grey.jpg")
    return [folder / name for name in made]


def maps(folder: Path) -> list[Path]:
    grey = np.random.default_rng(0).integers(0, 3, (30, 40), dtype=np.uint8)
    Image.fromarray(grey).save(folder / "grey.png")
    palette = Image.fromarray(grey).convert("P")
    palette.save(folder / "palette.png", bits=4)
    return [folder / "grey.png", folder / "palette.png"]


class Sized(SizedImages):
    """Photographs of 8x8 pixels."""

    name, input_shape = "fuzzed", (3, 8, 8)
    mean, std = (0.5,), (0.5,)
    missing = split = digest = None  # type: ignore[assignment]


def photograph(path: Path) -> object:
    return Sized.__new__(Sized).sized(decoded(path, mode=None)), decoded(path)


def sbd(folder: Path) -> list[Path]:
    drawn = np.random.default_rng(0).integers(0, 21, (30, 40), dtype=np.uint8)
    for name, packed in (("0.mat", False), ("1.mat", True)):
        scipy.io.savemat(folder / name, {"GTcls": {"Segmentation": drawn}}, do_compression=packed)
    return [folder / "0.mat", folder / "1.mat"]


@cache
def kit() -> bytes:
    """The list of classes in the development kit of ImageNet."""
    kind = np.dtype([("ILSVRC2012_ID", "O"), ("WNID", "O"), ("num_children", "O")])
    rows = np.array([(number, wnid, 0) for number, wnid in enumerate(imagenet_classes(), 1)], kind)
    file = io.BytesIO()
    scipy.io.savemat(file, {"synsets": rows.reshape(-1, 1)}, do_compression=True)
    return file.getvalue()


def meta(path: Path) -> object:
    (path.parent / TRUTH).write_text("1\n2\n")
    return devkit(path.parent, ["a.JPEG", "b.JPEG"])


def truth(path: Path) -> object:
    (path.parent / META).write_bytes(kit())
    return devkit(path.parent, ["a.JPEG", "b.JPEG"])


def rows(suffix: str) -> Callable[[Path], list[Path]]:
    def write(folder: Path) -> list[Path]:
        file = io.BytesIO()
        Image.new("RGB", (4, 4)).save(file, "PNG")
        table = pa.table({"image": [{"bytes": file.getvalue(), "path": None}] * 3, "label": [0, 1, 0]})
        path = folder / f"a{suffix}"
        if suffix == ".parquet":
            pyarrow.parquet.write_table(table, path)
        else:
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as stream:
                stream.write_table(table)
        return [path]

    return write


def shard(path: Path) -> object:
    file = Shard(path)
    return [file.column(name, group).to_pylist() for group in range(file.groups) for name in ("label", "image")]


def cloud(path: Path) -> object:
    points, _ = read_parts(path, {0: 0, 1: 1})
    count_points(path)
    return normalised(points, path)


def mesh(path: Path) -> object:
    points = read_mesh(path).sample(64, np.random.default_rng(0))
    return normalised(points, path)


def polyhedra(suffix: str) -> Callable[[Path], list[Path]]:
    def write(folder: Path) -> list[Path]:
        maker = shapes.obj if suffix == ".obj" else shapes.off
        first = maker(folder / f"0{suffix}", shapes.vertices(0), shapes.TETRAHEDRON)
        return [first, maker(folder / f"1{suffix}", shapes.vertices(1), [[0, 1, 2, 3], [0, 2, 3]])]

    return write


POINTS = "".join(f"{x} {x * 0.5} {1 - x} 0 0 1 {int(x * 10) % 2}.0\n" for x in np.linspace(0, 1, 12).round(3))
TABLE = "Airplane\t02691156\nBag\t02773838\n"
NAMES = json.dumps([f"shape_data/{place}/{k}" for place in ("02691156", "02773838") for k in "ab"])


def shapenet(path: Path) -> object:
    """The listing of which one file is mutated."""
    root = path.parent.parent if path.parent.name == LISTS else path.parent
    (root / LISTS).mkdir(exist_ok=True)
    for name, content in (
        (CATEGORIES, TABLE),
        *((f"{LISTS}/shuffled_{k}_file_list.json", NAMES) for k in ("train", "val", "test")),
    ):
        if not (root / name).exists():
            (root / name).write_text(content)
    return listed(root, ("Airplane", "Bag"))


def networks(folder: Path) -> list[Path]:
    """Networks as ONNX files, for any batch and for one."""
    return [onnx_file(folder, small_convnet(batch), f"{batch}.onnx") for batch in ("n", 1)]


def spiking(folder: Path) -> list[Path]:
    """A spiking network as a file of NIR."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    samples = torch.rand(4, 1, 4, 4)
    nir.write(folder / "a.nir", export_nir(convert(capture(model.eval(), samples), samples, "calibration", T=4)))
    return [folder / "a.nir"]


SENSORS = {"dvs": Sensor(128, 128), "cars": Sensor(120, 100), "digits": Sensor(34, 34), "davis": Sensor(346, 260)}
PARSERS = (
    Parser("state dict", "w.pth", saved(state, lambda: model().state_dict()), weights),
    Parser("network", "w.pt", saved(whole, model), weights),
    Parser("old state dict", "w.th", saved(state, whole, zipped=False), weights),
    Parser("pickle", "w.pt", pickles, pickle_in_archive),
    Parser("safetensors", "w.safetensors", lambda folder: [
        written("w.safetensors", safetensors.torch.save(model().state_dict()))(folder)[0]
    ], weights),
    Parser("dat", "a.dat", recordings(SENSORS["cars"], recorded.dat), encoded(SENSORS["cars"], read_dat)),
    Parser("bin", "a.bin", recordings(SENSORS["digits"], recorded.mnist_bin), encoded(SENSORS["digits"], read_bin)),
    Parser("aedat2", "a.aedat", recordings(SENSORS["dvs"], recorded.dvs128),
           encoded(SENSORS["dvs"], lambda path: read_aedat2(path, dvs128))),
    Parser("davis", "a.aedat", recordings(SENSORS["davis"], recorded.davis346),
           encoded(SENSORS["davis"], lambda path: read_aedat2(path, davis346))),
    Parser("aedat3", "a.aedat", recordings(SENSORS["dvs"], recorded.aedat3, packet=15),
           encoded(SENSORS["dvs"], read_aedat3)),
    *(Parser(f"aedat4 {kind}", "a.aedat4", recordings(SENSORS["dvs"], recorded.aedat4, packet=15, compression=kind),
             encoded(SENSORS["dvs"], lambda path: read_aedat4(path, SENSORS["dvs"])))
      for kind in ("none", "lz4", "zstd")),
    Parser("npy", "a.npy", arrays, encoded(SENSORS["digits"], lambda path: read_npy(path, "xytp"))),
    Parser("gestures", "user01_labels.csv",
           written("x.csv", "class,startTime_usec,endTime_usec\n1,100,200\n11,300,400\n"), gestures),
    Parser("trials", "trials_to_train.txt", written("x.txt", "user01.aedat\nuser 02.aedat\n\n"), trials),
    Parser("voc", "a.xml", written("a.xml", annotation(("RBC", (5, 9, 20, 30), 0), ("WBC", (1, 1, 64, 48), 1))),
           lambda path: read_annotation(path, CLASSES)),
    Parser("voc list", "train.txt", written("train.txt", "a\nb\n000012\n"), lambda path: read_list(path, path.parent)),
    Parser("coco boxes", "a.json", written("a.json", cocos(False)),
           lambda path: [image.boxes for image in read_coco(path, path.parent, ("person", "dog"))]),
    Parser("coco masks", "a.json", written("a.json", cocos(True)), instances),
    Parser("yolo", "a.txt", written("a.txt", "0 0.5 0.5 0.2 0.4\n1 .25 .25 .1 .1\n\n"), yolo),
    Parser("photograph", "a.png", pictures, photograph),
    Parser("map", "a.png", maps, lambda path: read_map(path, {255: 0}, CANVAS)),
    Parser("photograph with checksums", "a.png", pictures, rechecked(photograph)),
    Parser("map with checksums", "a.png", maps, rechecked(lambda path: read_map(path, {255: 0}, CANVAS))),
    Parser("sbd", "a.mat", sbd, lambda path: VocSegmentation.read_mask(VocSegmentation.__new__(VocSegmentation), path)),
    Parser("caffe", "val.txt", written("val.txt", "ILSVRC2012_val_00000001.JPEG 65\nb.JPEG 970\n"), caffe),
    Parser("kaggle", "LOC_val_solution.csv",
           written("x.csv", "ImageId,PredictionString\nILSVRC2012_val_00000001,n01440764 1 2 3 4\n"), kaggle),
    Parser("devkit", META, lambda folder: written(META, kit())(folder), meta),
    Parser("devkit truth", TRUTH, written("x.txt", "490\n361\n"), truth),
    Parser("parquet", "a.parquet", rows(".parquet"), shard),
    Parser("arrow", "a.arrow", rows(".arrow"), shard),
    Parser("obj", "a.obj", polyhedra(".obj"), mesh),
    Parser("off", "a.off", polyhedra(".off"), mesh),
    Parser("points", "a.txt", written("a.txt", POINTS), cloud),
    Parser("categories", CATEGORIES, written("x.txt", TABLE), shapenet),
    Parser("shape list", f"{LISTS}/shuffled_train_file_list.json", written("x.json", NAMES), shapenet),
    Parser("onnx", "a.onnx", networks, capture),
    Parser("nir", "a.nir", spiking, import_nir),
    Parser("skip list", "skip.txt", written("skip.txt", "a/b # damaged\nc\n"), skipped),
)  # fmt: skip
TARGETS = tuple((parser.name, parser) for parser in PARSERS)
