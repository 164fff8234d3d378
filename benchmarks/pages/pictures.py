"""Pictures of what networks answered: truth, ANN and conversions side by side (Figure 7 of the paper).

A picture for each of the first test samples and a contact sheet of all of them, from the answers that a run keeps
beside its records and the samples of the task; a confusion matrix for every row of a classification table; and of
recordings of events their frames, step by step, over the spikes that each step costs.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from torch import Tensor
from torchvision.utils import draw_bounding_boxes, draw_segmentation_masks

from benchmarks.records.answers import KEPT, Answer, read
from benchmarks.records.reading import Results
from benchmarks.suites.cell import Cell
from conversion.errors import BenchmarkError
from conversion.simulation.frames import Frames
from tasks import TASKS, Task
from tasks.detection.boxes import Boxes, Detections
from tasks.events.base import EventTask

LEAST_SCORE = 0.1
"""Boxes that are less sure are not drawn, as in the paper's released code."""
PANEL = 2.6
"""Inches that a panel is wide."""
SIDE = 240
"""Pixels that the shorter side of an image has at least when something is drawn on it."""
WRITTEN = 12
"""So many classes have the shares of a confusion matrix written into it."""


@dataclass(frozen=True)
class Panel:
    """One answer to one sample."""

    title: str
    answer: Any


def draw(cells: Sequence[Cell], store: Results, folder: Path, T: int | None, data_root: Path | None) -> list[str]:
    """Draws everything that the records of some cells keep; returns a sentence for each part of it.

    Args:
        cells: of one suite.
        store: their records.
        folder: receives a folder for each task and network; what was drawn there before is removed.
        T: the conversions of so many steps are drawn; the fewest that a task has when left out.
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
        rows = {
            cell.recipe.label: samples
            for cell in group if cell.T in (None, wanted) and (samples := _samples(cell, store)) is not None
        }  # fmt: skip
        if not rows or wanted is None or wanted not in steps:
            continue
        parts = [task, network.replace("/", "-"), *([profile] if profile != "full" else []), f"T{wanted}"]
        place = folder / "-".join(parts)
        shutil.rmtree(place, ignore_errors=True)
        kind = TASKS[task]
        if all("prediction" in samples for samples in rows.values()):
            place.mkdir(parents=True)
            for label, samples in rows.items():
                name = label.translate(str.maketrans(":=,", "---"))
                picture = _confusion(samples, kind.classes, f"{task}, {label}, T={wanted}")
                picture.savefig(place / f"{name}.png", dpi=110)
            said.append(f"{place}: {len(rows)} confusion matrices")
            if issubclass(kind, EventTask) and kind.encoding.temporal and kind(data_root).missing() is None:
                activity = {cell.recipe.label: _activity(cell, store) for cell in group if wanted == cell.T}
                recordings = next(kind(data_root).test(KEPT, group[0].limit)).inputs
                frames_in_time(recordings, activity, wanted).savefig(place / "frames.png", dpi=110)
        elif gap := kind(data_root).missing():
            said.append(f"No pictures of {task}: {gap}")
        else:
            said.append(f"{place}: {_answers(kind(data_root), rows, group[0].limit, place)} samples")
    return said


def _samples(cell: Cell, store: Results) -> pd.DataFrame | None:
    """The table of a cell's samples, where it keeps answers."""
    try:
        record = store.load(cell)
    except BenchmarkError:  # A damaged record is said in the tables.
        return None
    samples = store.samples(record) if record is not None and record.status == "done" else None
    return samples if samples is not None and {"answer", "prediction"} & set(samples.columns) else None


def _activity(cell: Cell, store: Results) -> list[float]:
    record = store.load(cell)
    return record.activity if record is not None else []


def frames_in_time(recordings: Tensor, activity: Mapping[str, Sequence[float]], T: int) -> Figure:
    """What is fed at each of T steps, brighter in red and darker in blue, over the spikes of the step.

    Args:
        recordings: counts of events, shape (N, F, 2, H, W).
        activity: by method the mean spikes of one sample in each step.
        T: neither it nor F may leave a rest when divided by the other.
    """
    steps = [torch.stack(Frames(sample[None].float()).steps(T))[:, 0] for sample in recordings]
    height, width = recordings.shape[-2:]
    tall = 1.3 * height / width
    picture = Figure((max(6.5, 1.3 * T), (tall + 0.05) * len(steps) + 3.2), layout="constrained")
    grid = picture.add_gridspec(len(steps) + 1, T, height_ratios=[*[tall] * len(steps), 2.0])
    for row, frames in enumerate(steps):
        top = float(frames.max().clamp(min=1e-9))
        for t, frame in enumerate(frames):
            axis = picture.add_subplot(grid[row, t])
            axis.set_axis_off()
            darker, brighter = (frame / top).sqrt()
            colour = torch.stack([1 - darker, 1 - torch.maximum(darker, brighter), 1 - brighter], -1)
            axis.imshow(colour.numpy())
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


def _answers(task: Task, rows: dict[str, pd.DataFrame], limit: int | None, place: Path) -> int:
    """Draws the samples whose answers were kept; returns how many."""
    first = next(task.test(KEPT, limit))
    place.mkdir(parents=True)
    sheet: list[tuple[Tensor, list[Panel]]] = []
    for index, (sample, truth) in enumerate(zip(first.inputs, first.targets, strict=True)):
        panels = [Panel("truth", truth)]
        for label, table in rows.items():
            content, outcome = table["answer"].iloc[index], table["outcome"].iloc[index]
            panels.append(Panel(f"{label}: {100 * outcome:.0f}", read(content)))
        sheet.append((sample, panels))
        figure([sheet[-1]], task.classes).savefig(place / f"sample-{index + 1}.png", dpi=110)
    figure(sheet, task.classes).savefig(place / "contact.png", dpi=80)
    return len(sheet)


def figure(sheet: Sequence[tuple[Tensor, Sequence[Panel]]], classes: Sequence[str]) -> Figure:
    """A row for each sample, a column for each answer."""
    rows, columns = len(sheet), max(len(panels) for _, panels in sheet)
    picture = Figure((PANEL * columns, (PANEL + 0.25) * rows), layout="constrained")
    grid = picture.subplots(rows, columns, squeeze=False)
    for axes, (sample, panels) in zip(grid, sheet, strict=True):
        for axis, panel in zip(axes, panels, strict=True):
            axis.set_title(panel.title, fontsize=8)
            axis.set_axis_off()
            painter_of(sample, panel.answer)(axis, sample, panel.answer, classes)
    return picture


Painter = Callable[[Axes, Tensor, Any, Sequence[str]], None]


def painter_of(sample: Tensor, answer: Answer | Boxes) -> Painter:
    """How an answer is drawn: boxes and maps on an image (3, H, W), parts as the colours of a cloud (3, P)."""
    if isinstance(answer, Boxes | Detections):
        return boxes_on_image
    return map_on_image if sample.dim() == 3 else parts_of_cloud


def boxes_on_image(axis: Axes, image: Tensor, answer: Boxes | Detections, classes: Sequence[str]) -> None:
    """Boxes with their classes, and with their scores where they are predicted."""
    image = _enlarged(image)
    if isinstance(answer, Detections):
        shown = answer.scores >= LEAST_SCORE
        corners, labels = answer.pixels((image.shape[1], image.shape[2]))[shown], answer.labels[shown]
        names = [f"{classes[k]} {s:.2f}" for k, s in zip(labels.tolist(), answer.scores[shown].tolist(), strict=True)]
    else:
        height, width = image.shape[1:]
        corners, labels = answer.fractions * torch.tensor([width, height, width, height]), answer.labels
        names = [classes[k] for k in labels.tolist()]
    palette = _palette(len(classes))
    if len(labels):
        colours = [palette[k] for k in labels.tolist()]
        image = draw_bounding_boxes(image, corners, None, colours, width=2)
    axis.imshow(image.permute(1, 2, 0).numpy())
    for (x, y, _, _), name, label in zip(corners.tolist(), names, labels.tolist(), strict=True):
        background = {"facecolor": np.array(palette[label]) / 255, "edgecolor": "none", "pad": 0.5, "alpha": 0.8}
        axis.text(x, y, name, fontsize=5, va="bottom", color="white", bbox=background, clip_on=True)


def map_on_image(axis: Axes, image: Tensor, answer: Tensor, classes: Sequence[str]) -> None:
    """A class's colour over its pixels; nothing over those that do not count."""
    masks = answer[None] == torch.arange(len(classes))[:, None, None]
    axis.imshow(draw_segmentation_masks(image, masks, 0.6, _palette(len(classes))).permute(1, 2, 0).numpy())


def parts_of_cloud(axis: Axes, cloud: Tensor, answer: Tensor, classes: Sequence[str]) -> None:
    """Points seen from the front, the nearer ones on top, in the colours of their parts."""
    x, y, z = cloud[:3].numpy()
    order = np.argsort(z)
    colours = np.array(_palette(int(max(len(classes), int(answer.max()) + 1))))[answer.numpy().astype(int)] / 255
    axis.scatter(x[order], y[order], s=2, c=colours[order], linewidths=0)
    axis.set_aspect("equal")


def _enlarged(image: Tensor) -> Tensor:
    """A small image with every pixel repeated, so that lines on it stay thin."""
    times = max(1, -(-SIDE // min(image.shape[1:])))
    return image.repeat_interleave(times, 1).repeat_interleave(times, 2)


def _palette(count: int) -> list[tuple[int, int, int]]:
    colours = colormaps["tab20" if count > 10 else "tab10"]
    return [tuple(int(255 * part) for part in colours(k % colours.N)[:3]) for k in range(count)]  # type: ignore[misc]


def _confusion(samples: pd.DataFrame, classes: Sequence[str], title: str) -> Figure:
    """Shares of a class's samples, rows, that were taken for each class, columns."""
    shares = confusion(samples["target"].to_numpy(), samples["prediction"].to_numpy(), len(classes))
    side = 3.0 + 0.28 * len(classes)
    picture = Figure((side, side), layout="constrained")
    axis = picture.subplots()
    drawn = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    picture.colorbar(drawn, shrink=0.7)
    if len(classes) <= WRITTEN:
        for (row, column), share in np.ndenumerate(shares):
            colour = "white" if share > 0.5 else "black"
            axis.text(column, row, f"{share:.2f}", ha="center", va="center", fontsize=6, color=colour)
    ticks = range(len(classes))
    axis.set_xticks(ticks, classes, rotation=90, fontsize=7)
    axis.set_yticks(ticks, classes, fontsize=7)
    axis.set(xlabel="predicted", ylabel="true")
    picture.suptitle(title, fontsize=9)
    return picture


def confusion(targets: NDArray[Any], predictions: NDArray[Any], classes: int) -> NDArray[np.float64]:
    """Of each class's samples the share that was taken for each class, shape (classes, classes); 0 / 0 is 0."""
    counts = np.zeros((classes, classes))
    np.add.at(counts, (targets, predictions), 1)
    shares: NDArray[np.float64] = counts / counts.sum(1, keepdims=True).clip(min=1)
    return shares
