"""Reports of the gate: on a terminal, as Markdown, and as JUnit XML for a continuous integration system."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.gate.baselines import OPERATIONS, Row
from benchmarks.gate.judge import CellVerdict, Gate, relative
from benchmarks.pages.markdown import table
from benchmarks.text import one_line, page, printable

COLUMNS = [
    "cell", "before -> now", "points", "lost / won", "p", "p among all",
    "synops, %: unary / smallest / binary / graded", "mean T", "latency", "verdict", "reason",
]  # fmt: skip
# Columns that fit a terminal; reasons follow below the table.
ON_SCREEN = [column for column in COLUMNS if column not in ("p", "mean T", "latency", "reason")]
SHOWN = OPERATIONS[:4]
COLOURS = {"pass": "green", "improved": "cyan", "regressed": "red", "missing": "yellow", "incomparable": "yellow"}
# Characters that XML 1.0 cannot hold, not even escaped.
FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def print_verdicts(found: Gate, console: Console) -> None:
    """Prints the verdicts: a table and the reasons below it on a terminal, the Markdown page elsewhere."""
    if not console.is_terminal:
        print(markdown(found), end="")
        return
    grid = Table(box=None, padding=(0, 1, 0, 0))
    for column in ON_SCREEN:
        grid.add_column(column.replace(": ", "\n"), no_wrap=column != "cell", overflow="fold")
    for cell in found.cells:
        line = dict(zip(COLUMNS, _line(cell), strict=True))
        grid.add_row(*(Text(one_line(line[column])) for column in ON_SCREEN), style=COLOURS[cell.verdict])
    reasons = [f"{cell.row.label}: {cell.verdict}, {cell.reason}." for cell in found.cells if _notable(cell)]
    console.print(grid)
    for text in (*reasons, *_new(found)):
        console.print(Text(one_line(text)))


def markdown(found: Gate) -> str:
    """The page of a gate: the conclusion, a row for each cell, and what is new."""
    rows = map(_line, found.cells)
    said = map(one_line, _new(found))
    return page("\n".join(["# Gate", "", one_line(found.conclusion), "", *table(COLUMNS, rows), "", *said, ""]))


def junit(found: Gate) -> bytes:
    """JUnit XML: a test case for each cell; regressed is a failure, missing or incomparable an error.

    An inconclusive gate is no success, so nothing is reported as skipped, which systems show as green.
    """
    verdicts = [cell.verdict for cell in found.cells]
    failures = verdicts.count("regressed")
    errors = verdicts.count("missing") + verdicts.count("incomparable")
    counts = {"tests": str(len(verdicts)), "failures": str(failures), "errors": str(errors)}
    root = ElementTree.Element("testsuites", counts)
    name = _xml(f"gate {found.suite}")
    suite = ElementTree.SubElement(root, "testsuite", {"name": name, **counts, "skipped": "0"})
    for cell in found.cells:
        row = cell.row
        place = _xml(".".join((found.suite, row.task, row.network, row.profile)))
        case = ElementTree.SubElement(suite, "testcase", {"classname": place, "name": _xml(_name(row)), "time": "0"})
        said = _xml(f"{cell.verdict}: {cell.reason}")
        if cell.verdict == "regressed":
            ElementTree.SubElement(case, "failure", {"message": said, "type": cell.verdict}).text = said
        elif cell.verdict in ("missing", "incomparable"):
            ElementTree.SubElement(case, "error", {"message": said, "type": cell.verdict}).text = said
        else:
            ElementTree.SubElement(case, "system-out").text = said
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def _xml(text: str) -> str:
    """A text as XML can hold it; what its own syntax needs is escaped by the writer."""
    return FORBIDDEN.sub("?", printable(text))


def _notable(cell: CellVerdict) -> bool:
    """Whether the reason is printed: it is for all but passing cells in which no sample changed."""
    paired = cell.comparison.paired if cell.comparison else None
    return cell.verdict != "pass" or paired is None or paired.lost + paired.won > 0


def _name(row: Row) -> str:
    return f"{row.method}{'' if row.T is None else f' T={row.T}'} seed={row.seed}"


def _line(cell: CellVerdict) -> list[str]:
    row, comparison = cell.row, cell.comparison
    if comparison is None:
        return [
            row.label,
            f"{row.value:.2f} ->",
            "",
            "",
            "",
            "",
            "",
            f"{row.steps:.4g} ->",
            f"{row.latency_final:.4g} ->",
            cell.verdict,
            cell.reason,
        ]
    now, paired = comparison.now, comparison.paired
    return [
        row.label,
        f"{row.value:.2f} -> {now.value:.2f}",
        f"{now.value - row.value:+.2f}",
        f"{paired.lost} / {paired.won}",
        f"{paired.p:.2g}",
        f"{comparison.p:.2g}",
        " / ".join(_percent(relative(row.operations[name], now.operations[name])) for name in SHOWN),
        f"{row.steps:.4g} -> {now.steps:.4g}",
        f"{row.latency_final:.4g} -> {now.latency_final:.4g}",
        cell.verdict,
        cell.reason,
    ]


def _percent(change: float) -> str:
    return f"{round(100 * change, 2) + 0.0:+.2f}"  # No negative zero.


def _new(found: Gate) -> Sequence[str]:
    return [f"Not in the baseline, without a verdict: {', '.join(found.new)}."] if found.new else []
