"""The gate on a table of scenarios: it never passes where nothing was compared, and regressions end with 4."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from benchmarks.commands.gate import gate
from benchmarks.execution.failures import cause_of, explain
from benchmarks.gate.baselines import take_baseline, write_baseline
from benchmarks.records.record import Cause, Record
from benchmarks.records.store import RECORD, Store
from tests.benchmarks.gate.measurements import INPUTS, SYNOPS, Runs, cells, flipped, right, save
from tests.benchmarks.records.edits import edit

N = 200
OUTCOMES = right(N, 20)
TARGETS = np.arange(N, dtype=np.int32) % 10


@dataclass
class Bench:
    """Three cells as measured for a baseline and again, and the baseline's files."""

    store: Store
    baseline: Path

    def record(self, index: int = 0) -> Path:
        return self.store.cells / cells(3)[index].id / RECORD

    def save(self, outcomes: NDArray[Any] | None = OUTCOMES, index: int = 0, **changes: Any) -> None:
        save(self.store, cells(3)[index], outcomes, **changes)

    def fail(self, cause: Cause | None, reason: str = "it broke", index: int = 0) -> None:
        shutil.rmtree(self.record(index).parent)
        self.store.save(Record(cell=cells(3)[index], status="failed", reason=reason, cause=cause))

    def samples(self, index: int = 0) -> Path:
        (path,) = self.record(index).parent.glob("samples-*.parquet")
        return path


Change = Callable[[Bench], object]


def with_targets(bench: Bench, order: NDArray[np.int64] | None = None) -> None:
    """Saves the first cell with predictions and targets, in the order of the test split or in another."""
    record = bench.store.load(cells(3)[0])
    assert record is not None
    table = pd.DataFrame({"outcome": OUTCOMES, "steps": 4.0, "target": TARGETS})
    table["prediction"] = np.where(OUTCOMES > 0, TARGETS, (TARGETS + 1) % 10).astype(np.int32)
    bench.store.save(record, table if order is None else table.iloc[order].reset_index(drop=True))


def rebased(change: Change) -> Change:
    """The change after the baseline was taken again from records with targets."""

    def both(bench: Bench) -> None:
        with_targets(bench)
        write_baseline(take_baseline("toy", cells(3), bench.store), bench.baseline)
        change(bench)

    return both


def figures(**changes: Any) -> Change:
    """Totals of the first cell with other figures, by a writer whose digest fits."""
    return lambda bench: edit(bench.record(), lambda content: content["totals"].update(changes))


def value(**changes: Any) -> Change:
    return lambda bench: edit(bench.record(), lambda content: content["metrics"]["accuracy"].update(changes))


def field(**changes: Any) -> Change:
    return lambda bench: edit(bench.record(), lambda content: content.update(changes))


def row(**changes: Any) -> Change:
    return lambda bench: edit(bench.baseline, lambda content: content["cells"][0].update(changes))


def operations(**changes: Any) -> Change:
    return lambda bench: edit(bench.baseline, lambda content: content["cells"][0]["operations"].update(changes))


def raised(error: BaseException) -> Change:
    """The first cell failed with an error, as a worker stores it."""
    return lambda bench: bench.fail(cause_of(error), explain(error))


def flip(path: Callable[[Bench], Path], place: float) -> Change:
    def change(bench: Bench) -> None:
        content = bytearray(path(bench).read_bytes())
        content[int(place * len(content))] ^= 1
        path(bench).write_bytes(content)

    return change


def written(path: Callable[[Bench], Path], content: bytes) -> Change:
    return lambda bench: path(bench).write_bytes(content)


def older(bench: Bench) -> None:
    """A record and a baseline as they were written before there were digests."""
    for path, changes in ((bench.record(), {"schema_version": 2}), (bench.baseline, {"schema_version": 1})):
        content = json.loads(path.read_text()) | changes
        del content["digest"]
        for old in content.get("cells", ()):
            del old["order"]
        path.write_text(json.dumps(content))


def all_of(*changes: Change) -> Change:
    def change(bench: Bench) -> None:
        for one in changes:
            one(bench)

    return change


def all_cells(**changes: Any) -> Change:
    return all_of(*(lambda bench, index=index: bench.save(index=index, **changes) for index in range(3)))


def exchanged(bench: Bench) -> None:
    """The samples of another cell under the name of this one's."""
    bench.save(NOISE, index=1)
    bench.samples().write_bytes(bench.samples(1).read_bytes())


def few(bench: Bench) -> None:
    """A baseline of cells with five samples each, of which no loss can be told from chance."""
    for index in range(3):
        bench.save(right(5, 1), index)
    write_baseline(take_baseline("toy", cells(3), bench.store), bench.baseline)


def refused_by_another(bench: Bench) -> None:
    """The method refuses the network, while a file is read that cannot be read: no fault of the disk."""
    try:
        try:
            raise FileNotFoundError(2, "No such file", "x")
        except FileNotFoundError as error:
            raise ValueError("it broke") from error
    except ValueError as error:
        raised(error)(bench)


LOSS, GAIN = flipped(OUTCOMES, slice(100, 110)), flipped(OUTCOMES, slice(0, 10))
NOISE = flipped(OUTCOMES, slice(10, 30))
OTHER_CELL: Change = lambda bench: shutil.copy(bench.record(1), bench.record(0))  # noqa: E731
GONE: Change = lambda bench: shutil.rmtree(bench.record(1).parent)  # noqa: E731
SHUFFLED = np.random.default_rng(0).permutation(N)

REGRESSIONS: dict[str, Change] = {
    "ten samples lost": lambda bench: bench.save(LOSS),
    "six samples lost": lambda bench: bench.save(flipped(OUTCOMES, slice(100, 106))),
    "half of the samples lost": lambda bench: bench.save(flipped(OUTCOMES, slice(100, 200))),
    "every sample wrong": lambda bench: bench.save(0 * OUTCOMES),
    "thirty lost and ten won": lambda bench: bench.save(flipped(OUTCOMES, slice(10, 50))),
    "a percent more synops, unary": lambda bench: bench.save(unary=1.01 * SYNOPS),
    "a percent more synops, smallest": lambda bench: bench.save(smallest=1.01 * SYNOPS),
    "a percent more synops, graded": lambda bench: bench.save(graded=0.505 * SYNOPS),
    "a percent more synops, binary": figures(synops_binary=0.707 * SYNOPS),
    "ten times the synops": lambda bench: bench.save(unary=10 * SYNOPS),
    "a percent more MACs": lambda bench: bench.save(macs=1.01 * 868_000),
    "flops where there were none": figures(flops_once=1000.0),
    "more steps": lambda bench: bench.save(steps=4.5),
    "a later first answer": lambda bench: bench.save(delay=1),
    "the method refuses": lambda bench: bench.fail("refused"),
    "the method breaks": lambda bench: bench.fail("error"),
    "a failure without a cause": lambda bench: bench.fail(None),
    "an error that no resource explains": raised(RuntimeError("shapes do not match")),
    "an error after a file that is not there": refused_by_another,
    "cheaper, and ten samples lost": lambda bench: bench.save(LOSS, unary=SYNOPS / 2),
    "ten samples won, and dearer": lambda bench: bench.save(GAIN, unary=2 * SYNOPS),
    "one regressed beside a missing one": all_of(lambda bench: bench.save(LOSS), GONE),
    "one regressed beside a damaged one": all_of(
        lambda bench: bench.save(LOSS), lambda bench: bench.record(1).write_bytes(b"{")
    ),
    "one regressed beside one out of memory": all_of(
        lambda bench: bench.save(LOSS), lambda bench: bench.fail("resources", index=1)
    ),
    "all of them dearer": all_cells(unary=2 * SYNOPS),
    "ten samples lost, with targets": rebased(lambda bench: bench.save(LOSS, index=1)),
}  # fmt: skip
PASSES: dict[str, Change] = {
    "nothing changed": lambda bench: None,
    "ten lost and ten won": lambda bench: bench.save(NOISE),
    "five lost, which no test can tell": lambda bench: bench.save(flipped(OUTCOMES, slice(100, 105))),
    "ten samples won": lambda bench: bench.save(GAIN),
    "cheaper": lambda bench: bench.save(unary=SYNOPS / 2),
    "half a thousandth dearer": lambda bench: bench.save(unary=1.0005 * SYNOPS),
    "a cell that the baseline lacks": lambda bench: save(bench.store, cells(4)[3], OUTCOMES),
    "measured elsewhere, impossible here": lambda bench: bench.store.save(
        Record(cell=cells(3)[0], status="failed", reason="no data", cause="impossible")
    ),
    "with targets": rebased(lambda bench: None),
    "records and baseline from before digests": older,
}
INCONCLUSIVE: dict[str, Change] = {
    "a cell is missing": GONE,
    "no cell is there": lambda bench: shutil.rmtree(bench.store.folder),
    "a flipped bit in a record c4": flip(lambda bench: bench.record(), 0.5),
    "a record that is cut": written(lambda bench: bench.record(), b'{"schema_version": 3, '),
    "a record nested 10,000 deep c7": written(lambda bench: bench.record(), b"[" * 10_000),
    "the record of another cell": OTHER_CELL,
    "a record without a digest": lambda bench: bench.record().write_text(
        json.dumps({**json.loads(bench.record().read_text()), "digest": ""})
    ),
    "samples that are cut c8": lambda bench: bench.samples().write_bytes(bench.samples().read_bytes()[:-9]),
    "samples that are gone c8": lambda bench: bench.samples().unlink(),
    "a flipped bit in samples c8": flip(Bench.samples, 0.5),
    "samples of another cell": exchanged,
    "samples elsewhere c2": field(samples="/etc/passwd"),
    "samples above c2": field(samples="../record.json"),
    "all samples shuffled c5": rebased(lambda bench: with_targets(bench, SHUFFLED)),
    "a value that does not follow from its outcomes c5": value(value=95.0, ci_high=96.0),
    "more samples than outcomes c5": value(n=2 * N),
    "NaN as a value c5": value(value=float("nan")),
    "infinity as a value c5": value(value=float("inf"), ci_high=float("inf")),
    "a percentage above 100 c5": value(value=150.0, ci_high=151.0),
    "a negative percentage c5": value(value=-3.0, ci_low=-4.0),
    "negative operations c5": figures(synops_unary=-1.0),
    "infinitely many operations c5": figures(macs_once=float("inf")),
    "NaN operations c5": figures(synops_graded=float("nan")),
    "NaN steps c5": figures(steps=float("nan")),
    "no totals c7": field(totals=None),
    "10^30 steps c7": lambda bench: edit(bench.record(), lambda content: content["cell"].update(T=10**30)),
    "outcomes that are not finite": lambda bench: bench.save(np.where(OUTCOMES > 0, 1.0, np.nan)),
    "other weights": lambda bench: bench.save(inputs=INPUTS | {"weights": "other"}),
    "other data": lambda bench: bench.save(inputs=INPUTS | {"data": "other"}),
    "another precision": lambda bench: bench.save(inputs=INPUTS | {"precision": "bfloat16"}),
    "fewer samples": lambda bench: bench.save(right(N - 10, 20)),
    "outcomes that were not kept": lambda bench: bench.save(None, n=N),
    "MemoryError c6": raised(MemoryError()),
    "torch is out of memory c6": raised(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")),
    "oneDNN is out of memory c6": raised(RuntimeError("could not create a primitive")),
    "C++ is out of memory c6": raised(RuntimeError("std::bad_alloc")),
    "an I/O error c6": raised(OSError(5, "Input/output error", "/data/x")),
    "a full disk c6": raised(OSError(28, "No space left on device", "/tmp/x")),
    "killed": lambda bench: bench.fail("killed"),
    "the time limit": lambda bench: bench.fail("time limit"),
    "impossible": lambda bench: bench.fail("impossible"),
    "a baseline with NaN c5": row(value=float("nan")),
    "a baseline with infinity c5": operations(synops_unary=float("inf")),
    "a baseline with negative operations c5": operations(macs=-1.0),
    "a baseline above 100 percent c5": row(value=250.0),
    "a baseline that does not follow from its outcomes c5": row(value=80.0),
    "a baseline with a flipped bit c4": flip(lambda bench: bench.baseline, 0.5),
    "a baseline with a flipped bit in its outcomes c4": flip(lambda bench: bench.baseline.with_suffix(".parquet"), 0.5),
    "an empty baseline": lambda bench: edit(bench.baseline, lambda content: content.update(cells=[])),
    "a baseline that is no JSON": written(lambda bench: bench.baseline, b"{"),
    "a baseline nested 10,000 deep c7": written(lambda bench: bench.baseline, b"[" * 10_000),
    "a baseline without outcomes": written(lambda bench: bench.baseline.with_suffix(".parquet"), b""),
    "a baseline of cells with few samples": few,
}  # fmt: skip
SCENARIOS = {
    **{name: (4, change) for name, change in REGRESSIONS.items()},
    **{name: (0, change) for name, change in PASSES.items()},
    **{name: (5, change) for name, change in INCONCLUSIVE.items()},
}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the records of three cells and their baseline."""
    folder = tmp_path_factory.mktemp("measured")
    runs = Runs(folder, 3, OUTCOMES)
    write_baseline(runs.baseline, folder / "toy.json")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_ends_as_it_has_to(
    name: str, measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, change = SCENARIOS[name]
    shutil.copytree(measured, tmp_path / "results")
    bench = Bench(Store(tmp_path / "results", "toy"), tmp_path / "results/toy.json")
    change(bench)
    found = gate(
        bench.baseline, suite=None, limit=None, results=tmp_path / "results", update=False, markdown=None, junit=None
    )
    shown = capsys.readouterr()
    assert found == status, shown.out + shown.err
    if status == 0:
        rows = [line for line in shown.out.splitlines() if line.startswith("| digits ")]
        assert len(rows) == 3 and not any(word in shown.out for word in ("nan", "inf"))
    assert Path("/etc/passwd").is_file() and shown.err.count("\n") == 1


def test_there_are_enough_scenarios() -> None:
    assert len(SCENARIOS) >= 60 and len(REGRESSIONS) >= 20
