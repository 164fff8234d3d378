"""Every check of networks fails on a network that is wrong in just that way."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from adapters import NETWORKS, Network
from adapters.base import Recipe
from benchmarks.conformance import networks
from benchmarks.conformance.kit import judge
from benchmarks.conformance.networks import NetworkBench
from conversion.simulation.frames import Frames, NetworkInput
from tasks import Task
from tasks.images.base import ImageClassification

pytestmark = pytest.mark.slow


class Module(nn.Module):
    """A small classifier, and what a forward function does to its scores."""

    def __init__(self, classes: int, change: Callable[[Tensor], Tensor], activation: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), activation, nn.Flatten(), nn.Linear(144, classes)
        )
        self.change = change

    def forward(self, x: Tensor) -> Tensor:
        return self.change(self.layers(x))


class Sound(Network):
    """Fits the digits."""

    name = "sound"
    family, shape = ImageClassification, (1, 8, 8)
    mean, std = (0.3,), (0.4,)

    def build(self) -> nn.Module:
        return Module(len(self.task.classes), lambda x: x, nn.ReLU())


class Mute(Network):
    name = "sound"
    family, shape = ImageClassification, (1, 8, 8)
    mean, std = (0.3,), (0.4,)
    build = Sound.build


class OtherName(Sound):
    """Registered under another name than its own."""

    name = "resnet20"


class OneShort(Sound):
    """Has no score for the last class."""

    def build(self) -> nn.Module:
        return Module(len(self.task.classes) - 1, lambda x: x, nn.ReLU())


class Welcoming(Sound):
    """Takes any task."""

    def __init__(self, task: Task) -> None:
        self.task = task


class BatchStatistics(Sound):
    """Normalises by the batch."""

    def encode(self, inputs: Tensor) -> Tensor:
        return super().encode(inputs) - super().encode(inputs).mean()


class FadedIn(Sound):
    """Is fed frames that grow up to what the ANN sees, in place of around it."""

    def spiking_input(self, inputs: Tensor) -> NetworkInput:
        return Frames(self.encode(inputs)[:, None] * torch.linspace(0, 1, 4).view(1, 4, 1, 1, 1))


class Reversed(Sound):
    """Finds the least likely class."""

    def decode(self, output: Tensor) -> Any:
        return output.argmin(dim=1)


def computing(change: Callable[[Tensor], Tensor], activation: Callable[[], nn.Module] = nn.ReLU) -> type[Network]:
    """A network whose forward function ends so."""

    def build(self: Network) -> nn.Module:
        return Module(len(self.task.classes), change, activation())

    return type("Wrong", (Sound,), {"__doc__": "Wrong.", "__module__": __name__, "build": build})


def sorts(x: Tensor) -> Tensor:
    return x + x.sort(dim=1).values


def knows_when_it_is_exported(x: Tensor) -> Tensor:
    return 2 * x if torch.compiler.is_compiling() else x


class Forgetful(Sound):
    """Keeps a factor where no checkpoint looks."""

    def build(self) -> nn.Module:
        factor = torch.rand(1).item()
        return Module(len(self.task.classes), lambda x: x * factor, nn.ReLU())


class Augmented(Sound):
    """TimeSeries with what does not exist."""

    recipe = Recipe(augment="mirrors")


WRONG: dict[Callable[[NetworkBench], None], tuple[type[Network], str]] = {
    networks.says_what_it_is: (Mute, "Mute has no docstring"),
    networks.is_called_as_registered: (OtherName, 'name is "resnet20", but that name does not lead to it'),
    networks.builds_for_every_task_it_fits: (OneShort, r"output has shape \(2, 9\); it needs \(2, 10\)"),
    networks.refuses_tasks_of_another_kind: (Welcoming, "not refused; call super"),
    networks.encodes_sample_by_sample: (BatchStatistics, "depends on the batch that it is in"),
    networks.is_fed_what_it_encodes: (FadedIn, "give frames whose mean is what the ANN sees"),
    networks.decodes_to_classes: (Reversed, "largest at 0..9"),
    networks.answers_sample_by_sample: (computing(lambda x: x - x.mean(0)), "depends on the others in its batch"),
    networks.can_be_captured: (computing(sorts), "sort"),
    networks.is_computed_alike_when_captured: (computing(knows_when_it_is_exported), "Outputs differ by"),
    networks.has_activations_for_neurons: (computing(lambda x: x, nn.Identity), "There is none"),
    networks.keeps_its_weights: (Forgetful, "in parameters and buffers"),
    networks.has_a_recipe_to_train_by: (Augmented, "There is no 'mirrors'"),
}


def test_every_check_has_its_wrong_network() -> None:
    assert set(WRONG) == set(networks.CHECKS)


@pytest.mark.parametrize("check", WRONG, ids=lambda check: check.__name__)
def test_the_check_finds_what_is_wrong(check: Callable[[NetworkBench], None]) -> None:
    wrong, reason = WRONG[check]
    NETWORKS.register("sound")(wrong)
    result = judge(check, NetworkBench(wrong))
    assert result.verdict == "failed", result
    assert re.search(reason, result.reason), result.reason


def test_dropout_that_stays_awake_is_found() -> None:
    wrong = computing(lambda x: nn.functional.dropout(x, training=True))
    assert "the second time" in judge(networks.answers_sample_by_sample, NetworkBench(wrong)).reason


def test_a_network_that_says_it_fits_anything_is_found() -> None:
    wrong = type("Wrong", (Sound,), {"fits": classmethod(lambda cls, task: None)})
    assert "say which `family`" in judge(networks.refuses_tasks_of_another_kind, NetworkBench(wrong)).reason


def test_a_network_that_fits_nothing_is_found() -> None:
    result = judge(networks.encodes_sample_by_sample, NetworkBench(type("Wrong", (Sound,), {"shape": (7, 1, 1)})))
    assert result.verdict == "failed" and "It fits no task that is registered" in result.reason


def test_a_sound_network_passes_all() -> None:
    NETWORKS.register("sound")(Sound)
    results = [judge(check, NetworkBench(Sound)) for check in networks.CHECKS]
    assert [result for result in results if result.verdict != "passed"] == []
