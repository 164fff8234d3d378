"""Tables are functions of records: a tidy CSV and a Markdown page for each suite."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.pages.codes import PRICES_OF_CODES, codes_table, has_codes
from benchmarks.pages.comparisons import ablation, iso_energy
from benchmarks.pages.markdown import table
from benchmarks.pages.paper import paper_page
from benchmarks.pages.seeds import ROW, Rows, mean_text, over_seeds, parts
from benchmarks.records.reading import Results
from benchmarks.records.record import Record
from benchmarks.suites.cell import Cell
from benchmarks.suites.suite import Suite
from benchmarks.text import in_csv, one_line, page
from conversion.codes import RATE
from conversion.counting.prices import PRICES
from conversion.errors import InvalidInput
from tasks import TASKS

COLUMNS = [
    "suite", "task", "network", "method", "T", "mean_T", "seed", "profile", "metric", "value", "ci_low", "ci_high", "n",
    "ann_value", "spikes", "synops_unary", "synops_graded", "macs", "energy_unary_mJ", "energy_graded_mJ",
    "energy_ann_mJ", "price_list", "precision", "device", "convert_s", "evaluate_s", "status", "reason", "cell",
    "calibration", "synops_binary", "energy_binary_mJ", "flops", "departures", "code", "wait", "synops_smallest",
    "energy_smallest_mJ", "packets", "payload_bits", "neuron_updates", "latency_first", "latency_final",
]  # fmt: skip
OF_CODES = COLUMNS[COLUMNS.index("code") :]
"""Columns that tables from before there were codes do not have."""
INTEGERS = ["T", "n"]
TEXTS = ["reason", "departures", "code", "wait"]
NAMES = [
    "suite",
    "task",
    "network",
    "method",
    "profile",
    "metric",
    "price_list",
    "precision",
    "device",
    "status",
    "cell",
]
NUMBERS = [name for name in COLUMNS if name not in (*TEXTS, *NAMES)]


def collect(suite: Suite, store: Results) -> pd.DataFrame:
    """The tidy table of a suite: one row for each cell and metric, missing and failed cells included."""
    return collect_cells(suite.cells(), store, suite.price_list)


def collect_cells(cells: Sequence[Cell], store: Results, price_list: str) -> pd.DataFrame:
    """The tidy table of some cells of a store, with energy at these prices."""
    found = [store.look_up(cell) for cell in cells]
    anns = {
        (record.cell.task, record.cell.network, record.cell.profile): record
        for state, _, record in found
        if record is not None and state == "done" and record.cell.method == "ann"
    }
    rows: list[dict[str, object]] = []
    for cell, (state, reason, record) in zip(cells, found, strict=True):
        base: dict[str, object] = {
            "suite": store.folder.name, "task": cell.task, "network": cell.network, "method": cell.recipe.label,
            "T": cell.T, "seed": cell.seed, "profile": cell.profile, "price_list": price_list, "cell": cell.id,
            "calibration": cell.calibration,
        }  # fmt: skip
        ann = anns.get((cell.task, cell.network, cell.profile))
        if record is None or state != "done":
            rows.append(base | {"status": state, "reason": reason or "not run yet"})
        elif ann is not None and (changed := store.differences(record, ann)):
            # Rows of different weights, precision or code are not comparable.
            reason = f"measured with another {', '.join(changed)} than the ANN"
            rows.append(base | {"status": "stale", "reason": reason})
        else:
            rows += [base | row for row in _measured(record, ann, price_list)]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.astype(dict.fromkeys(INTEGERS, "Int64"))


def _measured(record: Record, ann: Record | None, price_list: str) -> Iterable[dict[str, object]]:
    prices, totals = PRICES[price_list], record.totals
    assert totals is not None
    timed = record.cell.T is not None
    counted = {
        "mean_T": totals.steps if timed else None,
        "spikes": totals.spikes,
        "synops_unary": totals.synops_unary,
        "synops_binary": totals.synops_binary,
        "synops_graded": totals.synops_graded,
        "macs": totals.macs,
        "flops": totals.flops,
        "energy_unary_mJ": prices.millijoules(totals, "unary"),
        "energy_binary_mJ": prices.millijoules(totals, "binary"),
        "energy_graded_mJ": prices.millijoules(totals, "graded"),
        "energy_ann_mJ": prices.millijoules(ann.totals, "unary") if ann is not None and ann.totals else None,
        "precision": record.fingerprint["precision"],
        "device": record.provenance["device"],
        "convert_s": record.convert_s,
        "evaluate_s": record.evaluate_s,
        "status": "done",
        "reason": "",
        "departures": "; ".join(f"{count} {reason}" for reason, count in record.departures.items()),
        "code": record.code if timed else "",
        "wait": record.wait if timed else "",
        "synops_smallest": totals.synops_smallest,
        "energy_smallest_mJ": prices.millijoules(totals, "smallest"),
        "packets": totals.events,
        "payload_bits": totals.payload_bits,
        "neuron_updates": totals.neuron_updates,
        "latency_first": totals.latency_first if timed else None,
        "latency_final": totals.latency_final if timed else None,
    }
    for metric, value in record.metrics.items():
        reference = None if ann is None else ann.metrics.get(metric)  # The ANN's record may lack a newer metric.
        ann_value = None if reference is None else reference.value
        yield counted | {"metric": metric, "ann_value": ann_value, **value.model_dump()}


def write_tables(suite: Suite, store: Results, frame: pd.DataFrame) -> Path:
    """Writes results.csv and results.md of a tidy table into the suite's folder; returns the path of the latter."""
    for name, content in pages(suite, store, frame).items():
        store.write(name, content)
    return store.folder / "results.md"


def read_table(path: Path) -> pd.DataFrame:
    """A results.csv as `collect` gives it, with figures of 6 digits.

    Raises:
        InvalidInput: the file is no such table.
    """
    try:
        frame = pd.read_csv(path, dtype=dict.fromkeys(TEXTS, object))
        if set(COLUMNS).difference(frame) == set(OF_CODES):
            frame = _of_rates(frame)
        if absent := [name for name in COLUMNS if name not in frame]:
            raise ValueError(f"it has no column {absent[0]}")
        for name in NUMBERS:
            pd.to_numeric(frame[name])
        return frame.astype(dict.fromkeys(INTEGERS, "Int64")).fillna(dict.fromkeys(TEXTS, ""))
    except (ValueError, TypeError, OverflowError) as error:  # Also of what pandas cannot parse.
        raise InvalidInput(f"{path} is no table of results: {str(error).strip().rstrip('.')}.") from None


def _of_rates(frame: pd.DataFrame) -> pd.DataFrame:
    """A table from before there were codes, with their columns: of rates, without what was not counted then."""
    done = frame["status"] == "done"
    timed = done & frame["T"].notna()
    return frame.assign(
        code=np.where(timed, RATE, ""), wait=np.where(timed, "0", ""), synops_smallest=frame["synops_unary"],
        energy_smallest_mJ=frame["energy_unary_mJ"], packets=np.nan, payload_bits=np.nan, neuron_updates=np.nan,
        latency_first=np.where(timed, 1.0, np.nan), latency_final=frame["mean_T"].where(timed),
    )  # fmt: skip


def pages(suite: Suite, store: Results, frame: pd.DataFrame) -> dict[str, bytes]:
    """The contents of results.csv and results.md, by the name of the file."""
    written = _texts(frame, in_csv)
    return {
        "results.csv": written.to_csv(index=False, float_format="%.6g").encode(),
        "results.md": markdown(suite, frame, store.origin()).encode(),
    }


def _texts(frame: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """The table with each of its texts changed."""
    changed = {}
    for name in frame.columns[frame.dtypes.map(lambda kind: not pd.api.types.is_numeric_dtype(kind))]:
        # Thousands of rows hold few different texts.
        texts = {text: change(text) for text in frame[name].unique() if isinstance(text, str)}
        if any(text != new for text, new in texts.items()):
            changed[name] = frame[name].map(lambda value, texts=texts: texts.get(value, value))
    return frame.assign(**changed)


def markdown(suite: Suite, frame: pd.DataFrame, origin: str = "", *, details: bool = True) -> str:
    """The page of a suite: accuracy and energy of every task, network and profile; methods as rows, T as columns.

    Args:
        origin: a line on where and when it was measured; "" for a working store.
        details: whether a suite that regenerates a table of the paper has more than that table.
    """
    return page("\n".join(_lines(suite, _texts(frame, one_line), origin, details)))


def _lines(suite: Suite, frame: pd.DataFrame, origin: str, details: bool) -> list[str]:
    prices = PRICES[suite.price_list]
    lines = [f"# {one_line(suite.title)}", ""]
    if suite.note:
        lines += [suite.note.strip(), ""]
    if suite.table is not None:
        lines += paper_page(suite, frame)
        if not details:
            return lines
    lines += [
        f"Calibration looks at {suite.calibrated_on} training samples at most. Energy is priced by "
        f"`{suite.price_list}`: {prices.source}. A burst of n spikes is priced as n spikes (unary) / as one graded "
        "event. Accuracies carry the half width of their 95 % interval.",
        "",
    ]
    if _several_seeds(frame):
        lines += [
            "Figures of several seeds are their mean ± the half width of its 95 % t-interval over seeds: what the draw "
            "of the calibration samples does. With one seed an accuracy carries the interval of drawing test samples. "
            "Comparisons are of means over seeds.",
            "",
        ]
    coded = has_codes(frame)
    if coded:
        lines += [PRICES_OF_CODES, ""]
    for (task, network, profile), group in frame.groupby(["task", "network", "profile"], sort=False):
        samples = "" if profile == "full" else f" ({profile} test samples)"
        lines += [f"## {task}, {network}{samples}", ""]
        note = TASKS[str(task)].info.note if task in TASKS else None  # A plug-in's may not be installed here.
        lines += [note, ""] if note else []
        metrics = group["metric"].dropna().unique()
        for index, metric in enumerate(metrics if len(metrics) else ["metric"]):
            of_metric = group[group["metric"].isin([metric]) | group["metric"].isna()]
            lines += _section(str(metric), of_metric, costs=index == 0)
            if coded and index == 0:
                lines += codes_table(of_metric)
            if suite.ablation is not None:
                lines += ablation(of_metric, suite.ablation)
            if suite.iso_energy is not None:
                lines += iso_energy(of_metric, suite.iso_energy)
    lines += [origin, ""] if origin else []
    lines += ["Generated by `run_all.py`; every figure is a row of results.csv beside this file.", ""]
    return lines


def _section(metric: str, group: pd.DataFrame, *, costs: bool) -> list[str]:
    """The table of one metric; with `costs` also tables of energy and spikes, which are the same for all metrics."""
    lines = []
    for row in group[(group["method"] == "ann") & (group["status"] == "done")].to_dict("records"):
        lines += [
            f"ANN: {metric} **{row['value']:.2f}** [{row['ci_low']:.2f}, {row['ci_high']:.2f}] on {row['n']} samples, "
            f"{row['macs'] / 1e6:.3g} M MACs, {row['energy_unary_mJ']:.4g} mJ; {row['precision']}, {row['device']}."
            + (f" Not as in the dataset: {row['departures']}." if row["departures"] else ""),
            "",
        ]
    timed = group[group["T"].notna()]
    steps = sorted(int(T) for T in timed["T"].unique())
    header = ["method", *[f"T={T}" for T in steps]]
    blocks = [
        (metric[0].upper() + metric[1:], _value),
        ("Energy, % of the ANN's, unary / graded", _ratio),
        ("Energy of one sample in mJ, unary / graded", _energy),
        ("Spikes of one sample, thousands", _spikes),
    ]
    found, methods = parts(timed, ["method", "T"]), list(dict.fromkeys(timed["method"]))
    for title, text in blocks if costs else blocks[:1]:
        rows = [[f"`{name}`", *(over_seeds(found.get((name, T)), text) for T in steps)] for name in methods]
        lines += [f"{title}:", "", *table(header, rows), ""]
    absences = absent(group)
    return [*lines, *absences, ""] if absences else lines


def absent(group: pd.DataFrame) -> list[str]:
    """A line for each reason that keeps cells from the table, with their names, or their number if it keeps all."""
    several = _several_seeds(group)
    lines = []
    for (status, reason), rows in group[group["status"] != "done"].groupby(["status", "reason"], sort=False):
        if 1 < len(rows) == len(group):
            lines.append(f"- All {len(rows)} cells are {status}: {reason}")
            continue
        keys = ["method", "seed"] if several else ["method"]
        names = []
        for key, of_key in rows.groupby(keys, sort=False):
            steps = ", ".join(str(T) for T in of_key["T"].dropna())
            names.append(f"`{key[0]}`" + f" at T={steps}" * bool(steps) + (f", seed {key[1]}" if several else ""))
        verb = ("," if several else "") + (" is" if len(rows) == 1 else " are")
        lines.append(f"- {'; '.join(names)}{verb} {status}: {reason}")
    return lines


def _several_seeds(frame: pd.DataFrame) -> bool:
    return bool((frame.groupby(ROW)["seed"].nunique() > 1).any())


def _value(rows: Rows) -> str:
    T, steps = rows["T"][0], rows["mean_T"].mean()
    # With early exit, T is the largest number of steps of a sample. A quantised twin takes one step.
    notes = [] if steps in (1, T) else [f"{steps:.2f} steps"]
    if len(rows) == 1:
        half = (rows["ci_high"][0] - rows["ci_low"][0]) / 2
        return _noted(f"{rows['value'][0]:.2f} ±{half:.1f}", notes)
    return _noted(mean_text(rows["value"], ".2f", ".2f"), [_seeds(rows), *notes])


def _ratio(rows: Rows) -> str:
    if pd.isna(rows["energy_ann_mJ"]).any():
        return "no ANN"
    shares = [100 * rows[f"energy_{coding}_mJ"] / rows["energy_ann_mJ"] for coding in ("unary", "graded")]
    return _figures(rows, [mean_text(share, ".1f", ".1f") for share in shares])


def _energy(rows: Rows) -> str:
    return _figures(rows, [mean_text(rows[f"energy_{coding}_mJ"], ".3g", ".2g") for coding in ("unary", "graded")])


def _spikes(rows: Rows) -> str:
    return _figures(rows, [mean_text(rows["spikes"] / 1000, ".3g", ".2g")])


def _seeds(rows: Rows) -> str:
    return f"{len(rows)} seeds"


def _figures(rows: Rows, figures: list[str]) -> str:
    return _noted(" / ".join(figures), [_seeds(rows)] if len(rows) > 1 else [])


def _noted(figure: str, notes: list[str]) -> str:
    return f"{figure} ({', '.join(notes)})" if notes else figure
