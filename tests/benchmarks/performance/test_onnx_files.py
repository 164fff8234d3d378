"""Networks in ONNX files that packages bring, against onnxruntime."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.performance.onnx_files import lines_of_text, measure

pytestmark = pytest.mark.slow
pytest.importorskip("onnx", reason="ONNX files need the extra 'onnx': pip install -e '.[onnx]'")
pytest.importorskip("onnxruntime", reason="the networks are compared with onnxruntime")


def installed(package: str, file: str) -> Path:
    """A file of a package, which is not imported."""
    spec = find_spec(package)
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    found = next((path for folder in folders if (path := Path(folder, file)).is_file()), None)
    if found is None:
        pytest.skip(f"the package {package}, which brings {file}, is not installed")
    return found


@pytest.mark.parametrize(
    ("package", "file", "shape"),
    [
        ("rapidocr_onnxruntime", "models/ch_ppocr_mobile_v2.0_cls_infer.onnx", (3, 32, 64)),
        ("nudenet", "320n.onnx", (3, 32, 32)),
    ],
)
def test_real_files_come_within_one_percent(package: str, file: str, shape: tuple[int, int, int]) -> None:
    """A classifier of Paddle and a detector of PyTorch: bursts of 15 and T = 64 say 960 levels of each sign."""
    images = lines_of_text(2, shape, seed=0)
    found = measure(installed(package, file), images, images, steps=64, phi=15, channelwise=True)
    assert found.captured < 1e-4
    assert found.spiking < 0.01
