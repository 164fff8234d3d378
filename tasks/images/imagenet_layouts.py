"""The layouts in which ImageNet lies on disk, told apart by what is there: its classes, its parts, labels of flat ones.

Networks count classes in the order of WordNet ids ("wnids", n01440764 = 0 to n15075141 = 999). Every layout is brought
to that order, and one that may be in another is refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from conversion.errors import DataMissing, InvalidInput
from tasks.images.hugging_face import shard
from tasks.images.imagenet_labels import (
    META,
    NUMBERED,
    SOLUTION,
    TRUTH,
    caffe,
    class_order,
    devkit,
    imagenet_classes,
    kaggle,
    require_agreement,
)
from tasks.images.photographs import Files, Photographs, Rows

PARTS: Mapping[str, Sequence[str]] = {
    "train": ("train", "ILSVRC2012_train", "ILSVRC2012_img_train", "training"),
    "val": ("val", "ILSVRC2012_val", "ILSVRC2012_img_val", "validation", "valid"),
}
"""The names that folders of the parts have in practice; those of Parquet files begin with them."""
SUFFIXES = (".jpeg", ".jpg", ".png")
WNID = re.compile(r"n\d{8}")
SHARD = re.compile(r"-(\d+)-of-(\d+)")


def find_part(root: Path, part: str, wnids: Sequence[str]) -> Photographs | None:
    """The photographs of a part, "train" or "val", in whatever layout they are; None where there are none.

    Args:
        root: the dataset's own folder.
        wnids: the classes that have to be there, all of them and no others.

    Raises:
        DataMissing: what is there is of no layout, or leaves the classes in doubt.
    """
    for name in PARTS[part]:
        folder = root / name
        if folder.is_dir():
            visible = _entries(folder)
            folders = sorted(entry.name for entry in visible if entry.is_dir())
            tables = [Path(entry.path) for entry in visible if entry.name.endswith((".parquet", ".arrow"))]
            if tables and not folders:
                return _rows(name, tables)
            if folders:
                return _folders(folder, folders, wnids)
            return _flat(root, folder, sorted(visible, key=lambda entry: entry.name))
        if folder.exists() or folder.is_symlink():
            raise DataMissing(
                f"{folder} is no folder, or a link that leads nowhere; remove it, or unpack the images there."
            )
        tables = [path for place in (root, root / "data") for path in place.glob(f"{name}-*.parquet")]
        if tables:
            return _rows(name, tables)
    return None


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, but for hidden files. Raises DataMissing if a name is no UTF-8."""
    with os.scandir(folder) as entries:
        visible = [entry for entry in entries if not entry.name.startswith(".")]
    for entry in visible:
        try:
            entry.name.encode()
        except UnicodeEncodeError:
            raise DataMissing(
                f"The folder {folder} holds a file whose name is no UTF-8, {os.fsencode(entry.name)!r}; rename it."
            ) from None
    return visible


def _folders(folder: Path, found: Sequence[str], wnids: Sequence[str]) -> Files:
    """Photographs in a folder for each class."""
    _require_wnids(folder, found, wnids)
    order = class_order()
    names, labels, dangling = [], [], list[str]()
    for wnid in wnids:
        images = [entry for entry in _entries(folder / wnid) if _is_image(entry.name)]
        if not images:
            raise DataMissing(f"The class folder {folder / wnid} holds no JPEG or PNG image.")
        own = sorted(f"{wnid}/{entry.name}" for entry in images)
        _require_unlike(folder, own)
        names.append(pa.array(own, pa.string()))
        labels.append(np.full(len(own), order[wnid], np.int16))
        dangling += [f"{wnid}/{name}" for name in _dangling(images)]
    return Files(folder, pa.concat_arrays(names), np.concatenate(labels), dangling)


def _require_wnids(folder: Path, found: Sequence[str], wnids: Sequence[str]) -> None:
    """Raises DataMissing unless folders are called by the wanted wnids, all of them and nothing else."""
    if all(name.isdecimal() for name in found):
        raise DataMissing(
            f"The folders of {folder} are numbers ({found[0]} ...), which programs sort as text or as numbers, so that "
            "the classes are in doubt; rename them to WordNet ids as n01440764."
        )
    foreign = sorted(set(found) - set(wnids))
    if foreign:
        known = imagenet_classes()
        what = (
            "is no WordNet id as n01440764" if not WNID.fullmatch(foreign[0])
            else f"is not one of the {len(wnids)} classes that belong there" if foreign[0] in known
            else "is the id of no class of ImageNet-1k"
        )  # fmt: skip
        raise DataMissing(f"The folder {folder / foreign[0]} {what}; move it away, or rename it.")
    absent = sorted(set(wnids) - set(found))
    if not absent:
        return
    if (folder / absent[0]).is_symlink():
        raise DataMissing(f"{folder / absent[0]} is a link that leads nowhere; link the class folder again.")
    others = f", nor are {len(absent) - 1} others" if len(absent) > 1 else ""
    subset = (
        " A subset of ImageNet is a task of its own: imagenette if it has those ten classes, otherwise one of a few "
        "lines (docs/bridges.md)."
    )
    raise DataMissing(
        f"{folder} holds {len(found)} of {len(wnids)} class folders; {absent[0]} is not there{others}. Unpack the "
        f"dataset again.{subset if len(wnids) == len(imagenet_classes()) else ''}"
    )


def _dangling(images: Iterable[os.DirEntry[str]]) -> list[str]:
    """The names of those images that are links which lead nowhere, sorted; files that are no links cost nothing."""
    return sorted(entry.name for entry in images if entry.is_symlink() and not os.path.exists(entry.path))


def _require_unlike(folder: Path, names: Sequence[str]) -> None:
    """Raises DataMissing if two images differ in their suffix alone, by which nothing is told apart."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.rpartition(".")[0], name)
        if other != name:
            raise DataMissing(f"{folder} holds {other} and {name}, which have one name; remove one of them.")


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _flat(root: Path, folder: Path, found: Sequence[os.DirEntry[str]]) -> Files:
    """Photographs without folders for classes; a file beside them says which class each is of."""
    images = [entry for entry in found if _is_image(entry.name)]
    names = [entry.name for entry in images]
    if not names:
        raise DataMissing(f"The folder {folder} holds neither class folders nor JPEG or PNG images.")
    _require_unlike(folder, names)
    if not any(NUMBERED.match(name.rpartition(".")[0]) for name in names) and folder.name in PARTS["train"]:
        raise DataMissing(f"The training images in {folder} have no class folders; unpack the archive of each class.")
    places = [root, folder, root / "caffe_ilsvrc12", *root.parents[:2]]
    lists = [place / "val.txt" for place in places[:3]]
    solutions = [place / SOLUTION for place in places]
    kits = [kit / "data" for kit in sorted(root.glob("*devkit*")) if kit.is_dir()] + [root, folder]
    sources = [(path, caffe(path)) for path in filter(Path.is_file, lists)]
    sources += [(path, kaggle(path)) for path in filter(Path.is_file, solutions)]
    numbered = [name for name in names if NUMBERED.match(name.rpartition(".")[0])]
    for kit in (kit for kit in kits if (kit / TRUTH).is_file()):
        if not sources:
            sources.append((kit / TRUTH, devkit(kit, names)))
        elif numbered and (kit / META).is_file():
            sources.append((kit / TRUTH, devkit(kit, numbered)))
    if sources:
        require_agreement(sources)
        return _labelled(folder, names, *sources[0], _dangling(images))
    raise DataMissing(
        f"{folder} holds images without class folders, and nothing says their classes: beside it there is neither "
        f"ILSVRC2012_devkit_t12/data/ (of the devkit), nor val.txt (Caffe's), nor {SOLUTION} (Kaggle's)."
    )


def _labelled(
    folder: Path, names: Sequence[str], source: Path, labels: Mapping[str, int], dangling: Sequence[str]
) -> Files:
    """Files with the labels that a source gives by their names without suffix."""
    stems = [name.rpartition(".")[0] for name in names]
    unknown = next((name for name, stem in zip(names, stems, strict=True) if stem not in labels), None)
    if unknown is not None:
        raise DataMissing(f"{source} does not say the class of {folder / unknown}; it belongs to another dataset.")
    return Files(folder, pa.array(names, pa.string()), np.array([labels[stem] for stem in stems], np.int16), dangling)


def _require_shards(tables: Sequence[Path]) -> None:
    """Raises DataMissing unless all files are there that the names of others count, as in -00000-of-00014."""
    found: dict[tuple[str, int], set[int]] = {}
    for path in tables:
        if match := SHARD.search(path.name):
            found.setdefault((path.name[: match.start()], int(match[2])), set()).add(int(match[1]))
    for (stem, count), numbers in found.items():
        if absent := sorted(set(range(count)) - numbers):
            raise DataMissing(
                f"{tables[0].parent} holds {len(numbers)} of the {count} files {stem}-*-of-{count:05}, and number "
                f"{absent[0]:05} is not there; download it."
            )


def _rows(part: str, tables: Sequence[Path]) -> Rows:
    """Photographs in Parquet or Arrow files, with classes in the order of wnids in the column "label"."""
    groups: list[tuple[Path, int]] = []
    labels = []
    _require_shards(tables)
    for path in sorted(path for path in tables if not path.name.startswith("cache-")):
        try:
            columns = [shard(path).column("label", group) for group in range(shard(path).groups)]
        except InvalidInput as error:
            raise DataMissing(str(error)) from error
        for group, stored in enumerate(columns):
            if not pa.types.is_integer(stored.type):
                raise DataMissing(
                    f"The column label of {path} holds {stored.type}, and classes are numbers from 0 to 999 in the "
                    "order of WordNet ids; take files with such labels."
                )
            column = stored.to_pylist()
            foreign = next((label for label in column if label not in range(len(imagenet_classes()))), None)
            if foreign is not None or None in column:
                hidden = "; -1 stands for a label that is kept secret" if foreign == -1 else ""
                raise DataMissing(
                    f"{path} has the label {foreign}, and classes are numbers from 0 to 999{hidden}. Take files with "
                    "labels."
                )
            groups.append((path, group))
            labels.append(np.array(column, np.int16))
    if not any(map(len, labels)):
        raise DataMissing(f"The files of {part} in {tables[0].parent} hold no rows; download them again.")
    offsets = np.cumsum([0, *map(len, labels)]).astype(np.int64)
    return Rows(part, groups, offsets, np.concatenate(labels))
