"""PointNet: its size, what of it spikes and what it costs, its loss, and that the order of points does not matter."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapters import NETWORKS
from adapters.base import Network
from adapters.points.pointnet import ORTHOGONALITY, PartPointNet, PointNet, Pooled, distance_from_rotation
from adapters.training.augmentations.points import AlongAxes, Upright, rotation
from benchmarks.performance.models import settled
from conversion import ConversionGraph, capture, convert, simulate
from conversion.capture.roles import Role, packet
from tasks import TASKS
from tasks.points.parts import PartSegmentation

aten = torch.ops.aten


def network(name: str, task: str) -> Network:
    return NETWORKS[name](TASKS[task]())


def clouds(count: int, points: int, channels: int = 3) -> Tensor:
    """Clouds of different extents, float64; further channels tell categories."""
    generator = torch.Generator().manual_seed(0)
    found = torch.zeros(count, channels, points, dtype=torch.float64)
    scale = torch.rand(count, 3, 1, generator=generator, dtype=torch.float64)
    found[:, :3] = scale * torch.randn(count, 3, points, generator=generator, dtype=torch.float64)
    for sample in range(count if channels > 3 else 0):
        found[sample, 3 + sample % (channels - 3)] = 1
    return found


# By hand from the published widths, with batch norms of two parameters a channel: what a transform of an input of n
# channels has is 64 n + 64 x 128 + 128 x 1024 + 1024 x 512 + 512 x 256 + 256 n^2 weights, 64 + 128 + 1024 + 512 + 256
# times three and n^2 others.
def transform(n: int) -> int:
    weights = 64 * n + 64 * 128 + 128 * 1024 + 1024 * 512 + 512 * 256 + 256 * n * n
    return weights + 3 * (64 + 128 + 1024 + 512 + 256) + n * n


TRUNK = transform(3) + transform(64) + 64 * 3 + 64 * 128 + 128 * 1024 + 3 * (64 + 128 + 1024)
HEADS = {
    ("pointnet", "shapenet_classification"): 1024 * 512 + 512 * 256 + 256 * 16 + 3 * (512 + 256) + 16,
    ("pointnet_max", "modelnet40"): 1024 * 512 + 512 * 256 + 256 * 40 + 3 * (512 + 256) + 40,
    ("pointnet_parts", "coseg_vases"): 1088 * 512 + 512 * 256 + 256 * 128 + 128 * 4 + 3 * (2 * 512 + 256 + 128) + 4,
    ("pointnet_parts_max", "shapenet_parts"): (
        1104 * 512 + 512 * 256 + 256 * 128 + 128 * 50 + 3 * (2 * 512 + 256 + 128) + 50
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "task"), HEADS)
def test_size(name: str, task: str) -> None:
    assert sum(p.numel() for p in network(name, task).build().parameters()) == TRUNK + HEADS[name, task]


@pytest.mark.parametrize("reduce", ["mean", "max"])
def test_the_relu_behind_the_reduction_changes_nothing_in_the_ann(reduce: str) -> None:
    pooled = Pooled(3, 8, reduce).double().eval()  # type: ignore[arg-type]
    x = clouds(4, 20)
    features = pooled.lift(x).relu()
    assert torch.equal(pooled(x), features.mean(2) if reduce == "mean" else features.amax(2))


@cache
def captured(kind: str, reduce: Any) -> tuple[nn.Module, Tensor, ConversionGraph]:
    """A small network whose batch norms have seen its inputs, float64; its inputs; what is captured of it."""
    torch.manual_seed(0)
    made: dict[str, tuple[nn.Module, int]] = {
        "classes": (PointNet(5, reduce, 32, 8), 3),
        "parts": (PartPointNet(4, reduce, 32, 8), 3),
        "parts, told": (PartPointNet(5, reduce, 32, 8, [(0, 1), (2, 3, 4)]), 5),
    }
    model, channels = made[kind]
    for part in model.modules():
        # Transforms start as the identity; trained ones are not.
        if getattr(part, "last", None) is not None:
            nn.init.normal_(part.last.weight, std=0.3)  # type: ignore[union-attr, arg-type]
    model, x = settled(model.double(), clouds(8, 40, channels))
    return model, x, capture(model, x[:1])


# Both reductions, and each of the two heads of parts behind one of them.
KINDS = [("classes", "mean"), ("classes", "max"), ("parts", "mean"), ("parts, told", "max")]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "reduce"), KINDS)
@pytest.mark.parametrize("options", [{"phi": 1}, {"phi": 4}])
def test_converted_it_does_not_mind_the_order_of_points(kind: str, reduce: str, options: dict[str, Any]) -> None:
    """Classes stay, parts move with their points, and every layer fires as often as before, as in the ANN."""
    model, x, graph = captured(kind, reduce)
    spiking = convert(graph, x, "burst", T=8, **options)
    order = torch.randperm(x.shape[2], generator=torch.Generator().manual_seed(1))
    runs = [simulate(spiking, batch) for batch in (x[:3], x[:3][:, :, order])]
    for t in (1, 2, 8):
        before, after = (run.mean(t) for run in runs)
        expected = before[:, :, order] if before.dim() == 3 else before
        assert torch.allclose(after, expected, atol=1e-9)
    first, second = (run.counts for run in runs)
    assert first is not None and second is not None
    assert torch.equal(first.tally, second.tally) and bool((first.tally[:, -1, :, 0].sum(0) > 0).all())
    with torch.no_grad():
        moved, stayed = model(x[:3][:, :, order]), model(x[:3])
    assert torch.allclose(moved, stayed[:, :, order] if stayed.dim() == 3 else stayed, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "reduce"), KINDS)
def test_many_steps_come_near_the_ann(kind: str, reduce: str) -> None:
    """Products of two signals and maxima go through the difference of the running mean, so the error falls as 1 / T."""
    model, x, graph = captured(kind, reduce)
    with torch.no_grad():
        expected = model(x[:2])
    errors = []
    for T in (16, 128):
        spiking = convert(graph, x, "burst", T=T, phi=16, thresholds="max", light=False)
        found = simulate(spiking, x[:2], at=[T], count=False).mean(T)
        kept = expected > -100  # Parts that are ruled out would make any error small.
        errors.append(float((found - expected)[kept].norm() / expected[kept].norm()))
    assert errors[1] < errors[0] / 3 and errors[1] < 0.05


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "reduce"), KINDS)
def test_everything_has_its_place_in_the_counts(kind: str, reduce: str) -> None:
    """Products of two signals are floating-point work; after the input only what told categories weigh is analog."""
    _, x, graph = captured(kind, reduce)
    converted = convert(graph, x, "burst", T=2, phi=4)
    connectivity = converted.connectivity
    nonlinear = [packet(node) for node, rule in graph.rules.items() if rule.role is Role.NONLINEAR]
    assert nonlinear.count(aten.matmul) == 2 and nonlinear.count(aten.amax) == (3 if reduce == "max" else 0)
    assert len(nonlinear) == 2 + nonlinear.count(aten.amax)
    assert set(converted.neurons) == set(graph.firing)
    points, told = 40, 2 if kind == "parts, told" else 0
    # Coordinates times weights, once: 3 to 8 channels. Ones for categories: into the next 16 channels at every step,
    # and into 5 scores once.
    assert connectivity.macs.static == points * 3 * 8 + told * 5
    assert connectivity.macs.step == told * 16 and connectivity.macs.head == 0
    products = 2 * points * (3 * 3 + 8 * 8)
    comparisons = 32 * 3 * (points - 1) if reduce == "max" else 0
    assert connectivity.flops.static == connectivity.flops.head == 0
    # Bookkeeping of the differences: every output is subtracted, products are scaled with their inputs, and what
    # arrives analog is added to its sum: transforms, and features that go into a maximum.
    # The points of the first product are constant in time, and the features of the second are spikes.
    matrices, features, outputs = 9 + 64, points * 8, points * (3 + 8)
    bookkeeping = matrices + outputs + (matrices + features + outputs)
    if reduce == "max":
        bookkeeping += 3 * (points * 32 + 32)
    assert connectivity.flops.step == products + comparisons + bookkeeping
    # A pooled neuron drives a layer; one of a point that is averaged adds to one pooled neuron.
    shapes = {tuple(fan.shape): set(fan.flatten().tolist()) for fan in connectivity.fan_out.values()}
    assert shapes[32,] == {16.0}
    assert shapes.get((32, points), {1.0}) == {1.0}


def test_points_are_rows_that_the_transform_multiplies_from_the_right() -> None:
    """Points (1, 2, 3) times rows that move x to y, y to z and z, doubled, to x, as published."""
    features = PointNet(2, "max", width=8, channels=4).eval().features
    nn.init.zeros_(features.input_transform.last.weight)
    moved = torch.tensor([[0.0, 1, 0], [0, 0, 1], [2, 0, 0]])
    features.input_transform.last.bias.data = (moved - torch.eye(3)).flatten()
    seen: list[Tensor] = []
    features.first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    features(torch.tensor([1.0, 2, 3]).view(1, 3, 1))
    assert seen[0].flatten().tolist() == [6, 1, 2]


def test_the_loss_is_that_of_classes_and_of_the_distance_from_a_rotation() -> None:
    """By hand: A = diag(1, 2) is diag(0, -3) away from the identity; a rotation is not away from it at all."""
    stretched, turned = torch.diag(torch.tensor([1.0, 2.0])), rotation(1, torch.tensor(0.7))[::2, ::2]
    assert float(distance_from_rotation(stretched[None])) == pytest.approx(3)
    assert float(distance_from_rotation(turned[None])) == pytest.approx(0, abs=1e-6)
    adapter = network("pointnet_light", "shrec16")
    logits, targets = torch.randn(2, 30), torch.tensor([3, 4])
    matrices = torch.stack([stretched, turned])
    expected = F.cross_entropy(logits, targets, label_smoothing=0.1) + ORTHOGONALITY * 1.5
    assert torch.allclose(adapter.loss((logits, matrices), targets), expected)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "task"), [("pointnet_mini", "mini_points"), ("pointnet_parts_mini", "mini_parts")])
def test_one_step_of_training_reaches_every_parameter_but_the_first_transforms(name: str, task: str) -> None:
    """Transforms begin as the identity, so that at the first step only their last layers learn."""
    adapter = network(name, task)
    torch.manual_seed(0)
    model = adapter.build().train()
    batch = [TASKS[task]().split("train")[index] for index in range(6)]
    x, y = torch.stack([cloud for cloud, _ in batch]), torch.stack([target for _, target in batch])
    adapter.loss(model(adapter.encode(x)), y).backward()
    still = {
        name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()
    }  # fmt: skip
    learning = {name for name in still if "transform" not in name or ".last." in name}
    # Biases before a batch norm change nothing.
    assert {name for name in learning if not name.endswith("bias")} == set()


def test_predictions_are_parts_of_the_category_that_was_told() -> None:
    adapter = network("pointnet_parts_mini", "mini_parts")
    assert isinstance(adapter.task, PartSegmentation)
    torch.manual_seed(0)
    model = adapter.build().eval()
    split = adapter.task.split("test")
    for index, (_, own) in enumerate(adapter.task.categories.items()):
        with torch.no_grad():
            found = adapter.decode(model(100 * adapter.encode(split[index][0][None])))
        assert found.dtype == torch.uint8 and set(found.unique().tolist()) <= set(own)


def test_augmentation_turns_clouds_about_y() -> None:
    """Without noise distances and heights stay; labels and categories are not touched."""
    cloud, labels = clouds(1, 50, 5)[0].float(), torch.arange(50)
    torch.manual_seed(0)
    changed, target = Upright(0.0)(cloud, labels)
    before, after = (torch.cdist(points[:3].T.double(), points[:3].T.double()) for points in (cloud, changed))
    assert torch.allclose(before, after, atol=1e-4)
    assert torch.allclose(changed[1], cloud[1], atol=1e-6) and not torch.allclose(changed[0], cloud[0], atol=1e-2)
    assert torch.equal(changed[3:], cloud[3:]) and target is labels


def test_augmentation_along_axes_turns_a_little_and_replaces_points() -> None:
    """Distances to the origin are those of the points that are kept: at least a quarter of them, none of them new."""
    cloud = clouds(1, 400)[0].float()
    radii = cloud.norm(dim=0)
    torch.manual_seed(0)
    kept, angles = [], []
    for _ in range(200):
        changed, target = AlongAxes(0.0, 0.15, 0.0)(cloud, 7)
        nearest = (changed.norm(dim=0)[:, None] - radii).abs().min(1)
        assert target == 7 and float(nearest.values.max()) < 1e-5
        kept.append(len(nearest.indices.unique()) / 400)
        angles.append(torch.nn.functional.cosine_similarity(changed, cloud[:, nearest.indices], dim=0).min())
    assert min(kept) == pytest.approx(0.25, abs=0.02) and max(kept) == pytest.approx(1, abs=0.02)
    # Three turns of 0.15 rad each: rarely more than three standard deviations of their sum.
    assert float(torch.stack(angles).quantile(0.9)) > 0.9 > float(torch.stack(angles).min()) > 0.6


def test_augmentation_moves_points_by_as_much_noise_as_it_says() -> None:
    cloud = torch.zeros(3, 20_000)
    assert float(Upright()(cloud, 0)[0].std()) == pytest.approx(0.02, rel=0.02)
    sizes = torch.stack([AlongAxes(0.0, 0.0, 0.15)(torch.ones(3, 1), 0)[0] for _ in range(300)])
    assert 0.85 <= float(sizes.min()) < 0.86 and 1.14 < float(sizes.max()) <= 1.15
