"""Boxes, masks and parts of the first test samples, by truth, ANN and conversions (the paper's Figure 7).

A run keeps the predictions of the first test samples beside its records. The samples themselves are read from disk, and
drawn only if they are those that were measured.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from benchmarks.pages.figures.base import Plot
from benchmarks.pages.figures.data import Group, Source
from benchmarks.pages.figures.style import CLASSES, GREY, PAGE, below, canvas, title
from benchmarks.records.record import Record
from benchmarks.text import one_line
from conversion.errors import DataMissing
from tasks import TASKS
from tasks.drawing import Mark, Printed
from tasks.target import KEPT, DrawnTarget

ROWS = 3
"""Test samples, the first ones: they are not chosen."""
COLUMNS = (("calibration", "calibration_iat"), ("adafire", "adafire_iat", "burst"))
"""The methods beside the ANN, for each column the first that was measured."""
LISTED = 30
"""Most scores in a margin."""
SIZE = 5.0
"""Of the letters in margins, in points."""
LETTER = 0.55 * SIZE / 72
"""Width of a letter in a margin, in inches."""


@dataclass(frozen=True)
class Column:
    """The answers of one network, or the truth, with what stands above them.

    Attributes:
        answers: of each sample one; None shows the sample alone.
        scores: what each answer scores, 0..100.
    """

    head: str
    answers: Sequence[Any]
    scores: Sequence[float] = ()


def predictions(sources: Sequence[Source]) -> Iterator[Plot]:
    """The first test samples of each task whose predictions are drawn, a row for each.

    Raises:
        DataMissing: at the end, if samples of some tasks are not on disk, or others than those that were measured.
    """
    missing: list[str] = []
    for source in sources:
        for group in source.groups:
            target = TASKS[group.task].target
            if not (isinstance(target, Printed) and isinstance(target, DrawnTarget)):
                continue
            shown = _networks(group, source, target)
            if not shown:
                continue
            try:
                samples, truth = _samples(group, source.data_root)
            except DataMissing as error:
                missing.append(str(error))
            else:
                yield _plot(group, target, samples[:ROWS], list(truth)[:ROWS], shown)
    if missing:
        raise DataMissing("\n".join(missing))


def _networks(group: Group, source: Source, target: DrawnTarget) -> list[Column]:
    """The ANN and a method of each column at the middle T of those that have all of them; none where one is missing."""
    by_step: dict[int, list[Record]] = {}
    for T in sorted({record.cell.T for record in group.records if record.cell.T is not None}):
        of_step = [record for record in group.first_seed() if record.cell.T == T]
        chosen = [
            next((record for name in names for record in of_step if record.cell.method == name), None)
            for names in COLUMNS
        ]
        if group.ann is not None and all(chosen):
            by_step[T] = [group.ann, *(record for record in chosen if record is not None)]
    if not by_step:
        return []
    records = list(by_step.values())[len(by_step) // 2]
    columns = []
    for record in records:
        table = source.store.samples(record)
        if table is None or "answer" not in table:  # Old records.
            return []
        kept = table.iloc[:ROWS]
        columns.append(
            Column(
                _head(group, record), [target.read(content) for content in kept["answer"]],
                [100 * float(score) for score in kept["outcome"]],
            )
        )  # fmt: skip
    return columns


def _head(group: Group, record: Record) -> str:
    value = f"{group.metric} {record.metrics[group.metric].value:.2f}"
    value += " %" if group.metric_label.endswith("%") else ""
    if record.cell.T is None:
        return f"ANN\n{value} (n = {group.n:,})"
    points = group.points
    row = points[(points["method"] == record.cell.recipe.label) & (points["T"] == record.cell.T)]
    energy = f"\n{row['unary'].iloc[0]:.0f} % of the ANN's energy" if len(row) else ""
    return f"{one_line(record.cell.recipe.label)}, T = {record.cell.T}\n{value}{energy}"


def _samples(group: Group, data_root: Path | None) -> tuple[Tensor, Sequence[Any]]:
    """The first test samples and their targets.

    Raises:
        DataMissing: they are not on disk, or are others than those that were measured.
    """
    task = TASKS[group.task](data_root)
    if (absence := task.missing()) is not None:
        raise DataMissing(f"Figure 7 of {group.task} needs its test samples (--data-root): {absence}")
    record = group.records[0]
    if task.digest() != record.fingerprint.get("data"):
        raise DataMissing(
            f"The data of {group.task} in {data_root or 'this version of it'} are not those that its records of suite "
            f"{group.suite.name} were measured on; run the suite on them, or give the folder that it was run with."
        )
    batch = next(task.test(KEPT, record.cell.limit))
    return batch.inputs, batch.targets


def _plot(group: Group, target: Printed, samples: Tensor, truth: Sequence[Any], networks: Sequence[Column]) -> Plot:
    """A row of panels for each sample; above them the names, below each its scores, and one legend of the classes."""
    columns = [Column("ground truth", truth), *networks]
    if target.hides:
        columns.insert(0, Column("test image", [None] * len(samples)))
    classes = TASKS[group.task].classes
    found = {
        mark.label for column in columns for one in column.answers if one is not None for mark in target.marks(one)
    }
    colours = dict(zip(sorted(found), CLASSES, strict=False))
    painted = {label: colours.get(label, GREY) for label in found}
    width = PAGE / len(columns)
    margins = [
        [
            _margin(target.marks(column.answers[row]), column.scores[row], classes, width) if column.scores else ""
            for column in columns
        ]
        for row in range(len(samples))
    ]
    tall = samples.shape[-2] / samples.shape[-1] if samples.dim() == 4 else 1.0
    lines = sum(1 + max(margin.count("\n") for margin in row) for row in margins)
    height = len(samples) * (0.93 * width * tall + 0.1) + lines * 1.3 * SIZE / 72 + 1.1
    figure, panels = canvas(len(samples), len(columns), height)
    for row, (sample, axes) in enumerate(zip(samples, panels, strict=True)):
        for column, margin, axis in zip(columns, margins[row], axes, strict=True):
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            axis.grid(visible=False)
            if row == 0:
                axis.set_title(column.head, fontsize=6.5)
            axis.set_xlabel(margin, fontsize=SIZE, loc="left", linespacing=1.15)
            if (answer := column.answers[row]) is None:
                axis.imshow(sample.permute(1, 2, 0).numpy())
            else:
                target.paint(axis, sample, answer, painted)
        axes[0].set_ylabel(f"test sample {row + 1}", fontsize=6.5)
    for label, colour in colours.items():
        panels[0][0].plot([], [], linestyle="", marker="s", color=colour, label=_name(classes, label))
    if len(colours) < len(found):
        panels[0][0].plot([], [], linestyle="", marker="s", color=GREY, label="other classes")
    title(figure, f"{group.title}: the first test samples. {target.key}")
    below(figure, panels[0][0], columns=7)
    return Plot(f"predictions-{group.name}", figure)


def _name(classes: Sequence[str], label: int) -> str:
    """The name of a class; a network may predict one that the task does not name, as parts of no category."""
    return classes[label] if label < len(classes) else f"class {label}"


def _margin(marks: Sequence[Mark], score: float, classes: Sequence[str], width: float) -> str:
    """The score of a sample's answer, and the scores of what it marks, a paragraph for each class."""
    by_class: dict[int, list[str]] = {}
    for number, mark in enumerate(marks[:LISTED], start=1):
        if mark.score is not None:
            score_text = f"{mark.score:.2f}".removeprefix("0")
            by_class.setdefault(mark.label, []).append(f"{number}\N{NO-BREAK SPACE}{score_text}")
    said = [f"this sample: {score:.0f} %"]
    letters = int(width / LETTER)
    for label, listed in by_class.items():
        said += textwrap.wrap(f"{one_line(_name(classes, label))}: {', '.join(listed)}", letters)
    if by_class and len(marks) > LISTED:
        said.append(f"and {len(marks) - LISTED} below {marks[LISTED - 1].score:.2f}")
    return "\n".join(said)
