"""The page: from the records of a folder of results to one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.pages.beside import beside
from benchmarks.pages.comparisons import ablation
from benchmarks.pages.paper import paper_page
from benchmarks.pages.tables import collect_cells
from benchmarks.records.reading import open_results
from benchmarks.references.paper import printed
from benchmarks.site.compared import comparisons
from benchmarks.site.coverage import coverage, folder_of, unmeasured
from benchmarks.site.details import LAYER, details, six
from benchmarks.site.ranking import BUDGETS, NEAR, Ranking, rankings
from benchmarks.site.rows import CODINGS, Board, Measured, boards, measured_cells, tables
from benchmarks.site.sentences import leaders
from benchmarks.site.sources import DEFAULT_PRICES, Source, sources
from benchmarks.suites.files import load_suites
from benchmarks.suites.suite import Suite
from conversion.counting.prices import PRICES
from conversion.errors import BenchmarkError
from conversion.files import write_atomically
from tasks import TASKS

PAGE = "report.html"
LIBRARIES = "window.vegaEmbed = vegaEmbed;"
MISSING = (
    "The page for the browser needs jinja2 and vl-convert-python, which the extra `report` brings: "
    'pip install "adaptive-calibration-bench[report]".'
)
KINDS = {"spiking": 0, "twin": 1, "ann": 2}


class NoPage(BenchmarkError):
    """The libraries of the page are not installed."""


def write_page(results: Path, known: Iterable[Suite] = ()) -> Path:
    """Writes the page of all suites of a folder of results into it; returns its path.

    Args:
        results: the folder of all suites.
        known: plans besides those of the suites that ship with the benchmark.

    Raises:
        NoPage: the extra `report` is not installed.
        BenchmarkError: there is no record, or a published suite was changed.
    """
    path = results / PAGE
    write_atomically(path, render(results, known).encode())
    return path


def render(results: Path, known: Iterable[Suite] = ()) -> str:
    """The page as text; arguments and errors as of `write_page`."""
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined

        library = vega()
    except ImportError:
        raise NoPage(MISSING) from None
    from benchmarks.site.critical import diagram
    from benchmarks.site.embed import as_json, policy, script, shown
    from benchmarks.site.markup import html

    found = sources(results, known)
    frame = tables(found)
    cells = measured_cells(found)
    of_boards = sorted(boards(frame, cells), key=lambda board: _needs_no_data(board.task))
    ranked = rankings(of_boards, cells)
    rows = [row for board in of_boards for row in board.rows]
    places = {id(row): place for place, row in enumerate(rows)}
    order = {key: place for place, key in enumerate(key for row in rows for key in row.cells)}
    folder = files("benchmarks.site") / "templates"
    parts = sorted((folder / "script").iterdir(), key=lambda path: path.name)
    own = "".join(part.read_text(encoding="utf-8") for part in parts)
    scripts = [script(library), script(f'"use strict";\n(() => {{\n{own}}})();\n')]
    environment = Environment(
        loader=PackageLoader("benchmarks.site"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("page.html.j2").render(
        style=script((folder / "page.css").read_text(encoding="utf-8")), scripts=scripts, policy=policy(scripts),
        rows=as_json(shown(row_data(of_boards, order))),
        records=as_json(shown(record_data([cells[key] for key in order]))),
        leaders=html([" ".join(leaders(ranked, of_boards))]), folder=folder_of(results), suites=len(found),
        cells=len(cells), counted=len(rows), rankings=[(one, diagram(one), _tables_of(one)) for one in ranked],
        budgets=BUDGETS, near=NEAR, prices=DEFAULT_PRICES,
        compared=[(board, pairs) for board in of_boards if (pairs := comparisons(board, cells))],
        place_of=lambda row: places[id(row)],
        paper=[(title, html(lines)) for title, lines in beside_the_paper(results, found, frame)],
        coverage=[(one, html(one.reasons and [f"- {reason}" for reason in one.reasons]), html([one.origin]))
                  for one in coverage(found, frame)],
        unmeasured=unmeasured(found), price_sources=[(name, prices.source) for name, prices in PRICES.items()],
    )  # fmt: skip


@cache
def vega() -> str:
    """Vega, Vega-Lite and vega-embed as one script, out of vl-convert-python, which holds them. Takes seconds."""
    import vl_convert

    return str(vl_convert.javascript_bundle(LIBRARIES))


def row_data(of_boards: Sequence[Board], order: Mapping[str, int]) -> dict[str, Any]:
    """What the table and the chart draw: boards, and the rows of all of them column by column.

    Args:
        order: the place of each cell among the records of the page.
    """
    from benchmarks.site.embed import coded

    pairs = [(place, board, row) for place, board in enumerate(of_boards) for row in board.rows]
    rows = [row for _, _, row in pairs]

    def shares(name: str, coding: Any) -> list[float | None]:
        found = (board.share(row, name, coding) for _, board, row in pairs)
        return [None if share is None else six(share) for share in found]

    def figures(values: Iterable[float | None]) -> list[float | None]:
        return [None if value is None else six(value) for value in values]

    return {
        "prices": list(PRICES), "codings": list(CODINGS), "default": DEFAULT_PRICES,
        "boards": [_board(board) for board in of_boards],
        "board": [place for place, _, _ in pairs],
        **{name: coded(getattr(row, name) for row in rows)
           for name in ("method", "name", "family", "suite", "code", "wait")},
        "kind": [KINDS[row.kind] for row in rows], "chance": [int(row.at_chance) for row in rows],
        "T": [row.T for row in rows], "calibration": [row.calibration for row in rows], "n": [row.n for row in rows],
        **{name: figures(getattr(row, name) for row in rows)
           for name in ("value", "low", "high", "spikes", "first", "final")},
        "share": {name: {coding: shares(name, coding) for coding in CODINGS} for name in PRICES},
        "cells": [[order[key] for key in row.cells] for row in rows],
    }  # fmt: skip


def _board(board: Board) -> dict[str, Any]:
    ann = board.ann
    return {
        "task": board.task, "network": board.network, "profile": board.profile,
        "precision": board.precision, "metric": board.metric, "chance": six(board.chance), "title": board.title,
        "ann": None if ann is None else six(ann.value), "n": board.rows[0].n,
        "millijoules": None if ann is None else {name: six(ann.millijoules[name]["unary"]) for name in PRICES},
    }  # fmt: skip


def record_data(measured: Sequence[Measured]) -> dict[str, Any]:
    """What opens when a row is chosen: all records; texts of layers, which repeat, are places in `texts`."""
    texts: dict[str, int] = {}
    found = [details(one) for one in measured]
    for record in found:
        for layer in record["layers"]:
            for place, value in enumerate(layer):
                if isinstance(value, str):
                    layer[place] = texts.setdefault(value, len(texts))
    named = {name: place for place, name in enumerate(LAYER)}
    return {"texts": list(texts), "layer": named, "records": found}


def beside_the_paper(results: Path, found: Sequence[Source], frame: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """Titles and Markdown of the tables beside the paper's: ablations that were measured, then its Tables 1 to 7."""
    sections = []
    for source in found:
        if source.suite is None or source.suite.ablation is None:
            continue
        rows = frame[frame["suite"] == source.name]
        for (task, network, profile), group in rows.groupby(["task", "network", "profile"], sort=False):
            if lines := ablation(group[group["metric"].isin([group["metric"].iloc[0]])], source.suite.ablation):
                part = "" if profile == "full" else f", {profile}"
                sections.append((f"Ablation beside Table 7: {task}, {network}{part}", lines))
    own = {source.name: source for source in found}
    for suite in load_suites("paper"):
        assert suite.table is not None
        store = own[suite.name].store if suite.name in own else open_results(results, suite.name)
        table = collect_cells(suite.cells(), store, suite.price_list)
        here = sum(one.score is not None for one in beside(suite.table, table)) if suite.name in own else 0
        title = f"{suite.title} ({here} of {len(printed(suite.table.number))} numbers measured)"
        sections.append((title, paper_page(suite, table)))
    return sections


def _tables_of(ranking: Ranking) -> list[dict[str, Any]]:
    """The rows of a ranking's table, by mean rank."""
    return [
        {
            "method": method, "rank": float(ranking.ranks[place]), "energy_rank": float(ranking.energy_ranks[place]),
            "points": [ranking.points(method, budget) for budget in BUDGETS],
            "energy": ranking.energy(method), "wins": len(ranking.wins(method)),
            "by_task": [float(ranking.scores[task, place]) for task in range(len(ranking.tasks))],
        }
        for place, method in enumerate(ranking.methods)
    ]  # fmt: skip


def _needs_no_data(task: str) -> bool:
    """Whether a task needs nothing on disk; such tasks come last."""
    return task in TASKS and TASKS[task]().missing() is None
