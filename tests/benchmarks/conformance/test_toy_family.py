"""A family that the benchmark has never heard of passes `check`, is measured, and gets pictures."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from adapters import NETWORKS
from adapters.training.loop import train
from benchmarks.conformance import check, networks, tasks
from benchmarks.conformance.kit import judge
from benchmarks.conformance.networks import NetworkBench
from benchmarks.conformance.tasks import TaskBench
from benchmarks.records.store import Store
from benchmarks.suites.plugins import GROUP, load_plugins
from run_all import app
from tasks import TASKS
from tasks.target import KEPT

pytestmark = pytest.mark.slow

SUITE = """
name: spots
title: Spots
calibration: 64
entries:
  - {tasks: [spots], networks: [spots_convnet], methods: [{burst: {phi: 4}}], T: [8], limit: 20}
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Installs keypoints.py as the module of a package."""
    site = tmp_path / "site"
    information = site / "keypoints-1.0.dist-info"
    information.mkdir(parents=True)
    (site / "keypoints.py").write_text(Path(__file__).with_name("keypoints.py").read_text())
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: keypoints\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[{GROUP}]\nkeypoints = keypoints\n")
    monkeypatch.syspath_prepend(site)
    load_plugins.cache_clear()
    load_plugins()
    yield
    load_plugins.cache_clear()
    sys.modules.pop("keypoints")


@pytest.mark.usefixtures("plugin")
def test_task_and_network_pass_check() -> None:
    for name, needless in (("spots", {"says what is missing"}), ("spots_convnet", {"decodes to classes"})):
        results = check(name)
        assert [result for result in results if result.verdict == "failed"] == []
        assert {result.name for result in results if result.verdict == "does not apply"} == needless


@pytest.mark.usefixtures("plugin")
def test_check_finds_what_the_family_calls_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    task, network = TASKS["spots"], NETWORKS["spots_convnet"]
    split: Callable[..., Any] = task.split
    monkeypatch.setattr(task, "split", lambda self, name: [(image, points + 1) for image, points in split(self, name)])
    assert "A keypoint of train is outside" in judge(tasks.has_samples_as_it_says, TaskBench(task, None)).reason
    monkeypatch.setattr(network, "decode", lambda self, output: output)
    found = judge(networks.builds_for_every_task_it_fits, NetworkBench(network))
    assert found.reason == "For task spots: `decode` gives keypoints of shape (2, 4); it needs (2, 2, 2)."


@pytest.mark.usefixtures("plugin")
def test_report_draws_its_samples(tmp_path: Path) -> None:
    trained = train(NETWORKS["spots_convnet"], TASKS["spots"](), tmp_path / "weights")
    assert trained.validation_accuracy > 80
    (tmp_path / "spots.yaml").write_text(SUITE)
    shared = ["--suite", str(tmp_path / "spots.yaml"), "--results", str(tmp_path / "results")]
    runner = CliRunner()
    run = runner.invoke(app, ["run", *shared, "--engine", "inline", "--weights", str(tmp_path / "weights")])
    assert run.exit_code == 0, run.output
    assert runner.invoke(app, ["report", *shared]).exit_code == 0
    pictures = tmp_path / "results/spots/pictures/spots-spots_convnet-first-20-T8"
    assert {path.name for path in pictures.iterdir()} == {*(f"sample-{k}.png" for k in range(1, 5)), "contact.png"}
    with Image.open(pictures / "contact.png") as image:  # Truth, ANN and burst, of four samples.
        assert image.width / image.height == pytest.approx(3 * 2.6 / (4 * 2.85), abs=0.02)
        assert len(image.getcolors(2**24) or []) > 10
    target: Any = TASKS["spots"].target
    store = Store(tmp_path / "results", "spots")
    for record in store.records():
        table = store.samples(record)
        assert isinstance(table, pd.DataFrame) and table["answer"].notna().sum() == KEPT
        assert record.metrics["pck"].value == pytest.approx(100 * np.mean(table["outcome"]))
        found = torch.stack([target.read(content) for content in table["answer"][:KEPT]])
        truth = next(TASKS["spots"]().test(KEPT, 20)).targets
        shares = ((found - truth).norm(dim=-1) <= 0.15).float().mean(1)
        assert shares.tolist() == table["outcome"][:KEPT].tolist()
