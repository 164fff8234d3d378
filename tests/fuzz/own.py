"""Mutated files of our own: records, samples, baselines, manifests, leases and suite files.

Each target takes a seed, writes valid files, changes one of them at random, and calls the readers. Whatever comes of it
is a result or an error of ours; any other exception is a find. Half of the changes to sealed files are sealed again, so
that not only the digest is tried.
"""

from __future__ import annotations

import json
import random
import string
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.gate.baselines import read_baseline, take_baseline, write_baseline
from benchmarks.gate.judge import judge_all
from benchmarks.pages.tables import collect_cells
from benchmarks.records.leases import Leases
from benchmarks.records.manifest import MANIFEST
from benchmarks.records.published import write_published
from benchmarks.records.reading import open_results
from benchmarks.records.record import Measurement
from benchmarks.records.sealed import seal
from benchmarks.records.store import RECORD, Store
from benchmarks.site.compared import comparisons
from benchmarks.site.embed import as_json, shown
from benchmarks.site.markup import html
from benchmarks.site.page import record_data, row_data
from benchmarks.site.ranking import rankings
from benchmarks.site.rows import boards, measured_cells, tables
from benchmarks.site.sentences import leaders
from benchmarks.site.sources import sources
from benchmarks.suites.files import load_suite
from benchmarks.suites.shipped import SUITES
from conversion.errors import BenchmarkError
from tests.benchmarks.gate.measurements import cells, right, save
from tests.benchmarks.site.conftest import write_results

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 10**30, 0.5, -0.0, 1e308, float("nan"), float("inf"), "", "x",
    "..", "/etc/passwd", "\x1b[2J", "\ud800", "9" * 5000, [], {}, [[]], {"": None}, [None] * 100, {"a": {"b": []}},
)  # fmt: skip
"""What stands in for a value somewhere in a JSON file."""


def flipped(source: random.Random, content: bytes) -> bytes:
    """The bytes with a few bits changed, a part removed, doubled, or replaced by random ones."""
    data = bytearray(content)
    for _ in range(source.choice((1, 1, 2, 8))):
        place = source.randrange(len(data) + 1)
        length = source.choice((1, 4, 64, 1024))
        match source.randrange(5):
            case 0 if place < len(data):
                data[place] ^= 1 << source.randrange(8)
            case 1:
                del data[place : place + length]
            case 2:
                data[place:place] = data[place : place + length]
            case 3:
                data[place:place] = source.randbytes(length)
            case _:
                del data[place:]
    return bytes(data)


def changed(source: random.Random, content: Any) -> Any:
    """JSON of which a value somewhere is another one, or gone, or under another key."""
    if isinstance(content, dict) and content and source.random() < 0.9:
        key = source.choice(list(content))
        found = dict(content)
        match source.randrange(8):
            case 0:
                del found[key]
            case 1:
                found["".join(source.choices(string.ascii_letters, k=4))] = found.pop(key)
            case _:
                found[key] = changed(source, content[key])
        return found
    if isinstance(content, list) and content and source.random() < 0.9:
        place = source.randrange(len(content))
        other = [changed(source, content[place])] * source.choice((0, 1, 1, 1, 2))
        return [*content[:place], *other, *content[place + 1 :]]
    return source.choice(VALUES)


def mutated(source: random.Random, content: bytes) -> bytes:
    """A sealed JSON file with changes, sealed again or not; or nested deeply."""
    if source.random() < 0.05:
        return source.choice((b"[", b'{"a":')) * source.choice((100, 1000, 100_000))
    if source.random() < 0.4:
        return flipped(source, content)
    found = json.loads(content)
    found.pop("digest", None)
    for _ in range(source.choice((1, 1, 1, 3))):
        found = changed(source, found)
    text = json.dumps(found).encode()
    return seal(text) if isinstance(found, dict) and found else text


@cache
def measured() -> dict[str, bytes]:
    """The files of a store with two records and a failure, of their baseline, and of the same published."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        store = Store(folder / "results", "toy")
        for cell in cells(2):
            save(store, cell, right(50, 5))
        write_baseline(take_baseline("toy", cells(2), store), folder / "toy.json")
        found = [
            Measurement(record=record, samples=samples)
            for record in store.records() if (samples := store.samples(record)) is not None
        ]  # fmt: skip
        write_published(folder / "published", "toy", found)
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def unpacked(folder: Path) -> None:
    for name, content in measured().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def change(source: random.Random, path: Path, how: Callable[[random.Random, bytes], bytes]) -> None:
    path.write_bytes(how(source, path.read_bytes()))


def records(seed: int) -> None:
    """A record, or the table of its samples, read for its state, for tables and for the gate."""
    source = random.Random(seed)
    with TemporaryDirectory() as name:
        folder = Path(name)
        unpacked(folder)
        store, cell = Store(folder / "results", "toy"), cells(1)[0]
        (samples,) = (store.cells / cell.id).glob("samples-*")
        if source.random() < 0.7:
            change(source, store.cells / cell.id / RECORD, mutated)
        else:
            change(source, samples, flipped)
        try:
            state, _, record = store.look_up(cell)
            if record is not None:
                store.samples(record)
            frame = collect_cells(cells(2), store, "horowitz45")
            if state == "done" and not (frame["status"] == "done").any():
                raise AssertionError("it is done, and no row is")
            list(store.records())
            judge_all(read_baseline(folder / "toy.json"), store)
            save(store, cell, right(50, 5))
        except BenchmarkError:
            return


def baselines(seed: int) -> None:
    """A baseline, or its outcomes, read and compared with the run that it was taken from."""
    source = random.Random(seed)
    with TemporaryDirectory() as name:
        folder = Path(name)
        unpacked(folder)
        if source.random() < 0.8:
            change(source, folder / "toy.json", mutated)
        else:
            change(source, folder / "toy.parquet", flipped)
        try:
            judge_all(read_baseline(folder / "toy.json"), Store(folder / "results", "toy"))
        except BenchmarkError:
            return


def published(seed: int) -> None:
    """A published suite: its manifest, records or samples."""
    source = random.Random(seed)
    with TemporaryDirectory() as name:
        folder = Path(name)
        unpacked(folder)
        path = source.choice(sorted((folder / "published/toy").iterdir()))
        change(source, path, mutated if path.name == MANIFEST else flipped)
        try:
            results = open_results(folder / "published", "toy")
            for record in results.records():
                results.samples(record)
            collect_cells(cells(2), results, "horowitz45")
            results.origin()
        except BenchmarkError:
            return


def leases(seed: int) -> None:
    """A lease, looked at and taken: a file that is none keeps nobody from measuring."""
    source = random.Random(seed)
    with TemporaryDirectory() as name:
        found = Leases(Store(Path(name), "toy"))
        cell = cells(1)[0]
        lease = found.take(cell)
        assert lease is not None
        change(source, lease.path, mutated)
        running, taken = list(found.running()), found.take(cell)
        if bool(running) == bool(taken):
            raise AssertionError("it is held and was taken, or neither")


def suites(seed: int) -> None:
    """A shipped suite file with changes, read, and its cells made."""
    source = random.Random(seed)
    path = source.choice(sorted(SUITES.glob("*.yaml")))
    content = path.read_bytes().replace(f"name: {path.stem}".encode(), b"name: own")
    with TemporaryDirectory() as name:
        own = Path(name) / "own.yaml"
        if source.random() < 0.5:
            content = flipped(source, content)
        else:  # A value of a line is another one.
            lines = content.decode().split("\n")
            place = source.randrange(len(lines))
            key, colon, _ = lines[place].partition(": ")
            lines[place] = f"{key}{colon}{json.dumps(source.choice(VALUES))}"
            content = "\n".join(lines).encode(errors="surrogatepass")
        own.write_bytes(content)
        try:
            for cell in load_suite(str(own)).cells()[:20]:
                _ = cell.id, cell.label
        except BenchmarkError:
            return


@cache
def compared() -> dict[str, bytes]:
    """The files of a store of several methods and of their ANN."""
    with TemporaryDirectory() as name:
        folder = write_results(Path(name))
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def pages(seed: int) -> None:
    """Records of a store as what the page in the browser shows of them: rows, records, rankings, comparisons."""
    source = random.Random(seed)
    with TemporaryDirectory() as name:
        folder = Path(name)
        for place, content in compared().items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_bytes(content)
        for path in source.sample(sorted(folder.glob(f"own/cells/*/{RECORD}")), 3):
            change(source, path, mutated)
        try:
            found = sources(folder)
            shown_cells = measured_cells(found)
            of_boards = boards(tables(found), shown_cells)
            order = {key: place for place, key in enumerate(key for board in of_boards for row in board.rows
                                                            for key in row.cells)}  # fmt: skip
            as_json(shown(row_data(of_boards, order)))
            as_json(shown(record_data([shown_cells[key] for key in order])))
            html([" ".join(leaders(rankings(of_boards, shown_cells), of_boards))])
            for board in of_boards:
                comparisons(board, shown_cells)
        except BenchmarkError:
            return


TARGETS: list[tuple[str, Callable[[int], None]]] = [
    ("records", records), ("baselines", baselines), ("published", published), ("leases", leases), ("suites", suites),
    ("pages", pages),
]  # fmt: skip
