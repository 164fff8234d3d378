"""One flipped bit in a file of ours, wherever it is: the file is named or made again, never used."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.freshness.sources import Sources
from benchmarks.gate.baselines import read_baseline, take_baseline, write_baseline
from benchmarks.records.converted import ConversionCache
from benchmarks.records.leases import Leases
from benchmarks.records.manifest import MANIFEST
from benchmarks.records.published import RECORDS, SAMPLES, write_published
from benchmarks.records.reading import open_results
from benchmarks.records.record import Measurement, Record
from benchmarks.records.store import FAILURE, RECORD, Store
from conversion import Calibration, capture
from conversion.errors import BenchmarkError
from conversion.stages import BiasCorrection, Thresholds
from tasks.events.cache import CellStore, write_cells
from tasks.events.encoding import Cells
from tests.benchmarks.gate.measurements import cells, right, save

FLIPS = int(os.environ.get("FLIPS", "40"))
"""Bits that are flipped in each file, one at a time."""

Reader = Callable[[], bool]
"""Whether a file is taken for what was written."""


def stored(folder: Path) -> Store:
    store = Store(folder, "toy")
    save(store, cells(1)[0], right(200, 20))
    return store


def of_record(folder: Path) -> tuple[Path, Reader]:
    store = stored(folder)
    return store.cells / cells(1)[0].id / RECORD, lambda: store.state(cells(1)[0])[0] == "done"


def of_failure(folder: Path) -> tuple[Path, Reader]:
    store = Store(folder, "toy")
    store.save(Record(cell=cells(1)[0], status="failed", reason="it broke", cause="error"))
    return store.cells / cells(1)[0].id / FAILURE, lambda: store.load(cells(1)[0]) is not None


def of_samples(folder: Path) -> tuple[Path, Reader]:
    store = stored(folder)
    (path,) = store.cells.glob("*/samples-*.parquet")
    return path, lambda: store.state(cells(1)[0])[0] == "done"


def baseline(folder: Path) -> Path:
    write_baseline(take_baseline("toy", cells(1), stored(folder)), folder / "toy.json")
    return folder / "toy.json"


def of_baseline(folder: Path) -> tuple[Path, Reader]:
    path = baseline(folder)
    return path, lambda: len(read_baseline(path).rows) == 1


def of_outcomes(folder: Path) -> tuple[Path, Reader]:
    path = baseline(folder)
    return path.with_suffix(".parquet"), lambda: len(read_baseline(path).rows) == 1


def of_published(name: str) -> Callable[[Path], tuple[Path, Reader]]:
    def made(folder: Path) -> tuple[Path, Reader]:
        store = stored(folder / "work")
        (record,) = store.records()
        samples = store.samples(record)
        assert samples is not None
        write_published(folder / "published", "toy", [Measurement(record=record, samples=samples)])

        def taken() -> bool:
            published = open_results(folder / "published", "toy")
            found = published.load(cells(1)[0])
            return found is not None and published.samples(found) is not None

        return folder / "published/toy" / name, taken

    return made


def of_lease(folder: Path) -> tuple[Path, Reader]:
    leases = Leases(Store(folder, "toy"))
    lease = leases.take(cells(1)[0])
    assert lease is not None
    return lease.path, lambda: leases.held(cells(1)[0])


def of_converted(suffix: str) -> Callable[[Path], tuple[Path, Reader]]:
    def made(folder: Path) -> tuple[Path, Reader]:
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3)).eval()
        graph = capture(network, torch.zeros(1, 4))
        calibration = Calibration(graph, torch.rand(32, 4))
        sources = Sources()
        asked: list[int] = []

        def samples() -> Calibration:
            asked.append(1)
            return calibration

        def convert() -> None:
            cache = ConversionCache(folder, sources, lambda: 0.0)
            basis: dict[str, str | int] = {"task": "toy", "network": "toy"}
            cache.convert((Thresholds(phi=2), BiasCorrection()), graph, 2, basis, samples)

        def taken() -> bool:
            asked.clear()
            before = {path: path.read_bytes() for path in folder.iterdir()}
            convert()
            for path, content in before.items():  # What is made again is not damaged any more.
                path.write_bytes(content)
            return not asked

        convert()
        # Of the last stage, whose report makes it the larger one; with it the first is not read.
        last = max(folder.glob("*.json"), key=lambda found: found.stat().st_size)
        return last.with_suffix(suffix), taken

    return made


def of_events(folder: Path) -> tuple[Path, Reader]:
    samples = [Cells(np.arange(index, 40), np.arange(1, 41 - index)) for index in range(5)]
    path = write_cells(folder, "some", samples)
    return path, lambda: len(CellStore(path, (40,))) == 5


KINDS: dict[str, Callable[[Path], tuple[Path, Reader]]] = {
    "record": of_record, "failure": of_failure, "samples": of_samples, "baseline": of_baseline,
    "outcomes of a baseline": of_outcomes, "manifest": of_published(MANIFEST),
    "published records": of_published(RECORDS), "published samples": of_published(SAMPLES), "lease": of_lease,
    "converted network": of_converted(".safetensors"), "beside a converted network": of_converted(".json"),
    "encoded recordings": of_events,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_is_never_accepted_c3_c4(kind: str, tmp_path: Path) -> None:
    path, taken = KINDS[kind](tmp_path)
    content = path.read_bytes()
    assert taken()
    accepted = []
    for bit in random.Random(kind).sample(range(8 * len(content)), FLIPS):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            if taken():
                accepted.append(bit)
        except BenchmarkError:
            pass
    assert accepted == []
    path.write_bytes(content)
    assert taken()


def test_a_network_of_another_method_under_this_key_is_made_again_c4(tmp_path: Path) -> None:
    path, taken = KINDS["converted network"](tmp_path)
    first, second = sorted({found.stem for found in tmp_path.iterdir()})
    for suffix in (".safetensors", ".json"):
        ours, other = (tmp_path / f"{stem}{suffix}" for stem in (first, second))
        content = ours.read_bytes(), other.read_bytes()
        ours.write_bytes(content[1])
        other.write_bytes(content[0])
    assert path.is_file() and not taken()
