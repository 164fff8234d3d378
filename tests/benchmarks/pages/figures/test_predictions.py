"""Figure 7 shows the predictions that a run keeps: boxes, maps and scores are read again from the files."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import safetensors.torch
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import Rectangle
from torch import Tensor

from benchmarks.api import select_suites
from benchmarks.pages.figures.base import Plot
from benchmarks.pages.figures.data import Source
from benchmarks.pages.figures.predictions import predictions
from benchmarks.pages.figures.style import CLASSES, styled
from benchmarks.records.published import PublishedSuite
from conversion.errors import DataMissing
from tasks import TASKS

PUBLISHED = Path(__file__).parents[4] / "results/published"


def drawn(task: str, suite: str = "mini") -> Plot:
    (selected,) = select_suites(suite, tasks=task, results=PUBLISHED)
    with styled():
        (plot,) = predictions([Source(selected.suite, selected.cells, selected.store)])
    return plot


def kept(task: str, method: str, T: int | None) -> tuple[dict[str, Any], pd.DataFrame]:
    """The record of a row of the published suite mini, and its samples, as the files hold them."""
    with gzip.open(PUBLISHED / "mini/records.jsonl.gz", "rt") as lines:
        records = [json.loads(line) for line in lines]
    wanted = (task, method, T)
    (record,) = [r for r in records if (r["cell"]["task"], r["cell"]["method"], r["cell"]["T"]) == wanted]
    samples = pq.read_table(PUBLISHED / "mini/samples.parquet").to_pandas()
    return record, samples[samples["cell"] == record["samples"]]


def rows(plot: Plot, columns: int) -> list[list[Axes]]:
    axes = plot.figure.axes
    return [axes[start : start + columns] for start in range(0, len(axes), columns)]


def frames(axis: Axes) -> list[tuple[str, str, list[float]]]:
    """Colour, line style and corners of each frame, without the white ones below them."""
    found = [
        patch for patch in axis.patches if isinstance(patch, Rectangle) and to_hex(patch.get_edgecolor()) != "#ffffff"
    ]
    return [
        (to_hex(p.get_edgecolor()), str(p.get_linestyle()), [float(v) for v in p.get_bbox().extents]) for p in found
    ]


def test_boxes_and_their_scores_are_those_that_a_run_has_kept() -> None:
    plot = drawn("mini_detection")
    assert plot.name == "predictions-mini-mini_detection-yolov2_mini-first-128"
    names = (("ann", None), ("calibration", 8), ("burst", 8))  # AdaFire was not measured; 4 and 8 steps were.
    panels = rows(plot, 1 + len(names))
    assert len(panels) == 3
    classes = TASKS["mini_detection"].classes
    for column, (method, T) in enumerate(names, start=1):
        record, samples = kept("mini_detection", method, T)
        head = panels[0][column].get_title()
        assert f"ap50 {record['metrics']['ap50']['value']:.2f} %" in head
        assert ("(n = 128)" in head) == (method == "ann") and (T is None or f"T = {T}" in head)
        for row in range(3):
            axis, margin = panels[row][column], panels[row][column].get_xlabel().replace("\n", " ")
            one = safetensors.torch.load(samples["answer"].iloc[row])
            sure = int((one["scores"] >= 0.1).sum())  # They are stored by falling score.
            labels, scores = one["labels"][:sure].tolist(), one["scores"][:sure].tolist()
            assert margin.startswith(f"this sample: {100 * samples['outcome'].iloc[row]:.0f} %")
            found = frames(axis)
            # All three classes occur in the figure, so that they have the first colours in their order.
            assert [colour for colour, _, _ in found] == [CLASSES[label] for label in labels]
            assert [style in (":", "dotted") for _, style, _ in found] == [score < 0.5 for score in scores]
            boxes = np.array([corners for _, _, corners in found]).reshape(-1, 4)
            assert np.allclose(boxes, 64 * one["boxes"][:sure].numpy(), atol=1e-4)
            for number, (label, score) in enumerate(zip(labels, scores, strict=True), start=1):
                assert f"{number}\xa0{score:.2f}".replace("\xa00.", "\xa0.") in margin and classes[label] in margin
            numbers = [text.get_text() for text in axis.texts]
            assert numbers == [str(number) for number in range(1, sure + 1)]
    legend = [text.get_text() for text in plot.figure.legends[0].get_texts()]
    assert legend == list(classes)


@pytest.mark.slow
def test_maps_have_the_colours_of_the_legend_and_stand_beside_their_image() -> None:
    plot = drawn("mini_segmentation")
    names = (("ann", None), ("calibration_iat", 4), ("burst", 4))
    panels = rows(plot, 2 + len(names))
    batch = next(TASKS["mini_segmentation"]().test(4, None))
    seen: set[int] = set()
    for row in range(3):
        image, truth = panels[row][:2]
        assert np.array_equal(np.asarray(image.images[0].get_array()), batch.inputs[row].permute(1, 2, 0).numpy())
        shown = [(truth, batch.targets[row])]
        for axis, (method, T) in zip(panels[row][2:], names, strict=True):
            _, samples = kept("mini_segmentation", method, T)
            shown.append((axis, safetensors.torch.load(samples["answer"].iloc[row])["map"]))
            assert axis.get_xlabel() == f"this sample: {100 * samples['outcome'].iloc[row]:.0f} %"
        for axis, labels in shown:
            assert np.allclose(np.asarray(axis.images[0].get_array()), coloured(labels))
            seen |= set(labels.unique().tolist())
    names_of = TASKS["mini_segmentation"].classes
    legend = [text.get_text() for text in plot.figure.legends[0].get_texts()]
    assert legend == [names_of[label] for label in sorted(seen - {255})] == list(names_of)


def coloured(labels: Tensor) -> np.ndarray[Any, Any]:
    """A map whose classes have the first colours in their order; 255 is white."""
    table = np.ones((256, 3))
    table[: len(CLASSES)] = [to_rgb(colour) for colour in CLASSES]
    shown: np.ndarray[Any, Any] = table[labels.long().numpy()]
    return shown


def test_parts_are_the_points_of_the_cloud() -> None:
    plot = drawn("mini_parts")
    _, samples = kept("mini_parts", "burst", 8)
    axis = rows(plot, 4)[0][3]
    labels = safetensors.torch.load(samples["answer"].iloc[0])["map"]
    (points,) = axis.collections
    colours = [to_hex(colour) for colour in np.asarray(points.get_facecolor())]
    assert sorted(colours) == sorted(CLASSES[label] for label in labels.tolist())


def test_planted_wrong_predictions_and_scores_change_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    right = drawn("mini_detection")
    honest = PublishedSuite.samples

    def planted(self: PublishedSuite, record: Any) -> pd.DataFrame | None:
        frame = honest(self, record)
        if frame is None or record.cell.method != "burst":
            return frame
        moved = safetensors.torch.load(frame["answer"].iloc[0])
        moved["boxes"] = moved["boxes"] * 0.5
        frame = frame.assign(outcome=frame["outcome"] * 0.5)
        frame.loc[frame.index[0], "answer"] = safetensors.torch.save(moved)
        return frame

    monkeypatch.setattr(PublishedSuite, "samples", planted)
    wrong = drawn("mini_detection")
    for column in range(4):
        before, after = rows(right, 4)[0][column], rows(wrong, 4)[0][column]
        same = frames(before) == frames(after) and before.get_xlabel() == after.get_xlabel()
        assert same == (column != 3)


def test_a_class_without_a_name_is_drawn_under_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TASKS["mini_detection"], "classes", TASKS["mini_detection"].classes[:2])
    legend = [text.get_text() for text in drawn("mini_detection").figure.legends[0].get_texts()]
    assert legend == ["circle", "square", "class 2"]


def test_more_classes_than_colours_share_the_grey(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.pages.figures.predictions.CLASSES", CLASSES[:2])
    plot = drawn("mini_detection")
    assert [text.get_text() for text in plot.figure.legends[0].get_texts()] == ["circle", "square", "other classes"]
    drawn_in = {colour for row in rows(plot, 4) for axis in row for colour, _, _ in frames(axis)}
    assert drawn_in == {CLASSES[0], CLASSES[1], "#999999"}


def test_samples_that_are_others_than_those_measured_are_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TASKS["mini_detection"], "digest", lambda self: "another")
    with pytest.raises(DataMissing, match="not those that its records of suite mini"):
        drawn("mini_detection")


def test_colours_of_areas_are_apart_for_the_colour_blind_too() -> None:
    """CIELAB, after the simulation of Machado, Oliveira and Fernandes (2009) for protanopia and deuteranopia.

    The first seven are Okabe and Ito's; their own least distance, 17.9, is the bound for all. 2.3 is just noticeable.
    """
    simulated = {
        "normal": (1, 0, 0, 0, 1, 0, 0, 0, 1),
        "protanopia": (
            0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998,
        ),
        "deuteranopia": (
            0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.011820, 0.042940, 0.968881,
        ),
    }  # fmt: skip
    rgb = np.array([to_rgb(colour) for colour in (*CLASSES, "#ffffff")])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
    )
    for name, matrix in simulated.items():
        xyz = (linear @ np.reshape(matrix, (3, 3)).T).clip(0, 1) @ to_xyz.T / [0.95047, 1, 1.08883]
        f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
        lab = np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)
        apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1)[np.triu_indices(len(lab), 1)]
        assert apart.min() > 17.8, name
