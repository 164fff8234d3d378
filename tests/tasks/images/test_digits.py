"""The embedded task: scikit-learn's digits, always there, always split the same way."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits

from tasks import TASKS
from tasks.base import Split
from tasks.images.digits import Digits
from tasks.splits import stratified

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def test_needs_nothing_on_disk() -> None:
    assert TASKS["digits"]().missing() is None


def test_every_image_is_in_exactly_one_split() -> None:
    task = Digits()
    ours = torch.cat([task.split(name).images for name in SPLITS])
    source = torch.from_numpy(load_digits().images).mul(255 / 16).round().to(torch.uint8)
    assert sorted(map(bytes, ours.flatten(1).numpy())) == sorted(map(bytes, source.flatten(1).numpy()))
    assert [len(task.split(name)) for name in SPLITS] == [1132, 126, 539]


def test_images_are_bytes_over_the_full_range() -> None:
    batch = next(Digits().test(batch_size=539))
    assert batch.inputs.dtype == torch.uint8
    assert batch.inputs.shape == (539, 1, 8, 8)
    assert (int(batch.inputs.min()), int(batch.inputs.max())) == (0, 255)


def test_every_split_has_every_digit_in_its_share() -> None:
    task = Digits()
    counts = {name: task.split(name).labels.bincount(minlength=10) for name in SPLITS}
    whole = counts["train"] + counts["validation"] + counts["test"]
    assert ((counts["test"] - 0.3 * whole).abs() <= 0.5).all()
    assert ((counts["validation"] - 0.1 * (whole - counts["test"])).abs() <= 0.5).all()


def test_two_instances_agree() -> None:
    first, second = Digits(), Digits()
    assert first.digest() == second.digest()
    assert torch.equal(first.calibration(50, seed=3), second.calibration(50, seed=3))
    assert not torch.equal(first.calibration(50, seed=3), first.calibration(50, seed=4))


def test_held_out_samples_are_of_the_validation_split_with_their_labels() -> None:
    task = Digits()
    batch, validation = task.held_out(40, seed=1), task.split("validation")
    rows = [
        (bytes(image.numpy()), label)
        for image, label in zip(validation.images, validation.labels.tolist(), strict=True)
    ]
    assert len(batch.inputs) == 40
    for image, label in zip(batch.inputs, batch.targets.tolist(), strict=True):
        rows.remove((bytes(image.numpy()), label))  # Fails for a sample that is not there, or drawn twice.


def test_calibration_comes_from_the_training_split_without_replacement() -> None:
    task = Digits()
    everything = task.calibration(10_000, seed=0)
    train = task.split("train").images
    assert sorted(map(bytes, everything.flatten(1).numpy())) == sorted(map(bytes, train.flatten(1).numpy()))


def test_a_limit_takes_the_first_of_one_fixed_shuffle() -> None:
    task = Digits()
    five = torch.cat([batch.inputs for batch in task.test(batch_size=2, limit=5)])
    twenty = torch.cat([batch.inputs for batch in task.test(batch_size=20, limit=20)])
    assert len(five) == task.test_size(limit=5) == 5
    assert torch.equal(five, twenty[:5])
    assert not torch.equal(five, task.split("test").images[:5])


def test_a_stratified_draw_splits_each_class_and_keeps_everything() -> None:
    labels = torch.tensor([0] * 20 + [2] * 10)
    left, drawn = stratified(labels, 0.1, seed=7)
    assert labels[drawn].tolist() == [0, 0, 2]
    assert sorted(left.tolist() + drawn.tolist()) == list(range(30))
    assert all(map(torch.equal, stratified(labels, 0.1, seed=7), (left, drawn)))
    assert not torch.equal(stratified(labels, 0.1, seed=8)[1], drawn)
