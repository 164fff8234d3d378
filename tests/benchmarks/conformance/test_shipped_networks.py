"""Every network that ships with the benchmark passes every check that applies to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from adapters import NETWORKS
from adapters.detection.ultralytics import UltralyticsYolo
from adapters.detection.yolov2 import YoloNetwork
from benchmarks.conformance import networks
from benchmarks.conformance.kit import judge
from benchmarks.conformance.networks import NetworkBench

pytestmark = pytest.mark.slow

# Deeper and wider members of a family repeat its blocks; capturing them takes seconds and shows nothing new. The
# transformer and VGG-16 are captured at a reduced size in tests/conversion/capture.
DEEPER = {
    *(name for name in NETWORKS if name.startswith("ultralytics/") and name not in
      ("ultralytics/yolov3-tiny-relu", "ultralytics/yolo11n")),
    "qcfs_resnet20_l4", "torchvision/resnet50", "torchvision/mobilenet_v2.v2", "snn_calibration/resnet34",
    "timm/resnet18.a1_in1k",
    # Wider than another of its class, or with ReLUs where that one has leaky ones.
    "pointnet_light", "pointnet_parts_light_max", "resnet18", "resnet20_wide", "qcfs_resnet18", "yolov2_tiny",
    "yolov2_light", "fcn_light", "vgg16",
}  # fmt: skip
# Up to 138 million weights or 58 billion MACs, or only deeper or wider than another member of their class. Their
# modules are captured in others, or at a reduced size in tests/conversion/capture; their shapes are tested in
# tests/adapters.
COSTLY = {
    "qcfs_imagenet_resnet34", "qcfs_imagenet_vgg16", "torchvision/vgg16", "torchvision/vgg16_bn",
    "snn_calibration/vgg16", "torchvision/resnet50.v2", "torchvision/vit_b_16", "yolov2_r50", "yolov2_d19_leaky",
    "yolov2_d19", "yolov2_r34", "fcn_resnet50", "event_resnet34", "event_vgg16", "resnet32", "resnet44", "resnet56",
    "resnet32_wide", "deeplabv3_resnet50", "ultralytics/yolo11n", "event_resnet18", "event_vgg11", "qcfs_vgg16",
    "torchvision/mobilenet_v2", "pointnet_parts", "pointnet_parts_max", "pointnet", "pointnet_max",
    "ultralytics/yolov8s", "ultralytics/yolov8s-relu", "torchvision/resnet34", "timm/resnet34.a1_in1k",
}  # fmt: skip
OF_THE_CLASS = {
    networks.says_what_it_is, networks.is_called_as_registered, networks.refuses_tasks_of_another_kind,
    networks.has_a_recipe_to_train_by,
}  # fmt: skip
CAPTURED = {networks.can_be_captured, networks.is_computed_alike_when_captured, networks.has_activations_for_neurons}


@pytest.mark.parametrize("name", sorted(COSTLY))
def test_classes_of_costly_networks(name: str) -> None:
    bench = NetworkBench(NETWORKS[name])
    results = [judge(check, bench) for check in networks.CHECKS if check in OF_THE_CLASS]
    assert [result.verdict for result in results] == ["passed"] * len(OF_THE_CLASS)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in COSTLY])
def test_networks(name: str) -> None:
    bench = NetworkBench(NETWORKS[name])
    checks: list[Callable[[NetworkBench], None]] = [
        check for check in networks.CHECKS if name not in DEEPER or check not in CAPTURED
    ]
    results = [judge(check, bench) for check in checks]
    assert [result for result in results if result.verdict == "failed"] == []
    needless = {result.name for result in results if result.verdict == "does not apply"}
    assert needless == ({"decodes to classes"} if issubclass(NETWORKS[name], (YoloNetwork, UltralyticsYolo)) else set())
