"""A table of the paper, regenerated: each printed number beside ours, marked, and what is missing or deviates."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import pandas as pd

from adapters import NETWORKS
from benchmarks.execution.watch import duration
from benchmarks.pages.beside import ENERGY_POINTS, POINTS, Beside, beside, energy_change, verdict
from benchmarks.pages.markdown import table
from benchmarks.references.paper import NONE, energy_changes, printed
from benchmarks.suites.paper import Need, PaperTable
from benchmarks.suites.suite import Suite
from tasks import TASKS

LEGEND = (
    "Numbers are ours (the paper's, difference). **reproduced**: the paper's lies in our 95 % interval or within "
    f"{POINTS:g} points; **off**: it does not; **quoted**: the paper's number, which we do not measure; **not run**: "
    "see below; **first-N**: no verdict, since only N test samples were measured."
)
ENERGY_LEGEND = (
    "Changes of energy are percent of the dataset's row `none`, of the paper's mJ and of ours. Absolute mJ are not "
    "compared: the paper does not say what it multiplies spikes by. Ours are unary / graded, a burst of n as n spikes "
    "or as one event; the mark is of graded, which is what the released estimator counts, within "
    f"{ENERGY_POINTS:g} points."
)


def paper_page(suite: Suite, frame: pd.DataFrame) -> list[str]:
    """Markdown of the table that a suite regenerates.

    Args:
        suite: a suite with a table.
        frame: the rows of its results.csv; selected cells are enough.
    """
    spec = suite.table
    assert spec is not None
    found = beside(spec, frame)
    notes = slips(spec.number)
    has_energy = any(one.printed.energy_mJ is not None for one in found)
    return [
        *_grid(spec, found, notes), "", LEGEND, "",
        f"Conversions look at {suite.calibrated_on} training samples at most.", "",
        *([ENERGY_LEGEND, ""] if has_energy else []),
        *listed("Slips of the paper:", (f"[{i}] {note}" for i, note in enumerate(notes, 1))),
        *listed("Not run:", _missing(found)),
        *needs_page(suite), *_spent(frame),
    ]  # fmt: skip


def slips(table: int) -> list[str]:
    """The slips of the paper in a table, each once, in the order of its numbers."""
    return list(dict.fromkeys(row.note for row in printed(table) if row.note))


KEYS: dict[str, Callable[[Beside], str]] = {
    "dataset": lambda one: one.printed.dataset,
    "architecture": lambda one: one.printed.architecture,
    "method": lambda one: one.printed.method,
    "T": lambda one: "" if one.printed.T is None else str(one.printed.T),
}
"""What tells the numbers of a table apart."""


def _grid(spec: PaperTable, found: Sequence[Beside], notes: Sequence[str]) -> list[str]:
    """The table itself: rows and columns of the paper, and where a row comes from."""
    heads: dict[str | None, Callable[[Beside], str]] = {
        "T": lambda one: f"T={one.printed.T}",
        "method": lambda one: f"{one.printed.method}, T={one.printed.T}",
        None: lambda one: one.printed.metric,
    }
    head, hidden = heads[spec.columns], {"T": {"T"}, "method": {"method", "T"}, None: set[str]()}[spec.columns]
    names = [name for name in _telling(found) if name not in hidden]
    rows: dict[tuple[str, ...], dict[str, Beside]] = {}
    for one in found:
        rows.setdefault(tuple(KEYS[name](one) for name in names), {})[head(one)] = one
    columns = list(dict.fromkeys(map(head, found)))
    if spec.columns == "T":
        columns.sort(key=lambda column: int(column.removeprefix("T=")))
    anns = any(one.printed.ann is not None for one in found)
    energy = any(one.printed.energy_mJ is not None for one in found)
    body = []
    for key, by_column in rows.items():
        members = list(by_column.values())
        named = dict(zip(names, key, strict=True))
        if members[0].quoted:
            named["method"] += f", {members[0].printed.venue}"
        body.append([
            *named.values(),
            *([_ann(members)] if anns else []),
            *(_number(by_column[column], notes) if column in by_column else "" for column in columns),
            *(_energies(members[0], found) if energy else []),
            _source(members),
        ])  # fmt: skip
    headings = ["category" if name == "dataset" and spec.mean is not None else name for name in names]
    header = [*headings, *["ANN"] * anns, *columns, *["energy, mJ", "change of energy, %"] * energy, "source"]
    return table(header, body)


def _telling(found: Sequence[Beside]) -> list[str]:
    """The keys that differ between the numbers of a table, and the method."""
    return [name for name, key in KEYS.items() if name == "method" or len({key(one) for one in found}) > 1]


def _number(one: Beside, notes: Sequence[str]) -> str:
    note = f" [{notes.index(one.printed.note) + 1}]" if one.printed.note else ""
    theirs, mark = one.printed.value, verdict(one)
    if one.score is None:
        return f"{theirs:.2f} {mark}{note}" if one.quoted else f"{mark} ({theirs:.2f}){note}"
    return f"{one.score.value:.2f} ({theirs:.2f}, {one.score.value - theirs:+.2f}) {mark}{note}"


def _ann(members: Sequence[Beside]) -> str:
    theirs = members[0].printed.ann
    ours = next((one.score.ann for one in members if one.score is not None), math.nan)
    printed_ann = "" if theirs is None else f"{theirs:.2f}"
    if math.isnan(ours):
        return printed_ann if members[0].quoted else f"({printed_ann})"
    return f"{ours:.2f}" + (f" ({printed_ann}, {ours - theirs:+.2f})" if theirs is not None else "")


def _energies(one: Beside, found: Sequence[Beside]) -> list[str]:
    """Energy and its change against the dataset's row "none", ours beside the paper's."""
    own = one.printed
    if one.score is None:
        return [f"({own.energy_mJ:.2f})", f"({energy_changes(own.dataset)[own.method]:+.1f})"]
    millijoules = " / ".join(f"{one.energy(coding):.3g}" for coding in ("unary", "graded"))
    change = energy_change(one, found)
    if change.unary is None or change.graded is None:
        shown = f"no row `{NONE}` ({change.paper:+.1f})"
    elif own.method == NONE:
        shown = f"{change.graded:+.1f} ({change.paper:+.1f})"
    else:
        mark = one.profile if one.profile != "full" else "reproduced" if change.near else "off"
        ours, difference = f"{change.unary:+.1f} / {change.graded:+.1f}", change.graded - change.paper
        shown = f"{ours} ({change.paper:+.1f}, {difference:+.1f}) {mark}"
    return [f"{millijoules} ({own.energy_mJ:.2f})", shown]


def _source(members: Sequence[Beside]) -> str:
    """What measures a row, or that it is quoted."""
    targets = list(dict.fromkeys(one.target for one in members if one.target is not None))
    if members[0].parts:
        return f"mean of {len(members[0].parts)}"
    if not targets:
        how = "trained as a spiking network" if members[0].printed.training == "direct" else "a conversion"
        return f"quoted, {how}"
    methods = ", ".join(dict.fromkeys(f"`{target.method}`" for target in targets))
    steps = f", T={targets[0].T}" if members[0].printed.T is None else ""
    return f"{methods}{steps} on `{targets[0].network}`"


def _missing(found: Sequence[Beside]) -> list[str]:
    """For every reason the numbers that it keeps from being there."""
    names = [name for name in _telling(found) if name != "T"]
    by_reason: dict[str, list[str]] = {}
    for one in found:
        for reason in one.reasons:
            steps = "" if one.printed.T is None else f" T={one.printed.T}"
            # Tasks that share data lack them for one reason.
            said = reason.removeprefix(f"Task {one.target.task}: ") if one.target is not None else reason
            by_reason.setdefault(said, []).append(" ".join(KEYS[name](one) for name in names) + steps)
    return [f"{_enumerated(names)}: {reason}" for reason, names in by_reason.items()]


def _enumerated(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) < 4 else f"{names[0]} to {names[-1]} ({len(names)} numbers)"


def needs_page(suite: Suite) -> list[str]:
    """Markdown of how a table deviates and what it needs: data, trained networks, commands in order and their time."""
    spec = suite.table
    assert spec is not None
    layouts: dict[str, list[str]] = {}
    for task in dict.fromkeys(need.task for need in spec.needed()):
        layouts.setdefault(TASKS[task].layout, []).append(task)
    steps = [[_weights(need), need.gpu, need.cpu] for need in spec.needed()]
    name = suite.name.partition("-first-")[0]
    steps.append([f"`python run_all.py run --suite {name} --data-root DATA`", spec.gpu, spec.cpu])
    return [
        *listed("What deviates from the paper:", spec.deviations),
        *listed("Data that it needs:", (f"`{'`, `'.join(names)}`: `{layout}`" for layout, names in layouts.items())),
        "What it takes, in this order:", "", *table(["step", "on one GPU", "on a CPU of 2 cores"], steps), "",
    ]  # fmt: skip


def _weights(need: Need) -> str:
    """The way to the weights of a network."""
    if need.weights == "train":
        return f"`python run_all.py train --task {need.task} --network {need.network} --data-root DATA`"
    info = NETWORKS[need.network].info
    file = info.published(TASKS[need.task].label_set, need.network.rpartition("/")[2])[0]
    return f"`{file}`, the published weights of `{need.network}`" + f", {info.homepage}" * (info.homepage is not None)


def _spent(frame: pd.DataFrame) -> list[str]:
    """The seconds that the cells took which are there."""
    done = frame[frame["status"] == "done"].drop_duplicates("cell")
    seconds = float((done["convert_s"] + done["evaluate_s"]).sum())
    if done.empty:
        return []
    devices = ", ".join(dict.fromkeys(done["device"].astype(str)))
    return [f"The {len(done)} cells that are there took {duration(seconds)} on {devices}.", ""]


def listed(title: str, items: Iterable[str]) -> list[str]:
    """A list under a title in Markdown; nothing where there is no item."""
    lines = [f"- {item}" for item in items]
    return [title, "", *lines, ""] if lines else []
