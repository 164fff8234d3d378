"""Inputs of networks for event cameras, and the augmentation of recordings for training."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from adapters import NETWORKS
from adapters.base import fitting
from adapters.events.base import EventNetwork, sum_pooled
from adapters.training.augmentations.events import EventAugment, drop_events
from conversion.simulation.frames import Frames
from tasks import TASKS
from tasks.events.base import EventTask
from tasks.events.mini import MiniEvents

NETWORK_NAMES = [name for name in NETWORKS if issubclass(NETWORKS[name], EventNetwork)]


def adapter(network: str, task: str) -> EventNetwork:
    found = NETWORKS[network](TASKS[task]())
    assert isinstance(found, EventNetwork)
    return found


def recordings(task: str, samples: int = 2) -> Tensor:
    """Some random counts, as a task gives them."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 4, (samples, *TASKS[task].input_shape), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("network", NETWORK_NAMES)
@pytest.mark.parametrize("task", ["ncars", "ncars_temporal"])
def test_no_event_is_no_input(network: str, task: str) -> None:
    """Counts are scaled, not shifted."""
    bound = adapter(network, task)
    counts = recordings(task)
    assert bound.encode(torch.zeros_like(counts)).abs().max() == 0
    torch.testing.assert_close(bound.encode(2 * counts), 2 * bound.encode(counts))


@pytest.mark.parametrize("network", NETWORK_NAMES)
def test_frames_have_the_mean_that_the_ann_sees(network: str) -> None:
    bound, counts = adapter(network, "nmnist_temporal"), recordings("nmnist_temporal")
    fed = bound.spiking_input(counts)
    assert isinstance(fed, Frames) and fed.values.shape[1] == 16
    torch.testing.assert_close(fed.mean, bound.encode(counts))
    # A pixel of the ANN's input counts all events.
    torch.testing.assert_close(bound.encode(counts), bound.pixels(counts.float().sum(1)))
    # What is charged as spikes are whole numbers of events.
    assert fed.event is not None
    assert all(torch.equal(step, step.round()) for step in fed.values / fed.event)


@pytest.mark.parametrize(
    ("task", "shape"),
    [
        ("nmnist", (18, 34, 34)),
        ("ncars", (18, 34, 40)),
        ("cifar10dvs", (18, 32, 32)),
        ("ncaltech101_temporal", (2, 30, 40)),
        ("action_recognition_tovoxelgrid", (9, 29, 39)),
        ("mini_events_toframe", (2, 16, 16)),
    ],
)
def test_joining_pixels_loses_no_event(task: str, shape: tuple[int, ...]) -> None:
    bound, counts = adapter("event_convnet", task), recordings(task)
    encoded = bound.encode(counts)
    assert encoded.shape[1:] == shape
    torch.testing.assert_close(encoded.flatten(1).sum(1), counts.float().flatten(1).sum(1))


def test_neighbours_are_joined() -> None:
    counts = torch.arange(9.0).view(1, 1, 3, 3)
    assert sum_pooled(counts, 2).tolist() == [[[[0 + 1 + 3 + 4, 2 + 5], [6 + 7, 8]]]]


def test_recordings_are_padded_to_squares_and_resized_to_the_nearest() -> None:
    """The lower sixth of a square is empty where N-Cars has 100 rows of 120; no pixel is a blend of two."""
    bound, counts = adapter("event_resnet18", "ncars"), recordings("ncars")
    encoded = bound.encode(counts)
    assert encoded.shape[1:] == (18, 224, 224)
    assert encoded[..., 187:, :].abs().max() == 0 and encoded[..., :186, :].sum((0, 1, 3)).min() > 0
    assert set(encoded.unique().tolist()) == {0, 1, 2, 3}


def test_what_must_not_be_mirrored_is_not() -> None:
    assert adapter("event_convnet", "ncars").recipe.augment == "events"
    for task in ("nmnist", "dvsgesture_temporal", "mini_events"):
        assert adapter("event_convnet", task).recipe.augment == "events_upright"


def test_the_papers_networks() -> None:
    """18 to 3 channels without an activation; average pooling throughout; VGG without batch norm."""
    resnet: Any
    vgg: Any
    resnet, vgg = (adapter(name, "cifar10dvs").build() for name in ("event_resnet34", "event_vgg16"))
    assert resnet.reduction.weight.shape == (3, 18, 3, 3)
    assert sum(p.numel() for p in resnet.backbone.parameters()) == 21_289_802  # torchvision's with 10 classes.
    assert vgg.features[0].weight.shape == (64, 18, 3, 3)
    assert len([part for part in vgg.modules() if isinstance(part, nn.Conv2d)]) == 13
    for network in (resnet, vgg):
        assert not any(isinstance(part, nn.MaxPool2d) for part in network.modules())
    assert not any(isinstance(part, nn.BatchNorm2d) for part in vgg.modules())


def test_their_recipe_is_the_released_one() -> None:
    recipe = adapter("event_resnet18", "cifar10dvs").recipe
    assert (recipe.optimizer, recipe.learning_rate, recipe.final_rate) == ("adamw", 1e-3, 1e-5)
    assert (recipe.epochs, recipe.batch_size, recipe.weight_decay) == (300, 16, 0.06)
    assert (recipe.label_smoothing, recipe.mixup) == (0.1, 0.5)


def test_they_fit_every_event_camera() -> None:
    events = [name for name in TASKS if issubclass(TASKS[name], EventTask)]
    assert len(events) == 28
    assert fitting(NETWORKS["event_resnet18"]) == fitting(NETWORKS["event_convnet"]) == events


def test_a_camera_of_too_few_pixels_does_not_fit_the_one_that_pools_them() -> None:
    class Narrow(MiniEvents):
        name = "narrow"
        input_shape = (18, 10, 200)

    assert NETWORKS["event_resnet18"].fits(Narrow()) is None
    assert "of 18x10x200 too few pixels are left" in str(NETWORKS["event_convnet"].fits(Narrow()))


@pytest.mark.parametrize("task", ["ncars", "ncars_temporal", "ncars_tovoxelgrid"])
def test_augmentation_keeps_type_and_shape_and_makes_up_no_event(task: str) -> None:
    """Rolled, turned, sheared, cut or dropped: a pixel may come twice, but holds only what some pixel held."""
    counts = recordings(task, 1)[0]
    counts = counts.float() - 1 if task.endswith("tovoxelgrid") else counts
    torch.manual_seed(0)
    changed = [EventAugment(mirror=True)(counts) for _ in range(40)]
    before = counts.clone()
    assert all(part.shape == counts.shape and part.dtype == counts.dtype for part in changed)
    assert all(float(part.abs().max()) <= float(counts.abs().max()) for part in changed)
    assert sum(not torch.equal(part, counts) for part in changed) > 20 and torch.equal(counts, before)


def test_only_mirrors_where_it_may() -> None:
    """A bar on the left edge comes to the right by mirroring, or by a roll, which moves it by a tenth at most."""
    counts = torch.zeros(2, 20, 20, dtype=torch.uint8)
    counts[:, :, 5] = 1
    for mirror in (True, False):
        torch.manual_seed(1)
        right = [int(EventAugment(mirror)(counts)[..., 13:].sum()) for _ in range(60)]
        assert any(right) == mirror or not mirror
        if mirror:
            assert sum(count >= 20 for count in right) > 10


def test_dropping_thins_counts_or_empties_a_part_of_the_time() -> None:
    torch.manual_seed(2)
    counts = torch.full((16, 2, 8, 8), 9, dtype=torch.uint8)
    for _ in range(30):
        dropped = drop_events(counts)
        empty = (dropped.flatten(1).sum(1) == 0).nonzero().flatten().tolist()
        if empty:
            assert empty == list(range(empty[0], empty[0] + len(empty))) and len(empty) <= 5
            assert all(torch.equal(dropped[i], counts[i]) for i in range(16) if i not in empty)
        else:
            assert (dropped <= counts).all() and 0.45 < float(dropped.float().mean()) / 9 <= 1
