"""CIFAR-100 from the files on disk to the table: train, run and report by the command line."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from benchmarks.suites.files import load_suite
from tasks import TASKS
from tasks.images.cifar import Cifar
from tests.benchmarks.conftest import Cli
from tests.tasks.images.stored import unchecked, write_folders, write_native

pytestmark = pytest.mark.slow

OWN = """
name: own
title: A small network on CIFAR-100
calibration: 32
entries:
  - tasks: [cifar100]
    networks: [resnet20]
    methods: [{burst: {phi: 4}}, {quantised_ann: {phi: 4}}]
    T: [1]
    limit: 20
"""


def test_it_is_trained_measured_and_reported_and_both_layouts_give_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    """500 noise images to train on and 100 for validation; at T = 1 a burst neuron is its quantised twin."""
    task = TASKS["cifar100"]
    assert issubclass(task, Cifar)
    monkeypatch.setattr(task, "native", unchecked(task.native))
    (tmp_path / "pickles").mkdir()
    write_folders(tmp_path / "folders", task, 6, 1)
    write_native(tmp_path / "pickles", task, 6, 1)
    (tmp_path / "own.yaml").write_text(OWN)
    status, output, errors = cli(
        "train", "--task", "cifar100", "--network", "resnet20", "--epochs", "1", "--log", "tensorboard:curves",
        "--data-root", "folders", "--weights", "weights",
    )  # fmt: skip
    assert status == 0, errors
    assert output.startswith("weights/resnet20_cifar100.safetensors: validation ")
    assert len(list((tmp_path / "curves" / "resnet20_cifar100").iterdir())) == 1
    found = {}
    for layout in ("folders", "pickles"):
        shared = ("--suite", "own.yaml", "--results", f"results_{layout}")
        status, _, errors = cli("run", *shared, "--engine", "inline", "--data-root", layout, "--weights", "weights")
        assert status == 0, errors
        status, output, _ = cli("report", *shared, *(() if layout == "folders" else ("--pictures", "0")))
        assert status == 0 and "burst:phi=4" in output
        rows = pd.read_csv(tmp_path / f"results_{layout}" / "own" / "results.csv")
        assert len(rows[rows.status != "done"]) == 0 and set(rows.n) == {20}
        found[layout] = rows[rows.metric == "accuracy"].set_index("method")["value"]
    assert found["folders"]["burst:phi=4"] == found["folders"]["quantised_ann:phi=4"]
    assert found["folders"].equals(found["pickles"])


def test_the_suite_has_the_papers_networks_and_says_how_to_train_them(tmp_path: Path, cli: Cli) -> None:
    write_folders(tmp_path / "data", TASKS["cifar100"], 6, 1)  # type: ignore[arg-type]
    cells = load_suite("cifar100").cells()
    assert {cell.network for cell in cells} == {"resnet20_wide", "vgg16", "resnet18"}
    status, output, errors = cli("plan", "--suite", "cifar100", "--data-root", "data", "--weights", "weights")
    assert status == 0, errors
    lines = [line for line in output.splitlines() if line.startswith("impossible")]
    assert len(lines) == len(cells)
    assert all("run_all.py train --task cifar100 --network" in line for line in lines)
