"""Tables for a paper: the same numbers in LaTeX, CSV and Markdown, as the records of a published suite have them."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.api import select_suites
from benchmarks.pages.figures.data import Source
from benchmarks.pages.grids import Grid, grids, written

PUBLISHED = Path(__file__).parents[3] / "results/published"


@pytest.fixture(scope="module")
def tables() -> dict[str, Grid]:
    """The tables of the published digits, by quantity."""
    (selected,) = select_suites("mini", tasks="digits", results=PUBLISHED)
    (group,) = Source(selected.suite, selected.cells, selected.store).groups
    return {grid.name.removeprefix("mini-digits-digits_convnet-"): grid for grid in grids(group)}


def test_all_formats_have_the_numbers_of_the_published_table(tables: dict[str, Grid]) -> None:
    published = pd.read_csv(PUBLISHED / "mini/results.csv")
    rows = published[(published["task"] == "digits") & published["T"].notna() & (published["metric"] == "accuracy")]
    assert list(tables) == ["accuracy", "energy-unary", "energy-graded"]
    grid = tables["accuracy"]
    frame = pd.read_csv(io.StringIO(written(grid, "csv")), index_col="method")
    markdown = dict(re.findall(r"^\| `(.*?)` \| (.*) \|$", written(grid, "md"), flags=re.M))
    latex = dict(re.findall(r"^([a-z].*?) & (.*) \\\\$", written(grid, "tex"), flags=re.M))
    means = rows.groupby(["method", "T"], as_index=False).agg(value=("value", "mean"), seeds=("value", "size"))
    for row in means.to_dict("records"):
        method, T, value = row["method"], int(row["T"]), row["value"]
        place = list(grid.values).index(T)
        assert frame[f"T={T}"][method] == pytest.approx(value, rel=1e-5)
        escaped = latex[str(method).replace("_", r"\_")].split(" & ")[place]
        for text in (markdown[str(method)].split(" | ")[place], escaped.removeprefix(r"\textbf{").rstrip("} ")):
            assert text.startswith(f"{value:.2f}")
            assert ("±" in text) == (row["seeds"] > 1)
    assert len(markdown) == len(latex) == rows["method"].nunique()


def test_latex_is_booktabs_with_the_best_of_a_column_in_bold(tables: dict[str, Grid]) -> None:
    text = written(tables["accuracy"], "tex")
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]
    for place, T in enumerate(tables["accuracy"].values):
        cells = [line.split(" & ")[1 + place] for line in text.splitlines() if re.match(r"[a-z].* & ", line)]
        bold = {cell.removesuffix(r" \\") for cell in cells if "textbf" in cell}
        assert bold == {rf"\textbf{{{tables['accuracy'].values[T].max():.2f}}}"}
    assert "textbf" not in written(tables["energy-unary"], "tex")  # Low energy alone is no merit.


def test_names_from_outside_are_escaped_in_every_format() -> None:
    values = pd.DataFrame({1: [1.0]}, index=["=<b>x_y|&\x1b[2J%"])
    grid = Grid("name", "a_b, 50 % & more <b>", values, values * float("nan"), 2, marked=True)
    assert written(grid, "csv").splitlines()[1].startswith("'=<b>")
    assert r"a\_b, 50 \% \& more" in written(grid, "tex") and r"x\_y|\&" in written(grid, "tex")
    assert r"\|" in written(grid, "md") and "more &lt;b>" in written(grid, "md")
    assert not any("\x1b" in written(grid, form) for form in ("tex", "csv", "md"))


def test_a_metric_of_a_record_is_no_path_and_no_command() -> None:
    """The name of a metric is what a record says, and it becomes the name of a file and a label of LaTeX."""
    (selected,) = select_suites("mini", tasks="digits", methods=["ann", "burst*"], results=PUBLISHED)
    (group,) = Source(selected.suite, selected.cells, selected.store).groups
    evil = "../../../etc/x}\\input{/etc/passwd}\x1b"
    records = [
        record.model_copy(update={"primary_metric": evil, "metrics": {evil: record.metrics["accuracy"]}})
        for record in group.records
    ]
    rows = group.rows.assign(metric=group.rows["metric"].replace("accuracy", evil))
    made = list(grids(replace(group, records=records, rows=rows)))
    assert len(made) == 3
    for grid in made:
        assert not set(grid.name) & set("/\\{}\x1b")
        assert r"\input" not in written(grid, "tex")
