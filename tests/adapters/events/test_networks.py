"""Inputs of networks for event cameras, and the augmentation of recordings for training."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from adapters import NETWORKS
from adapters.base import fitting
from adapters.events.base import EventNetwork, sum_pooled
from adapters.training.augmentations import events
from adapters.training.augmentations.events import EventAugment, ReleasedEventAugment, drop_events
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
    """A twelfth is empty above and below where N-Cars has 100 rows of 120; no pixel is a blend of two."""
    bound, counts = adapter("event_resnet18", "ncars"), recordings("ncars")
    encoded = bound.encode(counts)
    assert encoded.shape[1:] == (18, 224, 224)
    rows = encoded.sum((0, 1, 3))
    assert rows[:18].abs().max() == rows[206:].abs().max() == 0 and rows[19:205].min() > 0
    assert set(encoded.unique().tolist()) == {0, 1, 2, 3}


def test_what_must_not_be_mirrored_is_not() -> None:
    assert adapter("event_convnet", "ncars").recipe.augment == "events"
    for task in ("nmnist", "dvsgesture_temporal", "mini_events"):
        assert adapter("event_convnet", task).recipe.augment == "events_upright"
        assert adapter("event_resnet18", task).recipe.augment == "events_released_upright"


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


def test_they_fit_every_event_camera() -> None:
    tasks = [name for name in TASKS if issubclass(TASKS[name], EventTask)]
    assert len(tasks) == 28
    assert fitting(NETWORKS["event_resnet18"]) == fitting(NETWORKS["event_convnet"]) == tasks


def test_a_camera_of_too_few_pixels_does_not_fit_the_one_that_pools_them() -> None:
    class Narrow(MiniEvents):
        name = "narrow"
        input_shape = (18, 10, 200)

    assert NETWORKS["event_resnet18"].fits(Narrow()) is None
    assert "of 18x10x200 too few pixels are left" in str(NETWORKS["event_convnet"].fits(Narrow()))


AUGMENT: list[type[EventAugment] | type[ReleasedEventAugment]] = [EventAugment, ReleasedEventAugment]


@pytest.mark.parametrize("augment", AUGMENT)
@pytest.mark.parametrize("task", ["ncars", "ncars_temporal", "ncars_tovoxelgrid"])
def test_augmentation_keeps_type_and_shape_and_makes_up_no_event(
    task: str, augment: type[EventAugment] | type[ReleasedEventAugment]
) -> None:
    """Rolled, turned, sheared, cut or dropped: a pixel may come twice, but holds only what some pixel held."""
    counts = recordings(task, 1)[0]
    counts = counts.float() - 1 if task.endswith("tovoxelgrid") else counts
    torch.manual_seed(0)
    changed = [augment(mirror=True)(counts) for _ in range(40)]
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


def released(counts: Tensor, way: int, drawn: float, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """One of the six ways, without mirror and drop, whose numbers are all this far between low and high."""
    monkeypatch.setattr(events, "_coin", lambda: False)
    monkeypatch.setattr(events, "_between", lambda low, high: low + drawn * (high - low))
    monkeypatch.setattr(torch, "randint", lambda *arguments: torch.tensor(way if arguments[0] == 6 else 0))
    found = ReleasedEventAugment(mirror=True)(counts)
    monkeypatch.undo()
    return found


def test_the_released_ways_have_their_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    """On 224 pixels a shift is of 5 at most; what comes in is empty, and a square of 11 % has 74 pixels a side."""
    counts = torch.arange(1, 224 * 224 + 1, dtype=torch.float32).view(1, 224, 224)
    assert torch.equal(released(counts, 0, 1.0, monkeypatch), counts)
    right, down = (released(counts, way, 1.0, monkeypatch) for way in (2, 3))
    assert torch.equal(right[:, :, 5:], counts[:, :, :-5]) and not right[:, :, :5].any()
    assert torch.equal(down[:, 5:], counts[:, :-5]) and not down[:, :5].any()
    assert torch.equal(released(counts, 2, 0.0, monkeypatch)[:, :, :-5], counts[:, :, 5:])
    empty = released(counts, 5, 1.0, monkeypatch) == 0
    assert int(empty.sum()) == 74**2 and bool(empty[:, :74, :74].all())
    # A row is sheared by 0.3 pixels for each row between it and the middle, within the rounding to pixels.
    column = torch.zeros(1, 224, 224)
    column[:, :, 112] = 1
    sheared = released(column, 1, 1.0, monkeypatch)[0]
    middle = (sheared * torch.arange(224)).sum(1)[40:184]
    slopes = middle.diff().abs().mean()
    assert float(slopes) == pytest.approx(0.3, abs=1.5 / 143)


def test_a_small_camera_is_shifted_by_as_much_of_its_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """5 of 224 pixels are 2.68 of 120: 3 at most."""
    counts = torch.arange(1.0, 100 * 120 + 1).view(1, 100, 120)
    assert torch.equal(released(counts, 2, 1.0, monkeypatch)[:, :, 3:], counts[:, :, :-3])


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
