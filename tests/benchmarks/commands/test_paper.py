"""`paper`: all tables behind one command; what it says without data, its plan, its training, a second call."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters import NETWORKS
from benchmarks.suites.files import load_suite, load_suites
from conversion.errors import InvalidInput
from tests.benchmarks.conftest import Cli
from tests.benchmarks.suites import planted
from tests.tasks.images.stored import write_folders
from tests.tasks.images.test_cifar import task_class

pytestmark = pytest.mark.slow

TABLES = [f"table{number}" for number in range(1, 8)]


def test_paper_is_the_name_of_all_tables() -> None:
    assert [suite.name for suite in load_suites("paper")] == TABLES
    assert [suite.table.number for suite in load_suites("paper") if suite.table is not None] == [1, 2, 3, 4, 5, 6, 7]
    with pytest.raises(InvalidInput, match="'paper' stands for the suites table1, table2"):
        load_suite("paper")


def test_without_data_every_table_quotes_the_paper_and_says_what_is_missing(cli: Cli, tmp_path: Path) -> None:
    code, out, errors = cli("paper", "--engine", "inline")
    assert code == 3
    assert [line for line in out.splitlines() if line.startswith("# Table")] == [
        f"# {suite.title}" for suite in load_suites("paper")
    ]
    for printed in ("not run (73.53)", "80.90 quoted", "51.83 quoted", "not run (72.17)", "not run (97.52)"):
        assert printed in out
    assert "- VGG-16 OPT T=32 to ResNet-34 AdaFire T=64 (26 numbers): No data root was given (--data-root)." in out
    cells = sum(len(suite.cells()) for suite in load_suites("paper"))
    assert errors.splitlines()[-1] == f"{cells} of {cells} cells are missing; the table says why."
    assert all((tmp_path / f"results/{name}/results.md").is_file() for name in TABLES)


def test_training_measuring_and_a_second_call(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On CIFAR-10 alone and for one epoch: what can be trained is, and nothing is done twice."""
    write_folders(tmp_path, task_class("cifar10"))
    monkeypatch.setattr(NETWORKS["resnet18"], "build", planted.classifier)
    folders = ["--data-root", str(tmp_path), "--weights", str(tmp_path / "weights")]
    code, out, _ = cli("paper", "--plan", *folders)
    assert code == 0
    assert "to train   resnet18 for cifar10, with --train: on one GPU not measured, on a CPU about 70 h" in out
    assert "impossible resnet18 for cifar100: it cannot be trained." in out
    assert "absent     snn_calibration/vgg16 for imagenet: its published weights are not there" in out
    assert not (tmp_path / "weights").exists() and not (tmp_path / "results").exists()

    options = ["--train", "--epochs", "1", "--T", "8", "--limit", "4", "--engine", "inline", *folders]
    code, out, errors = cli("paper", *options)
    weights = tmp_path / "weights/resnet18_cifar10.safetensors"
    assert (code, weights.is_file()) == (3, True), errors
    # With --T 8 the row without techniques, of T = 32, is not there to compare energy with.
    (row,) = [line for line in out.splitlines() if line.startswith("| CIFAR-10 | AdaFire |")]
    assert " (96.69, -" in row and "first-4 |" in row and "no row `none` (+37.9)" in row

    written = weights.stat().st_mtime_ns
    code, again, errors = cli("paper", *options)
    assert (code, weights.stat().st_mtime_ns) == (3, written)
    assert "to train" not in errors
    assert [line for line in again.splitlines() if line.startswith("| CIFAR-10 | AdaFire |")] == [row]
    assert "Suite table7-first-4: 15 cells: 5 done, 10 impossible; 0 to run, nothing to do" in errors


def test_a_group_skips_suites_without_the_selection(cli: Cli) -> None:
    code, out, _ = cli("plan", "--suite", "paper", "--task", "voc_segmentation")
    assert code == 0
    assert len([line for line in out.splitlines() if line.startswith("impossible")]) == 3
    code, _, errors = cli("plan", "--suite", "paper", "--task", "voc_segmentations")
    assert code == 2
    assert "The suite has no task 'voc_segmentations'" in errors
