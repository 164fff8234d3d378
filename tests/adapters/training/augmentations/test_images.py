"""Augmentation: what it changes, and that each sample's change follows from (seed, epoch, index) alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from adapters.training.augmentations import AUGMENTATIONS
from adapters.training.augmentations.images import CIFAR_MEAN, Cutout
from adapters.training.sampling import Augmented, EpochShuffle
from tasks.images.base import LabelledImages

NAMES = ("cifar", "cifar_mean")


@pytest.fixture
def data() -> LabelledImages:
    images = torch.randint(0, 256, (24, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return LabelledImages(images, torch.arange(24))


def augmented(data: LabelledImages, seed: int = 0) -> Augmented:
    return Augmented(data, AUGMENTATIONS["cifar"]((3, 32, 32)), seed)


def pass_over(data: LabelledImages, batch_size: int, workers: int) -> tuple[Tensor, Tensor]:
    """One epoch's images and labels, in the order of the labels."""
    sampler = EpochShuffle(len(data), seed=5)
    batches = list(DataLoader(augmented(data), batch_size, sampler=sampler, num_workers=workers))
    labels = torch.cat([batch[1] for batch in batches])
    return torch.cat([batch[0] for batch in batches])[labels.argsort()], labels


def test_neither_batch_size_nor_loader_processes_matter(data: LabelledImages) -> None:
    images, labels = pass_over(data, batch_size=5, workers=0)
    others, same_labels = pass_over(data, batch_size=7, workers=2)
    assert torch.equal(images, others)
    assert torch.equal(labels, same_labels)


def test_seed_epoch_and_index_each_matter(data: LabelledImages) -> None:
    one_image = LabelledImages(data.images[:1].expand(2, -1, -1, -1), data.labels[:2])
    reference = augmented(one_image)[0, 0][0]
    assert torch.equal(augmented(one_image)[0, 0][0], reference)
    for other in (augmented(one_image)[0, 1][0], augmented(one_image)[1, 0][0], augmented(one_image, seed=1)[0, 0][0]):
        assert not torch.equal(other, reference)


def test_the_dataset_and_the_global_generator_stay_as_they_were(data: LabelledImages) -> None:
    images, state = data.images.clone(), torch.get_rng_state()
    for epoch in range(20):
        for index in range(len(data)):
            image, _ = augmented(data)[epoch, index]
            assert image.shape == (3, 32, 32) and image.dtype == torch.uint8
    assert torch.equal(data.images, images)
    assert torch.equal(torch.get_rng_state(), state)


def test_cutout_blackens_a_square_of_16_clipped_at_the_border() -> None:
    white = torch.full((3, 32, 32), 255, dtype=torch.uint8)
    areas = set()
    for _ in range(200):
        black = Cutout(16)(white) == 0
        assert torch.equal(black.all(0), black.any(0))
        rows, columns = black[0].any(1).sum().item(), black[0].any(0).sum().item()
        assert black[0].sum().item() == rows * columns
        assert 8 <= rows <= 16 and 8 <= columns <= 16
        areas.add(rows * columns)
    assert max(areas) == 256
    assert min(areas) < 256


def test_the_cut_of_cifar_mean_is_zero_for_the_network(data: LabelledImages) -> None:
    """As in QCFS's script, which cuts out of normalised images: within half a level of the pixels."""
    grey = torch.tensor([0.4914, 0.4822, 0.4465])[:, None, None] * 255
    white = torch.full((3, 32, 32), 255, dtype=torch.uint8)
    cut = Cutout(16, CIFAR_MEAN)(white)
    holes = (cut != 255).all(0)
    assert 64 <= holes.sum() <= 256
    assert ((cut - grey).abs()[:, holes] <= 0.5).all()
    # On the same draws the two augmentations differ in what is cut out alone.
    for index in range(10):
        black, mean = (Augmented(data, AUGMENTATIONS[name]((3, 32, 32)), 0)[0, index][0] for name in NAMES)
        changed = (black != mean).any(0)
        assert 64 <= changed.sum() <= 256
        assert (black[:, changed] == 0).all()


def test_crops_of_imagenet_keep_the_size() -> None:
    image = torch.randint(0, 256, (3, 40, 40), dtype=torch.uint8)
    change = AUGMENTATIONS["imagenet"]((3, 40, 40))
    changed = [change(image, 3) for _ in range(5)]
    assert all(out.shape == (3, 40, 40) and out.dtype == torch.uint8 and target == 3 for out, target in changed)
    assert len({out.float().mean().item() for out, _ in changed}) == 5


def test_shift_moves_by_at_most_one_pixel_in_each_direction() -> None:
    image = torch.zeros(1, 8, 8, dtype=torch.uint8)
    image[0, 3, 4] = 255
    shift = AUGMENTATIONS["shift"]((1, 8, 8))
    seen = {tuple(torch.nonzero(shift(image, 0)[0][0])[0].tolist()) for _ in range(500)}
    assert seen == {(row, column) for row in (2, 3, 4) for column in (3, 4, 5)}


def test_none_changes_nothing(data: LabelledImages) -> None:
    unchanged = Augmented(data, AUGMENTATIONS["none"]((3, 32, 32)), seed=0)
    assert torch.equal(unchanged[3, 7][0], data.images[7])


def test_every_epoch_is_its_own_permutation() -> None:
    sampler = EpochShuffle(50, seed=1)
    first = list(sampler)
    assert list(sampler) == first
    sampler.epoch = 1
    second = list(sampler)
    assert {epoch for epoch, _ in second} == {1}
    assert sorted(index for _, index in first) == sorted(index for _, index in second) == list(range(50))
    assert [index for _, index in first] != [index for _, index in second]
