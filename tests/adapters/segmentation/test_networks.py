"""Networks for segmentation: their size, what of them spikes, torchvision's weights, the loss, the augmentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import SGD
from torchvision.models.segmentation import deeplabv3_resnet50, fcn_resnet50

from adapters import NETWORKS, find_weights, load_weights
from adapters.base import Network
from adapters.training.augmentations import AUGMENTATIONS
from adapters.training.augmentations.images import ScaleCropFlip
from adapters.training.loop import _start
from conversion import capture, convert, simulate
from conversion.capture.roles import Role, packet
from conversion.errors import CheckpointError
from tasks import TASKS

pytestmark = pytest.mark.slow

aten = torch.ops.aten
# Counted from the published architectures, torchvision's without their auxiliary heads.
PARAMETERS = {
    ("deeplabv3_resnet50", "voc_segmentation"): 39_638_869,
    ("fcn_resnet50", "voc_segmentation"): 32_957_013,
    ("fcn_light", "camvid"): 1_099_910,
}


def network(name: str, task: str) -> Network:
    return NETWORKS[name](TASKS[task]())


@pytest.mark.parametrize(("name", "task"), PARAMETERS)
def test_size(name: str, task: str) -> None:
    assert sum(p.numel() for p in network(name, task).build().parameters()) == PARAMETERS[name, task]


@pytest.mark.parametrize(("name", "task"), [("deeplabv3_resnet50", "voc_segmentation"), ("fcn_light", "camvid")])
def test_all_activations_spike_and_upsampling_waits_for_the_mean(name: str, task: str) -> None:
    """No operation between neurons is nonlinear but torchvision's max pooling; the last resampling is in the head."""
    adapter = network(name, task)
    x = adapter.encode(torch.randint(0, 256, (1, 3, 33, 33), dtype=torch.uint8))
    graph = capture(adapter.build().eval(), x)
    nonlinear = [packet(node) for node, rule in graph.rules.items() if rule.role is Role.NONLINEAR]
    assert set(nonlinear) <= {aten.max_pool2d}
    spiking = convert(graph, x, "burst", T=2, phi=4, thresholds="max", light=False)
    assert set(spiking.neurons) == {
        node for node in graph.module.graph.nodes if packet(node) in (aten.relu, aten.relu_)
    }
    shapes = [tuple(node.meta["val"].shape[2:]) for node in spiking.body if packet(node) is aten.upsample_bilinear2d]
    assert (33, 33) not in shapes
    (scores,) = graph.output.all_input_nodes
    assert scores.meta["val"].shape[2:] == (33, 33)
    assert scores in spiking.head


@pytest.mark.parametrize(
    ("name", "constructor"), [("deeplabv3_resnet50", deeplabv3_resnet50), ("fcn_resnet50", fcn_resnet50)]
)
def test_torchvisions_state_dicts_load_without_the_auxiliary_head(name: str, constructor: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = constructor(weights=None, weights_backbone=None, aux_loss=True).eval()
    torch.save(theirs.state_dict(), tmp_path / f"{name}_coco-01234567.pth")
    adapter = network(name, "voc_segmentation")
    ours = adapter.build()
    load_weights(ours, find_weights(name, "voc_segmentation", tmp_path))
    x = torch.randn(1, 3, 65, 49)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(x), theirs(x)["out"])
    with pytest.raises(CheckpointError, match="There are no weights"):
        find_weights(name, "coco_segmentation", tmp_path)


def test_the_light_network_approaches_its_ann_when_it_spikes() -> None:
    """From T = 2 to 32 an error that falls as 1 / T falls 16-fold; over seeds it is 10.4 +- 0.4, and has to be half."""
    torch.manual_seed(0)
    adapter = network("fcn_light", "camvid")
    x = torch.randn(2, 3, 48, 64)
    graph = capture(adapter.build().eval(), x)
    errors = []
    for T in (2, 32):
        output = simulate(convert(graph, x, "burst", T=T, phi=4), x, at=[T], count=False).mean(T)
        errors.append(float((output - graph.run(x)).norm() / graph.run(x).norm()))
    assert errors[1] < errors[0] / 8 and errors[0] < 1


def test_loss_is_cross_entropy_of_the_labelled_pixels() -> None:
    scores = torch.tensor([[[[0.0, 5.0, 0.0]], [[0.0, 1.0, 2.0]]]])
    targets = torch.tensor([[[0, 255, 1]]], dtype=torch.uint8)
    expected = (torch.tensor([2.0]).log() + (1 + torch.tensor([-2.0]).exp()).log()) / 2
    adapter = network("fcn_light", "camvid")
    assert float(adapter.loss(scores, targets)) == pytest.approx(float(expected))
    assert float(adapter.loss(scores, torch.full_like(targets, 255))) == 0


def test_classes_are_those_of_the_largest_score() -> None:
    scores = torch.randn(2, 11, 5, 6, generator=torch.Generator().manual_seed(0))
    predictions = network("fcn_light", "camvid").decode(scores)
    assert predictions.dtype == torch.uint8 and torch.equal(predictions.long(), scores.argmax(1))


def test_poly_falls_to_zero_as_published() -> None:
    """(1 - epoch / epochs)^0.9, where classification keeps its half cosine."""
    recipe = network("fcn_resnet50", "voc_segmentation").recipe
    state = _start(torch.nn.Linear(1, 1), recipe)
    rates = []
    for _ in range(recipe.epochs):
        rates.append(state.optimizer.param_groups[0]["lr"])
        assert isinstance(state.optimizer, SGD)
        state.optimizer.step()
        state.scheduler.step()
    assert rates == pytest.approx([0.007 * (1 - epoch / 50) ** 0.9 for epoch in range(50)])
    assert NETWORKS["vgg16"].recipe.schedule == "cosine"


def position_coded(height: int, width: int) -> tuple[Tensor, Tensor]:
    """An image whose red is its map, the map telling columns apart in bands of 20 pixels."""
    target = (torch.arange(width) // 20).expand(height, width).to(torch.uint8)
    return torch.stack([target] * 3), target


@pytest.mark.parametrize("size", [(60, 80), (24, 40)])
def test_image_and_map_are_scaled_cropped_and_mirrored_together(size: tuple[int, int]) -> None:
    image, target = position_coded(60, 80)
    torch.manual_seed(0)
    transform = ScaleCropFlip(size)
    mirrored, widths = 0, set()
    for _ in range(60):
        changed, labels = transform(image, target)
        assert changed.shape == (3, *size) and labels.shape == size
        assert (changed.dtype, labels.dtype, type(labels)) == (torch.uint8, torch.uint8, Tensor)
        known = labels != 255
        # Bilinear where the map takes the nearest: bands may differ by one at their borders.
        assert int((changed[0][known].int() - labels[known].int()).abs().max()) <= 1
        assert bool((changed[:, ~known] == torch.tensor([124, 116, 104])[:, None]).all())
        row = labels[known.any(1).nonzero()[0, 0]]
        row = row[row != 255].int()
        mirrored += bool((row.diff() < 0).any())
        widths.add(int((row == row.mode().values).sum()))
    assert 15 < mirrored < 45
    assert len(widths) > 4


def test_padding_is_no_part_of_what_is_scaled() -> None:
    """A padded image is augmented as it is without its padding."""
    image, target = position_coded(40, 60)
    padded = torch.full((3, 64, 64), 9, dtype=torch.uint8)
    labels = torch.full((64, 64), 255, dtype=torch.uint8)
    padded[:, :40, :60], labels[:40, :60] = image, target
    for seed in range(10):
        results = []
        for pair in ((image, target), (padded, labels)):
            torch.manual_seed(seed)
            results.append(AUGMENTATIONS["scale_crop"]((3, 64, 64))(*pair))
        assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
