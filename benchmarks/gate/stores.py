"""Two stores side by side: the cells whose figures differ, by how much, and sample by sample where both have them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import pandas as pd

from benchmarks.gate.figures import changed
from benchmarks.gate.paired import LEVEL, Paired, adjusted, compare
from benchmarks.pages.markdown import table
from benchmarks.records.reading import Results
from benchmarks.records.record import INPUTS, Record
from benchmarks.text import one_line
from conversion.counting.prices import PRICES

Outcome = Literal["equal", "changed", "other inputs", "failed"]
PRICE_LIST = "horowitz45"


@dataclass(frozen=True)
class Pair:
    """A cell that both stores have.

    Attributes:
        figures: every figure that differs, before and now, by its place in the record; NaN where one has none.
        inputs: the inputs in which the records differ: their scores say nothing of each other.
        paired: the comparison of the samples; None where a store has none, or others.
        p: p of `paired`, adjusted for all cells compared.
    """

    suite: str
    before: Record
    now: Record
    figures: dict[str, tuple[float, float]] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    paired: Paired | None = None
    p: float = 1.0

    @property
    def outcome(self) -> Outcome:
        if "failed" in (self.before.status, self.now.status):
            said = [(record.status, record.reason) for record in (self.before, self.now)]
            return "equal" if said[0] == said[1] else "failed"
        return "other inputs" if self.inputs else "changed" if self.figures else "equal"

    @property
    def score(self) -> tuple[float, float]:
        """The primary metric, before and now."""
        metric = self.before.primary_metric
        return self.before.metrics[metric].value, self.now.metrics[metric].value

    @property
    def energy(self) -> float | None:
        """Change of energy in percent, unary; None where nothing was spent before."""
        assert self.before.totals is not None and self.now.totals is not None
        before, now = (PRICES[PRICE_LIST].millijoules(each.totals, "unary") for each in (self.before, self.now)
                       if each.totals is not None)  # fmt: skip
        return 100 * (now / before - 1) if before else None


@dataclass(frozen=True)
class Stores:
    """The comparison of two stores.

    Attributes:
        pairs: the cells that both have.
        only: labels of the cells that only the first, and only the second has.
        schemas: versions of the records of the first and the second.
    """

    pairs: Sequence[Pair]
    only: tuple[list[str], list[str]]
    schemas: tuple[list[int], list[int]]

    @property
    def same(self) -> bool:
        return all(pair.outcome == "equal" for pair in self.pairs) and not any(self.only)


def compare_stores(matched: Sequence[tuple[str, Results | None, Results | None]]) -> Stores:
    """Compares suites of two folders cell by cell.

    Args:
        matched: names of suites with their records on both sides; None where a side lacks the suite.

    Raises:
        BenchmarkError: a record was written by a newer version of the benchmark.
    """
    pairs, only, schemas = list[Pair](), (list[str](), list[str]()), (set[int](), set[int]())
    for suite, first, second in matched:
        sides = [{record.cell.id: record for record in (store.records() if store is not None else ())}
                 for store in (first, second)]  # fmt: skip
        for place, (own, other) in enumerate((sides, sides[::-1])):
            schemas[place].update(record.schema_version for record in own.values())
            only[place].extend(f"{suite}: {own[id].cell.label}" for id in own if id not in other)
        if first is not None and second is not None:
            pairs += [_pair(suite, sides[0][id], sides[1][id], first, second) for id in sides[0] if id in sides[1]]
    tested = [pair.paired for pair in pairs if pair.paired is not None]
    ps = iter(adjusted(tested))
    found = [pair if pair.paired is None else replace(pair, p=next(ps)) for pair in pairs]
    return Stores(found, only, (sorted(schemas[0]), sorted(schemas[1])))


def _pair(suite: str, before: Record, now: Record, first: Results, second: Results) -> Pair:
    if "failed" in (before.status, now.status):
        return Pair(suite, before, now)
    inputs = [name for name in INPUTS if before.fingerprint.get(name) != now.fingerprint.get(name)]
    if before.primary_metric != now.primary_metric:
        inputs.append("metric")
    # What a record does not have at all was not recorded when it was written.
    absent = [name for name in ("curve", "exits", "activity", "report", "departures")
              if not getattr(before, name) or not getattr(now, name)]  # fmt: skip
    figures = changed(before, now, absent)
    paired = None if inputs else _paired(first.samples(before), second.samples(now))
    if paired is not None and not figures and not paired.lost + paired.won:
        paired = None
    return Pair(suite, before, now, figures, tuple(inputs), paired)


def _paired(first: pd.DataFrame | None, second: pd.DataFrame | None) -> Paired | None:
    """The comparison of the same samples in the same order, as far as their targets tell."""
    if first is None or second is None or len(first) != len(second):
        return None
    if "target" in first and "target" in second and not first["target"].equals(second["target"]):
        return None
    return compare(first["outcome"].to_numpy(float), second["outcome"].to_numpy(float))


def compared_page(found: Stores, names: tuple[str, str]) -> str:
    """Markdown of a comparison: what differs, then what only one side has.

    Args:
        names: the first and the second store as they were named.
    """
    counts = {outcome: sum(pair.outcome == outcome for pair in found.pairs)
              for outcome in ("equal", "changed", "other inputs", "failed")}  # fmt: skip
    lines = [
        f"# {names[0]} against {names[1]}", "",
        f"{len(found.pairs)} cells in both: "
        + ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count or outcome == "equal")
        + f"; {len(found.only[0])} only in the first, {len(found.only[1])} only in the second.",
        "",
        *_schemas(found.schemas),
    ]  # fmt: skip
    changes = sorted((pair for pair in found.pairs if pair.outcome == "changed"), key=_size)
    if changes:
        header = ["suite", "cell", "before", "now", "points", "won / lost", "p", "energy, %", "figures that differ"]
        lines += [*table(header, map(_row, changes)), ""]
        if any(pair.paired is not None for pair in changes):
            lines += [f"p of the paired test, adjusted for all cells; at most {LEVEL:g} is a difference.", ""]
    for pair in found.pairs:
        name = f"- {pair.suite}: {pair.before.cell.label}"
        if pair.outcome == "other inputs":
            lines.append(f"{name} has other {' and '.join(pair.inputs)}: not compared.")
        elif pair.outcome == "failed":
            said = [f"{each.status}{f' ({each.reason})' if each.reason else ''}" for each in (pair.before, pair.now)]
            lines.append(f"{name} was {said[0]} and is {said[1]}.")
    for side, labels in zip(("first", "second"), found.only, strict=True):
        lines += [f"- only in the {side}: {label}" for label in labels]
    return "\n".join(map(one_line, lines))


def _schemas(schemas: tuple[list[int], list[int]]) -> Iterator[str]:
    if schemas[0] and schemas[1] and schemas[0] != schemas[1]:
        first, second = (" and ".join(map(str, own)) for own in schemas)
        yield (
            f"The records of the first are of schema {first}, those of the second of schema {second}: what a record "
            "does not hold at all is not compared."
        )
        yield ""


def _size(pair: Pair) -> tuple[float, float]:
    before, now = pair.score
    return -abs(now - before), -abs(pair.energy or 0.0)


def _row(pair: Pair) -> list[str]:
    before, now = pair.score
    paired = pair.paired
    fields = dict.fromkeys(place.split(".")[0] for place in pair.figures)
    return [
        pair.suite, pair.before.cell.label, f"{before:.2f}", f"{now:.2f}", _signed(now - before),
        "" if paired is None else f"{paired.won} / {paired.lost}", "" if paired is None else f"{pair.p:.2g}",
        "" if pair.energy is None else _signed(pair.energy), f"{len(pair.figures)}: {', '.join(fields)}",
    ]  # fmt: skip


def _signed(change: float) -> str:
    """A change with 2 digits; one that rounds to nothing has no sign."""
    return f"{change:+.2f}" if abs(change) >= 0.005 else "0.00"
