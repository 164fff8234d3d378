"""Networks of libraries as files of PyTorch's default exporter."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.performance.exported import compared, exported, network
from conversion import BenchmarkError


@pytest.mark.slow
@pytest.mark.parametrize("single", [True, False])
def test_a_network_of_a_library_is_what_its_file_is(single: bool, tmp_path: Path) -> None:
    for package in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package, reason=f"PyTorch's default exporter and the comparison need {package}")
    images, path = torch.randn(3, 3, 32, 32), tmp_path / "net.onnx"
    exported(network("torchvision/shufflenet_v2_x0_5"), images, path, opset=None, single=single)
    assert compared(path, images, single=single) < 1e-4


def test_networks_of_other_libraries_are_refused() -> None:
    with pytest.raises(BenchmarkError, match="'resnet18' is no network; write torchvision/NAME"):
        network("resnet18")
