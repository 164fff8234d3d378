"""Pictures of predictions for `report`: truth, ANN and all conversions of one T side by side, for the screen.

The task's target draws them from the predictions that a run stores beside its records and from the samples of the task:
a picture for each of the first test samples and a contact sheet of all of them, or a confusion matrix for every row of
a classification table. For samples that change in time, their frames are drawn step by step, above the spikes of each
step.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.records.reading import Results
from benchmarks.records.record import Record
from benchmarks.suites.cell import Cell
from conversion.errors import BenchmarkError, DataMissing
from conversion.simulation.frames import Frames
from tasks import TASKS
from tasks.target import KEPT, Run


def draw(cells: Sequence[Cell], store: Results, folder: Path, T: int | None, data_root: Path | None) -> list[str]:
    """Draws the stored predictions of some cells; returns a sentence for each folder of pictures.

    Args:
        cells: cells of one suite.
        store: their records.
        folder: receives a folder for each task and network; earlier pictures in it are removed.
        T: number of steps of the conversions to draw; the fewest of each task when left out.
        data_root: folder of the datasets, for tasks that need any.
    """
    said = []
    groups: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        if cell.seed == 0:
            groups.setdefault((cell.task, cell.network, cell.profile), []).append(cell)
    for (task, network, profile), group in groups.items():
        steps = {cell.T for cell in group if cell.T is not None}
        wanted = T if T is not None else min(steps, default=None)
        if wanted is None or wanted not in steps:
            continue
        runs, activity = [], {}
        for cell in group:
            record = _record(cell, store) if cell.T in (None, wanted) else None
            table = _table(record, store) if record is not None else None
            if record is not None and table is not None:
                label = cell.recipe.label
                runs.append(Run(label, f"{task}, {label}, T={wanted}", table))
                activity[label] = record.activity
        if not runs:
            continue
        parts = [task, network.replace("/", "-"), *([profile] if profile != "full" else []), f"T{wanted}"]
        place = folder / "-".join(parts)
        shutil.rmtree(place, ignore_errors=True)
        drawn = 0
        try:
            for name, picture in _pictures(task, runs, activity, wanted, group[0].limit, data_root):
                place.mkdir(parents=True, exist_ok=True)
                picture.savefig(place / f"{name}.png")
                drawn += 1
        except DataMissing:
            said.append(f"No pictures of the samples of {task}: {TASKS[task](data_root).missing()}")
        if drawn:
            said.append(f"{place}: {drawn} pictures")
    return said


def _record(cell: Cell, store: Results) -> Record | None:
    """The record of a cell that was measured; None where there is none."""
    try:
        record = store.load(cell)
    except BenchmarkError:  # A damaged record is said in the tables.
        return None
    return record if record is not None and record.status == "done" else None


def _table(record: Record, store: Results) -> dict[str, NDArray[Any]] | None:
    """The columns of a record's table of samples; None where it holds no predictions, as in old records."""
    samples = store.samples(record)
    if samples is None or not set(TASKS[record.cell.task].target.kept) <= set(samples.columns):
        return None
    return {name: samples[name].to_numpy() for name in samples.columns}


def _pictures(
    task: str, runs: Sequence[Run], activity: Mapping[str, Sequence[float]], T: int, limit: int | None,
    data_root: Path | None,
) -> Iterator[tuple[str, Figure]]:  # fmt: skip
    """Names of files, without suffix, and figures. Raises DataMissing where samples are needed and not on disk."""
    kind = TASKS[task]

    def first() -> tuple[Tensor, Any]:
        instance = kind(data_root)
        instance.require()
        batch = next(instance.test(KEPT, limit))
        return batch.inputs, batch.targets

    for name, picture in kind.target.pictures(runs, kind.classes, first):
        yield name.translate(str.maketrans(":=,", "---")), picture
    colours = kind.samples.colours_in_time(kind.input_shape)
    if colours is not None:
        yield "frames", frames_in_time(first()[0], colours, activity, T)


def frames_in_time(
    recordings: Tensor, colours: Callable[[Tensor], Tensor], activity: Mapping[str, Sequence[float]], T: int
) -> Figure:
    """A figure of the input at each of T steps, above the spikes of the step.

    Args:
        recordings: samples whose first axis is time, shape (N, F, C, H, W).
        colours: the colouring of the frames of one recording, see `Samples.colours_in_time`.
        activity: the mean spikes of a sample in each step, by method.
        T: number of steps, a divisor or a multiple of F.
    """
    steps = [torch.stack(Frames(sample[None].float()).steps(T))[:, 0] for sample in recordings]
    height, width = recordings.shape[-2:]
    tall = 1.3 * height / width
    picture = Figure((max(6.5, 1.3 * T), (tall + 0.05) * len(steps) + 3.2), dpi=110, layout="constrained")
    grid = picture.add_gridspec(len(steps) + 1, T, height_ratios=[*[tall] * len(steps), 2.0])
    for row, frames in enumerate(steps):
        for t, frame in enumerate(colours(frames)):
            axis = picture.add_subplot(grid[row, t])
            axis.set_axis_off()
            axis.imshow(frame.numpy())
            if row == 0:
                axis.set_title(f"t={t + 1}", fontsize=8)
    axis = picture.add_subplot(grid[-1, :])
    for label, spikes in activity.items():
        if spikes:
            axis.plot(range(1, len(spikes) + 1), spikes, marker="o", markersize=4, label=label)
    axis.set(xlabel="step", ylabel="spikes of one sample", xlim=(0.5, T + 0.5), ylim=(0, None))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    picture.legend(loc="outside lower center", ncols=3, fontsize=7)
    return picture
