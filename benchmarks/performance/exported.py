"""Networks as files of PyTorch's default ONNX exporter, captured and compared with onnxruntime.

`python -m benchmarks.performance.exported torchvision/resnet18 timm/ghostnet_100 ultralytics/yolov8n` prints a row for
each: the largest error of its captured file on three images. Weights are random. Needs onnxscript and onnxruntime.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import torch
import typer
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from benchmarks.conformance.outputs import relative_error
from conversion import BenchmarkError, capture


def network(name: str) -> nn.Module:
    """A network of torchvision, timm or ultralytics with random weights, in inference mode.

    Raises:
        BenchmarkError: the name is of none of the three.
    """
    library, _, own = name.partition("/")
    torch.manual_seed(0)
    if library == "torchvision":
        from torchvision.models import get_model

        made: nn.Module = get_model(own, weights=None)
    elif library == "timm":
        import timm

        made = timm.create_model(own)
    elif library == "ultralytics":
        from ultralytics.models import YOLO

        found: Any = YOLO(f"{own}.yaml").model
        made = found
        for part in found.modules():
            if hasattr(part, "export"):  # Its head gives boxes alone then, as in files.
                part.export, part.format = True, "onnx"
    else:
        raise BenchmarkError(f"'{name}' is no network; write torchvision/NAME, timm/NAME or ultralytics/NAME.")
    return made.eval()


def exported(model: nn.Module, images: Tensor, path: Path, *, opset: int | None, single: bool) -> None:
    """Writes a network as a file for any batch, or for one sample."""
    shapes = None if single else ({0: torch.export.Dim.DYNAMIC},)
    given = images[:1] if single else images
    torch.onnx.export(
        model, (given,), path, dynamo=True, dynamic_shapes=shapes, opset_version=opset, verbose=False
    )  # fmt: skip


def compared(path: Path, images: Tensor, *, single: bool) -> float:
    """The relative error of the first output of a captured file, in the Euclidean norm, against onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    batches = images.split(1) if single else [images]
    given = session.get_inputs()[0].name
    wanted = torch.cat([torch.from_numpy(session.run(None, {given: batch.numpy()})[0]) for batch in batches])
    return relative_error(pytree.tree_leaves(capture(path, images[:1]).run(images))[0], wanted)


def main(
    names: list[str],
    opset: Annotated[int | None, typer.Option(help="18 to 23; the exporter's own if left out.")] = None,
    single: Annotated[bool, typer.Option("--single", help="Files for one sample instead of any batch.")] = False,
    side: Annotated[int, typer.Option(help="Of an image, in pixels.")] = 64,
) -> None:  # fmt: skip
    """Prints a row for each network."""
    images = torch.randn(3, 3, side, side, generator=torch.Generator().manual_seed(1))
    with TemporaryDirectory() as folder:
        for name in names:
            path = Path(folder, "network.onnx")
            exported(network(name), images, path, opset=opset, single=single)
            print(f"| {name} | {compared(path, images, single=single):.1e} |", flush=True)


if __name__ == "__main__":
    try:
        typer.run(main)
    except BenchmarkError as error:
        raise SystemExit(str(error)) from None
