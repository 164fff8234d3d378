"""Tasks through the command line whose reading or whose scores say something: Imagenette, and an ANN by chance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import safetensors.torch
import torch

from adapters import NETWORKS
from benchmarks.records.store import Store
from tasks import TASKS
from tests.tasks.images import imagenet_trees as trees

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def quiet_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No weights of this machine's user are found."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "cache"))


@pytest.mark.slow
@pytest.mark.usefixtures("quiet_cache")
def test_imagenette_from_files_to_the_page(tmp_path: Path, cli: Cli) -> None:
    """The record says the preprocessing, the page what to know about the data; a network without weights is said."""
    wnids = TASKS["imagenette"].wnids  # type: ignore[attr-defined]
    trees.folders(tmp_path / "data/imagenette2-160", "train", 2, wnids, first=1)
    trees.folders(tmp_path / "data/imagenette2-160", "val", 1, wnids)
    network = NETWORKS["torchvision/squeezenet1_0"](TASKS["imagenette"]())
    weights = {name: value.half() for name, value in network.build().state_dict().items()}
    safetensors.torch.save_file(weights, tmp_path / "data/squeezenet1_0_imagenette.safetensors")
    (tmp_path / "small.yaml").write_text(
        "name: small\ntitle: Small\ncalibration: 2\nentries:\n"
        "  - {tasks: [imagenette], networks: [torchvision/squeezenet1_0, torchvision/resnet18],\n"
        "     methods: [{burst: {phi: 4, thresholds: max, light: false}}], T: [1], limit: 2}\n"
    )
    code, _, errors = cli(
        "run", "--suite", "small.yaml", "--data-root", "data", "--weights", "data", "--engine", "inline",
        "--results", "results",
    )  # fmt: skip
    assert code == 3 and "There are no weights of torchvision/resnet18 for imagenette." in errors
    done = [record for record in Store(Path("results"), "small").records() if record.status == "done"]
    assert [record.cell.method for record in done] == ["ann", "burst"]
    assert {record.provenance["preprocessing"].partition(",")[0] for record in done} == {"shorter side 256 bilinear"}
    # The slash in the network's name makes no folder.
    assert len(list(Path("results/converted").glob("imagenette-torchvision-squeezenet1_0-T1-*.safetensors"))) == 1
    page = next(Path("results").rglob("results.md")).read_text()
    assert "Most of Imagenette's validation images are training images of ImageNet" in page
    assert "Not as in the dataset: 10 test images that are training images of ImageNet." in page


@pytest.mark.slow
def test_an_ann_that_scores_by_chance_is_refused(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task says so of the ANN alone; conversions may score as they do."""

    def doubt(self: Any, metrics: Any) -> str:
        return f"Labels are in another order: {metrics['accuracy'].n} images."

    monkeypatch.setattr(TASKS["digits"], "doubt", doubt)
    code, _, _ = cli(
        "run", "--suite", "smoke", "--limit", "10", "--method", "ann", "--method", "burst*", "--T", "2",
        "--engine", "inline", "--results", "results",
    )  # fmt: skip
    assert code == 3
    frame = pd.read_csv(next(Path("results").rglob("results.csv")))
    states = frame.groupby("method")["status"].first()
    assert (states["ann"], states["burst:phi=4"]) == ("failed", "done")
    assert set(frame[frame["method"] == "ann"]["reason"]) == {"Labels are in another order: 10 images."}
