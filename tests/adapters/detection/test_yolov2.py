"""YOLOv2: anchors, what its prediction tensor says, its loss, its networks and how they spike."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from adapters import NETWORKS, find_weights, load_weights
from adapters.base import fitting
from adapters.detection.anchors import anchors_of, kmeans, overlap
from adapters.detection.backbones import Darknet19, NarrowResNet, TinyDarknet, resnet34_backbone, resnet50_backbone
from adapters.detection.loss import yolo_loss
from adapters.detection.yolov2 import TinyYOLOv2, YoloMini, YoloNetwork, YOLOv2
from adapters.training.loop import evaluate
from benchmarks.conformance.outputs import relative_error
from benchmarks.performance.models import settled
from conversion import capture, convert, simulate
from conversion.capture.roles import Role
from conversion.errors import InvalidInput
from tasks import TASKS
from tasks.detection.boxes import Boxes
from tasks.detection.mini import MiniDetection

YOLO = sorted(name for name in NETWORKS if name.startswith("yolov2"))
ANCHOR = torch.tensor([[1.0, 1.0], [2.0, 4.0]])
GRID = (4, 5)


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def silent(samples: int = 1, classes: int = 3) -> Tensor:
    """A prediction tensor that is sure of nothing, shape (N, anchors * (5 + classes), h, w)."""
    output = torch.zeros(samples, len(ANCHOR), 5 + classes, *GRID)
    output[:, :, 4] = -30
    return output.flatten(1, 2)


def entry(output: Tensor, sample: int, anchor: int, row: int, column: int) -> Tensor:
    """The numbers of one anchor, a view."""
    return output.view(len(output), len(ANCHOR), -1, *GRID)[sample, anchor, :, row, column]


def boxes(corners: list[list[float]], labels: list[int], ignored: list[bool] | None = None) -> Boxes:
    return Boxes.of(corners, labels, ignored or [False] * len(labels), (40, 50))  # A cell has 10 x 10 pixels.


def adapter() -> YoloMini:
    network = YoloMini(MiniDetection())
    network.anchors = ANCHOR
    return network


def test_a_box_is_where_its_cell_offset_and_anchor_say() -> None:
    output = silent()
    entry(output, 0, 1, row=2, column=3)[:] = torch.tensor(
        [logit(0.25), logit(0.5), math.log(0.5), math.log(0.75), logit(0.8), 0, math.log(6), 0]
    )
    [found] = adapter().decode(output)
    # Centre 3.25 of 5 columns, 2.5 of 4 rows; 1 of 5 wide and 3 of 4 high.
    assert found.boxes.tolist() == [pytest.approx([2.75 / 5, 1 / 4, 3.75 / 5, 4 / 4])]
    assert found.labels.tolist() == [1]
    assert found.scores.tolist() == pytest.approx([0.8 * 6 / 8])


def test_only_overlapping_boxes_of_one_class_are_suppressed_and_the_surest_stays() -> None:
    output = silent()
    rows: list[tuple[int, int, int, float]] = [(0, 1, 0, 0.6), (1, 1, 0, 0.9), (2, 3, 0, 0.7), (3, 1, 1, 0.5)]
    for column, row, label, sure in rows:
        values = entry(output, 0, 0, row, column)
        values[2:4] = math.log(3)  # Three cells wide and high.
        values[4] = logit(sure)
        values[5 + label] = 30
    # Columns 0 and 1 overlap by 2 x 3 (clipped: 1.5 + .5 of it outside) and are of one class; column 3 is of another.
    [found] = adapter().decode(output)
    assert found.scores.tolist() == pytest.approx([0.9, 0.7, 0.5])
    assert found.labels.tolist() == [0, 0, 1]


def test_boxes_stay_in_the_image_and_scores_below_a_thousandth_are_dropped() -> None:
    output = silent()
    entry(output, 0, 1, 0, 0)[2:5] = torch.tensor([500.0, 500.0, logit(0.9)])
    entry(output, 0, 0, 3, 4)[4] = logit(0.0029)  # Shared among three classes.
    [found] = adapter().decode(output)
    assert found.boxes.tolist() == [[0, 0, 1, 1]]


def test_the_loss_of_one_box_is_the_sum_of_its_parts() -> None:
    truth = boxes([[12.0, 4.0, 32.0, 24.0]], [2])  # Centre at column 2.2, row 1.4; 2 x 2 cells: an IoU of .5 with
    # anchor 1 (2 x 4) and of .25 with anchor 0.
    output = silent()
    values = entry(output, 0, 1, row=1, column=2)
    values[:] = torch.tensor([logit(0.2), logit(0.4), 0.0, 0.0, logit(0.7), 0, 0, 0])
    reached = (2 * 2) / (2 * 4)  # The anchor itself around the right centre.
    place = -sum(p * math.log(p) + (1 - p) * math.log(1 - p) for p in (0.2, 0.4))
    scale = math.log(2 / 4) ** 2
    weight = 2 - (20 * 20) / (40 * 50)
    expected = weight * (place + scale) + 5 * (0.7 - reached) ** 2 + math.log(3) + (1 - reached) ** 2 / 2
    assert float(yolo_loss(output, [truth], ANCHOR)) == pytest.approx(expected, rel=1e-5)


def test_confidence_costs_where_nothing_is_and_is_free_for_similar_anchors() -> None:
    similar = torch.tensor([[1.9, 3.9], [2.0, 4.0]])
    truth = boxes([[10.0, 0.0, 30.0, 40.0]], [0])  # Centre at column 2, row 2: exactly the second anchor.
    base = silent()
    none = float(yolo_loss(base, [truth], similar))
    elsewhere, beside = base.clone(), base.clone()
    entry(elsewhere, 0, 0, 0, 0)[4] = 0.0
    entry(beside, 0, 0, 2, 2)[4] = 0.0
    assert float(yolo_loss(elsewhere, [truth], similar)) == pytest.approx(none + 0.25)
    assert float(yolo_loss(beside, [truth], similar)) == pytest.approx(none)


def test_the_loss_is_a_mean_over_images_that_may_be_empty_and_ignored_boxes_teach_nothing() -> None:
    truth, nothing = boxes([[12.0, 4.0, 32.0, 24.0]], [1]), boxes([], [])
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(silent(2).shape, generator=generator)
    alone = [float(yolo_loss(output[i : i + 1], [t], ANCHOR)) for i, t in enumerate((truth, nothing))]
    assert float(yolo_loss(output, [truth, nothing], ANCHOR)) == pytest.approx(sum(alone) / 2, rel=1e-5)
    hidden = boxes([[12.0, 4.0, 32.0, 24.0], [1.0, 1.0, 9.0, 9.0]], [1, 0], [False, True])
    assert float(yolo_loss(output[:1], [hidden], ANCHOR)) == pytest.approx(alone[0], rel=1e-6)


@pytest.mark.slow
def test_descending_the_loss_finds_the_boxes() -> None:
    """The prediction tensor itself is trained: what the loss asks for is what decoding reads."""
    truth = boxes([[12.0, 4.0, 32.0, 24.0], [35.0, 20.0, 45.0, 35.0], [3.0, 25.0, 9.0, 39.0]], [2, 0, 1])
    output = torch.zeros_like(silent()).requires_grad_()
    optimizer = torch.optim.Adam([output], 0.1)
    for _ in range(400):
        optimizer.zero_grad()
        yolo_loss(output, [truth], ANCHOR).backward()
        optimizer.step()
    [found] = adapter().decode(output.detach())
    order = found.boxes[:3, 0].argsort()
    assert torch.allclose(found.boxes[:3][order], truth.fractions[truth.boxes[:, 0].argsort()], atol=0.01)
    assert found.labels[:3][order].tolist() == [1, 2, 0]
    assert bool((found.scores[:3] > 0.9).all())
    assert bool((found.scores[3:] < 0.2).all())


@pytest.mark.slow
@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(0.1, 9), st.floats(0.1, 9)), min_size=1, max_size=6))
def test_overlap_of_shapes_is_symmetric_and_one_with_itself(shapes: list[tuple[float, float]]) -> None:
    sizes = torch.tensor(shapes, dtype=torch.float64)
    found = overlap(sizes, sizes)
    assert torch.allclose(found, found.T)
    assert torch.allclose(found.diag(), torch.ones(len(sizes), dtype=torch.float64))
    assert bool((found > 0).all() and (found <= 1 + 1e-12).all())


def test_kmeans_finds_the_shapes_there_are() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = torch.tensor([[1.0, 1.0], [1.0, 4.0], [6.0, 5.0]])
    sizes = shapes.repeat(30, 1) * (1 + 0.03 * torch.randn(90, 2, generator=generator))
    for seed in range(3):
        assert torch.allclose(kmeans(sizes, 3, seed), shapes.double(), atol=0.1)
    assert torch.equal(kmeans(sizes, 3, 1), kmeans(sizes, 3, 1))
    with pytest.raises(InvalidInput, match="4 anchors need as many boxes of different size"):
        kmeans(shapes, 4)


def test_the_anchors_of_drawn_scenes_are_those_that_kmeans_gives() -> None:
    expected = MiniDetection.anchors
    assert torch.allclose(anchors_of(MiniDetection(), len(expected)).float(), torch.tensor(expected), atol=0.006)


@pytest.mark.parametrize("name", YOLO)
def test_there_are_anchors_for_every_task_of_a_network(name: str) -> None:
    for task in fitting(NETWORKS[name]):
        network = NETWORKS[name](TASKS[task]())
        assert isinstance(network, YoloNetwork) and network.anchors.shape[1] == 2


BACKBONES: list[tuple[Callable[[], nn.Module], int]] = [
    (Darknet19, 16), (TinyDarknet, 16), (resnet34_backbone, 16), (resnet50_backbone, 16), (NarrowResNet, 8)
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("build", "stride"), BACKBONES)
@torch.no_grad()
def test_backbones_give_two_maps_of_the_channels_they_say(build: Callable[[], nn.Module], stride: int) -> None:
    backbone = build().eval()
    fine, coarse = backbone(torch.zeros(1, 3, 64, 96))
    assert [fine.shape[1], coarse.shape[1]] == list(backbone.channels)  # type: ignore[arg-type]
    assert fine.shape[2:] == (64 // stride, 96 // stride)
    assert coarse.shape[2:] == (32 // stride, 48 // stride)


@pytest.mark.slow
@pytest.mark.parametrize(
    "build",
    [
        lambda: YOLOv2(NarrowResNet((4, 8, 8)), 2, 3, width=8, passed=4),
        lambda: YOLOv2(Darknet19(), 2, 3, width=16, passed=4),
        lambda: TinyYOLOv2(2, 3),
    ],
)
def test_all_that_follows_the_first_neurons_is_fed_by_spikes_up_to_the_prediction(
    build: Callable[[], nn.Module],
) -> None:
    """One neuron layer per ReLU; nonlinear are maxima alone, which pass spikes on; the prediction is the only head."""
    model = build().eval()
    relus = sum(isinstance(part, nn.ReLU) for part in model.modules())
    graph = capture(model, torch.rand(1, 3, 64, 64))
    roles = [graph.rules[node] for node in graph.body]
    assert len(graph.firing) == relus
    assert {str(node.target) for node in graph.body if graph.rules[node].role is Role.NONLINEAR} <= {
        "aten.max_pool2d.default"
    }
    assert all(rule.transport is not None for rule in roles if rule.role not in (Role.FIRING, Role.OUTPUT_ENCODER))
    last = [node for node in graph.body if not set(node.users) - {graph.output, *graph.output_encoders}]
    last = [node for node in last if node not in graph.output_encoders]
    assert [str(node.target) for node in last] == ["aten.conv2d.default"]


@pytest.mark.slow
@torch.no_grad()
def test_leaky_activations_become_neurons_that_fire_both_signs() -> None:
    torch.manual_seed(0)
    tiny = NETWORKS["yolov2_tiny_leaky"](TASKS["bccd"]()).build()
    assert not any(isinstance(part, nn.ReLU) for part in tiny.modules())
    # Its head alone, on maps that the backbone could give.
    model, maps = settled(nn.Sequential(tiny.neck, tiny.predict), torch.randn(4, 1024, 4, 4))  # type: ignore[arg-type]
    network = convert(capture(model, maps[:1]), maps, "burst", T=64, phi=4)
    assert [(neuron.signed, neuron.slope) for neuron in network.neurons.values()] == [(True, 0.1)]
    assert relative_error(simulate(network, maps).mean(64), model(maps)) < 0.02


@pytest.mark.slow
def test_the_shipped_network_finds_drawn_shapes() -> None:
    task = MiniDetection()
    network = YoloMini(task)
    model = network.build()
    load_weights(model, find_weights("yolov2_mini", "mini_detection", None))
    assert evaluate(model, network, task, task.split("test"), torch.device("cpu")) > 90
