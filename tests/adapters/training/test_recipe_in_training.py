"""The settings of a recipe in the loop: learning rates, decay, sizes of images, mixup."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from adapters import train
from adapters.base import Network, Recipe
from adapters.images.digits import DigitsNetwork
from adapters.training.loop import Mixture, _start
from adapters.training.resume import TrainingState
from tasks.images.digits import Digits
from tests.adapters.training.few import FewDigits

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, scope="module")
def few_threads() -> None:
    """The number of threads decides the order of sums; bitwise comparisons hold for a fixed one."""
    torch.set_num_threads(1)


def rates(recipe: Recipe) -> list[float]:
    """The learning rate of every epoch, in units of the recipe's."""
    state = _start(nn.Linear(1, 1), recipe)
    found = []
    for _ in range(recipe.epochs):
        found.append(state.optimizer.param_groups[0]["lr"] / recipe.learning_rate)
        state.optimizer.step()
        state.scheduler.step()
    return found


def test_the_learning_rate_rises_and_falls_as_the_recipe_says() -> None:
    assert rates(Recipe(epochs=4)) == pytest.approx([1, (2 + 2**0.5) / 4, 1 / 2, (2 - 2**0.5) / 4])
    assert rates(Recipe(epochs=6, warmup=2)) == pytest.approx([0.1, 0.55, *rates(Recipe(epochs=4))])
    assert rates(Recipe(epochs=6, milestones=(2, 4))) == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    assert rates(Recipe(epochs=6, warmup=1, milestones=(2, 4))) == pytest.approx([0.1, 1, 0.1, 0.1, 0.01, 0.01])
    assert rates(Recipe(epochs=5, milestones=(2, 4), fall=0.5)) == pytest.approx([1, 1, 0.5, 0.5, 0.25])
    assert rates(Recipe(epochs=4, warmup=2, warmup_from=0.01, milestones=(3,))) == pytest.approx([0.01, 0.505, 1, 0.1])
    assert rates(Recipe(epochs=2, final_rate=0.05)) == pytest.approx([1, 0.75])  # A cosine from 0.1 to 0.05, halfway.


def test_adamw_decays_weights_apart_from_their_gradient() -> None:
    """Without a gradient AdamW only shrinks a weight by rate times decay; SGD's decay would carry momentum."""
    model = nn.Linear(1, 1, bias=False)
    state = _start(model, Recipe(optimizer="adamw", learning_rate=0.1, weight_decay=0.5))
    nn.init.constant_(model.weight, 1.0)
    for step in range(1, 3):
        model.weight.grad = torch.zeros(1, 1)
        state.optimizer.step()
        assert float(model.weight.detach()) == pytest.approx(0.95**step)


class Quartic(DigitsNetwork):
    """A detector's warm-up: the rate of each batch."""

    recipe = Recipe(epochs=4, batch_size=32, augment="shift", warmup=2, warmup_shape="quartic", milestones=(3,))


def rates_of_batches(network: type[Network], folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The learning rate of every batch of a run."""
    found: list[float] = []
    step = torch.optim.SGD.step

    def recorded(self: torch.optim.SGD, *arguments: Any) -> Any:
        found.append(self.param_groups[0]["lr"])
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.SGD, "step", recorded)
    train(network, FewDigits(), folder)
    return found


def test_a_quartic_warm_up_sets_the_rate_of_every_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From 0 by the fourth power over two epochs of 3 batches; then as the milestones say."""
    expected = [0.1 * (batch / 6) ** 4 for batch in range(6)] + 3 * [0.1] + 3 * [0.01]
    assert rates_of_batches(Quartic, tmp_path, monkeypatch) == pytest.approx(expected)


def test_images_of_a_batch_have_one_of_the_sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn for ten batches; scores are taken at the task's own size."""
    shapes: list[tuple[bool, int, int]] = []

    class Sized(DigitsNetwork):
        recipe = Recipe(epochs=2, batch_size=6, augment="none", sides=(6, 10))

        def build(self) -> Any:
            model = super().build()
            model.register_forward_pre_hook(
                lambda module, inputs: shapes.append((module.training, *inputs[0].shape[-2:]))
            )
            return model

    train(Sized, FewDigits(), tmp_path)
    sides = [height for training, height, width in shapes if training and height == width]
    assert {shape[1:] for shape in shapes if not shape[0]} == {(8, 8)}
    assert len(sides) == 2 * 16 and set(sides) == {6, 10}
    assert all(len(set(sides[first : first + 10])) == 1 for first in range(0, 32, 16))
    assert all(len(set(sides[first + 10 : first + 16])) == 1 for first in range(0, 32, 16))
    again: list[tuple[bool, int, int]] = list(shapes)
    shapes.clear()
    train(Sized, FewDigits(), tmp_path, overwrite=True)
    assert shapes == again


def test_mixup_blends_inputs_and_losses_by_one_share() -> None:
    """For two samples of two classes, the loss, being linear in the targets, is that of blended one-hot targets."""
    torch.manual_seed(0)
    adapter = DigitsNetwork(Digits())
    inputs, targets, output = torch.rand(6, 1, 8, 8), torch.arange(6), torch.randn(6, 10)
    mixture = Mixture(6, alpha=0.5)
    assert 0 <= mixture.share <= 1 and sorted(mixture.others.tolist()) == list(range(6))
    torch.testing.assert_close(
        mixture.inputs(inputs), mixture.share * inputs + (1 - mixture.share) * inputs[mixture.others]
    )
    blended = mixture.share * F.one_hot(targets, 10) + (1 - mixture.share) * F.one_hot(targets[mixture.others], 10)
    expected = -(blended * output.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(mixture.loss(adapter, output, targets), expected)


def test_mixup_rests_in_the_last_quarter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first 3 of 4 epochs have it, in about half of their batches of 12."""
    mixed: list[int] = []

    class Mixed(DigitsNetwork):
        recipe = replace(DigitsNetwork.recipe, epochs=4, batch_size=8, mixup=0.5)

    def counted(self: Mixture, size: int, alpha: float) -> None:
        mixed.append(size)
        self.share, self.others = 1.0, torch.arange(size)

    monkeypatch.setattr(Mixture, "__init__", counted)
    epochs: list[int] = []
    complete = TrainingState.complete_epoch

    def completed(self: TrainingState, accuracy: float | None) -> None:
        epochs.append(len(mixed))
        complete(self, accuracy)

    monkeypatch.setattr(TrainingState, "complete_epoch", completed)
    train(Mixed, FewDigits(), tmp_path)
    batches = [after - before for before, after in pairwise([0, *epochs])]
    assert all(0 < count < 12 for count in batches[:3]) and batches[3] == 0
