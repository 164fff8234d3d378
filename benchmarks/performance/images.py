"""Measures how many photographs of ImageNet a core decodes and resizes in a second, and the memory of reading many.

OMP_NUM_THREADS=1 python -m benchmarks.performance.images --data-root DATA

The files of a task are listed again and again, as links in a temporary folder, until there are as many as asked for.
"""

from __future__ import annotations

import argparse
import statistics
import time
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import torch

from conversion.errors import InvalidInput
from tasks import TASKS
from tasks.images.imagenet import ImageNetClasses, Imagenette
from tasks.images.photographs import Files
from tasks.images.preprocessing import Preprocessing

MIB = 2**20
EVERY = 10
"""Parts of the stream after each of which memory is read."""
PREPROCESSINGS = {
    "256/224 bilinear (torchvision V1)": Preprocessing(256, 224),
    "232/224 bilinear (torchvision V2)": Preprocessing(232, 224),
    "235/224 bicubic (timm, A1)": Preprocessing(int(224 / 0.95), 224, "bicubic"),
}


def rate(task: ImageNetClasses, preprocessing: Preprocessing, images: int) -> float:
    """Images a second of processor time, from file to pixels, one after the other in this process.

    The files are read once before, so that they come from memory.
    """
    data = task.seen_through(preprocessing).split("test")
    places = [index % len(data) for index in range(images)]  # type: ignore[arg-type]
    for place in set(places):
        data[place]
    started = time.process_time()
    for place in places:
        data[place]
    return images / (time.process_time() - started)


def repeated(task: ImageNetClasses, folder: Path, count: int) -> Imagenette:
    """A task of `count` test images in a folder: links to the files of another."""
    source = task.listing.parts["val"]
    if not isinstance(source, Files):
        raise InvalidInput("Rows of Parquet files cannot be linked; give the data root of files.")
    for wnid in Imagenette.wnids:
        for part in ("train", "val"):
            (folder / "imagenette2" / part / wnid).mkdir(parents=True)
        first = next(index for index in range(len(source)) if source.path(index).parent.name == wnid)
        (folder / "imagenette2/train" / wnid / "0.JPEG").symlink_to(source.path(first).resolve())
    # Shuffled, so that few of them are of all classes, too.
    shuffled = torch.randperm(len(source), generator=torch.Generator().manual_seed(0)).tolist()
    for number, index in zip(range(count), cycle(shuffled), strict=False):
        path = source.path(index)
        (folder / "imagenette2/val" / path.parent.name / f"{number:07}.JPEG").symlink_to(path.resolve())
    return Imagenette(folder)


def memory() -> float:
    """MiB of this process and its children that they share with no other (proportional set size where there is one)."""
    own = psutil.Process()
    total = 0
    for process in [own, *own.children(recursive=True)]:
        told = process.memory_full_info()
        total += getattr(told, "pss", told.rss)
    return total / MIB


def stream(task: Imagenette, batch: int) -> list[tuple[int, float, float]]:
    """Reads the test split in batches: after each tenth, images read, images a second since the start, and MiB."""
    size, seen = task.test_size(), 0
    found: list[tuple[int, float, float]] = []
    started = time.perf_counter()
    for read in task.test(batch):
        seen += len(read.targets)
        if seen * EVERY // size > len(found):
            found.append((seen, seen / (time.perf_counter() - started), memory()))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--task", default="imagenette")
    parser.add_argument("--images", type=int, default=1000, help="images that are timed one after the other")
    parser.add_argument("--repeat", type=int, default=0, help="test images to stream; none by default")
    arguments = parser.parse_args()
    task = TASKS[arguments.task](arguments.data_root)
    if not isinstance(task, ImageNetClasses):
        raise SystemExit(f"Task {arguments.task} is not one of ImageNet's; take imagenet or imagenette.")
    task.require()
    print("| preprocessing | images a second and core |")
    for name, preprocessing in PREPROCESSINGS.items():
        rates = [rate(task, preprocessing, arguments.images) for _ in range(3)]
        print(f"| {name} | {statistics.median(rates):.0f} |", flush=True)
    if arguments.repeat:
        with TemporaryDirectory() as folder:
            many = repeated(task, Path(folder), arguments.repeat)
            started = time.perf_counter()
            many.require()
            print(f"{arguments.repeat} images listed in {time.perf_counter() - started:.1f} s")
            print(f"| images read by {torch.get_num_threads()} threads | images a second | MiB |")
            for seen, speed, used in stream(many, many.batch):
                print(f"| {seen} | {speed:.0f} | {used:.0f} |", flush=True)


if __name__ == "__main__":
    main()
