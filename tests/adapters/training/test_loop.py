"""Training on digits: reproducible, resumable, honest about its splits, and clear about what it refuses."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors
import torch
from torch import Tensor, nn

from adapters import NETWORKS, find_weights, load_weights, train
from adapters.base import Backbone, Network, Recipe
from adapters.images.digits import DigitsNetwork
from adapters.training.loop import _start, evaluate
from adapters.training.resume import TrainingState
from conversion.errors import CheckpointError, DataMissing, InvalidInput
from tasks import TASKS
from tasks.base import Split
from tasks.images.base import LabelledImages
from tasks.images.digits import Digits
from tests.adapters.training.few import FewDigits
from tests.adapters.training.test_recipe_in_training import rates
from tests.tolerance import points

pytestmark = pytest.mark.slow

FAST: dict[str, Any] = {"epochs": 4, "batch_size": 32}


@pytest.fixture(autouse=True, scope="module")
def few_threads() -> None:
    """The number of threads decides the order of sums; bitwise comparisons hold for a fixed one."""
    torch.set_num_threads(1)


class Interrupted(Exception):
    pass


def interrupted_after(batches: int) -> type[Network]:
    """The digits network with a dropout, and a power cut once it was fed so many batches."""

    class Fragile(WithDropout):
        fed = 0

        def encode(self, inputs: Tensor) -> Tensor:
            Fragile.fed += 1
            if Fragile.fed > batches:
                raise Interrupted
            return super().encode(inputs)

    return Fragile


class WithDropout(DigitsNetwork):
    """Dropout draws from the global generator, the hardest part of an epoch to repeat."""

    def build(self) -> nn.Sequential:  # type: ignore[override]
        return nn.Sequential(super().build(), nn.Dropout(0.1))


def test_the_same_seed_gives_the_same_file_and_another_seed_another(tmp_path: Path) -> None:
    results = [
        train(DigitsNetwork, FewDigits(), tmp_path / str(i), seed=seed, epochs=2, batch_size=32)
        for i, seed in enumerate((0, 0, 1))
    ]
    assert results[0].sha256 == results[1].sha256 != results[2].sha256


@pytest.mark.parametrize("batches", [9, 13])  # In the third epoch and in the last.
def test_an_interrupted_run_resumes_to_the_same_weights(batches: int, tmp_path: Path) -> None:
    whole = train(WithDropout, FewDigits(), tmp_path / "whole", **FAST)
    parts = tmp_path / "parts"
    with pytest.raises(Interrupted):
        train(interrupted_after(batches), FewDigits(), parts, **FAST)
    assert [path.name for path in parts.iterdir()] == ["digits_convnet_digits.resume.pt"]
    resumed = train(WithDropout, FewDigits(), parts, **FAST)
    assert resumed.sha256 == whole.sha256
    assert [path.name for path in parts.iterdir()] == ["digits_convnet_digits.safetensors"]


def test_resuming_skips_what_is_done_and_can_be_declined(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for resume, epochs_run in ((True, [3, 4]), (False, [1, 2, 3, 4])):
        with pytest.raises(Interrupted):
            train(interrupted_after(9), FewDigits(), tmp_path, resume=False, overwrite=True, **FAST)
        capsys.readouterr()
        train(WithDropout, FewDigits(), tmp_path, resume=resume, overwrite=True, **FAST)
        lines = capsys.readouterr().err.splitlines()
        assert [line.split(",")[0] for line in lines] == [f"digits_convnet_digits: epoch {e}/4" for e in epochs_run]


def test_a_run_with_other_settings_is_not_continued(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        train(interrupted_after(9), FewDigits(), tmp_path, **FAST)
    with pytest.raises(CheckpointError, match=r"had learning_rate 0\.1, this one has 0\.05"):
        train(WithDropout, FewDigits(), tmp_path, learning_rate=0.05, **FAST)


def test_weights_that_are_there_are_not_replaced_unasked(tmp_path: Path) -> None:
    published = tmp_path / "digits_convnet_digits.safetensors"
    published.write_bytes(b"somebody's weights")
    with pytest.raises(InvalidInput, match=r"exists already; pass --overwrite"):
        train(DigitsNetwork, FewDigits(), tmp_path, **FAST)
    assert published.read_bytes() == b"somebody's weights"
    train(DigitsNetwork, FewDigits(), tmp_path, overwrite=True, **FAST)
    assert published.stat().st_size > 100_000


def test_a_damaged_resume_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "digits_convnet_digits.resume.pt").write_bytes(b"half a fi")
    with pytest.raises(CheckpointError, match=r"digits_convnet_digits\.resume\.pt is damaged"):
        train(DigitsNetwork, FewDigits(), tmp_path, **FAST)


def test_training_learns_and_reports_the_file_it_wrote(tmp_path: Path) -> None:
    result = train(DigitsNetwork, Digits(), tmp_path, epochs=5)
    assert result.validation_accuracy > 90
    assert 1 <= result.best_epoch <= result.epochs == 5
    adapter = DigitsNetwork(Digits())
    model = adapter.build()
    assert load_weights(model, result.path) == result.sha256
    again = evaluate(model, adapter, adapter.task, adapter.task.split("validation"), torch.device("cpu"))
    assert again == result.validation_accuracy


def test_the_file_says_how_to_make_it_again(tmp_path: Path) -> None:
    result = train(DigitsNetwork, FewDigits(), tmp_path, seed=3, epochs=1)
    with safetensors.safe_open(result.path, "pt") as file:
        provenance = json.loads(file.metadata()["provenance"])
    assert provenance["command"] == (
        "OMP_NUM_THREADS=1 python run_all.py train --task digits --network digits_convnet --epochs 1 --batch-size 64 "
        "--learning-rate 0.1 --seed 3 --device cpu --precision float32"
    )
    assert provenance["validation_accuracy"] == round(result.validation_accuracy, 4)
    assert provenance["torch"] == str(torch.__version__)


def test_bfloat16_learns_too_and_keeps_float32_weights(tmp_path: Path) -> None:
    result = train(DigitsNetwork, Digits(), tmp_path, epochs=5, precision="bfloat16")
    assert result.validation_accuracy > 90
    with safetensors.safe_open(result.path, "pt") as file:
        assert file.get_tensor("conv1.weight").dtype == torch.float32


def test_the_test_split_is_never_read(tmp_path: Path) -> None:
    class Sealed(FewDigits):
        def split(self, name: Split) -> LabelledImages:
            assert name != "test"
            return super().split(name)

    assert train(DigitsNetwork, Sealed(), tmp_path, epochs=1).path.is_file()


def test_global_random_state_is_left_alone(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    train(DigitsNetwork, FewDigits(), tmp_path, epochs=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_best_epoch_is_kept_and_a_tie_goes_to_the_later_one() -> None:
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    state = TrainingState(model, optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 4))
    for value, accuracy in ((1.0, 50.0), (2.0, 90.0), (3.0, 90.0), (4.0, 70.0)):
        nn.init.constant_(model.weight, value)
        state.complete_epoch(accuracy)
    assert (state.epoch, state.best_epoch, state.best_accuracy) == (4, 3, 90.0)
    assert state.best_weights["weight"].item() == 3.0


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"epochs": 0}, "epochs of at least 1; it got 0"),
        ({"batch_size": -2}, "batch_size of at least 1; it got -2"),
        ({"learning_rate": 0.0}, "learning rate must be a positive number"),
        ({"learning_rate": float("nan")}, "learning rate must be a positive number"),
        ({"seed": -1}, "seed must not be negative"),
        ({"precision": "float16"}, "float32 or bfloat16, not in 'float16'"),
        ({"device": "abacus"}, "device 'abacus' cannot be used"),
    ],
)
def test_bad_settings_are_refused_before_any_work(setting: dict[str, Any], message: str, tmp_path: Path) -> None:
    output = tmp_path / "never"
    with pytest.raises(InvalidInput, match=message):
        train(DigitsNetwork, FewDigits(), output, **setting)
    assert not output.exists()


def test_an_unknown_augmentation_a_misfit_and_missing_data_are_refused(tmp_path: Path) -> None:
    class Odd(DigitsNetwork):
        recipe = Recipe(augment="cifra")

    with pytest.raises(InvalidInput, match=r"no augmentation 'cifra'; known: cifar, .*detection, .*, shift"):
        train(Odd, FewDigits(), tmp_path)
    with pytest.raises(InvalidInput, match="does not fit task digits"):
        train(NETWORKS["vgg16"], FewDigits(), tmp_path)
    with pytest.raises(DataMissing, match="cifar10"):
        train(NETWORKS["vgg16"], TASKS["cifar10"](tmp_path), tmp_path)


def test_divergence_is_an_error_that_names_the_learning_rate(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"digits_convnet_digits diverged.*now 1e\+30"):
        train(DigitsNetwork, FewDigits(), tmp_path, learning_rate=1e30, **FAST)
    assert list(tmp_path.iterdir()) == []


def test_the_shipped_network_reads_digits() -> None:
    adapter = DigitsNetwork(Digits())
    model = adapter.build()
    load_weights(model, find_weights("digits_convnet", "digits", None))
    accuracy = evaluate(model, adapter, adapter.task, adapter.task.split("test"), torch.device("cpu"))
    assert accuracy == pytest.approx(99.63, abs=points(539, changed=1))  # An ANN has no thresholds to cross.


class Averaged(DigitsNetwork):
    """With all that a recipe of a detector asks for."""

    recipe = Recipe(epochs=4, batch_size=32, augment="shift", warmup=1, milestones=(3,), ema=0.9, validate_every=2)


def events_of(folder: Path) -> Any:
    """What TensorBoard reads of a folder: name to a list of (epoch, value)."""
    loaded = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator").EventAccumulator(str(folder))
    loaded.Reload()
    return {name: [(event.step, event.value) for event in loaded.Scalars(name)] for name in loaded.Tags()["scalars"]}


def test_tensorboard_gets_every_epoch_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also of a run that was interrupted in its third epoch and went on."""
    networks: list[type[Network]] = [interrupted_after(9), WithDropout]
    for number, network in enumerate(networks):
        try:
            train(network, FewDigits(), tmp_path / "weights", log=[f"tensorboard:{tmp_path / 'curves'}"], **FAST)
        except Interrupted:
            assert number == 0
    curves = events_of(tmp_path / "curves" / "digits_convnet_digits")
    results = {name: curves.pop(name)[0][1] for name in ("best epoch", "best validation accuracy")}
    scores = [value for _, value in curves["validation accuracy"]]
    assert results["best validation accuracy"] == max(scores) == scores[int(results["best epoch"]) - 1]
    assert set(curves) == {"loss", "learning rate", "validation accuracy"}
    assert all([epoch for epoch, _ in values] == [1, 2, 3, 4] for values in curves.values())
    assert [value for _, value in curves["learning rate"]] == pytest.approx(
        [0.1 * rate for rate in rates(Recipe(epochs=4))]
    )
    said = [line.partition("validation ")[2] for line in capsys.readouterr().err.splitlines()]
    assert [f"{value:.2f}" for _, value in curves["validation accuracy"]] == said


def test_tensorboard_is_asked_for_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(
        InvalidInput, match=r"tensorboard, which is not installed: pip install 'adaptive-.*\[tensorboard\]'"
    ):
        train(DigitsNetwork, FewDigits(), tmp_path / "never", log=[f"tensorboard:{tmp_path / 'curves'}"])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_for_tensorboard_that_cannot_be_made_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="for TensorBoard cannot be made"):
        train(DigitsNetwork, FewDigits(), tmp_path / "never", log=[f"tensorboard:{tmp_path / 'file'}"])
    assert not (tmp_path / "never").exists()


class FromBackbone(DigitsNetwork):
    """Starts from the stem of another network."""

    backbone = Backbone("weights of a stem", {"stem.": "conv1."}, ("head.",))


def stem(path: Path, value: float) -> Path:
    torch.save({"stem.weight": torch.full((32, 1, 3, 3), value), "head.bias": torch.zeros(7)}, path)
    return path


def test_a_backbone_belongs_to_the_run(tmp_path: Path) -> None:
    """Other weights to start from are another run; the file says which they were."""

    class Fragile(FromBackbone):
        fed = 0

        def encode(self, inputs: Tensor) -> Tensor:
            Fragile.fed += 1
            if Fragile.fed > 9:
                raise Interrupted
            return super().encode(inputs)

    first, other = stem(tmp_path / "first.pth", 0.25), stem(tmp_path / "other.pth", 0.5)
    whole = train(FromBackbone, FewDigits(), tmp_path / "whole", backbone=first, **FAST)
    with pytest.raises(Interrupted):
        train(Fragile, FewDigits(), tmp_path / "parts", backbone=first, **FAST)
    for wrong, shown in ((other, r"this one has [0-9a-f]{64}"), (None, "this one has None")):
        with pytest.raises(CheckpointError, match=rf"had backbone [0-9a-f]{{64}}, {shown}"):
            train(FromBackbone, FewDigits(), tmp_path / "parts", backbone=wrong, **FAST)
    assert train(FromBackbone, FewDigits(), tmp_path / "parts", backbone=first, **FAST).sha256 == whole.sha256
    with safetensors.safe_open(whole.path, "pt") as file:
        provenance = json.loads(file.metadata()["provenance"])
    assert provenance["backbone"] == {"file": "first.pth", "sha256": hashlib.sha256(first.read_bytes()).hexdigest()}
    assert provenance["command"].endswith(" --backbone first.pth")


def test_averaged_weights_are_what_is_scored_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = train(Averaged, FewDigits(), tmp_path)
    lines = capsys.readouterr().err.splitlines()
    assert ["validation" in line for line in lines] == [False, True, False, True]
    adapter = DigitsNetwork(FewDigits())
    model = adapter.build()
    load_weights(model, result.path)
    again = evaluate(model, adapter, adapter.task, adapter.task.split("validation"), torch.device("cpu"))
    assert again == result.validation_accuracy


def test_the_average_follows_every_step_by_its_decay() -> None:
    model = nn.Linear(1, 1, bias=False)
    state = _start(model, Recipe(ema=0.75))
    assert state.average is not None
    expected = float(model.weight.detach())
    state.average.update_parameters(state.model)  # The first step starts it.
    for value in (1.0, 5.0):
        nn.init.constant_(model.weight, value)
        state.average.update_parameters(state.model)
        expected = 0.75 * expected + 0.25 * value
        (averaged,) = state.result.parameters()
        assert float(averaged.detach()) == pytest.approx(expected)


def test_an_interrupted_run_with_an_average_resumes_to_the_same_weights(tmp_path: Path) -> None:
    whole = train(Averaged, FewDigits(), tmp_path / "whole")
    parts = tmp_path / "parts"

    class Fragile(Averaged):
        fed = 0

        def encode(self, inputs: Tensor) -> Tensor:
            Fragile.fed += 1
            if Fragile.fed > 11:  # In the fourth epoch; every second one is judged.
                raise Interrupted
            return super().encode(inputs)

    with pytest.raises(Interrupted):
        train(Fragile, FewDigits(), parts)
    assert train(Averaged, FewDigits(), parts).sha256 == whole.sha256
