"""Files of PyTorch's exporters: the default, which needs onnxscript, and what the older one writes of attention."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

pytest.importorskip("onnx", reason="ONNX files need the extra 'onnx': pip install -e '.[onnx]'")
pytest.importorskip("onnxscript", reason="PyTorch's default exporter needs it: pip install onnxscript")

from conversion import capture

pytestmark = pytest.mark.slow


class Mixed(nn.Module):
    """What exporters write in ways of their own: shuffled and listed channels, filled slices, heads, strides."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.last = nn.LayerNorm(8)
        self.qkv = nn.Linear(8, 24)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.channel_shuffle(self.norm(self.stem(x)).relu(), 2)
        filled = torch.zeros_like(x)
        filled[:, 2:] = x[:, :-2]
        filled[:, :2] += x[:, [7, 6]]
        x = F.gelu(F.interpolate(filled, scale_factor=0.5, mode="bicubic")).permute(0, 2, 3, 1)
        tokens = self.last(x)
        q, k, v = self.qkv(tokens).flatten(1, 2).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(tokens.shape)
        # Channels lie last in memory, and the exporter writes the mean's view by strides.
        pooled = F.adaptive_avg_pool2d((mixed + x).permute(0, 3, 1, 2), 1)
        answer: Tensor = self.head(pooled.permute(0, 2, 3, 1)).flatten(1)
        return answer


@pytest.mark.parametrize(
    ("opset", "free"), [(18, False), (20, True), (23, True)], ids=["18, one sample", "20, any batch", "23, any batch"]
)
def test_a_file_of_the_default_exporter(opset: int, free: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, x, path = Mixed().eval(), torch.randn(3, 3, 8, 8), tmp_path / "net.onnx"
    shapes = ({0: torch.export.Dim.DYNAMIC},) if free else None
    torch.onnx.export(
        network, (x if free else x[:1],), path, dynamo=True, dynamic_shapes=shapes, opset_version=opset, verbose=False
    )
    graph = capture(path, x[:1])
    torch.testing.assert_close(graph.run(x), network(x), rtol=1e-4, atol=1e-5)


class Heads(nn.Module):
    """Attention, whose scale the older exporter computes from the shape of the query."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(8, 24)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("free", [False, True], ids=["one sample", "any batch"])
def test_attention_from_the_older_exporter(free: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, x, path = Heads().eval(), torch.randn(3, 5, 8), tmp_path / "net.onnx"
    torch.onnx.export(
        network, (x if free else x[:1],), path, dynamo=False, opset_version=17, input_names=["x"],
        dynamic_axes={"x": {0: "n"}} if free else None,
    )  # fmt: skip
    torch.testing.assert_close(capture(path, x[:1]).run(x), network(x), rtol=1e-4, atol=1e-5)
