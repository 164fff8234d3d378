"""Measures how many event recordings a core reads and encodes in a second, and how many it reads from the cache.

OMP_NUM_THREADS=1 python -m benchmarks.performance.encoding --data-root DATA
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tasks import TASKS
from tasks.events.base import ENCODINGS, RecordedEvents
from tasks.events.cache import CellStore, write_cells
from tasks.events.encoding import Cells

ROUNDS, BATCH = 5, 8


def rates(task: RecordedEvents) -> tuple[float, float]:
    """Recordings a second of the training split, as the task encodes them: from files, and from the cache in batches.

    They are medians of five rounds in seconds of processor time, which other processes do not affect; the files are
    read once before, so that they come from memory.
    """
    recordings = task.listed("train")

    def encoded() -> Iterator[Cells]:
        for recording in recordings:
            yield task.encoding.cells(task.events(recording), task.sensor)

    with TemporaryDirectory() as folder:
        store = CellStore(write_cells(Path(folder), "train", encoded()), task.input_shape)
        found = []
        for work in (lambda: sum(1 for _ in encoded()), lambda: _read(store)):
            durations = []
            for _ in range(ROUNDS):
                started = time.process_time()
                done = work()
                durations.append((time.process_time() - started) / done)
            found.append(1 / statistics.median(durations))
    return found[0], found[1]


def _read(store: CellStore) -> int:
    for first in range(0, len(store), BATCH):
        store.read(range(first, min(first + BATCH, len(store))))
    return len(store)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--task", default="ncars", help="a dataset of event recordings on disk")
    arguments = parser.parse_args()
    for suffix in ENCODINGS:
        kind = TASKS[arguments.task + suffix]
        if not issubclass(kind, RecordedEvents):
            raise SystemExit(f"The task {arguments.task} is no dataset of event recordings on disk.")
        files, cache = rates(kind(arguments.data_root))
        shape = " x ".join(map(str, kind.input_shape))
        print(f"{kind.name} ({shape}): {files:,.0f} recordings a second from files, {cache:,.0f} from the cache")


if __name__ == "__main__":
    main()
