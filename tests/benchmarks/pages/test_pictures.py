"""Pictures: frames in time over the spikes of each step, and the files that `report` leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from benchmarks.pages.pictures import frames_in_time
from benchmarks.records.store import Store
from run_all import app
from tasks.events.samples import polarities


def test_frames_of_events_are_coloured_by_polarity_over_the_spikes_of_each_step() -> None:
    recording = torch.zeros(1, 4, 2, 5, 5)
    recording[0, 0, 0, 1, 2] = 3  # Darker, in the first of two steps.
    recording[0, 3, 1, 4, 4] = 1  # Brighter, in the second.
    picture = frames_in_time(recording, polarities, {"burst": [10.0, 4.0], "ann": []}, 2)
    first, second, below = picture.axes
    shown = [np.asarray(axis.images[0].get_array()) for axis in (first, second)]
    assert shown[0][1, 2].tolist() == [0, 0, 1] and shown[0][0, 0].tolist() == [1, 1, 1]
    red, green, blue = shown[1][4, 4].tolist()
    assert red == 1 and green == blue < 1  # A third of the most that a pixel has.
    assert [np.asarray(line.get_ydata()).tolist() for line in below.lines] == [[10.0, 4.0]]


SUITE = """
name: drawn
title: Drawn
calibration: 4
entries:
  - {tasks: [mini_detection], networks: [yolov2_mini], methods: [{burst: {phi: 4}}], T: [2, 3], limit: 6}
  - {tasks: [mini_segmentation], networks: [mini_fcn], methods: [{burst: {phi: 4}}], T: [2], limit: 6}
  - {tasks: [digits], networks: [digits_convnet], methods: [{burst: {phi: 4}}], T: [2], limit: 40}
  - {tasks: [mini_events_temporal], networks: [event_convnet], methods: [{burst: {phi: 4}}], T: [2], limit: 5}
"""


@pytest.mark.slow
def test_report_draws_what_a_run_has_kept(tmp_path: Path) -> None:
    (tmp_path / "drawn.yaml").write_text(SUITE)
    shared = ["--suite", str(tmp_path / "drawn.yaml"), "--results", str(tmp_path / "results")]
    runner = CliRunner()
    assert runner.invoke(app, ["run", *shared, "--engine", "inline"]).exit_code == 0
    found = runner.invoke(app, ["report", *shared])
    assert found.exit_code == 0
    pictures = tmp_path / "results/drawn/pictures"
    files = {str(path.relative_to(pictures)) for path in pictures.glob("*/*")}
    samples = [*(f"sample-{k}.png" for k in range(1, 5)), "contact.png"]
    assert files == {
        *(f"mini_detection-yolov2_mini-first-6-T2/{name}" for name in samples),
        *(f"mini_segmentation-mini_fcn-first-6-T2/{name}" for name in samples),
        "digits-digits_convnet-first-40-T2/ann.png", "digits-digits_convnet-first-40-T2/burst-phi-4.png",
        *(f"mini_events_temporal-event_convnet-first-5-T2/{n}.png" for n in ("ann", "burst-phi-4", "frames")),
    }  # fmt: skip
    for path in pictures.glob("*/*"):
        with Image.open(path) as image:
            assert min(image.size) > 100 and len(image.getcolors(2**24) or []) > 10
    for record in Store(tmp_path / "results", "drawn").records():
        assert len(record.activity) == (record.cell.T or 0)
        if record.cell.task != "mini_events_temporal":  # There the events of the input are spikes, too.
            assert record.totals is not None and sum(record.activity) == pytest.approx(record.totals.spikes)
    # Truth, ANN and burst side by side: three panels wide, four samples high.
    with Image.open(pictures / "mini_detection-yolov2_mini-first-6-T2/contact.png") as image:
        assert image.width / image.height == pytest.approx(3 * 2.6 / (4 * 2.85), abs=0.02)
    assert runner.invoke(app, ["report", *shared, "--pictures", "3"]).exit_code == 0
    assert (pictures / "mini_detection-yolov2_mini-first-6-T3/contact.png").is_file()
    kept = {path: path.stat().st_mtime_ns for path in pictures.glob("*/*")}
    assert runner.invoke(app, ["report", *shared, "--pictures", "0"]).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in pictures.glob("*/*")} == kept
